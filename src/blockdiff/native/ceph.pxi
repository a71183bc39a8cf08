# Loading the libraries, and the error that every call may raise.

cdef extern from "stdbool.h":
    ctypedef bint c_bool "bool"

cdef extern from "time.h" nogil:
    ctypedef struct bd_timespec "struct timespec":
        int64_t tv_sec
        long tv_nsec

cdef extern from "ceph.h" nogil:
    ctypedef void *rados_t
    ctypedef void *rados_ioctx_t
    ctypedef void *rbd_image_t
    ctypedef void *rbd_image_options_t
    ctypedef struct bd_rbd_snap:
        uint64_t id
        uint64_t size
        const char *name
    ctypedef struct bd_rbd_watcher:
        char *addr
        int64_t id
        uint64_t cookie
    ctypedef struct bd_rbd_parent:
        int64_t pool_id
        char *pool_name
        char *pool_namespace
        char *image_id
        char *image_name
        c_bool trash
    ctypedef struct bd_rbd_parent_snap:
        uint64_t id
        int namespace_type
        char *name
    ctypedef struct bd_rbd_trash:
        char *id
        char *name
        int source
    ctypedef struct bd_rbd_spec:
        char *id
        char *name
    ctypedef struct bd_rbd_info:
        uint64_t size
        uint64_t obj_size
        uint64_t num_objs
        int order
    ctypedef struct bd_ceph_calls:
        void rados_version(int *, int *, int *) noexcept nogil
        int rados_create2(rados_t *, const char *, const char *, uint64_t) noexcept nogil
        int rados_conf_read_file(rados_t, const char *) noexcept nogil
        int rados_conf_parse_env(rados_t, const char *) noexcept nogil
        int rados_conf_set(rados_t, const char *, const char *) noexcept nogil
        int rados_conf_get(rados_t, const char *, char *, size_t) noexcept nogil
        int rados_connect(rados_t) noexcept nogil
        void rados_shutdown(rados_t) noexcept nogil
        int rados_cluster_fsid(rados_t, char *, size_t) noexcept nogil
        uint64_t rados_get_instance_id(rados_t) noexcept nogil
        int64_t rados_pool_lookup(rados_t, const char *) noexcept nogil
        int rados_pool_reverse_lookup(rados_t, int64_t, char *, size_t) noexcept nogil
        int rados_mon_command(rados_t, const char **, size_t, const char *, size_t, char **, size_t *, char **, size_t *) noexcept nogil
        void rados_buffer_free(char *) noexcept nogil
        int rados_ioctx_create2(rados_t, int64_t, rados_ioctx_t *) noexcept nogil
        void rados_ioctx_destroy(rados_ioctx_t) noexcept nogil
        void rados_ioctx_set_namespace(rados_ioctx_t, const char *) noexcept nogil
        void rados_ioctx_snap_set_read(rados_ioctx_t, uint64_t) noexcept nogil
        int rados_exec(rados_ioctx_t, const char *, const char *, const char *, const char *, size_t, char *, size_t) noexcept nogil
        void rbd_version(int *, int *, int *) noexcept nogil
        int rbd_open(rados_ioctx_t, const char *, rbd_image_t *, const char *) noexcept nogil
        int rbd_open_by_id(rados_ioctx_t, const char *, rbd_image_t *, const char *) noexcept nogil
        int rbd_open_read_only(rados_ioctx_t, const char *, rbd_image_t *, const char *) noexcept nogil
        int rbd_open_by_id_read_only(rados_ioctx_t, const char *, rbd_image_t *, const char *) noexcept nogil
        int rbd_close(rbd_image_t) noexcept nogil
        int rbd_create4(rados_ioctx_t, const char *, uint64_t, rbd_image_options_t) noexcept nogil
        void rbd_image_options_create(rbd_image_options_t *) noexcept nogil
        void rbd_image_options_destroy(rbd_image_options_t) noexcept nogil
        int rbd_image_options_set_uint64(rbd_image_options_t, int, uint64_t) noexcept nogil
        int rbd_image_options_set_string(rbd_image_options_t, int, const char *) noexcept nogil
        int rbd_resize2(rbd_image_t, uint64_t, c_bool, int (*)(uint64_t, uint64_t, void *) noexcept nogil, void *) noexcept nogil
        int rbd_stat(rbd_image_t, bd_rbd_info *, size_t) noexcept nogil
        int rbd_get_size(rbd_image_t, uint64_t *) noexcept nogil
        int rbd_get_old_format(rbd_image_t, uint8_t *) noexcept nogil
        int rbd_get_features(rbd_image_t, uint64_t *) noexcept nogil
        int rbd_get_flags(rbd_image_t, uint64_t *) noexcept nogil
        int rbd_get_stripe_unit(rbd_image_t, uint64_t *) noexcept nogil
        int rbd_get_stripe_count(rbd_image_t, uint64_t *) noexcept nogil
        int rbd_get_overlap(rbd_image_t, uint64_t *) noexcept nogil
        int rbd_get_name(rbd_image_t, char *, size_t *) noexcept nogil
        int rbd_get_id(rbd_image_t, char *, size_t) noexcept nogil
        int rbd_get_block_name_prefix(rbd_image_t, char *, size_t) noexcept nogil
        int64_t rbd_get_data_pool_id(rbd_image_t) noexcept nogil
        int rbd_get_parent(rbd_image_t, bd_rbd_parent *, bd_rbd_parent_snap *) noexcept nogil
        void rbd_linked_image_spec_cleanup(bd_rbd_parent *) noexcept nogil
        void rbd_snap_spec_cleanup(bd_rbd_parent_snap *) noexcept nogil
        int rbd_watchers_list(rbd_image_t, bd_rbd_watcher *, size_t *) noexcept nogil
        void rbd_watchers_list_cleanup(bd_rbd_watcher *, size_t) noexcept nogil
        Py_ssize_t rbd_list_lockers(rbd_image_t, int *, char *, size_t *, char *, size_t *, char *, size_t *, char *, size_t *) noexcept nogil
        int rbd_snap_list(rbd_image_t, bd_rbd_snap *, int *) noexcept nogil
        void rbd_snap_list_end(bd_rbd_snap *) noexcept nogil
        int rbd_snap_get_namespace_type(rbd_image_t, uint64_t, int *) noexcept nogil
        int rbd_snap_get_timestamp(rbd_image_t, uint64_t, bd_timespec *) noexcept nogil
        int rbd_snap_set_by_id(rbd_image_t, uint64_t) noexcept nogil
        int rbd_snap_create(rbd_image_t, const char *) noexcept nogil
        int rbd_diff_iterate2(rbd_image_t, const char *, uint64_t, uint64_t, uint8_t, uint8_t,
                              int (*)(uint64_t, size_t, int, void *) noexcept nogil, void *) noexcept nogil
        int rbd_diff_iterate3(rbd_image_t, uint64_t, uint64_t, uint64_t, uint8_t, uint8_t,
                              int (*)(uint64_t, size_t, int, void *) noexcept nogil, void *) noexcept nogil
        int rbd_metadata_get(rbd_image_t, const char *, char *, size_t *) noexcept nogil
        int rbd_metadata_set(rbd_image_t, const char *, const char *) noexcept nogil
        int rbd_metadata_remove(rbd_image_t, const char *) noexcept nogil
        int rbd_list2(rados_ioctx_t, bd_rbd_spec *, size_t *) noexcept nogil
        void rbd_image_spec_list_cleanup(bd_rbd_spec *, size_t) noexcept nogil
        int rbd_trash_list(rados_ioctx_t, bd_rbd_trash *, size_t *) noexcept nogil
        void rbd_trash_list_cleanup(bd_rbd_trash *, size_t) noexcept nogil
        int rbd_namespace_exists(rados_ioctx_t, const char *, c_bool *) noexcept nogil
    bd_ceph_calls ceph
    int bd_ceph_load(const char *rados, const char *rbd, const char **library, char *why, size_t size) nogil
    enum:
        BD_CEPH_LOADED, BD_CEPH_NO_LIBRARY, BD_CEPH_NO_SYMBOL

