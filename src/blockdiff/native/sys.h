/* What the kernel knows about a file's storage: data and holes by lseek, physical extents by FIEMAP. No Python here.
 * Functions return 0 or a negative errno. */
#ifndef BLOCKDIFF_SYS_H
#define BLOCKDIFF_SYS_H

#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif
#include <errno.h>
#include <fcntl.h>
#include <linux/btrfs.h>
#include <linux/fiemap.h>
#include <linux/fs.h>
#include <linux/falloc.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/vfs.h>
#include <time.h>
#include <unistd.h>

#include "extent.h"

enum { BD_MAP_DATA = 0, BD_MAP_ZERO = 1, BD_MAP_HOLE = 2 };


/* ---- data and holes ---- */

static inline int bd_seek_unknown(int err)
{
    return err == EINVAL || err == EOPNOTSUPP || err == ENOSYS || err == ENOTTY || err == ESPIPE;
}

/* No data follows pos: a hole up to the end of the file, but what lies past a file that shrank is called data, so that
 * the reader finds the short read. */
static int bd_push_rest(int fd, int64_t pos, int64_t end, bd_vec *out)
{
    struct stat st;
    if (fstat(fd, &st) < 0)
        return -errno;
    int64_t size = st.st_size < end ? st.st_size : end;
    if (size < pos)
        size = pos;
    if (bd_push_joined(out, pos, size - pos, BD_MAP_HOLE) < 0 || bd_push_joined(out, size, end - size, BD_MAP_DATA) < 0)
        return -ENOMEM;
    return 0;
}

/* One step of the map: a hole and the data after it. Moves *pos. */
static int bd_map_step(int fd, int64_t *pos, int64_t end, bd_vec *out)
{
    int64_t data = lseek(fd, *pos, SEEK_DATA), hole;
    if (data < 0 && errno == ENXIO) {
        int64_t from = *pos;
        *pos = end;
        return bd_push_rest(fd, from, end, out);
    }
    if (data < 0 && !bd_seek_unknown(errno))
        return -errno;
    if (data < 0) {                         /* it cannot tell: all of it may be data */
        data = *pos;
        hole = end;
    } else {
        if (data < *pos)
            data = *pos;
        if (data > end)
            data = end;
        if (bd_push_joined(out, *pos, data - *pos, BD_MAP_HOLE) < 0)
            return -ENOMEM;
        *pos = data;
        if (data == end)
            return 0;
        hole = lseek(fd, data, SEEK_HOLE);
        if (hole < 0 && errno != ENXIO && !bd_seek_unknown(errno))
            return -errno;
        if (hole < 0 || hole > end)         /* ENXIO: it shrank between the two calls */
            hole = end;
        else if (hole <= data)              /* punched between the two calls; calling it data is always right */
            hole = end - data < 4096 ? end : data + 4096;
    }
    if (bd_push_joined(out, data, hole - data, BD_MAP_DATA) < 0)
        return -ENOMEM;
    *pos = hole;
    return 0;
}

/* Data and holes of [start, end), as many as fit into max extents (at least one step); out covers [start, its end). */
static int bd_map_fd(int fd, int64_t start, int64_t end, size_t max, bd_vec *out)
{
    int64_t pos = start;
    while (pos < end) {
        int rc = bd_map_step(fd, &pos, end, out);
        if (rc < 0)
            return rc;
        if (out->n + 2 > max)
            break;
    }
    return 0;
}

/* ---- FIEMAP ---- */

typedef struct {
    struct fiemap *fm;
    uint32_t n, i;
    int64_t covered;                        /* the extents tell all about [start, covered) */
} bd_fmap;

static inline struct fiemap *bd_fiemap_buffer(uint32_t count)
{
    return (struct fiemap *)malloc(sizeof(struct fiemap) + (size_t)count * sizeof(struct fiemap_extent));
}

