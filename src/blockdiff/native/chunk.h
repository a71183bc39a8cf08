/* Gets the bytes of two devices, chunk by chunk. Per region of 8 MiB each side is read in the way that costs least: from
 * the page cache, by a populated mapping or by copying, when it is there, else asynchronously past it (O_DIRECT), else by
 * pread. Whether mapping or copying costs less depends on the processor, the kernel and the sizes of the cache's folios, so
 * both are measured while they work. */
#ifndef BLOCKDIFF_CHUNK_H
#define BLOCKDIFF_CHUNK_H

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <time.h>

#include "aio.h"
#include "digest.h"
#include "driver.h"
#include "guard.h"
#include "kernel.h"

#ifndef MADV_POPULATE_READ
#define MADV_POPULATE_READ 22
#endif

enum { BD_READ_AUTO = 0, BD_READ_DIRECT = 1, BD_READ_BUFFERED = 2, BD_READ_MMAP = 3 };
enum { BD_PATH_MMAP = 0, BD_PATH_DIRECT = 1, BD_PATH_BUFFERED = 2, BD_PATH_REMOTE = 3, BD_PATH_NONE = 4 };
#define BD_PATHS 4
enum { BD_OK = 0, BD_E_NOMEM = -1, BD_E_CANCELLED = -2, BD_E_READ = -3, BD_E_SHORT = -4, BD_E_WRITE = -5 };

#define BD_REGION (8LL << 20)     /* the page cache is asked about this much at a time */
#define BD_MAX_QD 16
#define BD_FEW 8                  /* chunks past the cache that a worker reads one by one, before it makes a context */
#define BD_MAX_WRITES 8           /* of one chunk, in flight: runs between zeroes */
#define BD_TINY (64 << 10)    /* bytes of a range that are sooner copied into a buffer than mapped */
#define BD_HOT_PERCENT 94
#define BD_COPY (256 << 10)       /* bytes that are copied out of the page cache at once: they stay in the processor's cache */
#define BD_TRY_AGAIN 64           /* regions after which the dearer way is measured again */

/* Where a disk's bytes are in the file that holds them; place -1: nowhere, they are zeroes. */
typedef struct {
    int64_t offset, length, place;
} bd_place;

typedef struct {
    int fd;                       /* page cache; -1: this side is never read, or has a driver */
    const bd_driver *driver;      /* reads a side that is no descriptor */
    int dfd;                      /* O_DIRECT; -1: not available */
    int64_t size, align;          /* of O_DIRECT offsets and lengths */
    int mode;                     /* BD_READ_* */
    int direct_errno;             /* why O_DIRECT was given up on the way, or 0 */
    int no_cachestat;
    int no_populate;              /* MADV_POPULATE_READ is unknown to this kernel */
    int64_t bytes[BD_PATHS];      /* read, by BD_PATH_* */
    const bd_place *places;       /* of a disk inside of the file: ascending, without gaps; else NULL */
    size_t n_places, at;
} bd_side;

typedef struct {
    int64_t offset, length;
    uint8_t seg;
    uint8_t path[2];
    uint8_t sync[2];              /* O_DIRECT, but io_submit did not take it: pread at judging time */
    uint8_t gather[2];            /* in several places of the file: read piece by piece */
    uint8_t copied;               /* of a region that is cached and copied */
    int64_t shift[2];             /* else: how much further on it is in the file */
    int pending;
    int64_t lo[2], want[2], got[2];   /* in the file */
    void *token[2];               /* a driver's read under way */
    int token_errno[2];           /* why it could not be started */
    void *write[BD_MAX_WRITES];   /* a driver's writes under way, from this slot's buffer */
    int64_t write_at[BD_MAX_WRITES], write_length[BD_MAX_WRITES];
    int writes;
} bd_slot;

