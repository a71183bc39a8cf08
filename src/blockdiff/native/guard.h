/* A mapped page can vanish between populating it and reading it (the file was truncated, or the disk failed): SIGBUS.
 * bd_guarded_judge turns that into a return value, and so does bd_guarded_digest (digest.h). The handler is chained: faults outside our windows go to whoever
 * handled SIGBUS before. */
#ifndef BLOCKDIFF_GUARD_H
#define BLOCKDIFF_GUARD_H

#include <setjmp.h>
#include <signal.h>
#include <stdint.h>
#include <sys/mman.h>
#include <unistd.h>

#include "kernel.h"

typedef struct {
    volatile sig_atomic_t active;
    sigjmp_buf jump;
    uintptr_t lo[2], hi[2];
    volatile sig_atomic_t replace, vanished; /* zeroes take the place of a page that is gone, and vanished says so */
} bd_guard;

static __thread bd_guard bd_thread_guard;
static struct sigaction bd_old_sigbus;
static volatile sig_atomic_t bd_chained;
static long bd_page_size;

static void bd_on_sigbus(int sig, siginfo_t *info, void *context)
{
    bd_guard *g = &bd_thread_guard;
    uintptr_t at = (uintptr_t)info->si_addr;
    if (g->active && ((at >= g->lo[0] && at < g->hi[0]) || (at >= g->lo[1] && at < g->hi[1]))) {
        if (!g->replace) {
            g->active = 0;
            siglongjmp(g->jump, 1);
        }
        uintptr_t page = (uintptr_t)bd_page_size;
        g->vanished = 1;
        if (mmap((void *)(at - at % page), page, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0) != MAP_FAILED)
            return;
    }
    if (!bd_chained && (bd_old_sigbus.sa_flags & SA_SIGINFO) && bd_old_sigbus.sa_sigaction) {
        bd_chained = 1;
        bd_old_sigbus.sa_sigaction(sig, info, context);
        return;
    }
    if (!bd_chained && !(bd_old_sigbus.sa_flags & SA_SIGINFO) && bd_old_sigbus.sa_handler != SIG_DFL &&
        bd_old_sigbus.sa_handler != SIG_IGN) {
        bd_chained = 1;
        bd_old_sigbus.sa_handler(sig);
        return;
    }
    signal(SIGBUS, SIG_DFL); /* not ours and nobody else's: let the fault happen again and end the process */
}

/* (Re)installs the handler when somebody, such as faulthandler, has put his own over it. The caller holds the GIL. */
static int bd_guard_install(void)
{
    struct sigaction now, ours;
    bd_page_size = sysconf(_SC_PAGESIZE);
    if (sigaction(SIGBUS, NULL, &now) < 0)
        return -1;
    if ((now.sa_flags & SA_SIGINFO) && now.sa_sigaction == bd_on_sigbus)
        return 0;
    memset(&ours, 0, sizeof ours);
    ours.sa_sigaction = bd_on_sigbus;
    ours.sa_flags = SA_SIGINFO | SA_NODEFER;
    sigemptyset(&ours.sa_mask);
    bd_old_sigbus = now;
    return sigaction(SIGBUS, &ours, NULL);
}

/* 0 done, -1 out of memory, 1 a page of a window vanished (out is as it was before). */
static int bd_guarded_judge(uint8_t seg, const unsigned char *a, size_t alen, const unsigned char *b, size_t blen,
                            int64_t offset, int64_t length, int64_t gran, int strict, bd_vec *out)
{
    bd_guard *g = &bd_thread_guard;
    volatile size_t before = out->n;
    volatile int64_t last = before ? out->items[before - 1].length : 0;
    g->lo[0] = (uintptr_t)a;
    g->hi[0] = (uintptr_t)a + (a ? alen : 0);
    g->lo[1] = (uintptr_t)b;
    g->hi[1] = (uintptr_t)b + (b ? blen : 0);
    if (sigsetjmp(g->jump, 0)) {
        out->n = before;
        if (before)
            out->items[before - 1].length = last;
        return 1;
    }
    g->active = 1;
    int rc = bd_judge(seg, a, b, offset, length, gran, strict, out);
    g->active = 0;
    return rc;
}

#endif
