/* One connection to an NBD server in the transmission phase: requests in flight, and every reply checked against what was
 * asked. Nothing here waits; all of it runs under the connection's lock. No Python here. */
#ifndef BLOCKDIFF_NBDCONN_H
#define BLOCKDIFF_NBDCONN_H

#include <pthread.h>
#include <stdarg.h>
#include <sys/eventfd.h>

#include "extent.h"
#include "nbdlink.h"
#include "nbdwire.h"

#define BD_NBD_STAGE 65536
#define BD_NBD_AHEAD 256          /* bytes that are received behind the data of a chunk: the next heads */
#define BD_NBD_EXTRA 4096         /* chunks of one reply that hold no data */
#define BD_NBD_ISLANDS 4096       /* pieces of one read that may be out of order */

/* How block status becomes kinds. */
enum { BD_NBD_ALLOCATION = 0, BD_NBD_BITMAP = 1, BD_NBD_RAW = 2 };

typedef struct { int64_t lo, hi; } bd_island;

typedef struct bd_req {
    struct bd_req *next;          /* in the queue of what is to be sent */
    struct bd_conn *conn;
    uint16_t type, flags;
    uint64_t cookie;
    int64_t offset, length;       /* on the wire */
    unsigned char *buf;           /* where a read goes; what a write sends */
    unsigned char head[32];
    size_t head_length, sent, total;
    int queued;
    int done, error;              /* the reply is complete; an errno that it told */
    int lost;                     /* its connection ended before: it may be sent on another */
    int awaited;                  /* somebody sleeps until it is done, while another one receives */
    int abandoned;                /* nobody waits for it any more: its buffer must not be touched */
    int64_t front;                /* of a read: all before it has come */
    bd_island *islands;           /* and what came ahead of it, ascending */
    size_t island_count;
    uint32_t context;             /* of block status */
    int mode;
    int64_t at;                   /* how far the status tells */
    int status_seen;
    int extra;                    /* chunks that brought it no further: errors, other contexts */
    bd_vec *out;
    int64_t *out_end;
    unsigned char *bounce;        /* the whole blocks around what was asked for */
    unsigned char *dest;
    int64_t skip, want;
    int64_t since;                /* when it was sent, ms */
    uint64_t *answered;           /* of what writes: counts the replies */
} bd_req;

enum { BD_RX_HEAD, BD_RX_CHUNK, BD_RX_DATA, BD_RX_SKIP, BD_RX_STATUS };

typedef struct bd_conn {
    bd_link *link;
    pthread_mutex_t lock;
    pthread_cond_t changed;
    int leader, followers;        /* somebody waits for the socket, and so many for him */
    int wake;                     /* an eventfd: there is something to send */
    int dead;                     /* why it is of no use any more: ECONNRESET, EPROTO, ETIMEDOUT; 0 */
    char why[512];
    int structured, extended;
    bd_req **table;               /* by the low bits of the cookie */
    unsigned slots;
    uint64_t serial;
    int in_flight;
    bd_req *queue, **queue_end;
    int waiting;                  /* requests in the queue */
    int64_t moved;                /* when bytes moved last, ms */
    /* the reply that is being received */
    int state;
    uint16_t chunk_flags, chunk_type;
    uint64_t left;                /* bytes of the chunk to come */
    bd_req *req;
    unsigned char *dest;
    uint64_t dest_left;
    uint32_t status_context;
    uint64_t status_left;         /* descriptors */
    size_t lo, hi;                /* of stage */
    char said[256];               /* what the server wrote to its last error */
    int said_errno;
    unsigned char stage[BD_NBD_STAGE];
} bd_conn;

static int64_t bd_now_ms(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (int64_t)t.tv_sec * 1000 + t.tv_nsec / 1000000;
}

static void bd_req_free(bd_req *q)
{
    if (!q)
        return;
    free(q->islands);
    free(q->bounce);
    free(q);
}

static void bd_conn_init(bd_conn *c, bd_link *link, int structured, int extended)
{
    pthread_condattr_t monotonic;
    memset(c, 0, offsetof(bd_conn, stage));
    c->link = link;
    c->structured = structured;
    c->extended = extended;
    c->wake = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
    c->queue_end = &c->queue;
    pthread_mutex_init(&c->lock, NULL);
    pthread_condattr_init(&monotonic);
    pthread_condattr_setclock(&monotonic, CLOCK_MONOTONIC);
    pthread_cond_init(&c->changed, &monotonic);
    pthread_condattr_destroy(&monotonic);
}

