/* Block metadata as protobuf puts it on the wire: the responses of the SnapshotMetadata services. No Python here.
 *
 * message { enum type = 1; int64 capacity = 2; repeated { int64 offset = 1; int64 size = 2; } = 3; }
 * Numbers are varints: groups of 7 bits, the lowest first, the top bit of a byte says that another follows. */
#ifndef BLOCKDIFF_WIRE_H
#define BLOCKDIFF_WIRE_H

#include "extent.h"

enum { BD_WIRE_VARINT = 0, BD_WIRE_64 = 1, BD_WIRE_BYTES = 2, BD_WIRE_GROUP = 3, BD_WIRE_GROUP_END = 4, BD_WIRE_32 = 5 };

enum {
    BD_TAG_TYPE = 0x08, BD_TAG_CAPACITY = 0x10, BD_TAG_TUPLE = 0x1a,    /* of the message */
    BD_TAG_OFFSET = 0x08, BD_TAG_SIZE = 0x10                            /* of a tuple */
};

enum {
    BD_W_OK, BD_W_NOMEM, BD_W_ORDER, BD_W_CUT, BD_W_LONG, BD_W_LENGTH, BD_W_TAG, BD_W_GROUP, BD_W_DEEP
};

#define BD_WIRE_DEPTH 64      /* deepest nesting of unknown groups that are skipped */
#define BD_WIRE_ROOM 32       /* bytes that the quick way may look at; also the room that a tuple or a head fits into */
#define BD_GROUPS 0x7f7f7f7f7f7f7f7full

static inline uint64_t bd_little(uint64_t x)
{
#if __BYTE_ORDER__ == __ORDER_BIG_ENDIAN__
    return __builtin_bswap64(x);
#else
    return x;
#endif
}

/* ---- writing ---- */

/* Writes up to 10 bytes. Up to 2^56 all groups are spread at once: no branch depends on how many there are. */
static inline uint8_t *bd_put_varint(uint8_t *p, uint64_t v)
{
    if (__builtin_expect(v >> 56 != 0, 0)) {
        for (; v >= 0x80; v >>= 7)
            *p++ = (uint8_t)(v | 0x80);
        *p++ = (uint8_t)v;
        return p;
    }
    uint64_t x = (v & 0x000000000fffffffull) | (v & 0x00fffffff0000000ull) << 4;
    x = (x & 0x00003fff00003fffull) | (x & 0x0fffc0000fffc000ull) << 2;
    x = (x & 0x007f007f007f007full) | (x & 0x3f803f803f803f80ull) << 1;
    unsigned last = (63u - (unsigned)__builtin_clzll(x | 1)) & ~7u;    /* where the highest group begins, in bits */
    x |= 0x8080808080808080ull & ((1ull << last) - 1);
    x = bd_little(x);
    memcpy(p, &x, 8);
    return p + last / 8 + 1;
}

/* The room that n tuples and the head take at most, when none ends after end. */
static inline size_t bd_wire_bound(size_t n, int64_t end)
{
    size_t digits = (size_t)(63 - __builtin_clzll((uint64_t)end | 1)) / 7 + 1;
    return 2 * BD_WIRE_ROOM + n * (4 + 2 * digits);
}

/* Writes a message; zeroes are left out, as protobuf does. Returns the end. */
static uint8_t *bd_wire_put(uint8_t *p, int32_t type, int64_t capacity, const bd_extent *items, size_t n)
{
    if (type) {
        *p++ = BD_TAG_TYPE;
        p = bd_put_varint(p, (uint64_t)(int64_t)type);
    }
    if (capacity) {
        *p++ = BD_TAG_CAPACITY;
        p = bd_put_varint(p, (uint64_t)capacity);
    }
    for (size_t i = 0; i < n; i++) {
        uint8_t *start = p;
        p[0] = BD_TAG_TUPLE;
        p[2] = BD_TAG_OFFSET;
        p = items[i].offset ? bd_put_varint(p + 3, (uint64_t)items[i].offset) : p + 2;
        *p++ = BD_TAG_SIZE;
        p = bd_put_varint(p, (uint64_t)items[i].length);
        start[1] = (uint8_t)(p - start - 2);
    }
    return p;
}

