# Digests of chunks: XXH64 of two seeds. What is compared with what, and when to read instead, is the backends' part.

cdef extern from "sums.h" nogil:
    ctypedef struct bd_sums:
        int32_t *length
        uint64_t (*value)[2]
        int64_t n
    ctypedef struct bd_zero_sums:
        pass
    ctypedef struct bd_sum_file:
        int fd
        int dfd
        int64_t size
        int64_t align
        int always_direct
        int never_direct
        int cancel
        int64_t bytes[2]
    const int64_t BD_MAX_SUM_CHUNK
    enum:
        BD_SUM_EQUAL, BD_SUM_DIFFERENT, BD_SUM_UNKNOWN
    uint64_t bd_xxh64(const unsigned char *p, size_t n, uint64_t seed)
    void bd_xxh64_pair(const unsigned char *p, size_t n, const uint64_t *seed, uint64_t *out)
    void bd_zero_sums_init(bd_zero_sums *z, int64_t chunk, const uint64_t *seed)
    int bd_judge_sums(const bd_extent *want, size_t n, const bd_zero_sums *z, const bd_sums *a, const bd_sums *b,
                      bd_vec *out)
    int bd_sum_file_run(bd_sum_file *f, const bd_extent *want, size_t n, uint8_t bit, int64_t chunk,
                        const uint64_t *seed, const bd_sums *other, bd_sums *out)

SUM_EQUAL = BD_SUM_EQUAL
SUM_DIFFERENT = BD_SUM_DIFFERENT
SUM_UNKNOWN = BD_SUM_UNKNOWN
MAX_SUM_CHUNK = BD_MAX_SUM_CHUNK


cdef class Sums:
    """The digests of the chunks of one device. ``want`` lists the ranges, cut into chunks of ``chunk`` bytes.

    ``lengths`` (int32) says how many of a chunk's first bytes are digested; the others are zeroes. A negative errno:
    nothing is known, and so it begins. Chunks of ranges whose kind has not the ``bit`` are known to be zeroes.
    ``values`` (uint64, two for each chunk) are the digests by both seeds. Both are arrays that others fill.
    """
    cdef readonly Extents want
    cdef readonly int bit
    cdef readonly int64_t chunk
    cdef readonly object lengths
    cdef readonly object values
    cdef bd_sums s

    def __cinit__(self, Extents want not None, int bit, int64_t chunk):
        cdef array.array lengths, values
        cdef Py_ssize_t i
        cdef int64_t n = 0, k
        if chunk < 512 or chunk > BD_MAX_SUM_CHUNK:
            raise InvalidInput(f"chunks of {chunk} bytes: known are 512 to {BD_MAX_SUM_CHUNK}")
        for i in range(want.n):
            if want.items[i].offset % chunk or want.items[i].length % chunk:
                raise InvalidInput(f"extent {i} is not made of chunks of {chunk} bytes")
            n += want.items[i].length // chunk
        lengths = array.clone(array.array("i"), n, zero=n > 0)  # of none, Cython would fill NULL
        values = array.clone(array.array("Q"), 2 * n, zero=n > 0)
        self.want, self.bit, self.chunk, self.lengths, self.values = want, bit, chunk, lengths, values
        self.s.n = n
        self.s.length = <int32_t *>lengths.data.as_ints
        self.s.value = <uint64_t (*)[2]>values.data.as_voidptr
        n = 0
        for i in range(want.n):
            for k in range(want.items[i].length // chunk):
                self.s.length[n] = -errno_.ENODATA if want.items[i].kind & bit else 0
                n += 1

    def __len__(self):
        return self.s.n


def judge_sums(Sums a not None, Sums b not None, seeds):
    """The verdict on every chunk of two lists of digests over the same ranges: Extents of the kinds SUM_*.

    SUM_EQUAL only where both digests of both sides agree and cover the same bytes, or where both are zeroes.
    """
    cdef bd_zero_sums zero
    cdef bd_vec out
    cdef uint64_t seed[2]
    cdef int rc
    memset(&out, 0, sizeof(out))
    if a.want is not b.want or a.chunk != b.chunk:
        raise InvalidInput("the digests are of different ranges")
    seed[0], seed[1] = seeds
    bd_zero_sums_init(&zero, a.chunk, seed)
    with nogil:
        rc = bd_judge_sums(a.want.items, a.want.n, &zero, &a.s, &b.s, &out)
    if rc < 0:
        bd_free(&out)
        raise MemoryError()
    return made(&out)


cdef class FileSums:
    """Digests what a descriptor gives. ``side`` is as the Reader's: fd, direct fd or -1, size, alignment, read mode.

    Any number of threads may ``run`` at once; each has a buffer of 1 MiB meanwhile.
    """
    cdef bd_sum_file f

    def __cinit__(self, side):
        fd, dfd, size, align, mode = side
        memset(&self.f, 0, sizeof(self.f))
        self.f.fd, self.f.dfd, self.f.size, self.f.align = fd, dfd, size, max(align, 1)
        self.f.always_direct = mode == "direct" and dfd >= 0
        self.f.never_direct = mode in ("buffered", "mmap")

    def run(self, Sums out not None, seeds, Sums other=None):
        """Fills ``out``. ``other`` is the other device's digests of the same ranges: a chunk that it cannot tell is not
        read, and of one that ends early the same first bytes are digested. What cannot be read keeps its errno.
        """
        cdef uint64_t seed[2]
        cdef int rc
        cdef bd_sums *theirs = NULL
        if other is not None:
            if other.want is not out.want or other.chunk != out.chunk:
                raise InvalidInput("the digests are of different ranges")
            theirs = &other.s
        seed[0], seed[1] = seeds
        with nogil:
            rc = bd_sum_file_run(&self.f, out.want.items, out.want.n, <uint8_t>out.bit, out.chunk, seed, theirs, &out.s)
        if rc == -errno_.ENOMEM:
            raise MemoryError()
        if rc < 0:
            raise Cancelled()

    def cancel(self):
        """Makes run() raise Cancelled soon. Any thread may call it."""
        self.f.cancel = 1

    def bytes_read(self):
        """Bytes read so far, by path."""
        paths = {"direct": self.f.bytes[0], "buffered": self.f.bytes[1]}
        return {path: count for path, count in paths.items() if count}


def xxh64(data, uint64_t seed=0):
    """The XXH64 digest of a buffer, as an integer."""
    cdef Py_buffer view
    cdef uint64_t value
    PyObject_GetBuffer(data, &view, PyBUF_SIMPLE)
    with nogil:
        value = bd_xxh64(<const unsigned char *>view.buf, view.len, seed)
    PyBuffer_Release(&view)
    return value


def xxh64_pair(data, seeds):
    """The XXH64 digests of a buffer by two seeds, in one pass over it."""
    cdef Py_buffer view
    cdef uint64_t seed[2]
    cdef uint64_t value[2]
    seed[0], seed[1] = seeds
    PyObject_GetBuffer(data, &view, PyBUF_SIMPLE)
    with nogil:
        bd_xxh64_pair(<const unsigned char *>view.buf, view.len, seed, value)
    PyBuffer_Release(&view)
    return value[0], value[1]