typedef struct {
    bd_side side[2];
    int64_t granularity;
    int strict, keep_going;
    size_t chunk, window;
    int qd;
    int64_t most_ahead;           /* bytes of a side that are asked for before they are judged, beyond one chunk; 0: no limit */
    unsigned char *buf[2];        /* qd slots of chunk + 2 * pad bytes */
    size_t stride, pad, buf_len;
    aio_context_t ctx;
    int aio;                      /* 0 not tried, 1 works, -1 refused */
    int aio_lost;                 /* the context may still have reads under way */
    unsigned few;                 /* chunks that were read past the cache without one */
    volatile int cancel;
    int write_fd;                 /* of BD_SEG_COPY; -1: none, or it has a driver */
    const bd_driver *write_driver;
    int lost;                     /* a request was given up: its buffer is not ours to free */
    int write_sparse;
    int64_t written, punched;
    int64_t compared;             /* bytes judged */
    /* the walk over the segments */
    const bd_extent *segs;
    size_t n, i;
    int64_t pos, region_end;
    uint8_t region_path[2];
    int region_copy;              /* all that the region reads is cached, and is copied */
    int64_t cost[2];              /* ns for a MiB of what is cached: by mapping, by copying; 0: not known yet */
    unsigned hot_regions;
    bd_slot slots[BD_MAX_QD];
    unsigned done, head, tail;    /* slots: done..head are being written, head..tail read */
    int64_t ahead;                /* bytes of head..tail */
    bd_vec *out, *bad;
    bd_digests *digests;          /* blocks of the source are digested, and not judged */
    /* the first error */
    int err_side, err_errno;
    int64_t err_offset, err_length;
} bd_reader;