/* ---- reading ---- */

typedef struct {
    const uint8_t *p, *end;
    int error;
    const uint8_t *at;        /* where the trouble is */
    int32_t type;
    int64_t capacity;
} bd_wire;

static inline int bd_wire_fail(bd_wire *w, int error, const uint8_t *at)
{
    w->error = error;
    w->at = at;
    return -1;
}

/* A varint of up to 8 bytes; p[0..7] must be there. Returns its bytes, or 0 for a longer one. */
static inline unsigned bd_quick_varint(const uint8_t *p, uint64_t *v)
{
    uint64_t x;
    memcpy(&x, p, 8);
    x = bd_little(x);
    uint64_t stop = ~x & ~BD_GROUPS;
    if (__builtin_expect(stop == 0, 0))
        return 0;
    x &= (stop ^ (stop - 1)) & BD_GROUPS;
    x = (x & 0x007f007f007f007full) | (x & 0x7f007f007f007f00ull) >> 1;
    x = (x & 0x00003fff00003fffull) | (x & 0x3fff00003fff0000ull) >> 2;
    *v = (x & 0x000000000fffffffull) | (x & 0x0fffffff00000000ull) >> 4;
    return (unsigned)__builtin_ctzll(stop) / 8 + 1;
}

/* A varint of at most so many bytes: 10 for a value, 5 for a tag or a length. */
static int bd_get_varint(bd_wire *w, unsigned most, uint64_t *v)
{
    const uint8_t *p = w->p;
    uint64_t x = 0;
    for (unsigned i = 0; i < most; i++) {
        if (p == w->end)
            return bd_wire_fail(w, BD_W_CUT, w->p);
        uint8_t byte = *p++;
        if (i == 9 && byte > 1)    /* more than 64 bits */
            break;
        x |= (uint64_t)(byte & 0x7f) << 7 * i;
        if (byte < 0x80) {
            w->p = p;
            *v = x;
            return 0;
        }
    }
    return bd_wire_fail(w, BD_W_LONG, w->p);
}

static int bd_get_tag(bd_wire *w, uint32_t *tag)
{
    const uint8_t *at = w->p;
    uint64_t v;
    if (bd_get_varint(w, 5, &v) < 0)
        return -1;
    if (v >> 32 || v >> 3 == 0 || (v & 7) > BD_WIRE_32)
        return bd_wire_fail(w, BD_W_TAG, at);
    *tag = (uint32_t)v;
    return 0;
}

/* Passes n bytes. */
static inline int bd_wire_pass(bd_wire *w, uint64_t n, const uint8_t *at)
{
    if (n > (uint64_t)(w->end - w->p))
        return bd_wire_fail(w, BD_W_LENGTH, at);
    w->p += n;
    return 0;
}

static int bd_get_length(bd_wire *w, size_t *n)
{
    const uint8_t *at = w->p;
    uint64_t v;
    if (bd_get_varint(w, 5, &v) < 0)
        return -1;
    if (v > (uint64_t)(w->end - w->p))
        return bd_wire_fail(w, BD_W_LENGTH, at);
    *n = (size_t)v;
    return 0;
}

/* Passes the value of a field that nobody knows; a group with all that is in it. */
static int bd_wire_skip(bd_wire *w, uint32_t tag, const uint8_t *at)
{
    uint32_t open[BD_WIRE_DEPTH];
    unsigned depth = 0;
    uint64_t v;
    size_t n;
    for (;;) {
        switch (tag & 7) {
        case BD_WIRE_VARINT:
            if (bd_get_varint(w, 10, &v) < 0)
                return -1;
            break;
        case BD_WIRE_BYTES:
            if (bd_get_length(w, &n) < 0)
                return -1;
            w->p += n;
            break;
        case BD_WIRE_GROUP:
            if (depth == BD_WIRE_DEPTH)
                return bd_wire_fail(w, BD_W_DEEP, at);
            open[depth++] = tag >> 3;
            break;
        case BD_WIRE_GROUP_END:
            if (depth == 0 || open[--depth] != tag >> 3)
                return bd_wire_fail(w, BD_W_GROUP, at);
            break;
        default:
            if (bd_wire_pass(w, (tag & 7) == BD_WIRE_64 ? 8 : 4, at) < 0)
                return -1;
        }
        if (depth == 0)
            return 0;
        if (w->p == w->end)
            return bd_wire_fail(w, BD_W_GROUP, at);
        at = w->p;
        if (bd_get_tag(w, &tag) < 0)
            return -1;
    }
}

