/* XXH64, written from its public specification: one digest, or the digests of two seeds in one pass over the data.
 * It is no cryptographic hash. The object storage daemons of Ceph compute the same. */
#ifndef BLOCKDIFF_XXH64_H
#define BLOCKDIFF_XXH64_H

#include <endian.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#define BD_XP1 0x9E3779B185EBCA87ULL
#define BD_XP2 0xC2B2AE3D27D4EB4FULL
#define BD_XP3 0x165667B19E3779F9ULL
#define BD_XP4 0x85EBCA77C2B2AE63ULL
#define BD_XP5 0x27D4EB2F165667C5ULL

static inline uint64_t bd_rotl(uint64_t v, int n) { return (v << n) | (v >> (64 - n)); }

static inline uint64_t bd_lane64(const unsigned char *p)
{
    uint64_t v;
    memcpy(&v, p, 8);
    return le64toh(v);
}

static inline uint64_t bd_lane32(const unsigned char *p)
{
    uint32_t v;
    memcpy(&v, p, 4);
    return le32toh(v);
}

/* One lane, multiplied by BD_XP2 already: that part is the same for every seed. */
static inline uint64_t bd_xxh_round(uint64_t acc, uint64_t product) { return bd_rotl(acc + product, 31) * BD_XP1; }

static inline uint64_t bd_xxh_merge(uint64_t acc, uint64_t lane)
{
    return (acc ^ bd_xxh_round(0, lane * BD_XP2)) * BD_XP1 + BD_XP4;
}

static inline void bd_xxh_start(uint64_t a[4], uint64_t seed)
{
    a[0] = seed + BD_XP1 + BD_XP2;
    a[1] = seed + BD_XP2;
    a[2] = seed;
    a[3] = seed - BD_XP1;
}

static inline uint64_t bd_xxh_join(const uint64_t a[4])
{
    uint64_t acc = bd_rotl(a[0], 1) + bd_rotl(a[1], 7) + bd_rotl(a[2], 12) + bd_rotl(a[3], 18);
    for (int i = 0; i < 4; i++)
        acc = bd_xxh_merge(acc, a[i]);
    return acc;
}

/* The last n < 32 bytes, and the final mixing. */
static inline uint64_t bd_xxh_finish(uint64_t acc, const unsigned char *p, size_t n)
{
    for (; n >= 8; p += 8, n -= 8)
        acc = bd_rotl(acc ^ bd_xxh_round(0, bd_lane64(p) * BD_XP2), 27) * BD_XP1 + BD_XP4;
    for (; n >= 4; p += 4, n -= 4)
        acc = bd_rotl(acc ^ (bd_lane32(p) * BD_XP1), 23) * BD_XP2 + BD_XP3;
    for (; n; p++, n--)
        acc = bd_rotl(acc ^ (*p * BD_XP5), 11) * BD_XP1;
    acc = (acc ^ (acc >> 33)) * BD_XP2;
    acc = (acc ^ (acc >> 29)) * BD_XP3;
    return acc ^ (acc >> 32);
}

static uint64_t bd_xxh64(const unsigned char *p, size_t n, uint64_t seed)
{
    uint64_t a[4], total = n, acc = seed + BD_XP5;
    if (n >= 32) {
        bd_xxh_start(a, seed);
        for (; n >= 32; p += 32, n -= 32)
            for (int i = 0; i < 4; i++)
                a[i] = bd_xxh_round(a[i], bd_lane64(p + 8 * i) * BD_XP2);
        acc = bd_xxh_join(a);
    }
    return bd_xxh_finish(acc + total, p, n);
}

static void bd_xxh64_pair(const unsigned char *p, size_t n, const uint64_t seed[2], uint64_t out[2])
{
    uint64_t a[4], b[4], total = n;
    out[0] = seed[0] + BD_XP5;
    out[1] = seed[1] + BD_XP5;
    if (n >= 32) {
        bd_xxh_start(a, seed[0]);
        bd_xxh_start(b, seed[1]);
        for (; n >= 32; p += 32, n -= 32)
            for (int i = 0; i < 4; i++) {
                uint64_t product = bd_lane64(p + 8 * i) * BD_XP2;
                a[i] = bd_xxh_round(a[i], product);
                b[i] = bd_xxh_round(b[i], product);
            }
        out[0] = bd_xxh_join(a);
        out[1] = bd_xxh_join(b);
    }
    out[0] = bd_xxh_finish(out[0] + total, p, n);
    out[1] = bd_xxh_finish(out[1] + total, p, n);
}

#endif
