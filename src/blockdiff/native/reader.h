/* Reads two devices chunk by chunk (chunk.h) and judges, or writes, the bytes in order. One bd_reader belongs to one
 * worker thread. */
#ifndef BLOCKDIFF_READER_H
#define BLOCKDIFF_READER_H

#include "chunk.h"

static int bd_write_chunk(bd_reader *r, bd_slot *k, int64_t offset, int64_t length, const unsigned char *p);

/* What is done with the bytes of a chunk. BD_OK, a BD_E_ code, or 1: a page of a mapping vanished. */
static int bd_look(bd_reader *r, uint8_t seg, unsigned char *const *p, int64_t offset, int64_t length, int mapped)
{
    int64_t g = r->granularity;
    if (r->digests && mapped)
        return bd_guarded_digest(r->digests, p[0], offset, length, g, r->out);
    if (r->digests)
        return bd_digest(r->digests, p[0], offset, length, g, r->out);
    if (mapped)
        return bd_guarded_judge(seg, p[0], (size_t)length, p[1], (size_t)length, offset, length, g, r->strict, r->out);
    return bd_judge(seg, p[0], p[1], offset, length, g, r->strict, r->out) < 0 ? BD_E_NOMEM : BD_OK;
}

/* Reads and judges [offset, offset + length), at most one granule, by hand. 0, a BD_E_ code, or 1: unreadable sides in
 * *unreadable (only with keep_going or try). */
static int bd_slow_granule(bd_reader *r, bd_slot *k, int64_t offset, int64_t length, int try, int *unreadable)
{
    unsigned char *p[2] = {NULL, NULL};
    int rc;
    *unreadable = 0;
    for (int s = 0; s < 2; s++) {
        if (!bd_reads(k->seg, s))
            continue;
        rc = bd_read_by_hand(r, k, s, offset, length, &p[s]);
        if (rc == BD_E_CANCELLED)
            return rc;
        if (rc < 0)
            return bd_fail(r, BD_E_SHORT, s, 0, offset, length);
        if (rc > 0 && (r->lost || (!r->keep_going && !try)))  /* lost: the buffer is not ours any more */
            return bd_fail(r, BD_E_READ, s, rc, offset, length);
        if (rc > 0)
            *unreadable |= 1 << s;
    }
    if (*unreadable)
        return 1;
    for (int s = 0; s < 2; s++)
        if (bd_reads(k->seg, s))
            r->side[s].bytes[k->path[s] == BD_PATH_MMAP ? BD_PATH_BUFFERED : k->path[s]] += length;
    r->compared += length;
    if (k->seg == BD_SEG_COPY) {
        rc = bd_write_chunk(r, k, offset, length, p[0]);
        if (rc == BD_OK && k->writes)
            rc = bd_await_writes(r, k);  /* the buffer is used again for the next granule */
        return rc;
    }
    return bd_look(r, k->seg, p, offset, length, 0);
}

/* Something in this chunk cannot be read: find out which blocks of which side, judge the others. Without keep_going the
 * first unreadable block is the error. Granules that can be read are judged whole, so that the findings are the same as
 * on a healthy disk. */
static int bd_slow_chunk(bd_reader *r, bd_slot *k)
{
    int64_t end = k->offset + k->length;
    int unreadable, rc;
    if ((!r->buf[0] || !r->buf[1]) && bd_alloc_buffers(r) < 0)
        return BD_E_NOMEM;
    for (int64_t at = k->offset, e; at < end; at = e) {
        e = bd_granule_end(at, r->granularity, end);
        if (r->cancel)
            return BD_E_CANCELLED;
        rc = bd_slow_granule(r, k, at, e - at, e - at > 4096 && !r->digests, &unreadable);
        if (rc < 0)
            return rc;
        for (int64_t sub = at, stop; rc == 1 && sub < e; sub = stop) {
            stop = bd_granule_end(sub, 4096, e);
            int sub_rc = bd_slow_granule(r, k, sub, stop - sub, 0, &unreadable);
            if (sub_rc < 0)
                return sub_rc;
            if (sub_rc == 1 && bd_push_joined(r->bad, sub, stop - sub, (uint8_t)unreadable) < 0)
                return BD_E_NOMEM;
        }
    }
    return BD_OK;
}

