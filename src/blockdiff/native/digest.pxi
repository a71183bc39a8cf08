# Digesting blocks in place of judging them, by a hasher of another extension or of Python.

cdef extern from "hasher.h" nogil:
    ctypedef struct bd_hasher:
        void *self
        size_t size
        int (*blocks)(void *self, const unsigned char *p, size_t length, size_t block, unsigned char *out)
    const char *BD_HASHER_NAME
    enum:
        BD_MAX_DIGEST

cdef extern from "digest.h" nogil:
    ctypedef struct bd_digests:
        const bd_hasher *hasher
        int64_t end
        unsigned char zero[64]
        unsigned char *out
        size_t room
        size_t done
    int bd_digest(bd_digests *d, const unsigned char *p, int64_t offset, int64_t length, int64_t g, bd_vec *kinds)
    int bd_diff_digests(const unsigned char *a, const unsigned char *b, size_t n, size_t size, const unsigned char *zero,
                        int64_t offset, int64_t g, int64_t end, bd_vec *out)
    enum:
        BD_E_HASHER, BD_E_TORN


@cython.no_gc  # the collector would take away what __dealloc__ goes by; it can be in no cycle of its own
cdef class Digester:
    """How blocks are digested. ``zero`` is the digest of a whole block of zeroes; ``end`` where the last block ends, the
    only one that may be shorter.

    ``hasher`` is a capsule (native/hasher.h) whose owner lives longer, or a function that gets a memoryview and the bytes
    of a block, and gives the digests of all its blocks, joined. One serves one thread at a time.
    """
    cdef bd_hasher called
    cdef const bd_hasher *hasher
    cdef bd_digests d
    cdef object function
    cdef object error
    cdef object kept

    def __cinit__(self, hasher, bytes zero not None, int64_t end):
        memset(&self.d, 0, sizeof(self.d))
        self.kept = hasher
        if PyCapsule_CheckExact(hasher):
            self.hasher = <const bd_hasher *>PyCapsule_GetPointer(hasher, BD_HASHER_NAME)
        else:
            self.function = hasher
            self.called.self = <void *>self
            self.called.size = len(zero)
            self.called.blocks = &call_hasher
            self.hasher = &self.called
        if self.hasher.size != <size_t>len(zero) or self.hasher.size > BD_MAX_DIGEST or self.hasher.size == 0:
            raise InvalidInput(f"digests of {self.hasher.size} bytes do not go with a digest of {len(zero)}")
        memcpy(self.d.zero, PyBytes_AS_STRING(zero), len(zero))
        self.d.hasher = self.hasher
        self.d.end = end

    cdef bytes _begin(self, size_t room):
        """Room for so many digests."""
        cdef bytes out = PyBytes_FromStringAndSize(NULL, room * self.hasher.size)
        self.d.out = <unsigned char *>PyBytes_AS_STRING(out)
        self.d.room = room
        self.d.done = 0
        self.error = None
        return out

    cdef int _check(self, int rc) except -1:
        """Raises what the hasher raised. A digest that is missing, or is of a part of a block, is a defect of ours."""
        error, self.error = self.error, None
        if rc == BD_E_HASHER:
            raise error if error is not None else RuntimeError("a block could not be digested")
        if rc == BD_E_TORN or (rc == 0 and self.d.done != self.d.room):
            raise RuntimeError("a part of a block was to be digested")
        return 0


cdef int call_hasher(void *self, const unsigned char *p, size_t length, size_t block, unsigned char *out) noexcept with gil:
    """Asks Python. The view is closed afterwards: what it shows may be gone."""
    cdef Digester digester = <Digester>self
    cdef size_t size = (length + block - 1) // block * digester.called.size
    try:
        view = PyMemoryView_FromMemory(<char *>p, length, PyBUF_READ)
        try:
            got = digester.function(view, block)
        finally:
            view.release()
        if type(got) is not bytes or <size_t>len(got) != size:
            raise RuntimeError("a hasher gave digests of another size")
        memcpy(out, PyBytes_AS_STRING(got), size)
    except BaseException as error:
        digester.error = error
        return -1
    return 0


def digest_buffer(Digester digester not None, data, int64_t offset, int64_t block_size):
    """What ``Reader.run`` with a digester gives for bytes in memory: the kinds and the digests of their blocks."""
    cdef Py_buffer view
    cdef bd_vec kinds
    cdef int rc
    cdef bytes out
    memset(&kinds, 0, sizeof(kinds))
    PyObject_GetBuffer(data, &view, PyBUF_SIMPLE)
    try:
        out = digester._begin((view.len + block_size - 1) // block_size)
        with nogil:
            rc = bd_digest(&digester.d, <const unsigned char *>view.buf, offset, view.len, block_size, &kinds)
    finally:
        PyBuffer_Release(&view)
    found = made(&kinds)
    if rc == BD_E_NOMEM:
        raise MemoryError()
    digester._check(rc)
    return found, out


def diff_digests(bytes source not None, bytes target not None, bytes zero not None, int64_t offset, int64_t block_size,
                 int64_t end):
    """The blocks from ``offset`` on whose digests differ, with the class of the difference: Extents up to ``end``."""
    cdef bd_vec out
    cdef int rc
    cdef size_t size = len(zero), n
    memset(&out, 0, sizeof(out))
    if size == 0 or len(source) != len(target) or len(source) % size:
        raise InvalidInput("these are not digests of the same blocks")
    n = len(source) // size
    if n and (offset < 0 or offset + <int64_t>(n - 1) * block_size >= end):
        raise InvalidInput("there are digests past the end")
    cdef const unsigned char *a = <const unsigned char *>PyBytes_AS_STRING(source)
    cdef const unsigned char *b = <const unsigned char *>PyBytes_AS_STRING(target)
    cdef const unsigned char *z = <const unsigned char *>PyBytes_AS_STRING(zero)
    with nogil:
        rc = bd_diff_digests(a, b, n, size, z, offset, block_size, end, &out)
    if rc < 0:
        bd_free(&out)
        raise MemoryError()
    return made(&out)
