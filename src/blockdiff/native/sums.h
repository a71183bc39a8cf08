/* The digests of the chunks of one device, and what two of them say. No Python here.
 *
 * A chunk has a length: so many of its first bytes went into the digests of both seeds, and the rest is known to be
 * zeroes. Length 0: all of it is zeroes. A negative length: nothing is known. */
#ifndef BLOCKDIFF_SUMS_H
#define BLOCKDIFF_SUMS_H

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <unistd.h>

#include "aio.h"
#include "extent.h"
#include "kernel.h"
#include "xxh64.h"

#define BD_MAX_SUM_CHUNK ((int64_t)64 << 10)
#define BD_SUM_BUFFER ((int64_t)1 << 20)
#define BD_SUM_REGION (8LL << 20)

#define BD_SUM_PARENT (-10000)   /* as a length: the object is missing, a parent has the data */

enum { BD_SUM_EQUAL = 0, BD_SUM_DIFFERENT = 1, BD_SUM_UNKNOWN = 2 };

typedef struct {
    int32_t *length;              /* of every chunk */
    uint64_t (*value)[2];
    int64_t n;
} bd_sums;

/* The digests of zeroes; the usual length is kept. */
typedef struct {
    uint64_t seed[2], full[2];
    int64_t chunk;
} bd_zero_sums;

static const unsigned char bd_zeroes[64 << 10];

static void bd_zero_sums_init(bd_zero_sums *z, int64_t chunk, const uint64_t seed[2])
{
    memcpy(z->seed, seed, sizeof z->seed);
    z->chunk = chunk;
    bd_xxh64_pair(bd_zeroes, (size_t)chunk, seed, z->full);
}

static int bd_sum_is_zero(const bd_zero_sums *z, int32_t length, const uint64_t value[2])
{
    uint64_t other[2];
    if (length == 0)
        return 1;
    if (length == z->chunk)
        return value[0] == z->full[0] && value[1] == z->full[1];
    bd_xxh64_pair(bd_zeroes, (size_t)length, z->seed, other);
    return value[0] == other[0] && value[1] == other[1];
}

/* Equal only when both digests cover the same bytes, or when both sides are zeroes. */
static int bd_sum_verdict(const bd_zero_sums *z, const bd_sums *a, const bd_sums *b, int64_t i)
{
    int32_t la = a->length[i], lb = b->length[i];
    const uint64_t *va = a->value[i], *vb = b->value[i];
    if (la < 0 || lb < 0 || la > z->chunk || lb > z->chunk)
        return BD_SUM_UNKNOWN;
    if (la == lb)
        return la == 0 || (va[0] == vb[0] && va[1] == vb[1]) ? BD_SUM_EQUAL : BD_SUM_DIFFERENT;
    int za = bd_sum_is_zero(z, la, va), zb = bd_sum_is_zero(z, lb, vb);
    if (za && zb)
        return BD_SUM_EQUAL;
    return za != zb ? BD_SUM_DIFFERENT : BD_SUM_UNKNOWN;
}

/* The verdicts of all chunks of want (whose boundaries are multiples of chunk), in order. -1: no memory. */
static int bd_judge_sums(const bd_extent *want, size_t n, const bd_zero_sums *z, const bd_sums *a, const bd_sums *b,
                         bd_vec *out)
{
    int64_t i = 0;
    for (size_t w = 0; w < n; w++) {
        int64_t end = want[w].offset + want[w].length;
        for (int64_t at = want[w].offset; at < end; at += z->chunk, i++)
            if (bd_push_joined(out, at, z->chunk, (uint8_t)bd_sum_verdict(z, a, b, i)) < 0)
                return -1;
    }
    return 0;
}

/* ---- digests of a file or block device ---- */

typedef struct {
    int fd, dfd;                  /* the page cache, and O_DIRECT or -1 */
    int64_t size, align;          /* of O_DIRECT offsets and lengths */
    int always_direct, never_direct;
    volatile int cancel;
    int64_t bytes[2];             /* read past the page cache, and through it */
} bd_sum_file;

/* 0, a positive errno, or -1 at an early end. */
static int bd_sum_read(int fd, unsigned char *p, int64_t length, int64_t offset)
{
    while (length > 0) {
        ssize_t n = pread(fd, p, (size_t)length, offset);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return errno;
        if (n == 0)
            return -1;
        p += n;
        offset += n;
        length -= n;
    }
    return 0;
}

