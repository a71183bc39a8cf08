/* What the reader asks of an algorithm that digests blocks. A hasher is handed from one extension to another as a capsule
 * named BD_HASHER_NAME; whoever makes it keeps it alive. */
#ifndef BLOCKDIFF_HASHER_H
#define BLOCKDIFF_HASHER_H

#include <stddef.h>

#define BD_HASHER_NAME "blockdiff.hasher.1"
#define BD_MAX_DIGEST 64

typedef struct {
    void *self;
    size_t size; /* bytes of a digest, at most BD_MAX_DIGEST */
    /* Writes a digest for each block of p; the last block may be shorter. 0, or -1 with the reason in self. */
    int (*blocks)(void *self, const unsigned char *p, size_t length, size_t block, unsigned char *out);
} bd_hasher;

#endif
