/* Digests of chunks of objects, computed by the OSDs that hold them: compound read operations (size, and the checksums by
 * two seeds) in flight. No Python here.
 *
 * An OSD answers for what an object has. It refuses to cut it into chunks when its end is inside of one; then the size is
 * known from the same operation, and a second one asks for the whole chunks and for the rest as one chunk. An answer counts
 * only when every part of it is what the size promises.
 *
 * Where two objects end at different places inside of a chunk, the longer one is asked for as many bytes as the other has,
 * and for the rest, which may be zeroes. */
#ifndef BLOCKDIFF_OSDSUM_H
#define BLOCKDIFF_OSDSUM_H

#include <endian.h>
#include <errno.h>
#include <pthread.h>
#include <stdlib.h>

#include "ceph.h"
#include "sums.h"

#define BD_OSD_XXHASH64 1         /* LIBRADOS_CHECKSUM_TYPE_XXHASH64 */
#define BD_OSD_GAP 4              /* chunks: a smaller gap is asked for too, not skipped by another operation */
#define BD_OSD_MAX_DEPTH 64
#define BD_OSD_GRACE_MS 10000     /* how long operations that were cancelled may take to end */
#define BD_OSD_UNSET (-9999)

/* Bytes of an object that are chunks index.. of the list; below: where it is missing a parent has the data. */
typedef struct {
    int64_t number, offset, length, index;
    uint8_t below;
} bd_osd_run;

/* What a device asks by; shared by threads. */
typedef struct {
    rados_ioctx_t io;
    const char *prefix;           /* of the objects' names */
    int digits;                   /* of the number that follows */
    int64_t chunk;
    uint64_t seed[2];
    int depth;
    int64_t timeout_ms;           /* without an answer to anything */
    volatile int cancel, dead;
    int64_t operations, objects;
} bd_osd;

struct bd_osd_batch;

typedef struct {
    struct bd_osd_batch *batch;
    rados_completion_t completion;
    rados_read_op_t op;
    int busy, ended, stage;       /* stage 1: asked again, the size being known */
    size_t first, last;           /* of the runs */
    int64_t offset, length;       /* asked for, in the object */
    int64_t whole, tail;          /* of stage 1: bytes in whole chunks, and after them */
    uint64_t size, known;
    int rc, stat_rc, sum_rc[2], tail_rc[2];
    unsigned char *sums[2];       /* a count and the values, as the OSD sends them */
    size_t room;
    unsigned char tails[2][4 + 8];
} bd_osd_slot;

typedef struct bd_osd_batch {
    bd_osd *osd;
    const bd_osd_run *runs;
    size_t n, next;
    bd_sums *out;
    int split;                    /* each run is the first bytes of a chunk whose length is known */
    bd_zero_sums zero;
    pthread_mutex_t lock;
    pthread_cond_t ended;
    int in_flight;
    bd_osd_slot slot[BD_OSD_MAX_DEPTH];
} bd_osd_batch;

static void bd_osd_ended(rados_completion_t completion, void *arg)
{
    bd_osd_slot *k = (bd_osd_slot *)arg;
    bd_osd_batch *b = k->batch;
    int rc = ceph.rados_aio_get_return_value(completion);
    pthread_mutex_lock(&b->lock);
    k->rc = rc;
    k->ended = 1;
    pthread_cond_signal(&b->ended);
    pthread_mutex_unlock(&b->lock);
}

static void bd_osd_ask(bd_osd_slot *k, int64_t offset, int64_t length, int64_t chunk, unsigned char *const out[2],
                       size_t room, int rc[2])
{
    for (int s = 0; s < 2; s++) {
        uint64_t seed = htole64(k->batch->osd->seed[s]);
        memset(out[s], 0, 4);     /* a part that was not executed leaves it */
        rc[s] = BD_OSD_UNSET;
        ceph.rados_read_op_checksum(k->op, BD_OSD_XXHASH64, (const char *)&seed, sizeof seed, (uint64_t)offset,
                                    (size_t)length, (size_t)chunk, (char *)out[s], room, &rc[s]);
    }
}