static int bd_fiemap(int fd, int64_t start, int64_t end, int sync, uint32_t count, bd_fmap *out)
{
    struct fiemap *fm = out->fm;
    memset(fm, 0, sizeof *fm);
    fm->fm_start = (uint64_t)start;
    fm->fm_length = (uint64_t)(end - start);
    fm->fm_flags = sync ? FIEMAP_FLAG_SYNC : 0;
    fm->fm_extent_count = count;
    if (ioctl(fd, FS_IOC_FIEMAP, fm) < 0)
        return -errno;
    out->n = fm->fm_mapped_extents < count ? fm->fm_mapped_extents : count;
    out->i = 0;
    out->covered = end;
    uint64_t to = (uint64_t)start;
    for (uint32_t i = 0; i < out->n; i++) {
        const struct fiemap_extent *e = &fm->fm_extents[i];
        /* The walk trusts the order: a kernel that breaks it proves nothing. */
        if ((i && e->fe_logical < to) || e->fe_logical + e->fe_length <= to || e->fe_logical > INT64_MAX - e->fe_length)
            return -EIO;
        to = e->fe_logical + e->fe_length;
    }
    /* Only LAST says that nothing follows; a kernel may fill less than the buffer. */
    if (out->n && !(fm->fm_extents[out->n - 1].fe_flags & FIEMAP_EXTENT_LAST) && to < (uint64_t)end)
        out->covered = (int64_t)to;
    return 0;
}

enum { BD_ST_HOLE, BD_ST_UNWRITTEN, BD_ST_SHARED, BD_ST_OTHER };

/* A list of what may be trusted, not of what may not: a flag that is invented tomorrow makes an extent untrusted. */
static inline int bd_extent_state(uint32_t flags)
{
    uint32_t rest = flags & ~(uint32_t)(FIEMAP_EXTENT_LAST | FIEMAP_EXTENT_MERGED | FIEMAP_EXTENT_SHARED);
    if (rest == FIEMAP_EXTENT_UNWRITTEN)
        return BD_ST_UNWRITTEN;
    return rest == 0 && (flags & FIEMAP_EXTENT_SHARED) ? BD_ST_SHARED : BD_ST_OTHER;
}

/* What is at pos, up to where (*until), and the physical address there. */
static int bd_fmap_at(bd_fmap *m, int64_t pos, int64_t *until, uint64_t *physical)
{
    const struct fiemap_extent *e = m->fm->fm_extents;
    while (m->i < m->n && (int64_t)(e[m->i].fe_logical + e[m->i].fe_length) <= pos)
        m->i++;
    if (m->i == m->n) {
        *until = m->covered;
        return BD_ST_HOLE;
    }
    e += m->i;
    if ((int64_t)e->fe_logical > pos) {
        *until = (int64_t)e->fe_logical;
        return BD_ST_HOLE;
    }
    *until = (int64_t)(e->fe_logical + e->fe_length);
    *physical = e->fe_physical + ((uint64_t)pos - e->fe_logical);
    return bd_extent_state(e->fe_flags);
}

/* Walks the intervals of both maps: BD_MAP_DATA where both are one and the same storage, BD_MAP_ZERO where neither has data. */
static int bd_shared_walk(bd_fmap *a, bd_fmap *b, int64_t start, int64_t end, bd_vec *out)
{
    for (int64_t pos = start; pos < end;) {
        int64_t ua, ub;
        uint64_t pa = 0, pb = 0;
        int sa = bd_fmap_at(a, pos, &ua, &pa), sb = bd_fmap_at(b, pos, &ub, &pb);
        int64_t to = ua < ub ? ua : ub;
        int rc = 0;
        if (to > end)
            to = end;
        if (sa == BD_ST_SHARED && sb == BD_ST_SHARED && pa == pb)
            rc = bd_push_joined(out, pos, to - pos, BD_MAP_DATA);
        else if (sa <= BD_ST_UNWRITTEN && sb <= BD_ST_UNWRITTEN)
            rc = bd_push_joined(out, pos, to - pos, BD_MAP_ZERO);
        if (rc < 0)
            return -ENOMEM;
        pos = to;
    }
    return 0;
}