static int bd_alloc_buffers(bd_reader *r)
{
    r->pad = 4096;
    for (int s = 0; s < 2; s++)
        if ((size_t)r->side[s].align > r->pad)
            r->pad = (size_t)r->side[s].align;
    r->stride = r->chunk + 2 * r->pad;
    r->buf_len = r->stride * ((size_t)r->qd + 1); /* the last one is for what is read and used up at once */
    for (int s = 0; s < 2; s++) {
        if (r->buf[s])
            continue;
        void *p = mmap(NULL, r->buf_len, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
        if (p == MAP_FAILED)
            return -1;
        r->buf[s] = (unsigned char *)p;
    }
    return 0;
}

static void bd_reader_close(bd_reader *r)
{
    if (r->aio_lost)
        bd_io_destroy(r->ctx);
    else if (r->aio == 1)
        bd_io_give(r->ctx);
    r->aio_lost = 0;
    r->aio = 0;
    for (int s = 0; s < 2; s++)
        if (r->buf[s]) {
            if (!r->lost)
                munmap(r->buf[s], r->buf_len);
            r->buf[s] = NULL;
        }
    r->lost = 0;
}

/* 0, a positive errno, or -1 at an early end of the file. */
static int bd_pread_full(int fd, unsigned char *p, int64_t length, int64_t offset)
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

/* The place of a byte. Chunks mostly ascend: the last place, or the next, is the one. */
static const bd_place *bd_find_place(bd_side *s, int64_t offset)
{
    size_t lo = 0, hi = s->n_places;
    for (size_t i = s->at; i < s->at + 2 && i < s->n_places; i++)
        if (offset >= s->places[i].offset && offset < s->places[i].offset + s->places[i].length) {
            s->at = i;
            return &s->places[i];
        }
    while (hi - lo > 1) {
        size_t middle = lo + (hi - lo) / 2;
        if (s->places[middle].offset <= offset)
            lo = middle;
        else
            hi = middle;
    }
    s->at = lo;
    return &s->places[lo];
}

/* Like bd_pread_full, of a disk whose bytes are in several places. */
static int bd_gather(bd_side *s, unsigned char *p, int64_t length, int64_t offset)
{
    while (length > 0) {
        const bd_place *place = bd_find_place(s, offset);
        int64_t n = place->offset + place->length - offset;
        n = n > length ? length : n;
        if (place->place < 0) {
            memset(p, 0, (size_t)n);
        } else {
            int rc = bd_pread_full(s->fd, p, n, place->place + (offset - place->offset));
            if (rc != 0)
                return rc;
        }
        p += n;
        offset += n;
        length -= n;
    }
    return 0;
}

/* By pread, of a chunk or a part of one. */
static int bd_read_buffered(bd_slot *k, bd_side *side, int s, unsigned char *buf, int64_t length, int64_t offset)
{
    return k->gather[s] ? bd_gather(side, buf, length, offset)
                        : bd_pread_full(side->fd, buf, length, offset + k->shift[s]);
}

static int bd_reads(uint8_t seg, int side)
{
    switch (seg & BD_SEG_MASK) {
    case BD_SEG_COMPARE: return 1;
    case BD_SEG_SRC_HOLE: return side == 1;
    case BD_SEG_DST_HOLE: case BD_SEG_MAP: case BD_SEG_COPY: return side == 0;
    default: return 0;
    }
}

/* wanted: how many bytes of [offset, offset + length) will be read; the rest are holes, which nobody caches. */
static uint8_t bd_choose_path(bd_side *s, int64_t offset, int64_t length, int64_t wanted)
{
    if (s->driver)
        return BD_PATH_REMOTE;
    if (s->fd < 0)
        return BD_PATH_NONE;
    if (s->mode == BD_READ_MMAP)
        return BD_PATH_MMAP; /* where populating is not possible the chunk is read by hand, and counted as buffered */
    if (s->mode == BD_READ_BUFFERED)
        return BD_PATH_BUFFERED;
    if (s->mode == BD_READ_AUTO && !s->no_cachestat && !s->no_populate) {
        int64_t cached = bd_cached_bytes(s->fd, offset, length);
        if (cached < 0)
            s->no_cachestat = 1;
        else if (cached >= wanted / 100 * BD_HOT_PERCENT)
            return BD_PATH_MMAP;
    }
    return s->dfd >= 0 && !s->direct_errno ? BD_PATH_DIRECT : BD_PATH_BUFFERED;
}

static int64_t bd_now_ns(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return t.tv_sec * 1000000000LL + t.tv_nsec;
}

/* Whether the next cached region is copied rather than mapped. */
static int bd_prefer_copy(bd_reader *r)
{
    unsigned n = r->hot_regions++;
    if (!r->cost[0] || !r->cost[1])
        return r->cost[0] != 0;
    int copy = r->cost[1] < r->cost[0];
    return n % BD_TRY_AGAIN == BD_TRY_AGAIN - 1 ? !copy : copy;
}

/* Notes what a chunk of a cached region cost. Another process may have had the processor meanwhile: the least counts most. */
static void bd_note_cost(bd_reader *r, int copied, int64_t ns, int64_t bytes)
{
    int64_t now = ns * 1024 / (bytes / 1024 + 1) + 1, *cost = &r->cost[copied];
    if (!*cost || now < *cost)
        *cost = now;
    else
        *cost += ((now < 2 * *cost ? now : 2 * *cost) - *cost) / 16;
}

/* Decides for the region that holds pos: how many bytes the plan wants there, and how each side gives them. */
static void bd_enter_region(bd_reader *r)
{
    int64_t start = r->pos, end = bd_next_multiple(r->pos, BD_REGION), wanted[2] = {0, 0};
    for (size_t i = r->i; i < r->n && r->segs[i].offset < end; i++) {
        int64_t lo = r->segs[i].offset, hi = lo + r->segs[i].length;
        lo = lo < start ? start : lo;
        hi = hi > end ? end : hi;
        for (int s = 0; s < 2; s++)
            if (hi > lo && bd_reads(r->segs[i].kind, s))
                wanted[s] += hi - lo;
    }
    for (int s = 0; s < 2; s++)
        r->region_path[s] = !wanted[s]           ? BD_PATH_NONE
                            : r->side[s].places ? BD_PATH_BUFFERED /* bd_place_chunk decides for each chunk */
                                                : bd_choose_path(&r->side[s], start, end - start, wanted[s]);
    if ((r->write_driver || (r->write_fd >= 0 && r->write_sparse)) && r->region_path[0] == BD_PATH_MMAP)
        r->region_path[0] = BD_PATH_BUFFERED; /* looking for zeroes, or another thread, in a mapping would need the guard */
    int mapped = 0, others = 0;
    for (int s = 0; s < 2; s++) {
        mapped += r->region_path[s] == BD_PATH_MMAP && r->side[s].mode == BD_READ_AUTO;
        others += r->region_path[s] != BD_PATH_NONE;
    }
    r->region_copy = mapped && mapped == others && bd_prefer_copy(r);
    /* Beside a side that is not mapped a window would be a chunk: page by page, mapping costs more than copying. */
    for (int s = 0; s < 2 && (r->region_copy || mapped != others); s++)
        if (r->region_path[s] == BD_PATH_MMAP && r->side[s].mode == BD_READ_AUTO)
            r->region_path[s] = BD_PATH_BUFFERED;
    r->region_end = end;
}

/* How the next chunk, which begins at pos and ends at end or before, is read of a side that has places. Gives where it
 * must end: pieces that are judged by themselves are whole granules. */
static int64_t bd_place_chunk(bd_reader *r, bd_slot *k, int s, int64_t end)
{
    bd_side *side = &r->side[s];
    const bd_place *place = bd_find_place(side, r->pos);
    int64_t stop = place->offset + place->length, most = bd_next_multiple(r->pos, (int64_t)r->chunk);
    if (stop < end)
        stop -= stop % r->granularity;
    else
        stop = end;
    k->path[s] = BD_PATH_BUFFERED;
    if (place->place < 0 || stop <= r->pos || (stop < end && stop - r->pos < BD_TINY)) {
        k->gather[s] = 1;
        return end;
    }
    k->shift[s] = place->place - place->offset;
    int64_t length = (most < stop ? most : stop) - r->pos;
    k->path[s] = bd_choose_path(side, r->pos + k->shift[s], length, length);
    if (k->path[s] == BD_PATH_MMAP)
        k->path[s] = BD_PATH_BUFFERED; /* what QEMU writes is cached in small folios, which cost more to map than to copy */
    return stop;
}

/* Fills a slot with the next chunk; 0 when the segments are done. */
static int bd_next_chunk(bd_reader *r, bd_slot *k)
{
    while (r->i < r->n) {
        const bd_extent *g = &r->segs[r->i];
        int64_t end = g->offset + g->length;
        if (r->pos < g->offset)
            r->pos = g->offset;
        if (r->pos >= end || !(bd_reads(g->kind, 0) || bd_reads(g->kind, 1))) {
            r->i++;
            continue;
        }
        if (r->pos >= r->region_end)
            bd_enter_region(r);
        memset(k, 0, sizeof *k);
        int all_mapped = 1, all_copied = 1;
        int64_t last = end;
        for (int s = 0; s < 2; s++) {
            k->path[s] = bd_reads(g->kind, s) ? r->region_path[s] : BD_PATH_NONE;
            if (r->side[s].places && k->path[s] != BD_PATH_NONE) {
                int64_t here = bd_place_chunk(r, k, s, end);
                last = here < last ? here : last;
            }
            if (k->path[s] != BD_PATH_MMAP && k->path[s] != BD_PATH_NONE)
                all_mapped = 0;
            if (k->path[s] != BD_PATH_BUFFERED && k->path[s] != BD_PATH_NONE)
                all_copied = 0;
        }
        int64_t step = all_mapped ? (int64_t)r->window : (int64_t)r->chunk;
        if (all_copied && r->write_driver && !r->most_ahead)
            all_copied = 0; /* to a server that is far away it is the way that costs: few big requests */
        if ((r->region_copy || all_copied) && step > BD_COPY)
            step = r->granularity > BD_COPY ? r->granularity : BD_COPY;
        int64_t stop = bd_next_multiple(r->pos, step);
        if (stop > r->region_end)
            stop = r->region_end;
        if (stop > last)
            stop = last;
        k->offset = r->pos;
        k->length = stop - r->pos;
        k->seg = g->kind & BD_SEG_MASK;
        k->copied = r->region_copy;
        for (int s = 0; s < 2 && k->length <= BD_TINY; s++)
            if (k->path[s] == BD_PATH_MMAP && r->side[s].mode == BD_READ_AUTO)
                k->path[s] = BD_PATH_BUFFERED;
        r->pos = stop;
        return 1;
    }
    return 0;
}

/* What is read by pread is read when it is judged, always into the same buffer: it stays in the processor's cache. */
static unsigned char *bd_slot_buf(bd_reader *r, const bd_slot *k, int s)
{
    if (k->path[s] == BD_PATH_BUFFERED && !r->write_driver)
        return r->buf[s] + r->stride * (size_t)r->qd;
    return r->buf[s] + r->stride * (size_t)(k - r->slots);
}

/* The aligned part of a chunk that O_DIRECT can read: never past the last whole block of the device. */
static void bd_direct_range(const bd_side *s, bd_slot *k, int side)
{
    int64_t start = k->offset + k->shift[side], lo = start - start % s->align, end = start + k->length;
    int64_t top = s->size - s->size % s->align;
    k->lo[side] = lo;
    k->want[side] = (end < top ? (end + s->align - 1) / s->align * s->align : top) - lo;
    if (k->want[side] < 0)
        k->want[side] = 0;
}

static int bd_submit(bd_reader *r, bd_slot *k)
{
    struct iocb cb[2], *list[2];
    int n = 0;
    for (int s = 0; s < 2; s++) {
        if (k->path[s] != BD_PATH_DIRECT && k->path[s] != BD_PATH_BUFFERED && k->path[s] != BD_PATH_REMOTE)
            continue;
        if (!r->buf[s] && bd_alloc_buffers(r) < 0)
            return BD_E_NOMEM;
        if (k->path[s] == BD_PATH_REMOTE) {
            const bd_driver *d = r->side[s].driver;
            k->token_errno[s] = 0;
            k->token[s] = d->read(d->device, bd_slot_buf(r, k, s), k->offset, k->length, &k->token_errno[s]);
            continue;
        }
        if (k->path[s] != BD_PATH_DIRECT)
            continue;
        bd_direct_range(&r->side[s], k, s);
        k->got[s] = 0;
        if (k->want[s] == 0)
            continue;
        if (r->aio == 0 && r->few < BD_FEW) {
            r->few++;
            k->sync[s] = 1;
            continue;
        }
        if (r->aio == 0)
            r->aio = bd_io_take(&r->ctx) == 0 ? 1 : -1;
        if (r->aio < 0) {
            k->sync[s] = 1;
            continue;
        }
        memset(&cb[n], 0, sizeof cb[n]);
        cb[n].aio_data = (uint64_t)(k - r->slots) * 2 + (uint64_t)s;
        cb[n].aio_lio_opcode = IOCB_CMD_PREAD;
        cb[n].aio_fildes = (uint32_t)r->side[s].dfd;
        cb[n].aio_buf = (uint64_t)(uintptr_t)bd_slot_buf(r, k, s);
        cb[n].aio_nbytes = (uint64_t)k->want[s];
        cb[n].aio_offset = k->lo[s];
        list[n] = &cb[n];
        n++;
    }
    int done = 0;
    while (done < n) {
        int rc = bd_io_submit(r->ctx, n - done, list + done);
        if (rc > 0) {
            k->pending += rc;
            done += rc;
        } else if (rc < 0 && errno == EINTR) {
            continue;
        } else {
            /* the kernel refuses this one (EINVAL on some file systems, EAGAIN without resources): read it by hand */
            k->sync[list[done]->aio_data & 1] = 1;
            done++;
        }
    }
    return BD_OK;
}

/* Waits until a slot's reads are in. Completions of other slots are noted on the way. */
static void bd_await(bd_reader *r, bd_slot *k)
{
    struct io_event ev[BD_EVENTS];
    while (k->pending > 0) {
        int n = bd_io_getevents(r->ctx, 1, BD_EVENTS, ev, NULL);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0) { /* cannot happen with a valid context; do not spin */
            r->aio_lost = 1;
            r->aio = -1;
            for (int i = 0; i < r->qd; i++) {
                r->slots[i].pending = 0;
                r->slots[i].sync[0] = r->slots[i].sync[1] = 1;
            }
            return;
        }
        for (int i = 0; i < n; i++) {
            bd_slot *d = &r->slots[ev[i].data / 2];
            d->got[ev[i].data & 1] = ev[i].res;
            d->pending--;
        }
    }
}