/* 0 or -errno: not started. */
static int bd_osd_start(bd_osd_slot *k)
{
    bd_osd *o = k->batch->osd;
    char name[128];
    unsigned char *tails[2] = {k->tails[0], k->tails[1]};
    snprintf(name, sizeof name, "%s.%0*llx", o->prefix, o->digits, (unsigned long long)k->batch->runs[k->first].number);
    k->ended = 0;
    k->stat_rc = BD_OSD_UNSET;
    k->size = 0;
    k->op = ceph.rados_create_read_op();
    if (!k->op)
        return -ENOMEM;
    ceph.rados_read_op_stat(k->op, &k->size, NULL, &k->stat_rc);
    if (k->stage == 0)
        bd_osd_ask(k, k->offset, k->length, o->chunk, k->sums, k->room, k->sum_rc);
    else if (k->whole)
        bd_osd_ask(k, k->offset, k->whole, k->batch->split ? 0 : o->chunk, k->sums, k->room, k->sum_rc);
    if (k->stage == 1)
        bd_osd_ask(k, k->offset + k->whole, k->tail, 0, tails, sizeof k->tails[0], k->tail_rc);
    int rc = ceph.rados_aio_create_completion2(k, bd_osd_ended, &k->completion);
    if (rc >= 0) {
        rc = ceph.rados_aio_read_op_operate(k->op, o->io, k->completion, name, 0);
        if (rc < 0)
            ceph.rados_aio_release(k->completion);
    }
    if (rc < 0) {
        ceph.rados_release_read_op(k->op);
        return rc;
    }
    __atomic_add_fetch(&o->operations, 1, __ATOMIC_RELAXED);
    k->busy = 1;
    k->batch->in_flight++;
    return 0;
}

/* ---- answers ---- */

static void bd_osd_unknown(bd_osd_slot *k, int code)
{
    if (k->batch->split)
        return;                   /* what is known stays */
    for (size_t r = k->first; r < k->last; r++) {
        const bd_osd_run *run = &k->batch->runs[r];
        for (int64_t i = 0; i < run->length / k->batch->osd->chunk; i++)
            k->batch->out->length[run->index + i] = code;
    }
}

/* True when the OSD gave exactly so many digests by both seeds. */
static int bd_osd_counts(unsigned char *const out[2], const int rc[2], int64_t n)
{
    for (int s = 0; s < 2; s++) {
        uint32_t count;
        memcpy(&count, out[s], 4);
        if (rc[s] != 0 || (int64_t)le32toh(count) != n)
            return 0;
    }
    return 1;
}

static void bd_osd_value(bd_sums *out, int64_t i, unsigned char *const from[2], int64_t at, int64_t length)
{
    for (int s = 0; s < 2; s++) {
        uint64_t v;
        memcpy(&v, from[s] + 4 + 8 * at, 8);
        out->value[i][s] = le64toh(v);
    }
    out->length[i] = (int32_t)length;
}

/* The object is known to end at size: what is asked for and lies before has digests, what comes after is zeroes. */
static void bd_osd_take(bd_osd_slot *k, int64_t size)
{
    unsigned char *tails[2] = {k->tails[0], k->tails[1]};
    int64_t chunk = k->batch->osd->chunk;
    for (size_t r = k->first; r < k->last; r++) {
        const bd_osd_run *run = &k->batch->runs[r];
        for (int64_t i = 0; i < run->length / chunk; i++) {
            int64_t at = run->offset + i * chunk, index = run->index + i;
            if (at + chunk <= size)
                bd_osd_value(k->batch->out, index, k->sums, (at - k->offset) / chunk, chunk);
            else if (at < size)
                bd_osd_value(k->batch->out, index, tails, 0, size - at);
            else
                k->batch->out->length[index] = 0;
        }
    }
}

/* The object is not there: zeroes, or a parent's data. */
static void bd_osd_absent(bd_osd_slot *k)
{
    for (size_t r = k->first; r < k->last; r++) {
        const bd_osd_run *run = &k->batch->runs[r];
        for (int64_t i = 0; i < run->length / k->batch->osd->chunk; i++)
            k->batch->out->length[run->index + i] = run->below ? BD_SUM_PARENT : 0;
    }
}

/* Takes an answer about the two parts of a chunk: when the second is zeroes, the first is what counts. */
static void bd_osd_answer_split(bd_osd_slot *k)
{
    bd_sums *out = k->batch->out;
    int64_t i = k->batch->runs[k->first].index, size = (int64_t)k->size, end = k->offset + k->whole + k->tail;
    unsigned char *tails[2] = {k->tails[0], k->tails[1]};
    uint64_t rest[2];
    int same = out->length[i] == k->batch->osd->chunk ? size >= end : size == end;
    if (k->rc != 0 || k->stat_rc != 0 || !same || !bd_osd_counts(k->sums, k->sum_rc, 1) ||
        !bd_osd_counts(tails, k->tail_rc, 1))
        return;
    for (int s = 0; s < 2; s++) {
        memcpy(&rest[s], tails[s] + 4, 8);
        rest[s] = le64toh(rest[s]);
    }
    if (bd_sum_is_zero(&k->batch->zero, (int32_t)k->tail, rest))
        bd_osd_value(out, i, k->sums, 0, k->whole);
}

