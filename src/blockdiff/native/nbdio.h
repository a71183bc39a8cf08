/* An NBD export over one or more connections, as a driver (driver.h): requests are cut to what the server takes, put on the
 * connection that has least to do, and put on another one when theirs ends. Who waits receives: there are no threads here,
 * and no Python. */
#ifndef BLOCKDIFF_NBDIO_H
#define BLOCKDIFF_NBDIO_H

#include "driver.h"
#include "nbdconn.h"

#define BD_NBD_CONNS 16
#define BD_NBD_SLICE 50           /* ms between two looks at whether to go on */
#define BD_NBD_ZEROES (64 << 20)  /* bytes that are zeroed by one request */
#define BD_NBD_SMALL (256 << 10)  /* bytes of a read that a near server is not sent by itself */
#define BD_NBD_BATCH 8            /* so many of them are sent together, at the latest */

struct bd_nbd;
/* Makes a new connection: 0 and *link, -EAGAIN (try again later) or another -errno (give up; it has told why). */
typedef int (*bd_nbd_reopen)(void *self, bd_link **link);

typedef struct bd_nbd {
    bd_driver driver;
    pthread_mutex_t lock;         /* guards what is below, never held while waiting */
    bd_conn *conns[BD_NBD_CONNS];
    int count;
    int broken;                   /* an errno: no request is taken any more */
    uint64_t writes, answered;    /* writes that were sent; those of them that have a reply */
    uint64_t flushed;             /* how many were sent, and all answered, before a flush that succeeded */
    int resumed;
    char why[512];
    char said[256];
    int said_errno;
    pthread_mutex_t reviving, partial;
    bd_nbd_reopen reopen;
    void *self;
    int structured, extended;
    unsigned flags;
    int64_t block, piece, size;   /* the smallest block, the largest payload */
    int limit_ms;                 /* a connection that is silent for so long is given up */
    int near;                     /* the server is on this machine: what wakes it, and locks, cost more than the way */
} bd_nbd;

typedef struct {
    int count, result;            /* result: -errno of what was done at once */
    bd_req *parts[];
} bd_token;

/* True while a server that ends may take writes along: then no other connection can go on. */
static int bd_nbd_dirty(const bd_nbd *b)
{
    return __atomic_load_n(&b->writes, __ATOMIC_SEQ_CST) != __atomic_load_n(&b->flushed, __ATOMIC_SEQ_CST);
}

static void bd_nbd_break(bd_nbd *b, int code, const char *why)
{
    pthread_mutex_lock(&b->lock);
    if (!b->broken) {
        b->broken = code;
        if (why)
            snprintf(b->why, sizeof b->why, "%s", why);
    }
    pthread_mutex_unlock(&b->lock);
}

static unsigned bd_nbd_threads;
static __thread unsigned bd_nbd_thread;

/* The live connection with the fewest requests in flight, or NULL. A near server has one for each thread: no two wait for
 * the same lock. */
static bd_conn *bd_nbd_pick(bd_nbd *b)
{
    bd_conn *best = NULL;
    if (!bd_nbd_thread)
        bd_nbd_thread = __atomic_add_fetch(&bd_nbd_threads, 1, __ATOMIC_RELAXED);
    pthread_mutex_lock(&b->lock);
    bd_conn *own = b->near && b->count ? b->conns[bd_nbd_thread % (unsigned)b->count] : NULL;
    if (own && !own->dead)
        best = own;
    else
        for (int i = 0; i < b->count; i++)
            if (!b->conns[i]->dead && (!best || b->conns[i]->in_flight < best->in_flight))
                best = b->conns[i];
    pthread_mutex_unlock(&b->lock);
    return best;
}

/* Small reads wait for others while the server has something to do: whoever waits for a reply sends them. */
static int bd_conn_can_wait(const bd_conn *c)
{
    return !c->leader && c->in_flight > c->waiting && c->waiting < BD_NBD_BATCH;
}

/* Sends what is queued now, or lets whoever waits for the socket do it. */
static void bd_conn_kick(bd_conn *c, int small)
{
    uint64_t one = 1;
    pthread_mutex_lock(&c->lock);
    if (!small || !bd_conn_can_wait(c))
        bd_conn_flush(c);
    int wait = c->queue != NULL && c->leader;
    pthread_mutex_unlock(&c->lock);
    if (wait && write(c->wake, &one, sizeof one) < 0)
        return; /* it is full: it wakes anyway */
}

