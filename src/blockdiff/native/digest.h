/* Digests blocks in place of judging them: see digest.pxi for the use. */
#ifndef BLOCKDIFF_DIGEST_H
#define BLOCKDIFF_DIGEST_H

#include "guard.h"
#include "hasher.h"

enum { BD_E_HASHER = -6, BD_E_TORN = -7 };

typedef struct {
    const bd_hasher *hasher;
    int64_t end;                       /* where the last block ends; only that one may be shorter */
    unsigned char zero[BD_MAX_DIGEST]; /* the digest of a whole block of zeroes */
    unsigned char *out;
    size_t room, done;                 /* digests */
} bd_digests;

/* The end of the run of blocks from at that are zeroes, or are not, as the first one is. */
static int64_t bd_same_blocks(const unsigned char *p, int64_t at, int64_t end, int64_t g, int *zero)
{
    int64_t e = bd_granule_end(at, g, end), next;
    *zero = bd_is_zero(p, (size_t)(e - at));
    for (; e < end; e = next) {
        next = bd_granule_end(e, g, end);
        __builtin_prefetch(p + (next - at) + g); /* one line of each block: too little for the processor to foresee it */
        if (bd_is_zero(p + (e - at), (size_t)(next - e)) != *zero)
            break;
    }
    return e;
}

/* A digest for each block of [offset, offset + length), and in kinds DATA or ZERO. A part of a block is refused: its
 * digest would be none of the block's. 0, -1 out of memory, or a BD_E_ code; only what succeeded is kept. */
static int bd_digest(bd_digests *d, const unsigned char *p, int64_t offset, int64_t length, int64_t g, bd_vec *kinds)
{
    int64_t end = offset + length;
    size_t size = d->hasher->size, blocks = (size_t)((length + g - 1) / g), whole;
    unsigned char *out = d->out + d->done * size;
    if (offset % g || (end % g && end != d->end) || blocks > d->room - d->done)
        return BD_E_TORN;
    for (int64_t at = offset, e; at < end; at = e) {
        int zero;
        e = bd_same_blocks(p, at, end, g, &zero);
        whole = zero ? (size_t)((e - at) / g) : 0;
        for (size_t i = 0; i < whole; i++, out += size)
            memcpy(out, d->zero, size);
        int64_t from = at + (int64_t)whole * g; /* also a tail of zeroes that is shorter than a block */
        if (from < e) {
            if (d->hasher->blocks(d->hasher->self, p + (from - at), (size_t)(e - from), (size_t)g, out) < 0)
                return BD_E_HASHER;
            out += (size_t)((e - from + g - 1) / g) * size;
        }
        if (bd_push_joined(kinds, at, e - at, zero ? BD_KIND_ZERO : BD_KIND_DATA) < 0)
            return -1;
        p += e - at;
    }
    d->done += blocks;
    return 0;
}

/* The same of a mapped window. 1: a page of it vanished (kinds is as it was before). The hasher may be anybody's code,
 * which no jump may leave: zeroes take the page's place until it has returned. */
static int bd_guarded_digest(bd_digests *d, const unsigned char *p, int64_t offset, int64_t length, int64_t g, bd_vec *kinds)
{
    bd_guard *guard = &bd_thread_guard;
    size_t before = kinds->n, done = d->done;
    int64_t last = before ? kinds->items[before - 1].length : 0;
    guard->lo[0] = (uintptr_t)p;
    guard->hi[0] = (uintptr_t)p + (size_t)length;
    guard->lo[1] = guard->hi[1] = 0;
    guard->vanished = 0;
    guard->replace = 1;
    guard->active = 1;
    int rc = bd_digest(d, p, offset, length, g, kinds);
    guard->active = 0;
    guard->replace = 0;
    if (!guard->vanished)
        return rc;
    kinds->n = before;
    if (before)
        kinds->items[before - 1].length = last;
    d->done = done;
    return 1;
}

/* Pushes the blocks whose digests differ, with the class of the difference; the last block ends at end. */
static int bd_diff_digests(const unsigned char *a, const unsigned char *b, size_t n, size_t size, const unsigned char *zero,
                           int64_t offset, int64_t g, int64_t end, bd_vec *out)
{
    for (size_t i = 0; i < n; i++, a += size, b += size, offset += g) {
        if (memcmp(a, b, size) == 0)
            continue;
        uint8_t kind = !memcmp(a, zero, size) ? BD_SRC_ZERO : !memcmp(b, zero, size) ? BD_DST_ZERO : BD_DIFF_DATA;
        if (bd_push_joined(out, offset, bd_granule_end(offset, g, end) - offset, kind) < 0)
            return -1;
    }
    return 0;
}

#endif
