/* Requests to an RBD image in flight, as a driver (driver.h), and the extents that a diff collects. No Python here. */
#ifndef BLOCKDIFF_RBDIO_H
#define BLOCKDIFF_RBDIO_H

#include <errno.h>
#include <pthread.h>
#include <stdlib.h>

#include "ceph.h"
#include "driver.h"
#include "extent.h"

/* LIBRADOS_OP_FLAG_FADVISE_SEQUENTIAL and _NOCACHE, as rbd export says: OSDs need not keep for others what is read once. */
#define BD_READ_ONCE (0x10 | 0x40)
#define BD_GRACE_MS 2000      /* after a cancel: healthy requests end in this time, and no buffer is lost */

typedef struct {
    bd_driver driver;
    rbd_image_t image;
    pthread_mutex_t lock;
    pthread_cond_t changed;
    int in_flight;
    int closed;               /* no request is started any more */
    int limit_ms;             /* a request without an end after so long is given up: 0 never */
} bd_rbd;

typedef struct {
    bd_rbd *rbd;
    rbd_completion_t completion;
    int64_t result;
    int complete, abandoned;
} bd_request;

/* librbd's own threads call this. */
static void bd_completed(rbd_completion_t completion, void *arg)
{
    bd_request *q = (bd_request *)arg;
    bd_rbd *b = q->rbd;
    int64_t result = ceph.rbd_aio_get_return_value(completion);
    pthread_mutex_lock(&b->lock);
    q->result = result;
    q->complete = 1;
    b->in_flight--;
    int abandoned = q->abandoned;
    pthread_cond_broadcast(&b->changed);
    pthread_mutex_unlock(&b->lock);
    if (abandoned) {
        ceph.rbd_aio_release(completion);
        free(q);
    }
}

static void bd_not_started(bd_rbd *b)
{
    pthread_mutex_lock(&b->lock);
    b->in_flight--;
    pthread_cond_broadcast(&b->changed);
    pthread_mutex_unlock(&b->lock);
}

static bd_request *bd_new_request(bd_rbd *b, int *err)
{
    pthread_mutex_lock(&b->lock);
    int closed = b->closed;
    b->in_flight += !closed;
    pthread_mutex_unlock(&b->lock);
    *err = EBADF;
    if (closed)
        return NULL;
    bd_request *q = (bd_request *)calloc(1, sizeof *q);
    if (q && ceph.rbd_aio_create_completion(q, bd_completed, &q->completion) >= 0) {
        q->rbd = b;
        return q;
    }
    free(q);
    bd_not_started(b);
    *err = ENOMEM;
    return NULL;
}

/* rc is what starting the request returned. */
static void *bd_started(bd_request *q, int rc, int *err)
{
    if (rc >= 0)
        return q;
    bd_not_started(q->rbd);
    ceph.rbd_aio_release(q->completion);
    free(q);
    *err = -rc;
    return NULL;
}

static void *bd_rbd_read(void *device, unsigned char *buf, int64_t offset, int64_t length, int *err)
{
    bd_rbd *b = (bd_rbd *)device;
    bd_request *q = bd_new_request(b, err);
    return q ? bd_started(q, ceph.rbd_aio_read2(b->image, (uint64_t)offset, (size_t)length, (char *)buf, q->completion,
                                                BD_READ_ONCE),
                          err)
             : NULL;
}

static void *bd_rbd_write(void *device, const unsigned char *buf, int64_t offset, int64_t length, int *err)
{
    bd_rbd *b = (bd_rbd *)device;
    bd_request *q = bd_new_request(b, err);
    return q ? bd_started(q, ceph.rbd_aio_write(b->image, (uint64_t)offset, (size_t)length, (const char *)buf, q->completion),
                          err)
             : NULL;
}

/* Not a discard: that skips ranges below its granularity, and their data stays. */
static void *bd_rbd_zero_with(void *device, int64_t offset, int64_t length, int flags, int *err)
{
    bd_rbd *b = (bd_rbd *)device;
    bd_request *q = bd_new_request(b, err);
    return q ? bd_started(q, ceph.rbd_aio_write_zeroes(b->image, (uint64_t)offset, (size_t)length, q->completion, flags, 0),
                          err)
             : NULL;
}