static int bd_sum_direct(const bd_sum_file *f, int64_t offset)
{
    if (f->dfd < 0 || f->never_direct)
        return 0;
    if (f->always_direct)
        return 1;
    int64_t start = offset - offset % BD_SUM_REGION, end = start + BD_SUM_REGION < f->size ? start + BD_SUM_REGION : f->size;
    int64_t cached = bd_cached_bytes(f->fd, start, end - start);
    return cached * 100 < (end - start) * 94;
}

/* Reads whole chunks. The cache serves where reading past it is refused, never where the medium fails. */
static int bd_sum_fill(bd_sum_file *f, unsigned char *buf, int64_t offset, int64_t length, int direct)
{
    if (direct && offset % f->align == 0 && length % f->align == 0) {
        int rc = bd_sum_read(f->dfd, buf, length, offset);
        if (rc != EINVAL && rc != EOPNOTSUPP) {
            if (rc == 0)
                __atomic_add_fetch(&f->bytes[0], length, __ATOMIC_RELAXED);
            return rc;
        }
    }
    if (f->always_direct)
        return EINVAL;            /* the cache may be stale: not known, so read by who knows what to do */
    int rc = bd_sum_read(f->fd, buf, length, offset);
    if (rc == 0)
        __atomic_add_fetch(&f->bytes[1], length, __ATOMIC_RELAXED);
    return rc;
}

/* The digest of a chunk's first bytes, as many as the other side has, when the rest is zeroes; else of all of it. */
static void bd_sum_chunk(const unsigned char *p, int64_t chunk, int32_t other, const uint64_t seed[2], bd_sums *out,
                         int64_t i)
{
    int32_t length = other >= 0 && other < chunk && bd_is_zero(p + other, (size_t)(chunk - other)) ? other : (int32_t)chunk;
    if (length > 0)
        bd_xxh64_pair(p, (size_t)length, seed, out->value[i]);
    out->length[i] = length;
}

/* Reads chunks i.. of [offset, offset + length) and digests them. What cannot be read stays unknown, as -errno. */
static void bd_sum_piece(bd_sum_file *f, unsigned char *buf, int64_t offset, int64_t length, int64_t chunk, int direct,
                         const uint64_t seed[2], const bd_sums *other, bd_sums *out, int64_t i)
{
    int rc = bd_sum_fill(f, buf, offset, length, direct);
    if (rc != 0 && length > chunk) {
        for (int64_t at = 0; at < length; at += chunk)
            bd_sum_piece(f, buf, offset + at, chunk, chunk, direct, seed, other, out, i + at / chunk);
        return;
    }
    if (rc != 0) {
        out->length[i] = rc < 0 ? -ENODATA : -rc;
        return;
    }
    for (int64_t at = 0; at < length; at += chunk, i++)
        bd_sum_chunk(buf + at, chunk, other ? other->length[i] : (int32_t)chunk, seed, out, i);
}

/* Digests the chunks of want whose kind has the bit. Those that the other side cannot tell (length < 0) are not read.
 * 0, -ENOMEM or -ECANCELED. */
static int bd_sum_file_run(bd_sum_file *f, const bd_extent *want, size_t n, uint8_t bit, int64_t chunk,
                           const uint64_t seed[2], const bd_sums *other, bd_sums *out)
{
    unsigned char *buf = NULL;
    int64_t i = 0;
    if (posix_memalign((void **)&buf, 4096, (size_t)BD_SUM_BUFFER) != 0)
        return -ENOMEM;
    for (size_t w = 0; w < n; w++) {
        int64_t at = want[w].offset, end = at + want[w].length, step;
        if (!(want[w].kind & bit)) {
            i += want[w].length / chunk;
            continue;
        }
        for (; at < end; at += step, i += step / chunk) {
            if (f->cancel) {
                free(buf);
                return -ECANCELED;
            }
            step = chunk;
            if (other && other->length[i] < 0)
                continue;
            while (at + step < end && step < BD_SUM_BUFFER && (!other || other->length[i + step / chunk] >= 0))
                step += chunk;
            bd_sum_piece(f, buf, at, step, chunk, bd_sum_direct(f, at), seed, other, out, i);
        }
    }
    free(buf);
    return 0;
}

#endif