/* 0 or -errno. */
static int bd_nbd_put(bd_nbd *b, bd_req *q)
{
    for (;;) {
        bd_conn *c = bd_nbd_pick(b);
        if (!c)
            return -ECONNRESET;
        pthread_mutex_lock(&c->lock);
        int rc = bd_conn_put(c, q);
        pthread_mutex_unlock(&c->lock);
        if (rc != -ECONNRESET)
            return rc;
    }
}

static void bd_nap(int ms, volatile int *cancel)
{
    for (; ms > 0 && !(cancel && *cancel); ms -= BD_NBD_SLICE) {
        struct timespec t = {0, (ms < BD_NBD_SLICE ? ms : BD_NBD_SLICE) * 1000000L};
        nanosleep(&t, NULL);
    }
}

/* Takes the link over. 0 or -ENOMEM. */
static int bd_nbd_adopt(bd_nbd *b, bd_link *link)
{
    bd_conn *c = b->count < BD_NBD_CONNS ? (bd_conn *)malloc(sizeof *c) : NULL;
    if (!c)
        return -ENOMEM;
    bd_conn_init(c, link, b->structured, b->extended);
    pthread_mutex_lock(&b->lock);
    b->conns[b->count++] = c;
    pthread_mutex_unlock(&b->lock);
    return 0;
}

/* Makes a connection where none is left. 0, or -errno. */
static int bd_nbd_revive(bd_nbd *b, volatile int *cancel)
{
    static const int delays[] = {0, 200, 500, 1000, 2000, 4000};
    int rc = 0;
    pthread_mutex_lock(&b->reviving);
    for (unsigned i = 0; i < sizeof delays / sizeof *delays; i++) {
        if (b->broken || bd_nbd_pick(b)) {
            rc = -b->broken;
            break;
        }
        if (bd_nbd_dirty(b) || !b->reopen || b->count == BD_NBD_CONNS) {
            char text[512];
            snprintf(text, sizeof text, "%.400s%s", b->conns[b->count - 1]->why,
                     bd_nbd_dirty(b) ? ", and what was written since the last flush may be lost" : "");
            bd_nbd_break(b, ECONNRESET, text);
            continue;
        }
        bd_nap(delays[i], cancel);
        if (cancel && *cancel) {
            rc = -ECANCELED;
            break;
        }
        bd_link *link = NULL;
        rc = b->reopen(b->self, &link);
        if (rc == 0 && (rc = bd_nbd_adopt(b, link)) == 0) {
            b->resumed++;
            break;
        }
        if (link)
            bd_link_free(link);
        if (rc != -EAGAIN)
            bd_nbd_break(b, -rc, NULL);
    }
    if (rc == -EAGAIN) {
        bd_nbd_break(b, ECONNRESET, NULL);
        rc = -ECONNRESET;
    }
    if (b->broken)
        rc = -b->broken;
    pthread_mutex_unlock(&b->reviving);
    return rc;
}

/* Puts a request whose connection ended on another. 0 or -errno. */
static int bd_nbd_again(bd_nbd *b, bd_req *q, volatile int *cancel)
{
    bd_conn *old = q->conn;
    if (old->dead != ECONNRESET)
        bd_nbd_break(b, old->dead, old->why);
    else if (bd_nbd_dirty(b)) {
        char text[400];
        snprintf(text, sizeof text, "%.300s, and what was written since the last flush may be lost", old->why);
        bd_nbd_break(b, ECONNRESET, text);
    }
    if (b->broken)
        return -b->broken;
    int rc;
    while ((rc = bd_nbd_put(b, q)) == -ECONNRESET && (rc = bd_nbd_revive(b, cancel)) == 0)
        ;
    if (rc == 0)
        bd_conn_kick(q->conn, 0);
    return rc;
}