typedef struct {
    struct stat st;
    struct timespec now;
} bd_stamp;

static inline int bd_take_stamp(int fd, bd_stamp *s)
{
    if (fstat(fd, &s->st) < 0)
        return -errno;
    clock_gettime(CLOCK_REALTIME_COARSE, &s->now);
    return 0;
}

/* The kernel stamps files with its coarse clock: a file changed in the tick that still runs may change again unseen. */
static inline int bd_fresh(const bd_stamp *s)
{
    int64_t age = ((int64_t)s->now.tv_sec - s->st.st_ctim.tv_sec) * 1000000000LL + s->now.tv_nsec - s->st.st_ctim.tv_nsec;
    return age <= 0 && age > -1000000000LL;
}

static inline int bd_same_stamp(const bd_stamp *a, const bd_stamp *b)
{
    return a->st.st_size == b->st.st_size && a->st.st_mtim.tv_sec == b->st.st_mtim.tv_sec &&
           a->st.st_mtim.tv_nsec == b->st.st_mtim.tv_nsec && a->st.st_ctim.tv_sec == b->st.st_ctim.tv_sec &&
           a->st.st_ctim.tv_nsec == b->st.st_ctim.tv_nsec;
}

/* One window of both maps, and the proof that neither file changed while they were taken. *next: where to go on. */
static int bd_shared_window(int fd_a, int fd_b, int64_t start, int64_t end, uint32_t count, bd_fmap *a, bd_fmap *b,
                            bd_vec *out, int64_t *next, int *stable)
{
    bd_stamp a0, b0, a1, b1;
    int rc;
    if ((rc = bd_take_stamp(fd_a, &a0)) < 0 || (rc = bd_take_stamp(fd_b, &b0)) < 0 ||
        (rc = bd_fiemap(fd_a, start, end, 1, count, a)) < 0 || (rc = bd_fiemap(fd_b, start, end, 1, count, b)) < 0 ||
        (rc = bd_take_stamp(fd_a, &a1)) < 0 || (rc = bd_take_stamp(fd_b, &b1)) < 0)
        return rc;
    *next = a->covered < b->covered ? a->covered : b->covered;
    /* Past the end of a file that shrank there is no extent, but no zeroes either. */
    *stable = a0.st.st_size >= end && b0.st.st_size >= end && !bd_fresh(&a0) && !bd_fresh(&b0) &&
              bd_same_stamp(&a0, &a1) && bd_same_stamp(&b0, &b1);
    return *stable ? bd_shared_walk(a, b, start, *next, out) : 0;
}

/* ---- alignment of direct I/O ---- */

/* statx by its number and layout: older C libraries know the call or these fields not yet. */
static int bd_dio_align(int fd, uint32_t *memory, uint32_t *offset)
{
    uint32_t buf[64];
    memset(buf, 0, sizeof buf);
#ifdef SYS_statx
    if (syscall(SYS_statx, fd, "", 0x1000 /* AT_EMPTY_PATH */, 0x2000u /* STATX_DIOALIGN */, buf) < 0)
        return -errno;
#endif
    if (!(buf[0] & 0x2000u))
        return -ENOTSUP;
    *memory = buf[38];                      /* stx_dio_mem_align, byte 152 */
    *offset = buf[39];                      /* stx_dio_offset_align */
    return 0;
}

static inline int64_t bd_statfs_type(int fd)
{
    struct statfs fs;
    return fstatfs(fd, &fs) < 0 ? -(int64_t)errno : (int64_t)(uint32_t)fs.f_type;
}

static inline int bd_fallocate(int fd, int mode, int64_t offset, int64_t length)
{
    return fallocate(fd, mode, offset, length) < 0 ? -errno : 0;
}

#endif
