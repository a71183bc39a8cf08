/* librados and librbd, found at run time: one build works with and without Ceph installed. Types and signatures are those
 * of the public C interface of Ceph 16 (librados.h, librbd.h). No Python here. */
#ifndef BLOCKDIFF_CEPH_H
#define BLOCKDIFF_CEPH_H

#include <dlfcn.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/types.h>
#include <time.h>

typedef void *rados_t, *rados_ioctx_t, *rados_completion_t, *rados_read_op_t;
typedef void *rbd_image_t, *rbd_completion_t, *rbd_image_options_t;
typedef void (*rbd_callback_t)(rbd_completion_t, void *);
typedef int (*bd_diff_callback_t)(uint64_t, size_t, int, void *);

typedef struct { uint64_t id, size; const char *name; } bd_rbd_snap;
typedef struct { char *addr; int64_t id; uint64_t cookie; } bd_rbd_watcher;
typedef struct { int64_t pool_id; char *pool_name, *pool_namespace, *image_id, *image_name; bool trash; } bd_rbd_parent;
typedef struct { uint64_t id; int namespace_type; char *name; } bd_rbd_parent_snap;
typedef struct { char *id, *name; int source; time_t deletion, deferment_end; } bd_rbd_trash;
typedef struct { char *id, *name; } bd_rbd_spec;
typedef struct {
    uint64_t size, obj_size, num_objs;
    int order;
    char block_name_prefix[24];
    int64_t parent_pool;
    char parent_name[96];
} bd_rbd_info;