/* Works for a request for at most so many ms. 1 done, 0 not yet, -1 its connection ended. */
static int bd_nbd_step(bd_nbd *b, bd_req *q, int ms)
{
    bd_conn *c = q->conn;
    int64_t end = bd_now_ms() + ms, now;
    int leading = 0;
    pthread_mutex_lock(&c->lock);
    while (!q->done && !q->lost && (now = bd_now_ms()) < end) {
        if (c->leader && !leading) {
            struct timespec t;
            clock_gettime(CLOCK_MONOTONIC, &t);
            t.tv_nsec += (long)(end - now) * 1000000L;
            t.tv_sec += t.tv_nsec / 1000000000L;
            t.tv_nsec %= 1000000000L;
            q->awaited = 1;
            c->followers++;
            pthread_cond_timedwait(&c->changed, &c->lock, &t);
            c->followers--;
            q->awaited = 0;
            continue;
        }
        c->leader = leading = 1;
        if (!b->near || c->waiting >= BD_NBD_BATCH || q->queued)
            bd_conn_flush(c);
        int more = c->dead ? 0 : bd_conn_pump(c, q);
        if (!q->done && !more && !c->dead)
            bd_conn_flush(c);
        if (!q->done && !q->lost && !more) {
            int64_t quiet = now - (c->moved > q->since ? c->moved : q->since);
            struct pollfd fds[2] = {{c->link->fd, (short)(POLLIN | (c->queue ? POLLOUT : 0)), 0}, {c->wake, POLLIN, 0}};
            pthread_mutex_unlock(&c->lock);
            if (poll(fds, 2, (int)(end - now)) > 0 && fds[1].revents) {
                uint64_t count;
                if (read(c->wake, &count, sizeof count) < 0)
                    count = 0;
            }
            pthread_mutex_lock(&c->lock);
            if (!fds[0].revents && b->limit_ms && quiet > b->limit_ms)
                bd_conn_die(c, ETIMEDOUT, "the server did not answer within %d s", b->limit_ms / 1000);
        }
    }
    if (leading) {
        c->leader = 0;
        if (c->followers)
            pthread_cond_broadcast(&c->changed);
    }
    int result = q->done ? 1 : q->lost ? -1 : 0;
    if (q->done && q->error && c->said_errno == q->error) {
        pthread_mutex_lock(&b->lock);
        memcpy(b->said, c->said, sizeof b->said);
        b->said_errno = c->said_errno;
        pthread_mutex_unlock(&b->lock);
    }
    pthread_mutex_unlock(&c->lock);
    return result;
}

/* Nobody waits for the request any more; its buffer is not touched after this. */
static void bd_req_abandon(bd_req *q)
{
    bd_conn *c = q->conn;
    int keep = 0;
    if (c) {
        pthread_mutex_lock(&c->lock);
        keep = !q->done && !q->lost;
        if (keep && q->queued && q->sent == 0 && !(c->link->held && c->queue == q)) {
            bd_conn_take_back(c, q);
            keep = 0;
        } else if (keep) {
            q->abandoned = 1;
            if (q->queued) /* its data is not all sent, and cannot be any more */
                bd_conn_die(c, ECONNRESET, "a request was given up");
        }
        pthread_mutex_unlock(&c->lock);
    }
    if (!keep)
        bd_req_free(q);
}

static void bd_token_free(bd_token *t)
{
    for (int i = 0; i < t->count; i++)
        if (t->parts[i])
            bd_req_abandon(t->parts[i]);
    free(t);
}

/* Waits up to ms for all of it. 1: *result says how it ended (and the token is to be freed); 0: not yet. */
static int bd_token_step(bd_nbd *b, bd_token *t, int ms, volatile int *cancel, int *result)
{
    *result = t->result;
    for (int i = 0; i < t->count && *result == 0; i++) {
        bd_req *q = t->parts[i];
        if (!q)
            continue;
        int rc = bd_nbd_step(b, q, ms);
        if (rc == 0)
            return 0;
        if (rc < 0) {
            if ((*result = bd_nbd_again(b, q, cancel)) < 0)
                break;
            return 0;
        }
        if (q->error) {
            *result = -q->error;
            break;
        }
        if (q->bounce)
            memcpy(q->dest, q->bounce + q->skip, (size_t)q->want);
        if (q->type == NBD_FLUSH && q->want)
            __atomic_store_n(&b->flushed, (uint64_t)q->skip, __ATOMIC_SEQ_CST);
        bd_req_free(q);
        t->parts[i] = NULL;
    }
    return 1;
}