static int bd_fail(bd_reader *r, int code, int side, int err, int64_t offset, int64_t length);

/* 0, a positive errno, -1 at an early end, or BD_E_CANCELLED. */
static int bd_wait_token(bd_reader *r, const bd_driver *d, void *token, int64_t length)
{
    int lost = r->lost;
    int64_t done = d->wait(d->device, token, &r->cancel, &lost);
    r->lost |= lost;
    if (r->cancel && (lost || done == -ECANCELED))
        return BD_E_CANCELLED;
    return done < 0 ? (int)-done : done < length ? -1 : 0;
}

/* Waits for the driver's reads of a slot that nobody will judge. */
static void bd_drop_tokens(bd_reader *r, bd_slot *k)
{
    for (int s = 0; s < 2; s++)
        if (k->token[s]) {
            bd_wait_token(r, r->side[s].driver, k->token[s], 0);
            k->token[s] = NULL;
        }
}

/* Waits for the writes of a slot; the first that failed is the error. */
static int bd_await_writes(bd_reader *r, bd_slot *k)
{
    int first = BD_OK;
    for (int i = 0; i < k->writes; i++) {
        int rc = bd_wait_token(r, r->write_driver, k->write[i], 0);
        if (rc == 0)
            r->written += k->write_length[i];
        else if (first == BD_OK)
            first = rc == BD_E_CANCELLED ? rc : bd_fail(r, BD_E_WRITE, 1, rc > 0 ? rc : EIO, k->write_at[i], k->write_length[i]);
    }
    k->writes = 0;
    return first;
}