/* library, result, name, arguments */
#define BD_CEPH_SYMBOLS(X) \
    X(rados, void, rados_version, (int *, int *, int *)) \
    X(rados, int, rados_create2, (rados_t *, const char *, const char *, uint64_t)) \
    X(rados, int, rados_conf_read_file, (rados_t, const char *)) \
    X(rados, int, rados_conf_parse_env, (rados_t, const char *)) \
    X(rados, int, rados_conf_set, (rados_t, const char *, const char *)) \
    X(rados, int, rados_conf_get, (rados_t, const char *, char *, size_t)) \
    X(rados, int, rados_connect, (rados_t)) \
    X(rados, void, rados_shutdown, (rados_t)) \
    X(rados, int, rados_cluster_fsid, (rados_t, char *, size_t)) \
    X(rados, uint64_t, rados_get_instance_id, (rados_t)) \
    X(rados, int64_t, rados_pool_lookup, (rados_t, const char *)) \
    X(rados, int, rados_pool_reverse_lookup, (rados_t, int64_t, char *, size_t)) \
    X(rados, int, rados_mon_command, (rados_t, const char **, size_t, const char *, size_t, char **, size_t *, char **, size_t *)) \
    X(rados, void, rados_buffer_free, (char *)) \
    X(rados, int, rados_ioctx_create, (rados_t, const char *, rados_ioctx_t *)) \
    X(rados, int, rados_ioctx_create2, (rados_t, int64_t, rados_ioctx_t *)) \
    X(rados, void, rados_ioctx_destroy, (rados_ioctx_t)) \
    X(rados, int64_t, rados_ioctx_get_id, (rados_ioctx_t)) \
    X(rados, void, rados_ioctx_set_namespace, (rados_ioctx_t, const char *)) \
    X(rados, void, rados_ioctx_snap_set_read, (rados_ioctx_t, uint64_t)) \
    X(rados, int, rados_exec, (rados_ioctx_t, const char *, const char *, const char *, const char *, size_t, char *, size_t)) \
    X(rados, rados_read_op_t, rados_create_read_op, (void)) \
    X(rados, void, rados_release_read_op, (rados_read_op_t)) \
    X(rados, void, rados_read_op_stat, (rados_read_op_t, uint64_t *, time_t *, int *)) \
    X(rados, void, rados_read_op_checksum, (rados_read_op_t, int, const char *, size_t, uint64_t, size_t, size_t, char *, size_t, int *)) \
    X(rados, int, rados_aio_create_completion2, (void *, void (*)(rados_completion_t, void *), rados_completion_t *)) \
    X(rados, int, rados_aio_is_complete, (rados_completion_t)) \
    X(rados, int, rados_aio_wait_for_complete, (rados_completion_t)) \
    X(rados, int, rados_aio_get_return_value, (rados_completion_t)) \
    X(rados, void, rados_aio_release, (rados_completion_t)) \
    X(rados, int, rados_aio_cancel, (rados_ioctx_t, rados_completion_t)) \
    X(rados, int, rados_aio_read_op_operate, (rados_read_op_t, rados_ioctx_t, rados_completion_t, const char *, int)) \
    X(rbd, void, rbd_version, (int *, int *, int *)) \
    X(rbd, int, rbd_open, (rados_ioctx_t, const char *, rbd_image_t *, const char *)) \
    X(rbd, int, rbd_open_by_id, (rados_ioctx_t, const char *, rbd_image_t *, const char *)) \
    X(rbd, int, rbd_open_read_only, (rados_ioctx_t, const char *, rbd_image_t *, const char *)) \
    X(rbd, int, rbd_open_by_id_read_only, (rados_ioctx_t, const char *, rbd_image_t *, const char *)) \
    X(rbd, int, rbd_close, (rbd_image_t)) \
    X(rbd, int, rbd_create4, (rados_ioctx_t, const char *, uint64_t, rbd_image_options_t)) \
    X(rbd, void, rbd_image_options_create, (rbd_image_options_t *)) \
    X(rbd, void, rbd_image_options_destroy, (rbd_image_options_t)) \
    X(rbd, int, rbd_image_options_set_uint64, (rbd_image_options_t, int, uint64_t)) \
    X(rbd, int, rbd_image_options_set_string, (rbd_image_options_t, int, const char *)) \
    X(rbd, int, rbd_resize2, (rbd_image_t, uint64_t, bool, int (*)(uint64_t, uint64_t, void *), void *)) \
    X(rbd, int, rbd_stat, (rbd_image_t, bd_rbd_info *, size_t)) \
    X(rbd, int, rbd_get_size, (rbd_image_t, uint64_t *)) \
    X(rbd, int, rbd_get_old_format, (rbd_image_t, uint8_t *)) \
    X(rbd, int, rbd_get_features, (rbd_image_t, uint64_t *)) \
    X(rbd, int, rbd_get_flags, (rbd_image_t, uint64_t *)) \
    X(rbd, int, rbd_get_stripe_unit, (rbd_image_t, uint64_t *)) \
    X(rbd, int, rbd_get_stripe_count, (rbd_image_t, uint64_t *)) \
    X(rbd, int, rbd_get_overlap, (rbd_image_t, uint64_t *)) \
    X(rbd, int, rbd_get_name, (rbd_image_t, char *, size_t *)) \
    X(rbd, int, rbd_get_id, (rbd_image_t, char *, size_t)) \
    X(rbd, int, rbd_get_block_name_prefix, (rbd_image_t, char *, size_t)) \
    X(rbd, int64_t, rbd_get_data_pool_id, (rbd_image_t)) \
    X(rbd, int, rbd_get_parent, (rbd_image_t, bd_rbd_parent *, bd_rbd_parent_snap *)) \
    X(rbd, void, rbd_linked_image_spec_cleanup, (bd_rbd_parent *)) \
    X(rbd, void, rbd_snap_spec_cleanup, (bd_rbd_parent_snap *)) \
    X(rbd, int, rbd_watchers_list, (rbd_image_t, bd_rbd_watcher *, size_t *)) \
    X(rbd, void, rbd_watchers_list_cleanup, (bd_rbd_watcher *, size_t)) \
    X(rbd, ssize_t, rbd_list_lockers, (rbd_image_t, int *, char *, size_t *, char *, size_t *, char *, size_t *, char *, size_t *)) \
    X(rbd, int, rbd_snap_list, (rbd_image_t, bd_rbd_snap *, int *)) \
    X(rbd, void, rbd_snap_list_end, (bd_rbd_snap *)) \
    X(rbd, int, rbd_snap_get_namespace_type, (rbd_image_t, uint64_t, int *)) \
    X(rbd, int, rbd_snap_get_timestamp, (rbd_image_t, uint64_t, struct timespec *)) \
    X(rbd, int, rbd_snap_set_by_id, (rbd_image_t, uint64_t)) \
    X(rbd, int, rbd_snap_create, (rbd_image_t, const char *)) \
    X(rbd, int, rbd_diff_iterate2, (rbd_image_t, const char *, uint64_t, uint64_t, uint8_t, uint8_t, bd_diff_callback_t, void *)) \
    X(rbd, int, rbd_aio_create_completion, (void *, rbd_callback_t, rbd_completion_t *)) \
    X(rbd, void, rbd_aio_release, (rbd_completion_t)) \
    X(rbd, ssize_t, rbd_aio_get_return_value, (rbd_completion_t)) \
    X(rbd, int, rbd_aio_read2, (rbd_image_t, uint64_t, size_t, char *, rbd_completion_t, int)) \
    X(rbd, int, rbd_aio_write, (rbd_image_t, uint64_t, size_t, const char *, rbd_completion_t)) \
    X(rbd, int, rbd_aio_write_zeroes, (rbd_image_t, uint64_t, size_t, rbd_completion_t, int, int)) \
    X(rbd, int, rbd_aio_flush, (rbd_image_t, rbd_completion_t)) \
    X(rbd, int, rbd_metadata_get, (rbd_image_t, const char *, char *, size_t *)) \
    X(rbd, int, rbd_metadata_set, (rbd_image_t, const char *, const char *)) \
    X(rbd, int, rbd_metadata_remove, (rbd_image_t, const char *)) \
    X(rbd, int, rbd_list2, (rados_ioctx_t, bd_rbd_spec *, size_t *)) \
    X(rbd, void, rbd_image_spec_list_cleanup, (bd_rbd_spec *, size_t)) \
    X(rbd, int, rbd_trash_list, (rados_ioctx_t, bd_rbd_trash *, size_t *)) \
    X(rbd, void, rbd_trash_list_cleanup, (bd_rbd_trash *, size_t)) \
    X(rbd, int, rbd_namespace_exists, (rados_ioctx_t, const char *, bool *))

