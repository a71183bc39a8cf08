# A connection to a cluster, and a pool (with a namespace) in it.

cdef class Cluster:
    """A connection to a cluster. ``connect`` blocks without the GIL; nothing else here waits for long.

    ``name`` is the whole one ("client.admin"). ``conf`` None: the places that every Ceph program looks at, CEPH_CONF first.
    Raises CephError.
    """
    cdef rados_t cluster
    cdef bint connected

    def __cinit__(self, str name, str cluster="ceph", conf=None):
        cdef bytes name_ = text_of(name), cluster_ = text_of(cluster), conf_ = text_of(conf)
        cdef const char *name_p = name_
        cdef const char *cluster_p = cluster_
        cdef const char *conf_p = conf_
        cdef const char *path = NULL
        cdef int rc
        if conf is not None:
            path = conf_p
        self.cluster = NULL
        check(ceph.rados_create2(&self.cluster, cluster_, name_, 0), "rados_create2")
        with nogil:
            rc = ceph.rados_conf_read_file(self.cluster, path)
        check(rc, "rados_conf_read_file")

    def parse_env(self, str variable):
        """Takes options from an environment variable such as CEPH_ARGS."""
        cdef bytes variable_ = text_of(variable)
        cdef const char *variable_p = variable_
        check(ceph.rados_conf_parse_env(self.cluster, variable_), "rados_conf_parse_env")

    def conf_set(self, str key, str value):
        cdef bytes key_ = text_of(key), value_ = text_of(value)
        cdef const char *key_p = key_
        cdef const char *value_p = value_
        check(ceph.rados_conf_set(self.cluster, key_, value_), "rados_conf_set")

    def conf_get(self, str key):
        """The value of an option as text."""
        cdef char value[4096]
        cdef bytes key_ = text_of(key)
        cdef const char *key_p = key_
        check(ceph.rados_conf_get(self.cluster, key_, value, sizeof(value)), "rados_conf_get")
        return str_of(value)

    def connect(self):
        cdef int rc
        with nogil:
            rc = ceph.rados_connect(self.cluster)
        check(rc, "rados_connect")
        self.connected = True

    def fsid(self):
        """The cluster's identity."""
        cdef char value[64]
        check(ceph.rados_cluster_fsid(self.cluster, value, sizeof(value)), "rados_cluster_fsid")
        return str_of(value)

    def instance_id(self):
        """The number of this client (``client.N`` in lists of watchers and lockers)."""
        return ceph.rados_get_instance_id(self.cluster)

    def pool_id(self, str name):
        cdef bytes name_ = text_of(name)
        cdef const char *name_p = name_
        cdef int64_t rc
        with nogil:
            rc = ceph.rados_pool_lookup(self.cluster, name_p)
        check(rc, "rados_pool_lookup")
        return rc

    def pool_name(self, int64_t number):
        cdef char value[4096]
        cdef int rc
        with nogil:
            rc = ceph.rados_pool_reverse_lookup(self.cluster, number, value, sizeof(value))
        check(rc, "rados_pool_reverse_lookup")
        return str_of(value)

    def mon_command(self, bytes command):
        """The answer (bytes) of the monitors to a command in JSON."""
        cdef const char *words[1]
        cdef char *out = NULL
        cdef char *status = NULL
        cdef size_t out_length = 0, status_length = 0
        cdef int rc
        words[0] = command
        with nogil:
            rc = ceph.rados_mon_command(self.cluster, words, 1, b"", 0, &out, &out_length, &status, &status_length)
        try:
            check(rc, "rados_mon_command")
            return PyBytes_FromStringAndSize(out, <Py_ssize_t>out_length)
        finally:
            if out != NULL:
                ceph.rados_buffer_free(out)
            if status != NULL:
                ceph.rados_buffer_free(status)

    def ioctx(self, int64_t pool, str namespace=""):
        """A pool by number, with a namespace."""
        return IoCtx(self, pool, namespace)

    def shutdown(self):
        """Ends the connection; whatever was opened by it must be closed before."""
        cdef rados_t cluster = self.cluster
        self.cluster = NULL
        if cluster != NULL:
            with nogil:
                ceph.rados_shutdown(cluster)

    def __dealloc__(self):
        if self.cluster != NULL:
            ceph.rados_shutdown(self.cluster)