static void bd_drain(bd_reader *r)
{
    for (; r->head != r->tail; r->head++) {
        bd_slot *k = &r->slots[r->head % (unsigned)r->qd];
        bd_await(r, k);
        bd_drop_tokens(r, k);
    }
}

/* The writes that are still under way. rc is what happened so far, and stays unless it was well. */
static int bd_drain_writes(bd_reader *r, int rc)
{
    int err_side = r->err_side, err_errno = r->err_errno;
    int64_t err_offset = r->err_offset, err_length = r->err_length;
    for (; r->done != r->tail; r->done++) {
        int w = bd_await_writes(r, &r->slots[r->done % (unsigned)r->qd]);
        if (rc == BD_OK && w != BD_OK) {
            rc = w;
            err_side = r->err_side, err_errno = r->err_errno;
            err_offset = r->err_offset, err_length = r->err_length;
        }
    }
    r->err_side = err_side, r->err_errno = err_errno;
    r->err_offset = err_offset, r->err_length = err_length;
    return rc;
}

static int bd_fail(bd_reader *r, int code, int side, int err, int64_t offset, int64_t length)
{
    r->err_side = side;
    r->err_errno = err;
    r->err_offset = offset;
    r->err_length = length;
    return code;
}

/* Makes the bytes of one direct or buffered side complete in its slot buffer. 0, errno, -1 at an early end,
 * or BD_E_CANCELLED. */