/* The connection is of no use any more. Its requests are lost; those that nobody waits for are forgotten. */
static void bd_conn_die(bd_conn *c, int code, const char *format, ...)
{
    if (c->dead)
        return;
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(c->why, sizeof c->why, format, arguments);
    va_end(arguments);
    c->dead = code;
    shutdown(c->link->fd, SHUT_RDWR);
    for (unsigned i = 0; i < c->slots; i++) {
        bd_req *q = c->table[i];
        c->table[i] = NULL;
        if (q && q->abandoned)
            bd_req_free(q);
        else if (q)
            q->lost = 1;
    }
    c->queue = NULL;
    c->queue_end = &c->queue;
    c->waiting = 0;
    c->in_flight = 0;
    c->req = NULL;
    pthread_cond_broadcast(&c->changed);
}

#define BD_WRONG(c, ...) (bd_conn_die(c, EPROTO, __VA_ARGS__), -1)

static void bd_conn_free(bd_conn *c)
{
    if (c->link) {
        bd_conn_die(c, ECONNRESET, "it is closed");
        bd_link_free(c->link);
        close(c->wake);
        pthread_mutex_destroy(&c->lock);
        pthread_cond_destroy(&c->changed);
        free(c->table);
    }
    free(c);
}

/* ---- sending ---- */

/* Sends what waits for it, as far as the socket takes it. */
static void bd_conn_flush(bd_conn *c)
{
    while (c->queue && !c->dead) {
        struct iovec iov[32];
        int n = 0;
        for (bd_req *q = c->queue; q && n + 2 <= 32; q = q->next) {
            if (q->sent < q->head_length)
                iov[n++] = (struct iovec){q->head + q->sent, q->head_length - q->sent};
            size_t body = q->sent > q->head_length ? q->sent - q->head_length : 0;
            if (q->total > q->head_length)
                iov[n++] = (struct iovec){q->buf + body, q->total - q->head_length - body};
        }
        ssize_t done = bd_link_send(c->link, iov, n);
        if (done == -EAGAIN)
            return;
        if (done < 0) {
            bd_conn_die(c, done == -EPROTO ? EPROTO : ECONNRESET, "%s", c->link->why[0] ? c->link->why : strerror((int)-done));
            return;
        }
        c->moved = bd_now_ms();
        while (done > 0) {
            bd_req *q = c->queue;
            size_t rest = q->total - q->sent, part = (size_t)done < rest ? (size_t)done : rest;
            q->sent += part;
            done -= (ssize_t)part;
            if (q->sent < q->total)
                break;
            c->queue = q->next;
            if (!c->queue)
                c->queue_end = &c->queue;
            c->waiting--;
            q->queued = 0;
            q->next = NULL;
        }
    }
}

/* Queues a request; the progress of an earlier attempt is forgotten. 0 or -ENOMEM, -ECONNRESET. */
static int bd_conn_put(bd_conn *c, bd_req *q)
{
    unsigned slot = 0;
    if (c->dead)
        return -ECONNRESET;
    while (slot < c->slots && c->table[slot])
        slot++;
    if (slot == c->slots) {
        unsigned slots = c->slots ? c->slots * 2 : 64;
        bd_req **table = slots > 1 << 20 ? NULL : (bd_req **)realloc(c->table, slots * sizeof *table);
        if (!table)
            return -ENOMEM;
        memset(table + c->slots, 0, (slots - c->slots) * sizeof *table);
        c->table = table;
        c->slots = slots;
    }
    c->table[slot] = q;
    q->cookie = ++c->serial << 20 | slot;
    q->conn = c;
    q->done = q->error = q->lost = q->status_seen = q->extra = 0;
    q->front = q->at = q->offset;
    q->island_count = 0;
    if (q->out)
        q->out->n = 0;
    q->head_length = bd_nbd_head(q->head, c->extended, q->flags, q->type, q->cookie, (uint64_t)q->offset, (uint64_t)q->length);
    q->sent = 0;
    q->total = q->head_length + (q->type == NBD_WRITE ? (size_t)q->length : 0);
    q->since = bd_now_ms();
    if (!c->in_flight)
        c->moved = q->since;
    q->next = NULL;
    q->queued = 1;
    *c->queue_end = q;
    c->queue_end = &q->next;
    c->in_flight++;
    c->waiting++;
    return 0;
}

