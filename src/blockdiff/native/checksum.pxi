# Digests that the OSDs compute: what is asked and believed is in osdsum.h.

cdef extern from "osdsum.h" nogil:
    ctypedef struct bd_sums:
        int32_t *length
        uint64_t (*value)[2]
        int64_t n
    ctypedef struct bd_osd_run:
        int64_t number
        int64_t offset
        int64_t length
        int64_t index
        uint8_t below
    ctypedef struct bd_osd:
        rados_ioctx_t io
        const char *prefix
        int digits
        int64_t chunk
        uint64_t seed[2]
        int depth
        int64_t timeout_ms
        int cancel
        int64_t operations
        int64_t objects
    int bd_osd_sum(bd_osd *o, bd_osd_run *runs, size_t n, bd_sums *out, int split)
    enum:
        BD_SUM_PARENT, BD_OSD_MAX_DEPTH

SUM_PARENT = BD_SUM_PARENT


cdef class ObjectSums:
    """Asks the OSDs for digests of the objects of one image, at the snapshot that ``ioctx`` is set to.

    ``prefix`` is that of the objects' names, ``digits`` those of the number after it; ``depth`` operations are in flight in
    each ``run``, of which any number of threads may have one. After ``timeout`` seconds without any answer, the rest stays
    unknown.
    """
    cdef bd_osd o
    cdef bytes prefix
    cdef IoCtx ioctx

    def __cinit__(self, IoCtx ioctx not None, str prefix, int digits, int64_t chunk, seeds, *, int depth=32,
                  double timeout=60):
        if len(prefix) > 90 or digits not in (12, 16) or chunk < 512 or not 1 <= depth <= BD_OSD_MAX_DEPTH:
            raise ValueError(f"ObjectSums({prefix!r}, {digits}, {chunk}, depth={depth})")
        self.ioctx, self.prefix = ioctx, prefix.encode()
        memset(&self.o, 0, sizeof(self.o))
        self.o.io, self.o.prefix, self.o.digits, self.o.chunk = ioctx.io, self.prefix, digits, chunk
        self.o.seed[0], self.o.seed[1] = seeds
        self.o.depth, self.o.timeout_ms = depth, <int64_t>(timeout * 1000)

    def run(self, runs, sums):
        """Fills ``sums`` (a ``_fast.Sums``). ``runs`` are tuples: the number of an object, an offset in it, a length, the
        index of the first chunk, and whether a parent has the data where the object is missing. An object that is missing or
        short is zeroes; a length that is negative afterwards says why nothing is known: -errno, or SUM_PARENT.
        """
        self._run(runs, sums, False)

    def shorten(self, runs, sums):
        """Where a chunk of ``sums`` is zeroes after the length of a run, its digests are made those of the bytes before.
        The runs lie in one chunk each; its length must be known, and longer.
        """
        self._run(runs, sums, True)

    cdef int _run(self, runs, sums, bint split) except -1:
        cdef int32_t[::1] lengths = sums.lengths
        cdef uint64_t[::1] values = sums.values
        cdef size_t n = len(runs), i = 0
        cdef bd_sums out
        cdef bd_osd_run *list_
        cdef bd_osd_run *r
        cdef int rc
        if n == 0:
            return 0
        out.length, out.value, out.n = &lengths[0], <uint64_t (*)[2]>&values[0], lengths.shape[0]
        list_ = <bd_osd_run *>calloc(n, sizeof(bd_osd_run))
        if list_ == NULL:
            raise MemoryError()
        try:
            for number, offset, length, index, below in runs:
                r = &list_[i]
                r.number, r.offset, r.length, r.index, r.below = number, offset, length, index, below
                if (r.length <= 0 or r.offset < 0 or r.number < 0 or r.offset % self.o.chunk or r.index < 0
                        or r.index + (r.length - 1) // self.o.chunk >= out.n or values.shape[0] != 2 * lengths.shape[0]
                        or (lengths[r.index] <= r.length if split else r.length % self.o.chunk != 0)):
                    raise ValueError(f"run {i} does not fit")
                i += 1
            with nogil:
                rc = bd_osd_sum(&self.o, list_, n, &out, split)
        finally:
            free(list_)
        if rc == -errno_names.ENOMEM:
            raise MemoryError()
        if rc < 0:
            raise CephError(-rc, "checksum")
        return 0

    def cancel(self):
        """Makes run() end soon with CephError(ECANCELED). Any thread may call it."""
        self.o.cancel = 1

    @property
    def operations(self):
        """Operations that were sent."""
        return self.o.operations

    @property
    def objects(self):
        """Objects that were asked, counted once in each run."""
        return self.o.objects