/* Not in Ceph 16: NULL where it is missing. By snapshot id, so also from a snapshot that has no name of its own. */
#define BD_CEPH_OPTIONAL(X) \
    X(rbd, int, rbd_diff_iterate3, (rbd_image_t, uint64_t, uint64_t, uint64_t, uint8_t, uint8_t, bd_diff_callback_t, void *))

#define BD_CEPH_MEMBER(library, result, name, arguments) result (*name) arguments;
typedef struct {
    void *rados, *rbd;
    BD_CEPH_SYMBOLS(BD_CEPH_MEMBER)
    BD_CEPH_OPTIONAL(BD_CEPH_MEMBER)
} bd_ceph_calls;
static bd_ceph_calls ceph;

enum { BD_CEPH_LOADED = 0, BD_CEPH_NO_LIBRARY = 1, BD_CEPH_NO_SYMBOL = 2 };

/* Loads both libraries once. Otherwise *library is the one that is missing or too old, and why says what dlopen said or
 * which symbol is missing. */
static int bd_ceph_load(const char *rados, const char *rbd, const char **library, char *why, size_t size)
{
    if (ceph.rados && ceph.rbd)
        return BD_CEPH_LOADED;
    void *handle[2] = {dlopen(rados, RTLD_NOW | RTLD_LOCAL), NULL};
    if (handle[0])
        handle[1] = dlopen(rbd, RTLD_NOW | RTLD_LOCAL);
    if (!handle[0] || !handle[1]) {
        const char *said = dlerror();
        *library = handle[0] ? rbd : rados;
        snprintf(why, size, "%s", said ? said : "it cannot be loaded");
        return BD_CEPH_NO_LIBRARY;
    }
#define BD_CEPH_FIND(lib, result, name, arguments) \
    *(void **)&ceph.name = dlsym(!strcmp(#lib, "rados") ? handle[0] : handle[1], #name);
#define BD_CEPH_NEED(lib, result, name, arguments) \
    BD_CEPH_FIND(lib, result, name, arguments) \
    if (!ceph.name) { \
        *library = !strcmp(#lib, "rados") ? rados : rbd; \
        snprintf(why, size, "%s", #name); \
        return BD_CEPH_NO_SYMBOL; \
    }
    BD_CEPH_SYMBOLS(BD_CEPH_NEED)
    BD_CEPH_OPTIONAL(BD_CEPH_FIND)
    ceph.rados = handle[0];
    ceph.rbd = handle[1];
    return BD_CEPH_LOADED;
}

#endif
