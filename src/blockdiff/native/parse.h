/* The words that extent lists are made of, and what was read of one JSON object. No Python here. */
#ifndef BLOCKDIFF_PARSE_H
#define BLOCKDIFF_PARSE_H

#include <stddef.h>
#include <stdint.h>
#include <string.h>

#define BD_WORD 31            /* longest key or text that is looked at; longer ones are unknown */
#define BD_LONG 255
#define BD_DEPTH 512          /* deepest nesting of values that are skipped */

enum {
    BD_K_BYTE_OFFSET, BD_K_SIZE_BYTES, BD_K_OFFSET, BD_K_LENGTH, BD_K_START, BD_K_EXISTS, BD_K_PRESENT, BD_K_ZERO,
    BD_K_DATA, BD_K_TYPE, BD_K_DESCRIPTION, BD_K_KIND, BD_K_CLASS, BD_K_RECORD_TYPE, BD_K_CAPACITY, BD_K_METADATA,
    BD_K_DIFFERENCES, BD_K_VERSION, BD_K_COMMAND, BD_K_COMPLETE, BD_K_FOUND, BD_K_HOLE, BD_K_DIRTY, BD_K_UNREADABLE,
    BD_K_COUNT
};

static const char *const BD_KEY_NAMES[BD_K_COUNT] = {
    "byte_offset", "size_bytes", "offset", "length", "start", "exists", "present", "zero", "data", "type",
    "description", "kind", "class", "block_metadata_type", "volume_capacity_bytes", "block_metadata", "differences",
    "schema_version", "command", "complete", "difference_count", "hole", "dirty",
    "unreadable_bytes"};

static const uint8_t BD_KEY_LENGTHS[BD_K_COUNT] = {11, 10, 6, 6, 5, 6, 7, 4, 4, 4, 11, 4, 5, 19, 21, 14, 11, 14, 7, 8, 16,
                                                    4, 5, 16};

enum {
    BD_T_INT, BD_T_NEGATIVE, BD_T_FLOAT, BD_T_BIG, BD_T_STRING, BD_T_TRUE, BD_T_FALSE, BD_T_NULL, BD_T_ARRAY, BD_T_OBJECT
};

typedef struct {
    int64_t value;            /* of BD_T_INT */
    int64_t line, column;
    uint8_t token;
    uint8_t n;                /* length of the text of BD_T_STRING, or BD_LONG */
    char text[BD_WORD + 1];
} bd_field;

typedef struct {
    uint32_t seen;            /* a bit for each key */
    bd_field f[BD_K_COUNT];
} bd_object;

static inline int bd_key(const char *text, size_t n)
{
    for (int i = 0; i < BD_K_COUNT; i++)
        if (BD_KEY_LENGTHS[i] == n && text[0] == BD_KEY_NAMES[i][0] && memcmp(text, BD_KEY_NAMES[i], n) == 0)
            return i;
    return -1;
}

static inline int bd_text_is(const bd_field *f, const char *text)
{
    return f->token == BD_T_STRING && f->n == strlen(text) && memcmp(f->text, text, f->n) == 0;
}

/* The kind that a label names; "data" as a class of differences is another one than "data" as a kind. -1: unknown. */
static inline int bd_label(const bd_field *f, int is_class)
{
    static const char *const labels[] = {
        "data", "zero", "hole", "src-zero", "dst-zero", "bit-flip", "size", "src-hole", "dst-hole", "over-reported"};
    static const uint8_t kinds[] = {0, 1, 2, 17, 18, 19, 20, 21, 22, 23};
    for (size_t i = 0; i < sizeof kinds; i++)
        if (bd_text_is(f, labels[i]))
            return is_class && i == 0 ? 16 : kinds[i];
    return -1;
}

/* nbdinfo's descriptions of base:allocation and of dirty bitmaps. */
static inline int bd_nbd_kind(const bd_field *f)
{
    static const char *const texts[] = {"data", "dirty", "zero", "hole", "hole,zero", "clean"};
    static const uint8_t kinds[] = {0, 0, 1, 2, 2, 2};
    for (size_t i = 0; i < sizeof kinds; i++)
        if (bd_text_is(f, texts[i]))
            return kinds[i];
    return -1;
}

/* Whether a description is one of a dirty bitmap. */
static inline int bd_nbd_dirty(const bd_field *f)
{
    return bd_text_is(f, "dirty") || bd_text_is(f, "clean");
}

/* ---- XML, as thin_delta writes it ---- */

enum { BD_A_BEGIN, BD_A_LENGTH, BD_A_BLOCK_SIZE, BD_A_VERSION, BD_A_COUNT };

static const char *const BD_ATTRIBUTE_NAMES[BD_A_COUNT] = {"begin", "length", "data_block_size", "version"};

typedef struct {
    char name[BD_WORD + 1];
    unsigned n;               /* length of the name, or BD_LONG */
    uint32_t seen;            /* a bit for each attribute */
    int64_t value[BD_A_COUNT];
    int empty;                /* it ends itself: <name/> */
} bd_tag;

static inline int bd_name_is(const char *name, unsigned n, const char *text)
{
    return n == strlen(text) && memcmp(name, text, n) == 0;
}

static inline int bd_attribute(const char *name, unsigned n)
{
    for (int i = 0; i < BD_A_COUNT; i++)
        if (bd_name_is(name, n, BD_ATTRIBUTE_NAMES[i]))
            return i;
    return -1;
}

/* What a range of this name is: 0 changed, 2 the same, -1 no range. */
static inline int bd_delta_kind(const char *name, unsigned n)
{
    static const char *const names[] = {"different", "right_only", "left_only", "same"};
    static const int kinds[] = {0, 0, 0, 2};
    for (int i = 0; i < 4; i++)
        if (bd_name_is(name, n, names[i]))
            return kinds[i];
    return -1;
}

#endif