/* Takes back a request of which nothing was sent yet. */
static void bd_conn_take_back(bd_conn *c, bd_req *q)
{
    bd_req **at = &c->queue;
    while (*at != q)
        at = &(*at)->next;
    *at = q->next;
    if (c->queue_end == &q->next)
        c->queue_end = at;
    c->table[q->cookie & ((1 << 20) - 1)] = NULL;
    c->waiting--;
    c->in_flight--;
    q->queued = 0;
    if (q->answered) /* there is nothing of it that a flush would have to cover */
        __atomic_add_fetch(q->answered, 1, __ATOMIC_SEQ_CST);
}

/* ---- receiving ---- */

static bd_req *bd_conn_find(bd_conn *c, uint64_t cookie)
{
    uint64_t slot = cookie & ((1 << 20) - 1);
    bd_req *q = slot < c->slots ? c->table[slot] : NULL;
    return q && q->cookie == cookie && !q->queued ? q : NULL;
}

static void bd_conn_done(bd_conn *c, bd_req *q)
{
    c->table[q->cookie & ((1 << 20) - 1)] = NULL;
    c->in_flight--;
    c->req = NULL;
    if (q->answered)
        __atomic_add_fetch(q->answered, 1, __ATOMIC_SEQ_CST);
    if (q->awaited)
        pthread_cond_broadcast(&c->changed);
    if (q->abandoned)
        bd_req_free(q);
    else
        q->done = 1;
}

/* Notes that [lo, hi) of a read has come. -1: it is outside of what was asked, or has come already. */
static int bd_read_piece(bd_conn *c, bd_req *q, uint64_t offset, uint64_t length)
{
    int64_t end = q->offset + q->length, lo = (int64_t)offset, hi;
    if (length == 0 || offset < (uint64_t)q->offset || offset >= (uint64_t)end || length > (uint64_t)(end - lo))
        return BD_WRONG(c, "it answered a read of %lld bytes at %lld with %llu bytes at %llu", (long long)q->length,
                        (long long)q->offset, (unsigned long long)length, (unsigned long long)offset);
    hi = lo + (int64_t)length;
    size_t i = 0;
    while (i < q->island_count && q->islands[i].hi <= lo)
        i++;
    if (lo < q->front || (i < q->island_count && q->islands[i].lo < hi))
        return BD_WRONG(c, "it sent the bytes at %lld twice", (long long)lo);
    if (lo > q->front) {
        if (q->island_count == BD_NBD_ISLANDS)
            return BD_WRONG(c, "it sends a read of %lld bytes in too many pieces", (long long)q->length);
        if (!q->islands && !(q->islands = (bd_island *)malloc(BD_NBD_ISLANDS * sizeof *q->islands)))
            return BD_WRONG(c, "there is no memory for its reply");
        memmove(q->islands + i + 1, q->islands + i, (q->island_count - i) * sizeof *q->islands);
        q->islands[i] = (bd_island){lo, hi};
        q->island_count++;
        return 0;
    }
    q->front = hi;
    for (i = 0; i < q->island_count && q->islands[i].lo == q->front; i++)
        q->front = q->islands[i].hi;
    q->island_count -= i;
    if (i)
        memmove(q->islands, q->islands + i, q->island_count * sizeof *q->islands);
    return 0;
}

/* The reply says that it is complete: is it? */
static int bd_conn_check(bd_conn *c, bd_req *q)
{
    if (q->error || q->abandoned)
        return 0;
    if (q->type == NBD_READ && (q->front != q->offset + q->length || q->island_count))
        return BD_WRONG(c, "it ended the reply to a read of %lld bytes at %lld with bytes missing at %lld", (long long)q->length,
                        (long long)q->offset, (long long)q->front);
    if (q->type == NBD_BLOCK_STATUS && !q->status_seen)
        return BD_WRONG(c, "it told no block status of %lld bytes at %lld", (long long)q->length, (long long)q->offset);
    return 0;
}

