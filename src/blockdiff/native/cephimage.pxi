# An open image: its facts, its diffs, its bytes.

cdef extern from "rbdio.h" nogil:
    ctypedef struct bd_extent:
        pass
    ctypedef struct bd_vec:
        bd_extent *items
        size_t n
    void bd_free(bd_vec *v)
    ctypedef struct bd_driver:
        int64_t size
    ctypedef struct bd_rbd:
        bd_driver driver
        rbd_image_t image
        int in_flight
        int limit_ms
    ctypedef struct bd_request:
        pass
    ctypedef struct bd_diff:
        bd_vec found
        int sorted
        int nomem
        volatile int *cancel
    const char *BD_DRIVER_NAME
    bd_rbd *bd_rbd_new(rbd_image_t image)
    int bd_rbd_close(bd_rbd *b)
    void bd_rbd_free(bd_rbd *b)
    void *bd_rbd_read(void *device, unsigned char *buf, int64_t offset, int64_t length, int *err)
    void *bd_rbd_write(void *device, const unsigned char *buf, int64_t offset, int64_t length, int *err)
    void *bd_rbd_zero_with(void *device, int64_t offset, int64_t length, int flags, int *err)
    void *bd_rbd_flush(void *device, int *err)
    int bd_wait_some(bd_request *q, int ms)
    int64_t bd_take(bd_request *q)
    void bd_abandon(bd_request *q)
    int bd_diff_ranges(bd_diff *d, rbd_image_t image, const char *from_, uint64_t from_id, const bd_extent *ranges, size_t n, int parent, int whole)
    int bd_no_progress(uint64_t done, uint64_t total, void *arg) noexcept

SNAP_NAMESPACES = ("user", "group", "trash", "mirror")
cdef uint64_t HEAD = <uint64_t>-2  # CEPH_NOSNAP
THICK = 1             # RBD_WRITE_ZEROES_FLAG_THICK_PROVISION
DEF EXTENT_SIZE = 24


cdef void forget_image(object capsule) noexcept:
    cdef void *image = PyCapsule_GetContext(capsule)
    if image != NULL:
        Py_DECREF(<object>image)


cdef class Cancel:
    """Ends diffs that were given it, in whatever thread they run: they raise CephError(ECANCELED) soon."""
    cdef volatile int flag

    def set(self):
        self.flag = 1