/* Takes an answer. 1: the object ends inside of a chunk, ask again. */
static int bd_osd_answer(bd_osd_slot *k)
{
    int64_t chunk = k->batch->osd->chunk, size = (int64_t)k->size, end = k->offset + k->length;
    unsigned char *tails[2] = {k->tails[0], k->tails[1]};
    if (k->batch->split) {
        bd_osd_answer_split(k);
        return 0;
    }
    if (k->stage == 0 && k->rc == -ENOENT) {
        bd_osd_absent(k);
        return 0;
    }
    if (k->rc == -ETIMEDOUT || k->rc == -ESHUTDOWN)
        k->batch->osd->dead = 1;  /* the others need not wait as long for the same */
    if (k->rc == -ECANCELED && k->batch->osd->dead)
        k->rc = -ETIMEDOUT;
    if (k->stat_rc != 0 || size < 0) {
        bd_osd_unknown(k, k->rc < 0 ? k->rc : -EIO);
        return 0;
    }
    int64_t have = (size < end ? size : end) - k->offset;
    if (have < 0)
        have = 0;
    if (k->stage == 0 && (k->rc == -EINVAL || k->rc == 0) && have % chunk) {
        k->whole = have - have % chunk;
        k->tail = have % chunk;
        k->known = k->size;
        return 1;
    }
    int right = k->rc == 0 && (k->stage == 0 || k->size == k->known);
    if (right && k->stage == 0)
        right = have == 0 || bd_osd_counts(k->sums, k->sum_rc, have / chunk);
    else if (right)
        right = bd_osd_counts(tails, k->tail_rc, 1) && (!k->whole || bd_osd_counts(k->sums, k->sum_rc, k->whole / chunk));
    if (right)
        bd_osd_take(k, size);
    else
        bd_osd_unknown(k, k->rc < 0 ? k->rc : -EIO);
    return 0;
}

/* ---- keeping them in flight ---- */

static int bd_osd_order(const void *a, const void *b)
{
    const bd_osd_run *x = (const bd_osd_run *)a, *y = (const bd_osd_run *)b;
    if (x->number != y->number)
        return x->number < y->number ? -1 : 1;
    return x->offset < y->offset ? -1 : x->offset > y->offset;
}

/* The next runs of one object that are asked for together. */
static int bd_osd_next(bd_osd_batch *b, bd_osd_slot *k)
{
    const bd_osd_run *r = b->runs;
    if (b->next == b->n)
        return 0;
    k->first = b->next++;
    k->offset = r[k->first].offset;
    int64_t end = k->offset + r[k->first].length;
    if (b->split) {
        k->last = b->next;
        k->length = b->osd->chunk;
        k->whole = r[k->first].length;
        k->tail = b->out->length[r[k->first].index] - k->whole;
        k->stage = 1;
        return 1;
    }
    while (b->next < b->n && r[b->next].number == r[k->first].number &&
           r[b->next].offset - end <= BD_OSD_GAP * b->osd->chunk) {
        int64_t stop = r[b->next].offset + r[b->next].length;
        end = stop > end ? stop : end;
        b->next++;
    }
    k->last = b->next;
    k->length = end - k->offset;
    k->stage = 0;
    if (k->first == 0 || r[k->first - 1].number != r[k->first].number)
        __atomic_add_fetch(&b->osd->objects, 1, __ATOMIC_RELAXED);
    return 1;
}

static int bd_osd_make_room(bd_osd_slot *k)
{
    size_t room = 4 + 8 * (size_t)(k->length / k->batch->osd->chunk);
    if (room <= k->room)
        return 0;
    for (int s = 0; s < 2; s++) {
        unsigned char *p = (unsigned char *)realloc(k->sums[s], room);
        if (!p)
            return -ENOMEM;
        k->sums[s] = p;
    }
    k->room = room;
    return 0;
}

static void bd_osd_fill(bd_osd_batch *b)
{
    bd_osd *o = b->osd;
    for (int i = 0; i < o->depth; i++) {
        bd_osd_slot *k = &b->slot[i];
        while (!k->busy && bd_osd_next(b, k)) {
            int rc = o->dead ? -ETIMEDOUT : bd_osd_make_room(k);
            if (rc == 0)
                rc = bd_osd_start(k);
            if (rc < 0)
                bd_osd_unknown(k, rc);
        }
    }
}

static int64_t bd_osd_now(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (int64_t)t.tv_sec * 1000 + t.tv_nsec / 1000000;
}