static unsigned bd_status_kind(int mode, uint64_t flags)
{
    if (mode == BD_NBD_BITMAP)
        return BD_KIND_DATA; /* what has no flag is left out */
    if (mode == BD_NBD_RAW)
        return flags > 32 ? 32 : (unsigned)flags;
    /* A hole that is not zero may read as anything: it is read. */
    return (flags & 3) == 3 ? BD_KIND_HOLE : (flags & 3) == 2 ? BD_KIND_ZERO : BD_KIND_DATA;
}

/* So many descriptors are at p, and there is room for as many extents. What each of them touches is held in registers. */
static int bd_status_pieces(bd_conn *c, const unsigned char *p, size_t count)
{
    bd_req *q = c->req;
    const int wide = c->extended, told = !q->abandoned && c->status_context == q->context, mode = q->mode;
    const int64_t end = q->offset + q->length;
    int64_t at = q->at;
    for (; count; count--, p += wide ? 16 : 8) {
        uint64_t length = wide ? bd_get64(p) : bd_get32(p), flags = wide ? bd_get64(p + 8) : bd_get32(p + 4);
        if (length == 0)
            return BD_WRONG(c, "it told a block status of 0 bytes at %lld", (long long)at);
        if (!told)
            continue;
        if (at == end)
            return BD_WRONG(c, "it told a block status beyond the %lld bytes at %lld", (long long)q->length, (long long)q->offset);
        if (length > (uint64_t)(end - at)) /* the last one may be longer than asked */
            length = (uint64_t)(end - at);
        if (!(mode == BD_NBD_BITMAP && flags == 0) &&
            bd_push_joined(q->out, at, (int64_t)length, (uint8_t)bd_status_kind(mode, flags)) < 0)
            return BD_WRONG(c, "there is no memory for its reply");
        at += (int64_t)length;
    }
    if (told)
        *q->out_end = q->at = at;
    return 0;
}

static int bd_conn_error(bd_conn *c, const unsigned char *p, uint64_t length)
{
    bd_req *q = c->req;
    size_t fixed = c->chunk_type == NBD_ERROR_OFFSET ? 14 : 6;
    if (length < 6 || (c->chunk_type <= NBD_ERROR_OFFSET && length < fixed))
        return BD_WRONG(c, "it sent an error of %llu bytes", (unsigned long long)length);
    uint32_t code = bd_get32(p);
    uint16_t text = bd_get16(p + 4);
    if (code == 0 || (c->chunk_type <= NBD_ERROR_OFFSET && length != fixed + text) || text > length - 6)
        return BD_WRONG(c, "it sent an error that is malformed");
    if (!q->error)
        q->error = bd_nbd_errno(code);
    if (!q->abandoned) {
        c->said_errno = q->error;
        snprintf(c->said, sizeof c->said, "%.*s", (int)text, (const char *)p + 6);
    }
    return 0;
}

/* The head of a reply is in p. 1 taken, 0 more bytes are needed, -1 wrong. */
static int bd_conn_head(bd_conn *c, const unsigned char *p, size_t have, size_t *used)
{
    uint32_t magic = bd_get32(p);
    int simple = magic == NBD_SIMPLE_REPLY && !c->extended;
    if (!simple && magic != (c->extended ? NBD_EXTENDED_REPLY : NBD_STRUCTURED_REPLY))
        return BD_WRONG(c, "it sent 0x%08x where a reply begins", magic);
    if (!simple && !c->structured)
        return BD_WRONG(c, "it sent a structured reply that nobody asked for");
    *used = simple ? 16 : c->extended ? 32 : 20;
    if (have < *used)
        return 0;
    bd_req *q = c->req = bd_conn_find(c, bd_get64(p + 8));
    if (!q)
        return BD_WRONG(c, "it answered a request that was not sent (handle 0x%llx)", (unsigned long long)bd_get64(p + 8));
    if (simple) {
        uint32_t code = bd_get32(p + 4);
        if (c->structured && (q->type == NBD_READ || (!code && q->type == NBD_BLOCK_STATUS)))
            return BD_WRONG(c, "it sent a simple reply where structured ones are agreed on");
        if (code) {
            q->error = bd_nbd_errno(code);
            c->said_errno = q->error;
            c->said[0] = 0;
        } else if (q->type == NBD_READ) {
            c->chunk_flags = NBD_DONE;
            c->state = BD_RX_DATA;
            c->left = c->dest_left = (uint64_t)q->length;
            c->dest = q->abandoned ? NULL : q->buf;
            q->front = q->offset + q->length;
            return 1;
        }
        if (bd_conn_check(c, q) < 0)
            return -1;
        bd_conn_done(c, q);
        return 1;
    }
    c->chunk_flags = bd_get16(p + 4);
    c->chunk_type = bd_get16(p + 6);
    if (c->extended && bd_get64(p + 16) != (uint64_t)q->offset)
        return BD_WRONG(c, "it answered a request at %lld with the offset %llu", (long long)q->offset,
                        (unsigned long long)bd_get64(p + 16));
    c->left = c->extended ? bd_get64(p + 24) : bd_get32(p + 16);
    c->state = BD_RX_CHUNK;
    return 1;
}