static int bd_complete(bd_reader *r, bd_slot *k, int s, unsigned char **data)
{
    bd_side *side = &r->side[s];
    unsigned char *buf = bd_slot_buf(r, k, s);
    int64_t start = k->offset + k->shift[s], end = start + k->length;
    if (k->path[s] == BD_PATH_REMOTE) {
        void *token = k->token[s];
        k->token[s] = NULL;
        *data = buf;
        return token ? bd_wait_token(r, side->driver, token, k->length) : k->token_errno[s];
    }
    if (k->path[s] == BD_PATH_BUFFERED) {
        *data = buf;
        return bd_read_buffered(k, side, s, buf, k->length, k->offset);
    }
    int64_t have = k->sync[s] ? 0 : k->got[s];
    if (k->sync[s] && k->want[s] > 0) {
        do
            have = pread(side->dfd, buf, (size_t)k->want[s], k->lo[s]);
        while (have < 0 && errno == EINTR);
        if (have < 0)
            have = -errno;
    }
    *data = buf + (start - k->lo[s]);
    if (have == -EINVAL || have == -EOPNOTSUPP || have == -ENOTSUP) {
        /* refused here after all (overlay, FUSE, odd stacking): the page cache serves, and the report says so */
        side->direct_errno = (int)-have;
        r->region_end = 0;
        k->path[s] = BD_PATH_BUFFERED;
        *data = buf;
        return bd_pread_full(side->fd, buf, k->length, start);
    }
    if (have < 0)
        return (int)-have;
    /* what O_DIRECT did not give: the unaligned tail of the device, or a short read that pread explains */
    int64_t reached = k->lo[s] + have;
    if (reached < end)
        return bd_pread_full(side->fd, buf + have, end - reached, reached);
    return 0;
}

