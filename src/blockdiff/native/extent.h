/* The columnar extent buffer and the one sweep that all set operations are made of. No Python here. */
#ifndef BLOCKDIFF_EXTENT_H
#define BLOCKDIFF_EXTENT_H

#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

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
    v->items = p;
    v->cap = cap;
    return 0;
}

static inline int bd_push(bd_vec *v, int64_t offset, int64_t length, uint8_t kind)
{
    if (v->n == v->cap && bd_reserve(v, 1) < 0)
        return -1;
    bd_extent *e = &v->items[v->n++];
    e->offset = offset;
    e->length = length;
    memset(&e->kind, 0, 8);
    e->kind = kind;
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

/* ---- the sweep ---- */

#define BD_STATES 34          /* 0 = absent, kind + 1 otherwise; kinds are 0..32 */
#define BD_NONE 255           /* table value: nothing comes out here */

typedef struct {
    const bd_extent *items;
    size_t n, i;
    int64_t pos;              /* first byte of items[i] not yet consumed; -1 = none of it */
    int eof;                  /* no more batches follow this one */
} bd_cursor;

enum { BD_DONE = 0, BD_NEED_A = 1, BD_NEED_B = 2, BD_FULL = 3, BD_NOMEM = -1 };

static inline int64_t bd_pos(const bd_cursor *c)
{
    return c->pos < 0 ? c->items[c->i].offset : c->pos;
}

static inline void bd_advance(bd_cursor *c, int64_t to)
{
    if (to >= c->items[c->i].offset + c->items[c->i].length) {
        c->i++;
        c->pos = -1;
    } else {
        c->pos = to;
    }
}

/* Walks two sorted, non-overlapping sequences once and pushes table[state of a][state of b] for every maximal range.
 * Stops when an input that may continue runs dry, or when out holds more than max_out extents. */
static int bd_sweep(bd_cursor *a, bd_cursor *b, const uint8_t *table, bd_vec *out, size_t max_out)
{
    for (;;) {
        int has_a = a->i < a->n, has_b = b->i < b->n;
        if (!has_a && !a->eof)
            return BD_NEED_A;
        if (!has_b && !b->eof)
            return BD_NEED_B;
        if (!has_a && !has_b)
            return BD_DONE;
        if (out->n > max_out)
            return BD_FULL;
        int64_t pa = has_a ? bd_pos(a) : INT64_MAX, pb = has_b ? bd_pos(b) : INT64_MAX;
        int64_t start, end;
        unsigned sa = 0, sb = 0;
        if (pa < pb) {
            start = pa;
            end = a->items[a->i].offset + a->items[a->i].length;
            if (end > pb)
                end = pb;
            sa = a->items[a->i].kind + 1u;
        } else if (pb < pa) {
            start = pb;
            end = b->items[b->i].offset + b->items[b->i].length;
            if (end > pa)
                end = pa;
            sb = b->items[b->i].kind + 1u;
        } else {
            int64_t ea = a->items[a->i].offset + a->items[a->i].length;
            int64_t eb = b->items[b->i].offset + b->items[b->i].length;
            start = pa;
            end = ea < eb ? ea : eb;
            sa = a->items[a->i].kind + 1u;
            sb = b->items[b->i].kind + 1u;
        }
        uint8_t kind = table[sa * BD_STATES + sb];
        if (kind != BD_NONE && bd_push_joined(out, start, end - start, kind) < 0)
            return BD_NOMEM;
        if (sa)
            bd_advance(a, end);
        if (sb)
            bd_advance(b, end);
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

#endif