static void *bd_rbd_zero(void *device, int64_t offset, int64_t length, int *err)
{
    return bd_rbd_zero_with(device, offset, length, 0, err);
}

static void *bd_rbd_flush(void *device, int *err)
{
    bd_rbd *b = (bd_rbd *)device;
    bd_request *q = bd_new_request(b, err);
    return q ? bd_started(q, ceph.rbd_aio_flush(b->image, q->completion), err) : NULL;
}

static struct timespec bd_soon(int ms)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    t.tv_sec += ms / 1000;
    t.tv_nsec += (long)(ms % 1000) * 1000000L;
    if (t.tv_nsec >= 1000000000L) {
        t.tv_sec++;
        t.tv_nsec -= 1000000000L;
    }
    return t;
}

/* True when the request has ended within so many milliseconds. */
static int bd_wait_some(bd_request *q, int ms)
{
    struct timespec end = bd_soon(ms);
    pthread_mutex_lock(&q->rbd->lock);
    while (!q->complete && pthread_cond_timedwait(&q->rbd->changed, &q->rbd->lock, &end) != ETIMEDOUT)
        ;
    int complete = q->complete;
    pthread_mutex_unlock(&q->rbd->lock);
    return complete;
}

/* The result of a request that has ended; the token is gone. */
static int64_t bd_take(bd_request *q)
{
    int64_t result = q->result;
    ceph.rbd_aio_release(q->completion);
    free(q);
    return result;
}

/* Leaves a request to itself: bd_completed frees it. */
static void bd_abandon(bd_request *q)
{
    pthread_mutex_lock(&q->rbd->lock);
    int complete = q->complete;
    q->abandoned = 1;
    pthread_mutex_unlock(&q->rbd->lock);
    if (complete)
        bd_take(q);
}

static int64_t bd_rbd_wait(void *device, void *token, volatile int *cancel, int *lost)
{
    bd_request *q = (bd_request *)token;
    int limit = ((bd_rbd *)device)->limit_ms, hurry = *lost;
    *lost = 0;
    for (int waited = 0; !bd_wait_some(q, 50); waited += 50)
        if (hurry || (*cancel ? !bd_wait_some(q, BD_GRACE_MS) : limit && waited >= limit)) {
            bd_abandon(q);
            *lost = 1;
            return *cancel ? -ECANCELED : -ETIMEDOUT;
        }
    return bd_take(q);
}

static bd_rbd *bd_rbd_new(rbd_image_t image)
{
    bd_rbd *b = (bd_rbd *)calloc(1, sizeof *b);
    pthread_condattr_t monotonic;
    if (!b)
        return NULL;
    b->image = image;
    b->driver = (bd_driver){b, 0, bd_rbd_read, bd_rbd_write, bd_rbd_zero, bd_rbd_wait};
    pthread_mutex_init(&b->lock, NULL);
    pthread_condattr_init(&monotonic);
    pthread_condattr_setclock(&monotonic, CLOCK_MONOTONIC);
    pthread_cond_init(&b->changed, &monotonic);
    pthread_condattr_destroy(&monotonic);
    return b;
}

/* Closes the image, unless a request is stuck in it: closing would wait for that one for ever. Then all of it is left
 * behind (-EBUSY), and the end of the process frees it. Requests are refused from now on. */
static int bd_rbd_close(bd_rbd *b)
{
    struct timespec end = bd_soon(BD_GRACE_MS);
    pthread_mutex_lock(&b->lock);
    b->closed = 1;
    while (b->in_flight && pthread_cond_timedwait(&b->changed, &b->lock, &end) != ETIMEDOUT)
        ;
    int stuck = b->in_flight;
    pthread_mutex_unlock(&b->lock);
    return stuck ? -EBUSY : ceph.rbd_close(b->image);
}

/* After it was closed, when no driver can reach it any more. */
static void bd_rbd_free(bd_rbd *b)
{
    pthread_mutex_destroy(&b->lock);
    pthread_cond_destroy(&b->changed);
    free(b);
}