/* Starts writing a run of a chunk by the driver; bd_await_writes sees how it ended. */
static int bd_start_write(bd_reader *r, bd_slot *k, int64_t offset, int64_t length, const unsigned char *p)
{
    const bd_driver *d = r->write_driver;
    int err = EIO, rc = k->writes == BD_MAX_WRITES ? bd_await_writes(r, k) : BD_OK;
    if (rc != BD_OK || length == 0)
        return rc;
    void *token = d->write(d->device, p, offset, length, &err);
    if (!token)
        return bd_fail(r, BD_E_WRITE, 1, err, offset, length);
    k->write[k->writes] = token;
    k->write_at[k->writes] = offset;
    k->write_length[k->writes++] = length;
    return BD_OK;
}

/* Makes a range of the target a hole. False: not possible here, the zeroes are to be written. */
static int bd_punch(bd_reader *r, int64_t offset, int64_t length)
{
    int err = EIO;
    if (!r->write_driver)
        return fallocate(r->write_fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, offset, length) == 0;
    void *token = r->write_driver->zero(r->write_driver->device, offset, length, &err);
    return token && bd_wait_token(r, r->write_driver, token, 0) == 0;
}

/* Writes a chunk of the source; zeroes are punched when write_sparse. 1: the source's page vanished. */
static int bd_write_range(bd_reader *r, bd_slot *k, int64_t offset, int64_t length, const unsigned char *p)
{
    if (r->write_driver)
        return bd_start_write(r, k, offset, length, p);
    while (length > 0) {
        ssize_t n = pwrite(r->write_fd, p, (size_t)length, offset);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0 && errno == EFAULT)
            return 1;
        if (n <= 0)
            return bd_fail(r, BD_E_WRITE, 1, n < 0 ? errno : EIO, offset, length);
        p += n;
        offset += n;
        length -= n;
        r->written += n;
    }
    return 0;
}

static int bd_write_chunk(bd_reader *r, bd_slot *k, int64_t offset, int64_t length, const unsigned char *p)
{
    int64_t end = offset + length, run = offset;
    int rc;
    if (!r->write_sparse)
        return bd_write_range(r, k, offset, length, p);
    for (int64_t at = offset, e; at < end; at = e) {
        e = bd_granule_end(at, r->granularity, end);
        if (!bd_is_zero(p + (at - offset), (size_t)(e - at)))
            continue;
        while (e < end &&
               bd_is_zero(p + (e - offset), (size_t)(bd_granule_end(e, r->granularity, end) - e)))
            e = bd_granule_end(e, r->granularity, end); /* one request for a run of zeroes */
        int punched = bd_punch(r, at, e - at);
        if (!punched && r->lost)
            return bd_fail(r, r->cancel ? BD_E_CANCELLED : BD_E_WRITE, 1, ETIMEDOUT, at, e - at);
        if (!punched)
            continue; /* cannot punch here: the zeroes are written with the run */
        if ((rc = bd_write_range(r, k, run, at - run, p + (run - offset))) != 0)
            return rc;
        r->punched += e - at;
        run = e;
    }
    return bd_write_range(r, k, run, end - run, p + (run - offset));
}

