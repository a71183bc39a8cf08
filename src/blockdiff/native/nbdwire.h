/* The words of NBD's transmission phase (doc/proto.md of NetworkBlockDevice/nbd), all in network byte order. */
#ifndef BLOCKDIFF_NBDWIRE_H
#define BLOCKDIFF_NBDWIRE_H

#include <errno.h>
#include <stdint.h>
#include <string.h>

#define NBD_REQUEST 0x25609513u
#define NBD_REQUEST_EXT 0x21e41c71u
#define NBD_SIMPLE_REPLY 0x67446698u
#define NBD_STRUCTURED_REPLY 0x668e33efu
#define NBD_EXTENDED_REPLY 0x6e8a278cu

enum { NBD_READ = 0, NBD_WRITE = 1, NBD_DISC = 2, NBD_FLUSH = 3, NBD_TRIM = 4, NBD_WRITE_ZEROES = 6, NBD_BLOCK_STATUS = 7 };
enum { NBD_FUA = 1, NBD_NO_HOLE = 2 };                        /* flags of a request */
enum { NBD_HAS_FLUSH = 4, NBD_HAS_FUA = 8, NBD_HAS_ZEROES = 64 }; /* flags of an export */
enum { NBD_DONE = 1 };                                        /* flag of a chunk */
enum { NBD_NONE = 0, NBD_OFFSET_DATA = 1, NBD_OFFSET_HOLE = 2, NBD_STATUS = 5, NBD_STATUS_EXT = 6 };
enum { NBD_ERROR_BIT = 0x8000, NBD_ERROR = 0x8001, NBD_ERROR_OFFSET = 0x8002 };

#define NBD_MAX_ERROR 8192            /* bytes of an error chunk: its text has 4096 at most */
#define NBD_MAX_STATUS (64u << 20)    /* bytes of a chunk of block status: servers give a million extents at most */

static inline uint16_t bd_get16(const unsigned char *p) { return (uint16_t)(p[0] << 8 | p[1]); }

static inline uint32_t bd_get32(const unsigned char *p)
{
    uint32_t v;
    memcpy(&v, p, 4);
    return __builtin_bswap32(v);
}

static inline uint64_t bd_get64(const unsigned char *p)
{
    uint64_t v;
    memcpy(&v, p, 8);
    return __builtin_bswap64(v);
}

static inline void bd_put16(unsigned char *p, uint16_t v) { p[0] = (unsigned char)(v >> 8), p[1] = (unsigned char)v; }

static inline void bd_put32(unsigned char *p, uint32_t v)
{
    v = __builtin_bswap32(v);
    memcpy(p, &v, 4);
}

static inline void bd_put64(unsigned char *p, uint64_t v)
{
    v = __builtin_bswap64(v);
    memcpy(p, &v, 8);
}

/* The head of a request; gives its length. */
static size_t bd_nbd_head(unsigned char *p, int extended, uint16_t flags, uint16_t type, uint64_t cookie, uint64_t offset,
                          uint64_t length)
{
    bd_put32(p, extended ? NBD_REQUEST_EXT : NBD_REQUEST);
    bd_put16(p + 4, flags);
    bd_put16(p + 6, type);
    bd_put64(p + 8, cookie);
    bd_put64(p + 16, offset);
    if (extended)
        bd_put64(p + 24, length);
    else
        bd_put32(p + 24, (uint32_t)length);
    return extended ? 32 : 28;
}

/* The protocol's numbers are Linux's; what it does not know means EINVAL. */
static int bd_nbd_errno(uint32_t code)
{
    switch (code) {
    case 1: return EPERM;
    case 5: return EIO;
    case 12: return ENOMEM;
    case 28: return ENOSPC;
    case 75: return EOVERFLOW;
    case 95: return EOPNOTSUPP;
    case 108: return ESHUTDOWN;
    default: return EINVAL;
    }
}

#endif
