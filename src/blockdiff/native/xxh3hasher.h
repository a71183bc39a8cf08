/* The fastest XXH3 that this processor can run. */
#ifndef BLOCKDIFF_XXH3HASHER_H
#define BLOCKDIFF_XXH3HASHER_H

#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include "hasher.h"

typedef void (*bd_xxh3)(const unsigned char *p, size_t length, size_t block, uint64_t seed, unsigned char *out);

void bd_xxh3_base(const unsigned char *p, size_t length, size_t block, uint64_t seed, unsigned char *out);
#if defined(__x86_64__)
void bd_xxh3_avx2(const unsigned char *p, size_t length, size_t block, uint64_t seed, unsigned char *out);
void bd_xxh3_avx512(const unsigned char *p, size_t length, size_t block, uint64_t seed, unsigned char *out);
#endif

/* wanted: a name, or empty for the best. NULL: the processor has it not, or it is unknown. */
static bd_xxh3 bd_xxh3_pick(const char *wanted, const char **name)
{
#if defined(__x86_64__)
    __builtin_cpu_init();
    if ((!*wanted || !strcmp(wanted, "avx512")) && __builtin_cpu_supports("avx512f")) {
        *name = "avx512";
        return bd_xxh3_avx512;
    }
    if ((!*wanted || !strcmp(wanted, "avx2")) && __builtin_cpu_supports("avx2")) {
        *name = "avx2";
        return bd_xxh3_avx2;
    }
#endif
    if (*wanted && strcmp(wanted, "base"))
        return NULL;
    *name = "base";
    return bd_xxh3_base;
}

/* A hasher of XXH3 with a seed. */
typedef struct {
    bd_hasher hasher;
    bd_xxh3 function;
    uint64_t seed;
} bd_xxh3_hasher;

static int bd_xxh3_blocks(void *self, const unsigned char *p, size_t length, size_t block, unsigned char *out)
{
    const bd_xxh3_hasher *h = (const bd_xxh3_hasher *)self;
    h->function(p, length, block, h->seed, out);
    return 0;
}

#endif