/* Maps and populates a window. NULL: not possible, errno says why. *map_lo and *map_len are for munmap. */
static const unsigned char *bd_map_window(bd_side *s, int64_t offset, int64_t length, void **map_lo, size_t *map_len)
{
    int64_t page = sysconf(_SC_PAGESIZE), lo = offset - offset % page;
    *map_len = (size_t)(offset + length - lo);
    *map_lo = mmap(NULL, *map_len, PROT_READ, MAP_SHARED, s->fd, lo);
    if (*map_lo == MAP_FAILED)
        return NULL;
    int rc;
    do
        rc = madvise(*map_lo, *map_len, MADV_POPULATE_READ);
    while (rc < 0 && errno == EINTR);
    if (rc < 0) {
        int e = errno;
        munmap(*map_lo, *map_len);
        if (e == EINVAL)
            s->no_populate = 1;
        errno = e;
        return NULL;
    }
    return (const unsigned char *)*map_lo + (offset - lo);
}

/* Reads [offset, offset + length) of one side by hand: O_DIRECT when that is the way this side is read, so that a stale
 * page cache cannot hide a bad disk. buf has room for length + 2 * pad. */
static int bd_read_by_hand(bd_reader *r, bd_slot *k, int s, int64_t offset, int64_t length, unsigned char **data)
{
    bd_side *side = &r->side[s];
    unsigned char *buf = bd_slot_buf(r, k, s);
    *data = buf;
    if (k->path[s] == BD_PATH_REMOTE) {
        int err = EIO;
        void *token = side->driver->read(side->driver->device, buf, offset, length, &err);
        return token ? bd_wait_token(r, side->driver, token, length) : err;
    }
    if (k->path[s] != BD_PATH_DIRECT)
        return bd_read_buffered(k, side, s, buf, length, offset);
    bd_slot part = *k;
    part.offset = offset;
    part.length = length;
    bd_direct_range(side, &part, s);
    int64_t have = 0, want = part.want[s], lo = part.lo[s], end = offset + k->shift[s] + length;
    *data = buf + (offset + k->shift[s] - lo);
    while (have < want && have % side->align == 0) {
        ssize_t n = pread(side->dfd, buf + have, (size_t)(want - have), lo + have);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return errno;
        if (n == 0)
            break;
        have += n;
    }
    /* the unaligned tail, also one that the file has only now, because it was cut: O_DIRECT cannot go on from there */
    return lo + have < end ? bd_pread_full(side->fd, buf + have, end - lo - have, lo + have) : 0;
}

#endif
