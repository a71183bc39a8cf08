/* The columnar extent buffer and the one sweep that all set operations are made of. No Python here. */
#ifndef BLOCKDIFF_EXTENT_H
#define BLOCKDIFF_EXTENT_H

#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

/* Values of blockdiff.extent.Kind. */
enum {
    BD_KIND_DATA = 0, BD_KIND_ZERO = 1, BD_KIND_HOLE = 2,
    BD_DIFF_DATA = 16, BD_SRC_ZERO = 17, BD_DST_ZERO = 18, BD_BIT_FLIP = 19, BD_SIZE = 20, BD_SRC_HOLE = 21, BD_DST_HOLE = 22
};

/* 24 bytes; the padding is always zero, so that buffers can be compared and hashed as bytes. */
typedef struct {
    int64_t offset;
    int64_t length;
    uint8_t kind;
    uint8_t pad[7];
} bd_extent;

typedef struct {
    bd_extent *items;
    size_t n, cap;
} bd_vec;

/* The first multiple of step after offset, or 2^63 - 1 where there is none below. */
static inline int64_t bd_next_multiple(int64_t offset, int64_t step)
{
    int64_t low = offset - offset % step;
    return low > INT64_MAX - step ? INT64_MAX : low + step;
}

#define BD_HUGE ((size_t)4 << 20)

/* Touching a big new buffer costs a page fault per 4 KiB otherwise, as much as the work on it. A hint: failing is fine. */
static inline void bd_use_huge_pages(void *p, size_t size)
{
    uintptr_t page = 4096, start = ((uintptr_t)p + page - 1) & ~(page - 1);
    madvise((void *)start, ((uintptr_t)p + size - start) & ~(page - 1), MADV_HUGEPAGE);
}

static inline int bd_reserve(bd_vec *v, size_t more)
{
    if (v->n + more <= v->cap)
        return 0;
    size_t cap = v->cap ? v->cap * 2 : 64;
    if (cap < v->n + more)
        cap = v->n + more;
    bd_extent *p = (bd_extent *)realloc(v->items, cap * sizeof *p);
    if (!p)
        return -1;
    if (cap * sizeof *p >= BD_HUGE)
        bd_use_huge_pages(p, cap * sizeof *p);
    v->items = p;
    v->cap = cap;
    return 0;
}

static inline void bd_set_kind(bd_extent *e, unsigned kind)
{
#if __BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__
    uint64_t word = kind & 0xff;    /* the kind and its padding in one store */
    memcpy(&e->kind, &word, 8);
#else
    memset(&e->kind, 0, 8);
    e->kind = (uint8_t)kind;
#endif
}

static inline int bd_push(bd_vec *v, int64_t offset, int64_t length, uint8_t kind)
{
    if (v->n == v->cap && bd_reserve(v, 1) < 0)
        return -1;
    bd_extent *e = &v->items[v->n++];
    e->offset = offset;
    e->length = length;
    bd_set_kind(e, kind);
    return 0;
}

/* Like bd_push, but grows the last extent when the new one continues it with the same kind. */
static inline int bd_push_joined(bd_vec *v, int64_t offset, int64_t length, uint8_t kind)
{
    if (length <= 0)
        return 0;
    if (v->n) {
        bd_extent *last = &v->items[v->n - 1];
        if (last->kind == kind && last->offset + last->length == offset) {
            last->length += length;
            return 0;
        }
    }
    return bd_push(v, offset, length, kind);
}

static inline void bd_free(bd_vec *v)
{
    free(v->items);
    v->items = NULL;
    v->n = v->cap = 0;
}

/* How one extension hands a vector to another: a capsule of this name, which holds a bd_vec made by malloc. */
#define BD_VEC_NAME "blockdiff.bd_vec"

/* ---- the sweep ---- */

#define BD_STATES 34          /* 0 = absent, kind + 1 otherwise; kinds are 0..32 */
#define BD_NONE 255           /* table value: nothing comes out here */

typedef struct {
    const bd_extent *items;
    size_t n;
    size_t i;                 /* boundaries passed: extent i / 2 begins (i even) or ends (i odd) at the next one */
    int64_t pos;              /* the last boundary passed in either input; kept in the first cursor */
    int eof;                  /* no more batches follow this one */
} bd_cursor;

enum { BD_DONE = 0, BD_NEED_A = 1, BD_NEED_B = 2, BD_FULL = 3, BD_NOMEM = -1 };

/* Stands for an input that has ended: one boundary that nothing can pass. */
static const bd_extent BD_NEVER = {INT64_MAX, 0, 0, {0}};

typedef struct {
    const bd_extent *xa, *xb;
    size_t ia, ib, na, nb;
    int64_t start, pos;       /* the last range began at start and reaches to pos, where the walk stands */
    unsigned kind;            /* its kind, or BD_NONE */
} bd_walk;

/* Passes boundaries until an input runs dry or items[stop] is reached. items[n] is the last range, which may still grow, and
 * counts once another follows. Returns the new n.
 *
 * Which input has the next boundary, and whether a range ends there, is as random as the data, and a mispredicted branch
 * costs more than all the rest of a step. So there is none: an input steps by 0 or 1, and every range is stored over the
 * one before it until that counts. The && of a loop over both would be three more. */