/* NULL: no memory, or more requests than a connection ever has. */
static bd_token *bd_token_new(int64_t count)
{
    if (count > 1 << 20)
        return NULL;
    return (bd_token *)calloc(1, sizeof(bd_token) + (size_t)count * sizeof(bd_req *));
}

/* A request of one token. The token frees it. */
static bd_req *bd_token_add(bd_token *t, int type, int flags, int64_t offset, int64_t length, unsigned char *buf)
{
    bd_req *q = (bd_req *)calloc(1, sizeof *q);
    if (!q)
        return NULL;
    q->type = (uint16_t)type;
    q->flags = (uint16_t)flags;
    q->offset = offset;
    q->length = length;
    q->buf = buf;
    t->parts[t->count++] = q;
    return q;
}

/* Sends all parts; NULL and *err where that is not possible. rc < 0: it has failed already. */
static void *bd_token_send(bd_nbd *b, bd_token *t, int rc, int *err)
{
    if (rc == 0 && b->broken)
        rc = -b->broken;
    for (int i = 0; i < t->count && rc == 0; i++) {
        int type = t->parts[i]->type;
        if (type == NBD_WRITE || type == NBD_WRITE_ZEROES || type == NBD_TRIM) {
            __atomic_add_fetch(&b->writes, 1, __ATOMIC_SEQ_CST);
            t->parts[i]->answered = &b->answered;
        }
        rc = bd_nbd_put(b, t->parts[i]);
        if (rc == -ECONNRESET && !b->broken) { /* all are gone: whoever waits makes a new one */
            t->parts[i]->conn = b->conns[b->count - 1];
            t->parts[i]->lost = 1;
            rc = 0;
        } else if (rc == 0 && (i + 1 == t->count || i % 16 == 15)) {
            for (int k = i - i % 16; k <= i; k++)
                if (t->parts[k]->queued)
                    bd_conn_kick(t->parts[k]->conn, b->near && type == NBD_READ && t->parts[i]->length <= BD_NBD_SMALL);
        }
    }
    if (rc == 0)
        return t;
    *err = -rc;
    bd_token_free(t);
    return NULL;
}

static int64_t bd_up(int64_t value, int64_t step) { return value % step ? value - value % step + step : value; }

static void *bd_nbd_read(void *device, unsigned char *buf, int64_t offset, int64_t length, int *err)
{
    bd_nbd *b = (bd_nbd *)device;
    int64_t end = offset + length, m = b->block;
    bd_token *t = bd_token_new(length / b->piece + 2);
    int rc = t ? 0 : -ENOMEM;
    for (int64_t at = offset, stop; rc == 0 && at < end; at = stop) {
        stop = bd_next_multiple(at, b->piece);
        stop = stop > end ? end : stop;
        int64_t lo = at - at % m, hi = bd_up(stop, m);
        hi = hi > b->size ? b->size : hi; /* an unaligned tail is asked for as it is */
        bd_req *q = bd_token_add(t, NBD_READ, 0, lo, hi - lo, buf + (at - offset));
        if (!q) {
            rc = -ENOMEM;
        } else if (lo < at || hi > stop) {
            q->dest = q->buf;
            q->skip = at - lo;
            q->want = stop - at;
            q->buf = q->bounce = (unsigned char *)malloc((size_t)(hi - lo));
            rc = q->bounce ? 0 : -ENOMEM;
        }
    }
    if (!t) {
        *err = ENOMEM;
        return NULL;
    }
    return bd_token_send(b, t, rc, err);
}

static int bd_token_wait(bd_nbd *b, bd_token *t)
{
    int result = 0;
    while (!bd_token_step(b, t, BD_NBD_SLICE, NULL, &result))
        ;
    bd_token_free(t);
    return result;
}

static int bd_nbd_fua(const bd_nbd *b) { return (b->flags & (NBD_HAS_FLUSH | NBD_HAS_FUA)) == NBD_HAS_FUA ? NBD_FUA : 0; }