/* A tuple in whatever form: fields in any order, repeated, unknown. w ends where the tuple does. */
static int bd_get_tuple(bd_wire *w, uint64_t *offset, uint64_t *size)
{
    *offset = *size = 0;
    while (w->p < w->end) {
        const uint8_t *at = w->p;
        uint32_t tag;
        if (bd_get_tag(w, &tag) < 0)
            return -1;
        int rc = tag == BD_TAG_OFFSET ? bd_get_varint(w, 10, offset)
               : tag == BD_TAG_SIZE   ? bd_get_varint(w, 10, size)
                                      : bd_wire_skip(w, tag, at);
        if (rc < 0)
            return -1;
    }
    return 0;
}

/* The tuple at w->p as everybody writes it: offset, size, nothing else, below 2^56. BD_WIRE_ROOM bytes must be there.
 * Returns where it ends, or NULL where it is not like that. Its end comes from its length alone, so that the next one need
 * not wait for the numbers. */
static inline const uint8_t *bd_quick_tuple(const uint8_t *p, uint64_t *offset, uint64_t *size)
{
    const uint8_t *end = p + 2 + p[1], *q = p + 2;
    unsigned n;
    *offset = 0;
    if (*q == BD_TAG_OFFSET) {
        if ((n = bd_quick_varint(q + 1, offset)) == 0)
            return NULL;
        q += 1 + n;
    }
    if (*q != BD_TAG_SIZE || (n = bd_quick_varint(q + 1, size)) == 0 || q + 1 + n != end)
        return NULL;
    return end;
}

static int bd_slow_tuple(bd_wire *w, uint64_t *offset, uint64_t *size)
{
    const uint8_t *end = w->end;
    size_t n;
    if (bd_get_length(w, &n) < 0)
        return -1;
    w->end = w->p + n;
    int rc = bd_get_tuple(w, offset, size);
    w->end = end;
    return rc;
}

/* A field of the message that is no tuple. */
static int bd_get_head(bd_wire *w, uint32_t tag, const uint8_t *at)
{
    uint64_t v;
    if (tag != BD_TAG_TYPE && tag != BD_TAG_CAPACITY)
        return bd_wire_skip(w, tag, at);
    if (bd_get_varint(w, 10, &v) < 0)
        return -1;
    if (tag == BD_TAG_TYPE)
        w->type = (int32_t)(uint32_t)v;
    else
        w->capacity = (int64_t)v;
    return 0;
}

/* Reads a message in one pass, its tuples into out; also checks that they ascend and that none is empty. With BD_W_ORDER
 * the tuple that does not is the last of out. */
static int bd_wire_get(bd_wire *w, bd_vec *out)
{
    uint64_t last = 0, offset, size;
    uint32_t tag;
    while (w->p < w->end) {
        const uint8_t *at = w->p, *next = NULL;
        if (__builtin_expect(*at == BD_TAG_TUPLE && w->end - at >= BD_WIRE_ROOM, 1))
            next = bd_quick_tuple(at, &offset, &size);
        if (__builtin_expect(next != NULL, 1)) {
            w->p = next;
        } else {
            if (bd_get_tag(w, &tag) < 0)
                return w->error;
            if (tag != BD_TAG_TUPLE) {
                if (bd_get_head(w, tag, at) < 0)
                    return w->error;
                continue;
            }
            if (bd_slow_tuple(w, &offset, &size) < 0)
                return w->error;
        }
        if (bd_push(out, (int64_t)offset, (int64_t)size, BD_KIND_DATA) < 0)
            return BD_W_NOMEM;
        /* as unsigned numbers, negative ones are too far */
        if (__builtin_expect(offset < last || size - 1 >= INT64_MAX || offset > INT64_MAX - size, 0)) {
            bd_wire_fail(w, BD_W_ORDER, at);
            return w->error;
        }
        last = offset + size;
    }
    return BD_W_OK;
}

#endif