/* Bytes of a chunk that are looked at together. -1: the chunk is wrong. */
static int64_t bd_conn_fixed(bd_conn *c)
{
    const bd_req *q = c->req;
    int wrong = 0, status = c->chunk_type == NBD_STATUS || c->chunk_type == NBD_STATUS_EXT;
    uint64_t fixed = c->left;
    if (c->chunk_type & NBD_ERROR_BIT)
        wrong = c->left > NBD_MAX_ERROR;
    else if (c->chunk_type == NBD_NONE)
        wrong = c->left != 0 || !(c->chunk_flags & NBD_DONE);
    else if (c->chunk_type == NBD_OFFSET_DATA) {
        fixed = 8;
        wrong = q->type != NBD_READ || c->left <= 8 || c->left - 8 > (uint64_t)q->length;
    } else if (c->chunk_type == NBD_OFFSET_HOLE)
        wrong = q->type != NBD_READ || c->left != 12;
    else if (status) {
        uint64_t one = c->extended ? 16 : 8;
        fixed = c->extended ? 8 : 4;
        wrong = q->type != NBD_BLOCK_STATUS || (c->chunk_type == NBD_STATUS_EXT) != c->extended || c->left < fixed + one ||
                (c->left - fixed) % one || c->left > NBD_MAX_STATUS;
    } else
        wrong = 1;
    return wrong ? BD_WRONG(c, "it sent a chunk of type %d with %llu bytes in reply to a request of type %d", c->chunk_type,
                            (unsigned long long)c->left, q->type)
                 : (int64_t)fixed;
}

static int bd_conn_chunk_end(bd_conn *c)
{
    bd_req *q = c->req;
    c->state = BD_RX_HEAD;
    if (!(c->chunk_flags & NBD_DONE))
        return 0;
    if (bd_conn_check(c, q) < 0)
        return -1;
    bd_conn_done(c, q);
    return 0;
}

/* The fixed part of a chunk is in p. */
static int bd_conn_chunk(bd_conn *c, const unsigned char *p, uint64_t fixed)
{
    bd_req *q = c->req;
    c->left -= fixed;
    if (c->chunk_type != NBD_OFFSET_HOLE && c->chunk_type != NBD_OFFSET_DATA && q->extra++ == BD_NBD_EXTRA)
        return BD_WRONG(c, "its reply to a request has no end");
    if (c->chunk_type & NBD_ERROR_BIT)
        return bd_conn_error(c, p, fixed) < 0 ? -1 : bd_conn_chunk_end(c);
    if (c->chunk_type == NBD_NONE)
        return bd_conn_chunk_end(c);
    if (c->chunk_type == NBD_OFFSET_HOLE) {
        uint32_t length = bd_get32(p + 8);
        if (bd_read_piece(c, q, bd_get64(p), length) < 0)
            return -1;
        if (!q->abandoned)
            memset(q->buf + (bd_get64(p) - (uint64_t)q->offset), 0, length);
        return bd_conn_chunk_end(c);
    }
    if (c->chunk_type == NBD_OFFSET_DATA) {
        if (bd_read_piece(c, q, bd_get64(p), c->left) < 0)
            return -1;
        c->dest = q->abandoned ? NULL : q->buf + (bd_get64(p) - (uint64_t)q->offset);
        c->dest_left = c->left;
        c->state = BD_RX_DATA;
        return 0;
    }
    c->status_context = bd_get32(p);
    c->status_left = c->left / (c->extended ? 16 : 8);
    if (c->extended && bd_get32(p + 4) != c->status_left)
        return BD_WRONG(c, "it counts %u extents and sends %llu", bd_get32(p + 4), (unsigned long long)c->status_left);
    if (c->status_context == q->context && q->status_seen++)
        return BD_WRONG(c, "it told the block status of one range twice");
    if (c->status_context == q->context && !q->abandoned && bd_reserve(q->out, c->status_left) < 0)
        return BD_WRONG(c, "there is no memory for its reply");
    c->state = BD_RX_STATUS;
    return 0;
}