/* Waits until an operation has ended, for at most so long. True when one has. */
static int bd_osd_wait(bd_osd_batch *b, int ms)
{
    struct timespec end;
    int some = 0, rc = 0;
    clock_gettime(CLOCK_MONOTONIC, &end);
    end.tv_nsec += (long)ms * 1000000L;
    end.tv_sec += end.tv_nsec / 1000000000L;
    end.tv_nsec %= 1000000000L;
    pthread_mutex_lock(&b->lock);
    for (;;) {
        for (int i = 0; i < b->osd->depth && !some; i++)
            some = b->slot[i].busy && b->slot[i].ended;
        if (some || rc)
            break;
        rc = pthread_cond_timedwait(&b->ended, &b->lock, &end);
    }
    pthread_mutex_unlock(&b->lock);
    return some;
}

/* Deals with the operations that have ended; with give_up nothing is asked again. */
static void bd_osd_reap(bd_osd_batch *b, int give_up)
{
    for (int i = 0; i < b->osd->depth; i++) {
        bd_osd_slot *k = &b->slot[i];
        pthread_mutex_lock(&b->lock);
        int ended = k->busy && k->ended;
        pthread_mutex_unlock(&b->lock);
        if (!ended)
            continue;
        ceph.rados_aio_release(k->completion);
        ceph.rados_release_read_op(k->op);
        k->busy = 0;
        b->in_flight--;
        if (bd_osd_answer(k) == 0)
            continue;
        k->stage = 1;
        int rc = give_up ? -ECANCELED : bd_osd_start(k);
        if (rc < 0)
            bd_osd_unknown(k, rc);
    }
}

/* What was not asked for any more. */
static void bd_osd_leave_rest(bd_osd_batch *b)
{
    bd_osd_slot rest = {.batch = b};
    while (bd_osd_next(b, &rest))
        bd_osd_unknown(&rest, -ETIMEDOUT);
}

/* Ends all that is in flight. False: something would not end, and its memory must stay. */
static int bd_osd_give_up(bd_osd_batch *b)
{
    for (int i = 0; i < b->osd->depth; i++)
        if (b->slot[i].busy)
            ceph.rados_aio_cancel(b->osd->io, b->slot[i].completion);
    int64_t end = bd_osd_now() + BD_OSD_GRACE_MS;
    while (b->in_flight && bd_osd_now() < end) {
        bd_osd_wait(b, 50);
        bd_osd_reap(b, 1);
    }
    bd_osd_leave_rest(b);
    return b->in_flight == 0;
}

/* 1: all is answered; 0: cancelled, or no answer for too long. */
static int bd_osd_loop(bd_osd_batch *b)
{
    bd_osd *o = b->osd;
    int64_t last = bd_osd_now();
    for (;;) {
        if (o->cancel)
            return 0;
        bd_osd_fill(b);
        if (!b->in_flight)
            return 1;
        if (bd_osd_wait(b, 50)) {
            bd_osd_reap(b, 0);
            last = bd_osd_now();
        } else if (o->dead || bd_osd_now() - last > o->timeout_ms) {
            o->dead = 1;
            return 0;
        }
    }
}

/* Fills out for all runs, which are sorted here; with split, shortens the digests of chunks that are zeroes after a run's
 * length. 0, -ECANCELED or -ENOMEM. What was not answered stays as it is. */
static int bd_osd_sum(bd_osd *o, bd_osd_run *runs, size_t n, bd_sums *out, int split)
{
    pthread_condattr_t monotonic;
    bd_osd_batch *b = (bd_osd_batch *)calloc(1, sizeof *b);
    if (!b)
        return -ENOMEM;
    qsort(runs, n, sizeof *runs, bd_osd_order);
    b->osd = o;
    b->runs = runs;
    b->n = n;
    b->out = out;
    b->split = split;
    if (split)
        bd_zero_sums_init(&b->zero, o->chunk, o->seed);
    pthread_mutex_init(&b->lock, NULL);
    pthread_condattr_init(&monotonic);
    pthread_condattr_setclock(&monotonic, CLOCK_MONOTONIC);
    pthread_cond_init(&b->ended, &monotonic);
    pthread_condattr_destroy(&monotonic);
    for (int i = 0; i < o->depth; i++)
        b->slot[i].batch = b;
    if (!bd_osd_loop(b) && !bd_osd_give_up(b))
        return o->cancel ? -ECANCELED : 0;      /* the answers may still come: they are left their memory */
    for (int i = 0; i < o->depth; i++)
        for (int s = 0; s < 2; s++)
            free(b->slot[i].sums[s]);
    pthread_cond_destroy(&b->ended);
    pthread_mutex_destroy(&b->lock);
    free(b);
    return o->cancel ? -ECANCELED : 0;
}

#endif