@cython.no_gc_clear
@cython.no_gc  # the collector would take away what __dealloc__ goes by; it can be in no cycle of its own
cdef class IoCtx:
    """A pool with a namespace. ``Cluster.ioctx`` makes them."""
    cdef rados_ioctx_t io
    cdef readonly Cluster cluster
    cdef readonly int64_t pool
    cdef readonly str namespace

    def __cinit__(self, Cluster cluster not None, int64_t pool, str namespace=""):
        cdef bytes namespace_ = text_of(namespace)
        cdef const char *namespace_p = namespace_
        self.io = NULL
        self.cluster, self.pool, self.namespace = cluster, pool, namespace
        check(ceph.rados_ioctx_create2(cluster.cluster, pool, &self.io), "rados_ioctx_create2")
        ceph.rados_ioctx_set_namespace(self.io, namespace_)

    def __dealloc__(self):
        # a cluster that was shut down took its contexts along
        if self.io != NULL and self.cluster is not None and self.cluster.cluster != NULL:
            ceph.rados_ioctx_destroy(self.io)

    def set_read_snap(self, uint64_t snap):
        """Objects are read as they were at this snapshot."""
        ceph.rados_ioctx_snap_set_read(self.io, snap)

    def exec(self, str object, str group, str method, bytes arguments):
        """The answer (bytes) of a method of one of Ceph's object classes, run where the object is."""
        cdef bytes object_ = text_of(object), group_ = text_of(group), method_ = text_of(method)
        cdef const char *object_p = object_
        cdef const char *group_p = group_
        cdef const char *method_p = method_
        cdef const char *data = arguments
        cdef size_t length = len(arguments)
        cdef char answer[4096]
        cdef int rc
        with nogil:
            rc = ceph.rados_exec(self.io, object_p, group_p, method_p, data, length, answer, sizeof(answer))
        check(rc, "rados_exec")
        return answer[:rc]

    def namespace_exists(self, str name):
        cdef bytes name_ = text_of(name)
        cdef const char *name_p = name_
        cdef c_bool found = False
        cdef int rc
        with nogil:
            rc = ceph.rbd_namespace_exists(self.io, name_p, &found)
        check(rc, "rbd_namespace_exists")
        return bool(found)

    def images(self):
        """(id, name) of the images here."""
        cdef size_t n = 64
        cdef bd_rbd_spec *specs
        cdef int rc
        while True:
            specs = <bd_rbd_spec *>calloc(n, sizeof(bd_rbd_spec))
            if specs == NULL:
                raise MemoryError()
            with nogil:
                rc = ceph.rbd_list2(self.io, specs, &n)
            if rc >= 0:
                break
            free(specs)
            if -rc != errno_names.ERANGE:
                check(rc, "rbd_list2")
        try:
            return [(str_of(specs[i].id), str_of(specs[i].name)) for i in range(n)]
        finally:
            ceph.rbd_image_spec_list_cleanup(specs, n)
            free(specs)

    def trash(self):
        """(id, name) of the images in the trash."""
        cdef size_t n = 64
        cdef bd_rbd_trash *entries
        cdef int rc
        while True:
            entries = <bd_rbd_trash *>calloc(n, sizeof(bd_rbd_trash))
            if entries == NULL:
                raise MemoryError()
            with nogil:
                rc = ceph.rbd_trash_list(self.io, entries, &n)
            if rc >= 0:
                break
            free(entries)
            if -rc != errno_names.ERANGE:
                check(rc, "rbd_trash_list")
        try:
            return [(str_of(entries[i].id), str_of(entries[i].name)) for i in range(n)]
        finally:
            ceph.rbd_trash_list_cleanup(entries, n)
            free(entries)

    def create_image(self, str name, uint64_t size, dict options=None):
        """Makes an image; ``options`` maps RBD_IMAGE_OPTION numbers to int or str, the others are the cluster's own."""
        cdef bytes name_ = text_of(name), text
        cdef const char *name_p = name_
        cdef rbd_image_options_t chosen = NULL
        cdef int rc = 0, key
        ceph.rbd_image_options_create(&chosen)
        try:
            for key, value in (options or {}).items():
                if isinstance(value, str):
                    text = text_of(value)
                    rc = ceph.rbd_image_options_set_string(chosen, key, text)
                else:
                    rc = ceph.rbd_image_options_set_uint64(chosen, key, value)
                check(rc, "rbd_image_options_set")
            with nogil:
                rc = ceph.rbd_create4(self.io, name_p, size, chosen)
        finally:
            ceph.rbd_image_options_destroy(chosen)
        check(rc, "rbd_create4")
