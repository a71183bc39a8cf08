/* Asynchronous O_DIRECT reads by the raw libaio system calls: no library needed, and containers that block io_uring
 * still allow them. Also cachestat(2), which glibc does not wrap yet. */
#ifndef BLOCKDIFF_AIO_H
#define BLOCKDIFF_AIO_H

#include <errno.h>
#include <linux/aio_abi.h>
#include <pthread.h>
#include <stdint.h>
#include <string.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#ifndef __NR_cachestat
#define __NR_cachestat 451
#endif

static inline int bd_io_setup(unsigned n, aio_context_t *ctx) { return (int)syscall(__NR_io_setup, n, ctx); }
static inline int bd_io_destroy(aio_context_t ctx) { return (int)syscall(__NR_io_destroy, ctx); }
static inline int bd_io_submit(aio_context_t ctx, long n, struct iocb **iocbs)
{
    return (int)syscall(__NR_io_submit, ctx, n, iocbs);
}
static inline int bd_io_getevents(aio_context_t ctx, long min, long n, struct io_event *events, struct timespec *wait)
{
    return (int)syscall(__NR_io_getevents, ctx, min, n, events, wait);
}

/* Contexts that nobody uses. io_destroy waits for the kernel's other processors, some 30 ms: a context is used again, and
 * what is left when the process ends is given back all at once. */
#define BD_EVENTS 32 /* of a context */
#define BD_IO_SPARE 16
static struct {
    pthread_mutex_t lock;
    aio_context_t items[BD_IO_SPARE];
    int count;
    pid_t pid;                    /* a child has none of its parent's */
} bd_io_spare = {.lock = PTHREAD_MUTEX_INITIALIZER};

/* A context for BD_EVENTS. 0, or -1 with errno. */
static int bd_io_take(aio_context_t *ctx)
{
    *ctx = 0;
    pthread_mutex_lock(&bd_io_spare.lock);
    if (bd_io_spare.pid != getpid())
        bd_io_spare.count = 0;
    if (bd_io_spare.count > 0)
        *ctx = bd_io_spare.items[--bd_io_spare.count];
    pthread_mutex_unlock(&bd_io_spare.lock);
    return *ctx ? 0 : bd_io_setup(BD_EVENTS, ctx);
}

/* Takes a context back in which nothing is under way. */
static void bd_io_give(aio_context_t ctx)
{
    pthread_mutex_lock(&bd_io_spare.lock);
    if (bd_io_spare.pid != getpid())
        bd_io_spare.count = 0;
    bd_io_spare.pid = getpid();
    int room = bd_io_spare.count < BD_IO_SPARE;
    if (room)
        bd_io_spare.items[bd_io_spare.count++] = ctx;
    pthread_mutex_unlock(&bd_io_spare.lock);
    if (!room)
        bd_io_destroy(ctx);
}

struct bd_cachestat_range { uint64_t off, len; };
struct bd_cachestat { uint64_t cached, dirty, writeback, evicted, recently_evicted; };

/* Bytes of [offset, offset + length) in the page cache, or -1 where the kernel cannot tell. */
static int64_t bd_cached_bytes(int fd, int64_t offset, int64_t length)
{
    struct bd_cachestat_range range = {(uint64_t)offset, (uint64_t)length};
    struct bd_cachestat stat;
    if (syscall(__NR_cachestat, fd, &range, &stat, 0) != 0)
        return -1;
    return (int64_t)(stat.cached * (uint64_t)sysconf(_SC_PAGESIZE));
}

#endif