/* librbd calls it whenever it cuts an image, and does not look whether there is one. */
static int bd_no_progress(uint64_t done, uint64_t total, void *arg)
{
    (void)done, (void)total, (void)arg;
    return 0;
}

/* ---- collecting a diff ---- */

typedef struct {
    bd_vec found;
    int sorted, nomem;
    volatile int *cancel;
    int64_t lo, hi;               /* what was asked for: older releases give whole objects beyond it */
} bd_diff;

static int bd_diff_found(uint64_t offset, size_t length, int exists, void *arg)
{
    bd_diff *d = (bd_diff *)arg;
    int64_t lo = (int64_t)offset, hi = lo + (int64_t)length;
    if (*d->cancel)
        return -ECANCELED;
    lo = lo < d->lo ? d->lo : lo;
    hi = hi > d->hi ? d->hi : hi;
    if (lo >= hi)
        return 0;
    if (d->found.n) {
        const bd_extent *last = &d->found.items[d->found.n - 1];
        if (lo < last->offset + last->length)
            d->sorted = 0; /* striping: the extents come object by object */
    }
    if (bd_push_joined(&d->found, lo, hi - lo, exists ? BD_KIND_DATA : BD_KIND_ZERO) < 0) {
        d->nomem = 1;
        return -ENOMEM;
    }
    return 0;
}

static int bd_by_offset(const void *a, const void *b)
{
    const bd_extent *x = (const bd_extent *)a, *y = (const bd_extent *)b;
    return x->offset != y->offset ? (x->offset < y->offset ? -1 : 1) : (int)x->kind - (int)y->kind;
}

/* Sorts and joins. Where two extents overlap the bytes are called data: they must be read. -1: no memory. */
static int bd_diff_sort(bd_diff *d)
{
    bd_vec out = {NULL, 0, 0};
    if (d->sorted || d->found.n == 0)
        return 0;
    qsort(d->found.items, d->found.n, sizeof *d->found.items, bd_by_offset);
    bd_extent run = d->found.items[0];
    for (size_t i = 1; i < d->found.n; i++) {
        bd_extent e = d->found.items[i];
        int64_t end = run.offset + run.length;
        if (e.offset > end || (e.offset == end && e.kind != run.kind)) {
            if (bd_push(&out, run.offset, run.length, run.kind) < 0)
                goto nomem;
            run = e;
            continue;
        }
        if (e.offset < end && e.kind != run.kind)
            bd_set_kind(&run, BD_KIND_DATA);
        if (e.offset + e.length > end)
            run.length = e.offset + e.length - run.offset;
    }
    if (bd_push(&out, run.offset, run.length, run.kind) < 0)
        goto nomem;
    bd_free(&d->found);
    d->found = out;
    return 0;
nomem:
    bd_free(&out);
    return -1;
}

/* The diffs of some ranges, one after the other, as one. The base is from_id where librbd takes numbers, which no other
 * snapshot ever has; else the name from. 0 or -errno. */
static int bd_diff_ranges(bd_diff *d, rbd_image_t image, const char *from, uint64_t from_id, const bd_extent *ranges, size_t n,
                          int parent, int whole)
{
    for (size_t i = 0; i < n; i++) {
        if (*d->cancel)
            return -ECANCELED;
        d->lo = ranges[i].offset;
        d->hi = ranges[i].offset + ranges[i].length;
        uint64_t at = (uint64_t)d->lo, length = (uint64_t)ranges[i].length;
        int rc = from_id && ceph.rbd_diff_iterate3
                     ? ceph.rbd_diff_iterate3(image, from_id, at, length, (uint8_t)parent, (uint8_t)whole, bd_diff_found, d)
                     : ceph.rbd_diff_iterate2(image, from, at, length, (uint8_t)parent, (uint8_t)whole, bd_diff_found, d);
        if (rc < 0)
            return rc;
    }
    if (bd_diff_sort(d) < 0)
        d->nomem = 1;
    return 0;
}

#endif
