/* The places of a disk's clusters as a qcow2 table of level 2 names them. No Python here.
 * Source: QEMU's docs/interop/qcow2, "Standard Cluster Descriptor". */
#ifndef BLOCKDIFF_PLACES_H
#define BLOCKDIFF_PLACES_H

#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "chunk.h"

typedef struct {
    bd_place *items;
    size_t n, cap;
} bd_places;

/* Adds what follows the last place; joins what continues it. -1: no memory. */
static inline int bd_add_place(bd_places *v, int64_t offset, int64_t length, int64_t place)
{
    bd_place *last = v->n ? &v->items[v->n - 1] : NULL;
    if (last && (place < 0 ? last->place < 0 : last->place >= 0 && last->place + last->length == place)) {
        last->length += length;
        return 0;
    }
    if (v->n == v->cap) {
        size_t cap = v->cap ? 2 * v->cap : 64;
        bd_place *more = (bd_place *)realloc(v->items, cap * sizeof *more);
        if (!more)
            return -1;
        v->items = more;
        v->cap = cap;
    }
    v->items[v->n++] = (bd_place){offset, length, place};
    return 0;
}

static inline uint64_t bd_big_endian(const unsigned char *p)
{
    uint64_t v;
    memcpy(&v, p, 8);
#if __BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__
    v = __builtin_bswap64(v);
#endif
    return v;
}

#define BD_Q_COPIED (1ull << 63)
#define BD_Q_ZERO 1ull
#define BD_Q_OFFSET 0x00fffffffffffe00ull

/* Adds the clusters of a table, whose first is at offset, up to the disk's end. 1: an entry is not of the plain kind (it is
 * compressed, has bits that are not known, is not at a whole cluster, or not all in the file); -1: no memory. */
static int bd_add_table(bd_places *v, const unsigned char *table, int64_t offset, int64_t end, int64_t cluster, int version,
                        int64_t file_size)
{
    int64_t entries = cluster / 8;
    for (int64_t i = 0; i < entries; i++) {
        uint64_t entry = bd_big_endian(table + 8 * i);
        int64_t at = offset + i * cluster, length, place = (int64_t)(entry & BD_Q_OFFSET);
        if (at >= end)
            break;
        length = end - at < cluster ? end - at : cluster;
        if (entry & ~(BD_Q_COPIED | BD_Q_OFFSET | BD_Q_ZERO) || (entry & BD_Q_ZERO && version < 3) || place % cluster)
            return 1;
        if (entry & BD_Q_ZERO || place == 0)
            place = -1;
        else if (place > file_size - cluster)
            return 1;
        if (bd_add_place(v, at, length, place) < 0)
            return -1;
    }
    return 0;
}

#endif