@cython.no_gc_clear  # closing needs the pool
@cython.no_gc  # the collector would take away what __dealloc__ goes by; it can be in no cycle of its own
cdef class Image:
    """An open image at its head or at a snapshot. Any thread may use it. Raises CephError.

    ``name`` or ``id`` says which; ``snap_id`` 0 is the head. ``read_only`` takes no lock and leaves no watch behind.
    """
    cdef bd_rbd *rbd
    cdef readonly IoCtx ioctx
    cdef readonly bint read_only
    cdef int in_a_call            # how many calls that may last are inside librbd now; guarded by the GIL
    cdef bint shut, stuck

    def __cinit__(self, IoCtx ioctx not None, *, str name="", str id="", bint read_only=True):
        cdef bytes name_ = text_of(name), id_ = text_of(id)
        cdef const char *name_p = name_
        cdef const char *id_p = id_
        cdef rbd_image_t image = NULL
        cdef int rc
        cdef bint by_id = bool(id)
        self.rbd = NULL
        self.ioctx, self.read_only = ioctx, read_only
        self.in_a_call = self.shut = self.stuck = 0
        with nogil:
            if by_id:
                rc = (ceph.rbd_open_by_id_read_only(ioctx.io, id_p, &image, NULL) if read_only
                      else ceph.rbd_open_by_id(ioctx.io, id_p, &image, NULL))
            else:
                rc = (ceph.rbd_open_read_only(ioctx.io, name_p, &image, NULL) if read_only
                      else ceph.rbd_open(ioctx.io, name_p, &image, NULL))
        check(rc, "rbd_open")
        self.rbd = bd_rbd_new(image)
        if self.rbd == NULL:
            ceph.rbd_close(image)
            raise MemoryError()

    def __dealloc__(self):
        if self.rbd == NULL:
            return
        if not self.shut and self.ioctx.cluster.cluster != NULL:
            self.shut = True
            self._noted(bd_rbd_close(self.rbd))
        if self.shut and not self.stuck:
            bd_rbd_free(self.rbd)

    cdef int _noted(self, int rc) except -1:
        """What is left behind needs its pool and connection."""
        if -rc == errno_names.EBUSY:
            self.stuck = True
            Py_INCREF(self.ioctx)
        return 0

    cdef rbd_image_t _image(self) except NULL:
        if self.shut:
            raise CephError(errno_names.EBADF, "the image is closed")
        return self.rbd.image

    cdef rbd_image_t _enter(self) except NULL:
        """The image, for a call that may last: it is not closed before ``_leave``."""
        cdef rbd_image_t image = self._image()
        self.in_a_call += 1
        return image

    cdef int _leave(self) except -1:
        cdef int rc
        self.in_a_call -= 1
        if self.shut and not self.in_a_call:
            with nogil:
                rc = bd_rbd_close(self.rbd)
            self._noted(rc)
        return 0

    @property
    def closed(self):
        return bool(self.shut)

    def close(self):
        """Closes it; a call that is still inside does it when it ends. With a request stuck inside, which would never
        end, it is left to the end of the process.
        """
        cdef int rc
        if self.shut:
            return
        self.shut = True
        if self.in_a_call:
            return
        with nogil:
            rc = bd_rbd_close(self.rbd)
        self._noted(rc)
        if rc < 0 and not self.stuck:
            check(rc, "rbd_close")

    # ---- what it is ----

    def size(self):
        """Bytes, at the snapshot that is set."""
        cdef uint64_t value = 0
        cdef int rc
        cdef rbd_image_t image = self._image()
        with nogil:
            rc = ceph.rbd_get_size(image, &value)
        check(rc, "rbd_get_size")
        return value

    def facts(self):
        """A dict: id, name, prefix, order, object_size, stripe_unit, stripe_count, features, flags, overlap, data_pool,
        old_format. Flags and overlap are those of the snapshot that is set.
        """
        cdef rbd_image_t image = self._image()
        cdef bd_rbd_info info
        cdef char text[4096]
        cdef size_t length = sizeof(text)
        cdef uint64_t value = 0
        cdef uint8_t old = 0
        cdef dict facts = {}
        check(ceph.rbd_stat(image, &info, sizeof(info)), "rbd_stat")
        facts["order"], facts["object_size"] = info.order, info.obj_size
        check(ceph.rbd_get_old_format(image, &old), "rbd_get_old_format")
        facts["old_format"] = bool(old)
        check(ceph.rbd_get_name(image, text, &length), "rbd_get_name")
        facts["name"] = str_of(text)
        facts["id"] = ""
        if not old:
            check(ceph.rbd_get_id(image, text, sizeof(text)), "rbd_get_id")
            facts["id"] = str_of(text)
        check(ceph.rbd_get_block_name_prefix(image, text, sizeof(text)), "rbd_get_block_name_prefix")
        facts["prefix"] = str_of(text)
        check(ceph.rbd_get_stripe_unit(image, &value), "rbd_get_stripe_unit")
        facts["stripe_unit"] = value
        check(ceph.rbd_get_stripe_count(image, &value), "rbd_get_stripe_count")
        facts["stripe_count"] = value
        check(ceph.rbd_get_features(image, &value), "rbd_get_features")
        facts["features"] = value
        check(ceph.rbd_get_flags(image, &value), "rbd_get_flags")
        facts["flags"] = value
        check(ceph.rbd_get_overlap(image, &value), "rbd_get_overlap")
        facts["overlap"] = value
        facts["data_pool"] = ceph.rbd_get_data_pool_id(image)
        return facts

    def parent(self):
        """(pool, namespace, image name, image id, snapshot name) of the parent, or None."""
        cdef bd_rbd_parent parent
        cdef bd_rbd_parent_snap snap
        cdef rbd_image_t image = self._image()
        cdef int rc
        memset(&parent, 0, sizeof(parent))
        memset(&snap, 0, sizeof(snap))
        with nogil:
            rc = ceph.rbd_get_parent(image, &parent, &snap)
        if -rc == errno_names.ENOENT:
            return None
        check(rc, "rbd_get_parent")
        found = (str_of(parent.pool_name), str_of(parent.pool_namespace), str_of(parent.image_name),
                 str_of(parent.image_id), str_of(snap.name))
        ceph.rbd_linked_image_spec_cleanup(&parent)
        ceph.rbd_snap_spec_cleanup(&snap)
        return found

    def snaps(self):
        """(id, name, size in bytes, namespace: one of SNAP_NAMESPACES) of all snapshots, oldest first."""
        cdef rbd_image_t image = self._image()
        cdef int n = 64, rc, kind
        cdef bd_rbd_snap *found
        while True:
            found = <bd_rbd_snap *>calloc(n, sizeof(bd_rbd_snap))
            if found == NULL:
                raise MemoryError()
            with nogil:
                rc = ceph.rbd_snap_list(image, found, &n)
            if rc >= 0:
                break
            free(found)
            if -rc != errno_names.ERANGE:
                check(rc, "rbd_snap_list")
        snaps = []
        try:
            for i in range(rc):
                check(ceph.rbd_snap_get_namespace_type(image, found[i].id, &kind), "rbd_snap_get_namespace_type")
                name = SNAP_NAMESPACES[kind] if 0 <= kind < len(SNAP_NAMESPACES) else str(kind)
                snaps.append((found[i].id, str_of(found[i].name), found[i].size, name))
        finally:
            ceph.rbd_snap_list_end(found)
            free(found)
        return sorted(snaps)

    def snap_time(self, uint64_t snap):
        """When the snapshot of this id was made, by the clock of its cluster: nanoseconds since 1970."""
        cdef rbd_image_t image = self._image()
        cdef bd_timespec when
        cdef int rc
        with nogil:
            rc = ceph.rbd_snap_get_timestamp(image, snap, &when)
        check(rc, "rbd_snap_get_timestamp")
        return <object>when.tv_sec * 1000000000 + when.tv_nsec

    def set_snap(self, uint64_t snap):
        """Reads and diffs are of this snapshot from now on; 0 is the head."""
        cdef rbd_image_t image = self._image()
        cdef uint64_t known = snap if snap else HEAD
        cdef int rc
        with nogil:
            rc = ceph.rbd_snap_set_by_id(image, known)
        check(rc, "rbd_snap_set_by_id")

    def watchers(self):
        """(address, client number) of the clients that have it open for writing, or watch it."""
        cdef rbd_image_t image = self._image()
        cdef size_t n = 16
        cdef bd_rbd_watcher *found
        cdef int rc
        while True:
            found = <bd_rbd_watcher *>calloc(n, sizeof(bd_rbd_watcher))
            if found == NULL:
                raise MemoryError()
            with nogil:
                rc = ceph.rbd_watchers_list(image, found, &n)
            if rc >= 0:
                break
            free(found)
            if -rc != errno_names.ERANGE:
                check(rc, "rbd_watchers_list")
        try:
            return [(str_of(found[i].addr), found[i].id) for i in range(n)]
        finally:
            ceph.rbd_watchers_list_cleanup(found, n)
            free(found)

    def lockers(self):
        """(client, cookie) of the locks on it, as ("client.4123", "auto 140530189160576")."""
        cdef rbd_image_t image = self._image()
        cdef size_t tag = 4096, clients = 65536, cookies = 65536, addresses = 65536
        cdef char *memory = <char *>calloc(1, tag + clients + cookies + addresses)
        cdef char *names = memory + tag
        cdef char *rest = names + clients
        cdef int exclusive = 0
        cdef Py_ssize_t rc
        if memory == NULL:
            raise MemoryError()
        try:
            with nogil:
                rc = ceph.rbd_list_lockers(image, &exclusive, memory, &tag, names, &clients, rest, &cookies,
                                           rest + 65536, &addresses)
            check(rc, "rbd_list_lockers")
            who = (<bytes>names[:clients]).split(b"\0")[:rc]
            return [(str_of(a), str_of(b)) for a, b in zip(who, (<bytes>rest[:cookies]).split(b"\0"))]
        finally:
            free(memory)

    # ---- what changed ----

    def diff(self, from_snap, uint64_t offset, uint64_t length, *, bint include_parent=True, bint whole_object=False,
             Cancel cancel=None):
        """Extents of ``[offset, offset + length)`` that changed since the snapshot of this name (None: are allocated),
        as ``rbd_diff_iterate2`` gives them, clipped, sorted and joined: DATA, and ZERO where it says that nothing exists.
        """
        return self.diff_ranges(from_snap, Extents([(offset, length)]), include_parent=include_parent,
                                whole_object=whole_object, cancel=cancel)

    def diff_ranges(self, from_snap, ranges, *, bint include_parent=True, bint whole_object=False, Cancel cancel=None,
                    uint64_t from_id=0):
        """The same of some ranges (ascending Extents), asked one after the other. ``from_id`` is the number of the same
        snapshot: a librbd that takes numbers is asked by it, so that no other snapshot of that name can take its place.
        """
        cdef rbd_image_t image = self._image()
        cdef bytes name_ = text_of(from_snap)
        cdef const char *name = NULL
        cdef bd_diff diff
        cdef Py_buffer view
        cdef int rc
        if from_snap is not None:
            name = name_
        memset(&diff, 0, sizeof(diff))
        diff.sorted = 1
        if cancel is None:
            cancel = Cancel()
        diff.cancel = &cancel.flag
        PyObject_GetBuffer(ranges, &view, PyBUF_SIMPLE)
        self._enter()
        with nogil:
            rc = bd_diff_ranges(&diff, image, name, from_id, <const bd_extent *>view.buf, view.len // EXTENT_SIZE, include_parent,
                                whole_object)
        self._leave()
        PyBuffer_Release(&view)
        try:
            if diff.nomem:
                raise MemoryError()
            check(rc, "rbd_diff_iterate2")
            return Extents.from_buffer(PyBytes_FromStringAndSize(<char *>diff.found.items, diff.found.n * EXTENT_SIZE))
        finally:
            bd_free(&diff.found)

    # ---- bytes ----

    def limit(self, double seconds):
        """Requests that have no end after so long are given up (ETIMEDOUT); 0: never."""
        self._image()
        self.rbd.limit_ms = <int>min(seconds * 1000, 1e9)

    def driver(self, int64_t size):
        """A capsule with the driver for the native reader; ``size`` is the device's. It keeps the image alive."""
        self._image()
        self.rbd.driver.size = size
        capsule = PyCapsule_New(&self.rbd.driver, BD_DRIVER_NAME, forget_image)
        Py_INCREF(self)
        PyCapsule_SetContext(capsule, <void *>self)
        return capsule

    cdef int64_t _finish(self, void *token, int err, str call) except -1:
        """Waits, so that a signal gets through. The request is left to itself then."""
        cdef bd_request *q = <bd_request *>token
        cdef bint complete = False
        cdef int64_t result
        cdef int waited = 0, limit = self.rbd.limit_ms
        if token == NULL:
            raise CephError(err, call)
        while not complete:
            with nogil:
                complete = bd_wait_some(q, 100)
            waited += 100
            if complete:
                break
            try:
                PyErr_CheckSignals()
                if limit and waited >= limit:
                    raise GivenUp(errno_names.ETIMEDOUT, call)
            except BaseException:
                bd_abandon(q)
                raise
        result = bd_take(q)
        check(result, call)
        return result

    def read_into(self, buffer, int64_t offset):
        """Fills the buffer; gives the bytes that were read, fewer at the end of the image."""
        cdef Py_buffer view
        cdef unsigned char *own
        cdef void *token
        cdef int err = 0
        cdef int64_t done
        cdef bint finished = False
        self._image()
        PyObject_GetBuffer(buffer, &view, PyBUF_WRITABLE)
        own = <unsigned char *>malloc(view.len if view.len else 1)
        try:
            if own == NULL:
                raise MemoryError()
            with nogil:
                token = bd_rbd_read(self.rbd, own, offset, view.len, &err)
            finished = token == NULL
            done = self._finish(token, err, "rbd_aio_read")
            finished = True
            memcpy(view.buf, own, done)
            return done
        except GivenUp:
            raise
        except CephError:
            finished = True
            raise
        finally:
            PyBuffer_Release(&view)
            if finished:  # else the request that was left may still write there
                free(own)

    def write(self, data, int64_t offset):
        """Writes all of it."""
        cdef Py_buffer view
        cdef unsigned char *own
        cdef void *token
        cdef int err = 0
        cdef bint finished = False
        self._image()
        PyObject_GetBuffer(data, &view, PyBUF_SIMPLE)
        own = <unsigned char *>malloc(view.len if view.len else 1)
        try:
            if own == NULL:
                raise MemoryError()
            memcpy(own, view.buf, view.len)
            with nogil:
                token = bd_rbd_write(self.rbd, own, offset, view.len, &err)
            finished = token == NULL
            self._finish(token, err, "rbd_aio_write")
            finished = True
        except GivenUp:
            raise
        except CephError:
            finished = True
            raise
        finally:
            PyBuffer_Release(&view)
            if finished:
                free(own)

    def zero(self, int64_t offset, int64_t length, *, bint punch=True):
        """Makes a range read as zeroes; with ``punch`` its space is given back, else it is allocated."""
        cdef void *token
        cdef int err = 0, flags = 0 if punch else THICK
        self._image()
        with nogil:
            token = bd_rbd_zero_with(self.rbd, offset, length, flags, &err)
        self._finish(token, err, "rbd_aio_write_zeroes")

    def flush(self):
        """Returns when everything written is on stable storage."""
        cdef void *token
        cdef int err = 0
        self._image()
        with nogil:
            token = bd_rbd_flush(self.rbd, &err)
        self._finish(token, err, "rbd_aio_flush")

    # ---- changing it ----

    def resize(self, uint64_t size, *, bint allow_shrink=False):
        cdef rbd_image_t image = self._enter()
        cdef int rc
        with nogil:
            rc = ceph.rbd_resize2(image, size, allow_shrink, bd_no_progress, NULL)
        self._leave()
        check(rc, "rbd_resize2")

    def create_snap(self, str name):
        cdef bytes name_ = text_of(name)
        cdef const char *name_p = name_
        cdef rbd_image_t image = self._enter()
        cdef int rc
        with nogil:
            rc = ceph.rbd_snap_create(image, name_p)
        self._leave()
        check(rc, "rbd_snap_create")

    def metadata(self, str key):
        """The value that is stored with the image under this key, or None."""
        cdef rbd_image_t image = self._image()
        cdef bytes key_ = text_of(key)
        cdef const char *key_p = key_
        cdef char value[4096]
        cdef size_t length = sizeof(value)
        cdef int rc
        with nogil:
            rc = ceph.rbd_metadata_get(image, key_p, value, &length)
        if -rc == errno_names.ENOENT:
            return None
        check(rc, "rbd_metadata_get")
        return str_of(value)

    def set_metadata(self, str key, value):
        """Stores a value with the image; None removes it."""
        cdef rbd_image_t image = self._image()
        cdef bytes key_ = text_of(key), value_ = text_of(value)
        cdef const char *key_p = key_
        cdef const char *value_p = value_
        cdef bint remove = value is None
        cdef int rc
        with nogil:
            rc = ceph.rbd_metadata_remove(image, key_p) if remove else ceph.rbd_metadata_set(image, key_p, value_p)
        if not (remove and -rc == errno_names.ENOENT):
            check(rc, "rbd_metadata_set")