/* Whole blocks, or up to the end of the export. */
static void *bd_nbd_write_blocks(bd_nbd *b, const unsigned char *buf, int64_t offset, int64_t length, int *err)
{
    bd_token *t = bd_token_new(length / b->piece + 2);
    int rc = t ? 0 : -ENOMEM;
    for (int64_t at = offset, end = offset + length, stop; rc == 0 && at < end; at = stop) {
        stop = bd_next_multiple(at, b->piece);
        stop = stop > end ? end : stop;
        if (!bd_token_add(t, NBD_WRITE, bd_nbd_fua(b), at, stop - at, (unsigned char *)buf + (at - offset)))
            rc = -ENOMEM;
    }
    if (!t) {
        *err = ENOMEM;
        return NULL;
    }
    return bd_token_send(b, t, rc, err);
}

/* Writes a part of a block (data NULL: zeroes): reads it, changes it, writes it. One at a time. 0 or -errno. */
static int bd_nbd_partial(bd_nbd *b, const unsigned char *data, int64_t offset, int64_t length)
{
    int64_t lo = offset - offset % b->block, hi = bd_up(offset + length, b->block);
    int err = 0, rc;
    hi = hi > b->size ? b->size : hi;
    unsigned char *block = (unsigned char *)malloc((size_t)(hi - lo));
    if (!block)
        return -ENOMEM;
    pthread_mutex_lock(&b->partial);
    bd_token *t = (bd_token *)bd_nbd_read(b, block, lo, hi - lo, &err);
    rc = t ? bd_token_wait(b, t) : -err;
    if (rc == 0) {
        if (data)
            memcpy(block + (offset - lo), data, (size_t)length);
        else
            memset(block + (offset - lo), 0, (size_t)length);
        t = (bd_token *)bd_nbd_write_blocks(b, block, lo, hi - lo, &err);
        rc = t ? bd_token_wait(b, t) : -err;
    }
    pthread_mutex_unlock(&b->partial);
    free(block);
    return rc;
}

/* Does the parts of blocks at both ends of a range; *lo and *hi are what is left between them. 0 or -errno. */
static int bd_nbd_edges(bd_nbd *b, const unsigned char *data, int64_t *lo, int64_t *hi)
{
    int64_t m = b->block, from = *lo, first = bd_up(*lo, m), last = *hi == b->size ? *hi : *hi - *hi % m;
    int rc = 0;
    if (first > last) {
        rc = bd_nbd_partial(b, data, *lo, *hi - *lo); /* all of it inside a block */
        *hi = *lo;
        return rc;
    }
    if (first > *lo)
        rc = bd_nbd_partial(b, data, *lo, first - *lo);
    if (rc == 0 && last < *hi)
        rc = bd_nbd_partial(b, data ? data + (last - from) : NULL, last, *hi - last);
    *lo = first;
    *hi = last;
    return rc;
}

static void *bd_nbd_write(void *device, const unsigned char *buf, int64_t offset, int64_t length, int *err)
{
    bd_nbd *b = (bd_nbd *)device;
    int64_t lo = offset, hi = offset + length;
    int rc = bd_nbd_edges(b, buf, &lo, &hi);
    if (rc < 0) {
        *err = -rc;
        return NULL;
    }
    return bd_nbd_write_blocks(b, buf + (lo - offset), lo, hi - lo, err);
}

/* One command without data for a range, in as many requests as it takes; rc < 0: it has failed already. */
static void *bd_nbd_command(bd_nbd *b, int type, int flags, int64_t lo, int64_t hi, int rc, int *err)
{
    bd_token *t = bd_token_new((hi > lo ? hi - lo : 0) / BD_NBD_ZEROES + 2);
    if (!t) {
        *err = ENOMEM;
        return NULL;
    }
    for (int64_t stop; rc == 0 && lo < hi; lo = stop) {
        stop = bd_next_multiple(lo, BD_NBD_ZEROES);
        stop = stop > hi ? hi : stop;
        if (!bd_token_add(t, type, flags | bd_nbd_fua(b), lo, stop - lo, NULL))
            rc = -ENOMEM;
    }
    return bd_token_send(b, t, rc, err);
}

static void *bd_nbd_zero_with(void *device, int64_t offset, int64_t length, int flags, int *err)
{
    bd_nbd *b = (bd_nbd *)device;
    int64_t lo = offset, hi = offset + length;
    int rc = b->flags & NBD_HAS_ZEROES ? bd_nbd_edges(b, NULL, &lo, &hi) : -EOPNOTSUPP;
    return bd_nbd_command(b, NBD_WRITE_ZEROES, flags, lo, hi, rc, err);
}

