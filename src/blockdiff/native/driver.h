/* What the reader asks of a device that is no file descriptor: requests in flight, and a wait that can be given up.
 * A driver is handed from one extension to another as a capsule named BD_DRIVER_NAME; whoever makes it keeps it alive. */
#ifndef BLOCKDIFF_DRIVER_H
#define BLOCKDIFF_DRIVER_H

#include <stdint.h>

#define BD_DRIVER_NAME "blockdiff.driver.1"

typedef struct {
    void *device;
    int64_t size;
    /* Each starts a request and gives a token for wait; NULL: not started, *err is an errno. The buffer belongs to the
     * request until wait has returned. */
    void *(*read)(void *device, unsigned char *buf, int64_t offset, int64_t length, int *err);
    void *(*write)(void *device, const unsigned char *buf, int64_t offset, int64_t length, int *err);
    void *(*zero)(void *device, int64_t offset, int64_t length, int *err);
    /* The bytes done (writes and zeroing: 0 or more), or -errno. When *cancel becomes true first, or nothing happens for
     * far too long, the request is given up: it may still go on, *lost is set, and its buffer must never be freed or used
     * again. *lost true before says that another one was given up already: there is no patience left. The token is gone
     * afterwards in any case. */
    int64_t (*wait)(void *device, void *token, volatile int *cancel, int *lost);
} bd_driver;

#endif