static size_t bd_walk_on(bd_walk *w, const uint8_t *table, bd_extent *items, size_t n, size_t stop)
{
    const bd_extent *xa = w->xa, *xb = w->xb;
    size_t ia = w->ia, ib = w->ib, na = w->na, nb = w->nb;
    int64_t start = w->start, pos = w->pos;
    unsigned kind = w->kind;

    while (ia < na && ib < nb && n < stop) {
        const bd_extent *ea = &xa[ia >> 1], *eb = &xb[ib >> 1];
        int64_t inside_a = -(int64_t)(ia & 1), inside_b = -(int64_t)(ib & 1);
        int64_t pa = ea->offset + (ea->length & inside_a), pb = eb->offset + (eb->length & inside_b);
        size_t state_a = (ea->kind + 1u) & (size_t)inside_a, state_b = (eb->kind + 1u) & (size_t)inside_b;
        unsigned here = table[state_a * BD_STATES + state_b];
        int64_t p = pa < pb ? pa : pb;
        ia += pa <= pb;
        ib += pb <= pa;
        if (__builtin_expect(p == pos, 0))    /* one extent ends where the next begins: nothing lies between */
            continue;
        int64_t fresh = -(int64_t)(here != kind);
        n += (size_t)(fresh & (kind != BD_NONE));
        start += (pos - start) & fresh;
        items[n].offset = start;
        items[n].length = p - start;
        bd_set_kind(&items[n], here);
        kind = here;
        pos = p;
    }
    w->ia = ia, w->ib = ib, w->start = start, w->pos = pos, w->kind = kind;
    return n;
}

/* Walks the boundaries of two sorted, non-overlapping sequences once and pushes table[state of a][state of b] for every
 * maximal range; the table says BD_NONE where both are absent. Stops when an input that may continue runs dry, or when
 * out holds more than max_out extents: the last one may then still grow in the next call. */
static int bd_sweep(bd_cursor *a, bd_cursor *b, const uint8_t *table, bd_vec *out, size_t max_out)
{
    bd_walk w = {a->items, b->items, a->i, b->i, 2 * a->n, 2 * b->n, a->pos, a->pos, BD_NONE};
    for (;;) {
        int end_a = w.ia >= w.na && w.xa != &BD_NEVER, end_b = w.ib >= w.nb && w.xb != &BD_NEVER;
        if (w.xa != &BD_NEVER)
            a->i = w.ia;
        if (w.xb != &BD_NEVER)
            b->i = w.ib;
        a->pos = w.pos;
        if (end_a && !a->eof)
            return BD_NEED_A;
        if (end_b && !b->eof)
            return BD_NEED_B;
        if (end_a)
            w.xa = &BD_NEVER, w.ia = 0, w.na = 1;
        if (end_b)
            w.xb = &BD_NEVER, w.ib = 0, w.nb = 1;
        if (w.xa == &BD_NEVER && w.xb == &BD_NEVER)
            return BD_DONE;
        if (out->n > max_out)
            return BD_FULL;
        size_t left = (w.na - w.ia + w.nb - w.ib) / 2 + 1;
        if (out->cap - out->n < 4 && bd_reserve(out, (left < max_out ? left : max_out) + 4) < 0)
            return BD_NOMEM;
        if (out->n) {
            const bd_extent *last = &out->items[out->n - 1];
            if (last->offset + last->length == w.pos) {
                w.start = last->offset;
                w.kind = last->kind;
                out->n--;
            }
        }
        size_t stop = out->cap - 2;
        out->n = bd_walk_on(&w, table, out->items, out->n, stop > max_out ? max_out + 1 : stop);
        out->n += w.kind != BD_NONE;
        w.kind = BD_NONE;
    }
}

/* Grows [offset, offset + length) to the grid of granularity g, never past limit, and appends it to out, whose last
 * extent is already on the grid. Where two kinds meet inside one granule, the granule becomes kind 0 (data): the kind
 * that promises least. Returns -1 when memory is out. */
static inline int bd_push_aligned(bd_vec *out, int64_t offset, int64_t length, uint8_t kind, int64_t g, int64_t limit)
{
    int64_t s = offset - offset % g, e = offset + length;
    int64_t up = e % g ? g - e % g : 0;
    e = e > limit - up ? (e > limit ? e : limit) : e + up;
    if (out->n) {
        bd_extent *last = &out->items[out->n - 1];
        int64_t end = last->offset + last->length;
        if (s < end) {
            if (last->kind == kind) {
                if (e > end)
                    last->length = e - last->offset;
                return 0;
            }
            if (last->offset == s)
                out->n--;
            else
                last->length = s - last->offset;
            if (bd_push_joined(out, s, end - s, 0) < 0)
                return -1;
            s = end;
        }
    }
    return bd_push_joined(out, s, e - s, kind);
}

/* Like bd_push_aligned, but a kind that says something of the bytes is not said of those that were grown over: granules
 * that the extent covers only in part become kind 0. */
static inline int bd_push_exact(bd_vec *out, int64_t offset, int64_t length, uint8_t kind, int64_t g, int64_t limit)
{
    int64_t e = offset + length, up = offset % g ? g - offset % g : 0;
    int64_t s = up > length ? e : offset + up, last = e >= limit ? e : e - e % g;
    if (kind == 0 || s >= last)
        return bd_push_aligned(out, offset, length, 0, g, limit);
    if (s > offset && bd_push_aligned(out, offset, s - offset, 0, g, limit) < 0)
        return -1;
    if (bd_push_aligned(out, s, last - s, kind, g, limit) < 0)
        return -1;
    return e > last ? bd_push_aligned(out, last, e - last, 0, g, limit) : 0;
}

#endif
