/* Extents as text: two numbers between fixed texts that depend on the kind. No Python here. */
#ifndef BLOCKDIFF_FORMAT_H
#define BLOCKDIFF_FORMAT_H

#include "extent.h"

#define BD_TEXT_MAX 160       /* longest fixed text, the separator included */
#define BD_TEXT_STEP 32       /* texts are copied in steps of this size: the room after them must be as long */
#define BD_WIDTH_MAX 64

typedef struct {
    char text[BD_TEXT_MAX + BD_TEXT_STEP];
    size_t n;
} bd_text;

typedef struct {
    bd_text prefix, middle, suffix;
    bd_text next;    /* the separator and the prefix */
    int known;
} bd_shape;

typedef struct {
    bd_shape shapes[BD_STATES];    /* by kind */
    size_t offset_width, length_width;
    size_t longest;                /* room that any entry fits into */
    uint64_t unit;                 /* both numbers are written in units of so many bytes */
} bd_template;

enum { BD_WRITTEN, BD_UNKNOWN_KIND, BD_PART_OF_UNIT };

/* The 8 decimal digits of v < 10^8 as bytes 0 to 9, the most significant in the lowest byte: three multiplications on all
 * digits at once instead of a division each. */
static inline uint64_t bd_eight(uint32_t v)
{
    uint64_t fours = v / 10000 | (uint64_t)(v % 10000) << 32;
    uint64_t hundreds = (fours * 10486 >> 20) & 0x7f0000007full;
    uint64_t twos = hundreds | (fours - 100 * hundreds) << 16;
    uint64_t tens = (twos * 103 >> 10) & 0x000f000f000f000full;
    return tens | (twos - 10 * tens) << 8;
}

static inline void bd_store(char *p, uint64_t digits)
{
    digits |= 0x3030303030303030ull;
#if __BYTE_ORDER__ == __ORDER_BIG_ENDIAN__
    digits = __builtin_bswap64(digits);
#endif
    memcpy(p, &digits, 8);
}

/* Texts are short, so a fixed number of bytes is copied and the rest is overwritten by what follows. */
static inline char *bd_put_text(char *p, const bd_text *t)
{
    memcpy(p, t->text, BD_TEXT_STEP);
    for (size_t i = BD_TEXT_STEP; __builtin_expect(i < t->n, 0); i += BD_TEXT_STEP)
        memcpy(p + i, t->text + i, BD_TEXT_STEP);
    return p + t->n;
}

/* Writes up to 8 bytes more than the number has digits. */
static inline char *bd_put_number(char *p, uint64_t v, size_t width)
{
    const uint64_t group = 100000000;
    uint64_t rest[2];
    size_t more = 0;    /* groups of eight digits behind the first */
    for (; v >= group; v /= group)
        rest[more++] = v % group;
    uint64_t digits = bd_eight((uint32_t)v);
    size_t zeros = (size_t)__builtin_ctzll(digits | 1ull << 56) / 8, n = 8 - zeros + 8 * more;

    if (n < width) {
        memset(p, ' ', BD_WIDTH_MAX);
        p += width - n;
    }
    bd_store(p, digits >> 8 * zeros);
    for (p += 8 - zeros; more--; p += 8)
        bd_store(p, bd_eight((uint32_t)rest[more]));
    return p;
}

/* Writes entries while the longest one fits into room. Returns how many; *out moves behind them. A kind that the template
 * does not know, or a number that is no multiple of its unit, ends it early and is told in *why. */
static size_t bd_format(const bd_extent *items, size_t n, const bd_template *t, int first, char **out, size_t room, int *why)
{
    char *p = *out, *last = p + room - t->longest;
    size_t i;
    *why = BD_WRITTEN;
    for (i = 0; i < n && p <= last; i++) {
        const bd_shape *shape = &t->shapes[items[i].kind];
        uint64_t offset = (uint64_t)items[i].offset, length = (uint64_t)items[i].length;
        if (!shape->known) {
            *why = BD_UNKNOWN_KIND;
            break;
        }
        if (t->unit > 1) {
            if (offset % t->unit || length % t->unit) {
                *why = BD_PART_OF_UNIT;
                break;
            }
            offset /= t->unit;
            length /= t->unit;
        }
        p = bd_put_text(p, i || !first ? &shape->next : &shape->prefix);
        p = bd_put_number(p, offset, t->offset_width);
        p = bd_put_text(p, &shape->middle);
        p = bd_put_number(p, length, t->length_width);
        p = bd_put_text(p, &shape->suffix);
    }
    *out = p;
    return i;
}

#endif