/* Takes what is staged, as far as it goes. -1: the server broke the protocol. */
static int bd_conn_parse(bd_conn *c)
{
    while (!c->dead) {
        const unsigned char *p = c->stage + c->lo;
        size_t have = c->hi - c->lo, used = 0;
        int64_t fixed;
        int rc;
        switch (c->state) {
        case BD_RX_HEAD:
            if (have < 16)
                return 0;
            if ((rc = bd_conn_head(c, p, have, &used)) <= 0)
                return rc;
            c->lo += used;
            break;
        case BD_RX_CHUNK:
            if ((fixed = bd_conn_fixed(c)) < 0)
                return -1;
            if (have < (size_t)fixed)
                return 0;
            c->lo += (size_t)fixed;
            if (bd_conn_chunk(c, p, (uint64_t)fixed) < 0)
                return -1;
            break;
        case BD_RX_DATA:
            if (c->req->abandoned)
                c->dest = NULL; /* since the chunk began */
            used = have < c->dest_left ? have : (size_t)c->dest_left;
            if (c->dest) {
                memcpy(c->dest, p, used);
                c->dest += used;
            }
            c->lo += used;
            c->dest_left -= used;
            if (c->dest_left)
                return 0;
            if (bd_conn_chunk_end(c) < 0)
                return -1;
            break;
        default:
            used = have / (c->extended ? 16 : 8);
            used = used < c->status_left ? used : (size_t)c->status_left;
            if (bd_status_pieces(c, p, used) < 0)
                return -1;
            c->lo += used * (c->extended ? 16 : 8);
            c->status_left -= used;
            if (c->status_left)
                return 0;
            if (bd_conn_chunk_end(c) < 0)
                return -1;
        }
    }
    return -1;
}

/* Receives what there is, until q is done. 1: more may be there. */
static int bd_conn_pump(bd_conn *c, const bd_req *q)
{
    for (int turns = 0; turns < 16; turns++) {
        if (bd_conn_parse(c) < 0 || q->done)
            return 0;
        if (c->lo == c->hi)
            c->lo = c->hi = 0;
        else if (c->lo) {
            memmove(c->stage, c->stage + c->lo, c->hi - c->lo);
            c->hi -= c->lo;
            c->lo = 0;
        }
        struct iovec iov[2];
        int n = 0, data = c->state == BD_RX_DATA && c->dest && !c->req->abandoned;
        if (data)
            iov[n++] = (struct iovec){c->dest, c->dest_left};
        iov[n++] = (struct iovec){c->stage + c->hi, data ? BD_NBD_AHEAD : BD_NBD_STAGE - c->hi};
        ssize_t got = bd_link_recv(c->link, iov, n);
        if (got == -EAGAIN)
            return 0;
        if (got <= 0) {
            bd_conn_die(c, got == -EPROTO ? EPROTO : ECONNRESET, "%s",
                        got == 0 ? "the server closed the connection" : c->link->why[0] ? c->link->why : strerror((int)-got));
            return 0;
        }
        c->moved = bd_now_ms();
        if (data) {
            size_t part = (size_t)got < c->dest_left ? (size_t)got : (size_t)c->dest_left;
            c->dest += part;
            c->dest_left -= part;
            got -= (ssize_t)part;
        }
        c->hi += (size_t)got;
    }
    return 1;
}

#endif
