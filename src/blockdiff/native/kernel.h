/* What is done to bytes in memory: compare, test for zeroes, name the class of a difference. */
#ifndef BLOCKDIFF_KERNEL_H
#define BLOCKDIFF_KERNEL_H

#include <string.h>

#include "extent.h"

/* What a plan asks for a range. In MAP, COPY and SCAN_* only one side is read. */
enum {
    BD_SEG_COMPARE = 0,   /* read both */
    BD_SEG_SRC_HOLE = 1,  /* src is known to read as zeroes: scan dst */
    BD_SEG_DST_HOLE = 2,  /* dst is known to read as zeroes: scan src */
    BD_SEG_SKIP_HOLE = 3, /* both are known to read as zeroes */
    BD_SEG_SKIP_SHARED = 4, /* both are the same physical storage */
    BD_SEG_MAP = 5,       /* scan src: which blocks are zero */
    BD_SEG_COPY = 6,      /* read src, write dst */
    BD_SEG_SKIP_DIGEST = 7, /* both gave the same digests */
    BD_SEG_MASK = 7,      /* the kind without its mark */
    BD_SEG_MARK = 8       /* the caller's mark: segments are not joined across it, so granules are cut there */
};

#if defined(__x86_64__) && defined(__GLIBC__) && !defined(__SANITIZE_ADDRESS__)
#define BD_CLONES __attribute__((target_clones("avx2", "default")))
#else
#define BD_CLONES
#endif

/* An OR over whole cache lines: the compiler vectorises it, and it leaves early on the first non-zero line group. */
BD_CLONES static int bd_is_zero(const unsigned char *p, size_t n)
{
    while (n >= 256) {
        uint64_t w[32], acc = 0;
        memcpy(w, p, 256);
        for (int i = 0; i < 32; i++)
            acc |= w[i];
        if (acc)
            return 0;
        p += 256;
        n -= 256;
    }
    unsigned char tail = 0;
    for (size_t i = 0; i < n; i++)
        tail |= p[i];
    return tail == 0;
}

/* True when exactly one bit differs; leaves at the second. */
static int bd_one_bit(const unsigned char *a, const unsigned char *b, size_t n)
{
    int bits = 0;
    size_t i = 0;
    for (; i + 8 <= n; i += 8) {
        uint64_t x, y;
        memcpy(&x, a + i, 8);
        memcpy(&y, b + i, 8);
        if (x != y && (bits += __builtin_popcountll(x ^ y)) > 1)
            return 0;
    }
    for (; i < n; i++)
        if ((bits += __builtin_popcount((unsigned)(a[i] ^ b[i]))) > 1)
            return 0;
    return bits == 1;
}

static uint8_t bd_classify(const unsigned char *a, const unsigned char *b, size_t n)
{
    if (bd_is_zero(a, n))
        return BD_SRC_ZERO;
    if (bd_is_zero(b, n))
        return BD_DST_ZERO;
    return bd_one_bit(a, b, n) ? BD_BIT_FLIP : BD_DIFF_DATA;
}

/* The end of the granule that holds offset, cut at end. g is a power of two. */
static inline int64_t bd_granule_end(int64_t offset, int64_t g, int64_t end)
{
    int64_t last = offset | (g - 1);    /* not one more: that may be 2^63 */
    return last < end ? last + 1 : end;
}

static int bd_compare(const unsigned char *a, const unsigned char *b, int64_t offset, int64_t length, int64_t g, bd_vec *out)
{
    int64_t end = offset + length;
    while (offset < end) {
        int64_t e = bd_granule_end(offset, g, end);
        size_t n = (size_t)(e - offset);
        if (memcmp(a, b, n) != 0 && bd_push_joined(out, offset, (int64_t)n, bd_classify(a, b, n)) < 0)
            return -1;
        a += n;
        b += n;
        offset = e;
    }
    return 0;
}

/* Pushes zero_kind for granules of zeroes and data_kind for the others; BD_NONE for a kind that is not wanted. */
static int bd_scan(const unsigned char *p, int64_t offset, int64_t length, int64_t g, uint8_t zero_kind, uint8_t data_kind,
                   bd_vec *out)
{
    int64_t end = offset + length;
    while (offset < end) {
        int64_t e = bd_granule_end(offset, g, end);
        size_t n = (size_t)(e - offset);
        uint8_t kind = bd_is_zero(p, n) ? zero_kind : data_kind;
        if (kind != BD_NONE && bd_push_joined(out, offset, (int64_t)n, kind) < 0)
            return -1;
        p += n;
        offset = e;
    }
    return 0;
}

/* One chunk by the plan's kind; the pointer of a side that is not read is NULL. */
static int bd_judge(uint8_t seg, const unsigned char *a, const unsigned char *b, int64_t offset, int64_t length, int64_t g,
                    int strict, bd_vec *out)
{
    switch (seg & BD_SEG_MASK) {
    case BD_SEG_COMPARE:
        return bd_compare(a, b, offset, length, g, out);
    case BD_SEG_SRC_HOLE:
        return bd_scan(b, offset, length, g, strict ? BD_SRC_HOLE : BD_NONE, BD_SRC_ZERO, out);
    case BD_SEG_DST_HOLE:
        return bd_scan(a, offset, length, g, strict ? BD_DST_HOLE : BD_NONE, BD_DST_ZERO, out);
    case BD_SEG_MAP:
        return bd_scan(a, offset, length, g, BD_KIND_ZERO, BD_KIND_DATA, out);
    default:
        return 0;
    }
}

#endif