/* Gives the whole blocks of a range back to the server: they may read as anything then. */
static void *bd_nbd_trim(bd_nbd *b, int64_t offset, int64_t length, int *err)
{
    int64_t lo = bd_up(offset, b->block), end = offset + length, hi = end == b->size ? end : end - end % b->block;
    return bd_nbd_command(b, NBD_TRIM, 0, lo, hi, 0, err);
}

static void *bd_nbd_zero(void *device, int64_t offset, int64_t length, int *err)
{
    return bd_nbd_zero_with(device, offset, length, 0, err);
}

static void *bd_nbd_flush(bd_nbd *b, int *err)
{
    bd_token *t = bd_token_new(1);
    if (!t) {
        *err = ENOMEM;
        return NULL;
    }
    bd_req *q = bd_token_add(t, NBD_FLUSH, 0, 0, 0, NULL);
    if (q) { /* a flush covers what was answered before it; while another write is under way, it is not known which */
        uint64_t answered = __atomic_load_n(&b->answered, __ATOMIC_SEQ_CST);
        q->skip = (int64_t)__atomic_load_n(&b->writes, __ATOMIC_SEQ_CST);
        q->want = (uint64_t)q->skip == answered;
    }
    return bd_token_send(b, t, q ? 0 : -ENOMEM, err);
}

/* Asks for the status of a range; out and *end (how far it goes) belong to the request until its token is freed. */
static void *bd_nbd_status(bd_nbd *b, uint32_t context, int mode, int64_t offset, int64_t length, bd_vec *out, int64_t *end,
                           int *err)
{
    bd_token *t = bd_token_new(1);
    bd_req *q = t ? bd_token_add(t, NBD_BLOCK_STATUS, 0, offset, length, NULL) : NULL;
    if (!t) {
        *err = ENOMEM;
        return NULL;
    }
    if (q) {
        q->context = context;
        q->mode = mode;
        q->out = out;
        q->out_end = end;
    }
    return bd_token_send(b, t, q ? 0 : -ENOMEM, err);
}

static int64_t bd_nbd_wait(void *device, void *token, volatile int *cancel, int *lost)
{
    bd_nbd *b = (bd_nbd *)device;
    bd_token *t = (bd_token *)token;
    int result = 0;
    *lost = 0; /* a request that is given up never touches its buffer again */
    while (!bd_token_step(b, t, BD_NBD_SLICE, cancel, &result))
        if (*cancel) {
            result = -ECANCELED;
            break;
        }
    bd_token_free(t);
    return result < 0 ? result : INT64_MAX; /* a read that is not an error is complete */
}

static bd_nbd *bd_nbd_new(void)
{
    bd_nbd *b = (bd_nbd *)calloc(1, sizeof *b);
    if (!b)
        return NULL;
    b->driver = (bd_driver){b, 0, bd_nbd_read, bd_nbd_write, bd_nbd_zero, bd_nbd_wait};
    pthread_mutex_init(&b->lock, NULL);
    pthread_mutex_init(&b->reviving, NULL);
    pthread_mutex_init(&b->partial, NULL);
    return b;
}

/* Says good-bye. Requests that are still waited for are lost. */
static void bd_nbd_close(bd_nbd *b)
{
    bd_nbd_break(b, EBADF, "it is closed");
    for (int i = 0; i < b->count; i++) {
        bd_conn *c = b->conns[i];
        unsigned char head[32];
        pthread_mutex_lock(&c->lock);
        struct iovec iov = {head, bd_nbd_head(head, c->extended, 0, NBD_DISC, 0, 0, 0)};
        if (!c->dead && !c->queue)
            bd_link_send(c->link, &iov, 1);
        bd_conn_die(c, EBADF, "it is closed");
        pthread_mutex_unlock(&c->lock);
    }
}

static void bd_nbd_free(bd_nbd *b)
{
    for (int i = 0; i < b->count; i++)
        bd_conn_free(b->conns[i]);
    pthread_mutex_destroy(&b->lock);
    pthread_mutex_destroy(&b->reviving);
    pthread_mutex_destroy(&b->partial);
    free(b);
}

#endif