/* Gets the bytes of a chunk whose reads were submitted, and judges them. */
static int bd_finish_chunk(bd_reader *r, bd_slot *k)
{
    unsigned char *p[2] = {NULL, NULL};
    void *map_lo[2] = {MAP_FAILED, MAP_FAILED};
    size_t map_len[2] = {0, 0};
    int rc = 0, mapped = 0, failed = 0, side = 0, reads = (k->path[0] != BD_PATH_NONE) + (k->path[1] != BD_PATH_NONE);
    bd_await(r, k);
    int64_t began = bd_now_ns();
    for (int s = 0; s < 2 && !failed; s++) {
        if (k->path[s] == BD_PATH_NONE)
            continue;
        side = s;
        if (k->path[s] == BD_PATH_MMAP) {
            p[s] = (unsigned char *)bd_map_window(&r->side[s], k->offset, k->length, &map_lo[s], &map_len[s]);
            mapped++;
            failed = p[s] == NULL;
            if (failed)
                map_lo[s] = MAP_FAILED;
        } else {
            rc = bd_complete(r, k, s, &p[s]);
            failed = rc == BD_E_CANCELLED ? 3 : rc < 0 ? 2 : rc != 0;
        }
    }
    if (failed)
        bd_drop_tokens(r, k); /* the other side's read is in the buffer that the slow way uses */
    if (failed == 3 || (failed && r->cancel && r->lost))
        return BD_E_CANCELLED;
    if (failed && r->lost) /* the buffer belongs to a request that never ended: nothing more can be read into it */
        return bd_fail(r, BD_E_READ, side, rc > 0 ? rc : ETIMEDOUT, k->offset, k->length);
    if (!failed) {
        if (k->seg == BD_SEG_COPY)
            rc = bd_write_chunk(r, k, k->offset, k->length, p[0]);
        else
            rc = bd_look(r, k->seg, p, k->offset, k->length, mapped);
        failed = rc == 1;
    }
    for (int s = 0; s < 2; s++) {
        if (map_lo[s] != MAP_FAILED)
            munmap(map_lo[s], map_len[s]);
        if (!failed && k->path[s] != BD_PATH_NONE)
            r->side[s].bytes[k->path[s]] += k->length;
    }
    if (failed)
        return bd_slow_chunk(r, k);
    if (rc < 0)
        return rc == -1 ? BD_E_NOMEM : rc;
    r->compared += k->length;
    if (k->length > BD_TINY && (k->copied || mapped == reads) && k->seg != BD_SEG_COPY)
        bd_note_cost(r, k->copied, bd_now_ns() - began, k->length * reads);
    return BD_OK;
}

/* Many small chunks may be asked for at once, big ones one after the other. */
static int bd_enough_ahead(const bd_reader *r)
{
    return r->most_ahead && r->tail != r->head && r->ahead >= r->most_ahead;
}

/* Judges all segments (ascending). out and bad receive the findings; the error fields tell the first trouble. */
static int bd_run(bd_reader *r, const bd_extent *segs, size_t n, bd_vec *out, bd_vec *bad)
{
    int rc = BD_OK, more = 1;
    r->segs = segs;
    r->n = n;
    r->i = 0;
    r->pos = r->region_end = 0;
    r->done = r->head = r->tail = 0;
    r->ahead = 0;
    r->out = out;
    r->bad = bad;
    if (r->lost && n) /* a request of an earlier run may still write to the buffers */
        return bd_fail(r, r->cancel ? BD_E_CANCELLED : BD_E_READ, 0, ETIMEDOUT, segs[0].offset, segs[0].length);
    while (rc == BD_OK) {
        if (r->cancel) {
            rc = BD_E_CANCELLED;
            break;
        }
        while (r->done != r->head && r->slots[r->done % (unsigned)r->qd].writes == 0)
            r->done++;
        if (r->done == r->tail)
            r->done = r->head = r->tail = 0; /* nothing is under way: the same buffer again, it is in the processor's cache */
        while (more && rc == BD_OK && r->tail - r->head < (unsigned)r->qd && !bd_enough_ahead(r)) {
            bd_slot *k = &r->slots[r->tail % (unsigned)r->qd];
            if (r->tail - r->done == (unsigned)r->qd) {
                /* all slots are taken, the oldest by writes: while reads are there to be judged, let it write on */
                if (r->head != r->tail && r->tail - r->head > (unsigned)r->qd / 2)
                    break;
                rc = bd_await_writes(r, &r->slots[r->done % (unsigned)r->qd]);
                r->done++;
                if (rc != BD_OK)
                    break;
            }
            more = bd_next_chunk(r, k);
            if (more) {
                rc = bd_submit(r, k);
                r->tail++;
                r->ahead += k->length;
            }
        }
        if (rc != BD_OK || r->head == r->tail)
            break;
        rc = bd_finish_chunk(r, &r->slots[r->head % (unsigned)r->qd]);
        r->ahead -= r->slots[r->head % (unsigned)r->qd].length;
        r->head++;
    }
    bd_drain(r);
    return bd_drain_writes(r, rc);
}

#endif