RADOS_LIBRARY = "librados.so.2"
RBD_LIBRARY = "librbd.so.1"


class CephError(Exception):
    """A call failed: ``errno`` (positive) and ``call``, what was tried."""

    def __init__(self, int errno, str call):
        super().__init__(errno, call)
        self.errno, self.call = errno, call

    def __str__(self):
        return f"{self.call}: {errno_names.errorcode.get(self.errno, self.errno)}"


class GivenUp(CephError):
    """A request had no end after far too long. It may still go on."""


class LibraryMissing(Exception):
    """``library`` cannot be used: ``symbol`` is missing in it, or (empty) it cannot be loaded for the ``reason``."""

    def __init__(self, str library, str symbol, str reason):
        super().__init__(library, symbol, reason)
        self.library, self.symbol, self.reason = library, symbol, reason


def load(str rados=RADOS_LIBRARY, str rbd=RBD_LIBRARY):
    """Loads both libraries, once. Raises LibraryMissing."""
    cdef char why[512]
    cdef const char *library = NULL
    cdef bytes rados_name = rados.encode(), rbd_name = rbd.encode()
    cdef const char *rados_p = rados_name
    cdef const char *rbd_p = rbd_name
    cdef int rc
    with nogil:
        rc = bd_ceph_load(rados_p, rbd_p, &library, why, sizeof(why))
    if rc == BD_CEPH_LOADED:
        return
    text = (<bytes>why).decode(errors="replace")
    name = (<bytes>library).decode()
    raise LibraryMissing(name, text if rc == BD_CEPH_NO_SYMBOL else "", text if rc == BD_CEPH_NO_LIBRARY else "")


def versions():
    """The versions of (librados, librbd) as text; ``load`` first."""
    cdef int a, b, c
    ceph.rados_version(&a, &b, &c)
    rados = f"{a}.{b}.{c}"
    ceph.rbd_version(&a, &b, &c)
    return rados, f"{a}.{b}.{c}"


cdef int check(int64_t rc, str call) except -1:
    if rc < 0:
        raise CephError(<int>-rc, call)
    return 0


cdef bytes text_of(value):
    return b"" if value is None else value.encode("utf-8", "surrogateescape")


cdef str str_of(const char *value):
    return "" if value == NULL else (<bytes>value).decode("utf-8", "surrogateescape")
