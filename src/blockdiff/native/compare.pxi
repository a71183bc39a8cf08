# Comparing, scanning and copying: the workers' half of the engine. Policy lives in blockdiff.engine.

cdef extern from "driver.h" nogil:
    ctypedef struct bd_driver:
        void *device
        int64_t size
    const char *BD_DRIVER_NAME

cdef extern from "reader.h" nogil:
    ctypedef struct bd_place:
        int64_t offset
        int64_t length
        int64_t place
    ctypedef struct bd_side:
        int fd
        int dfd
        const bd_driver *driver
        int64_t size
        int64_t align
        int mode
        int direct_errno
        int64_t bytes[4]
        const bd_place *places
        size_t n_places
    ctypedef struct bd_reader:
        bd_side side[2]
        int64_t granularity
        int strict
        int keep_going
        size_t chunk
        size_t window
        int qd
        int64_t most_ahead
        int aio
        int cancel
        int write_fd
        const bd_driver *write_driver
        int write_sparse
        int64_t written
        int64_t punched
        int64_t compared
        int err_side
        int err_errno
        int64_t err_offset
        int64_t err_length
        bd_digests *digests
    int bd_run(bd_reader *r, const bd_extent *segs, size_t n, bd_vec *out, bd_vec *bad)
    void bd_reader_close(bd_reader *r)
    int bd_reads(uint8_t seg, int side)
    int bd_guard_install()
    int bd_judge(uint8_t seg, const unsigned char *a, const unsigned char *b, int64_t offset, int64_t length,
                 int64_t g, int strict, bd_vec *out)
    int64_t bd_cached_bytes(int fd, int64_t offset, int64_t length)
    enum:
        BD_OK, BD_E_NOMEM, BD_E_CANCELLED, BD_E_READ, BD_E_SHORT, BD_E_WRITE, BD_MAX_QD
        BD_READ_AUTO, BD_READ_DIRECT, BD_READ_BUFFERED, BD_READ_MMAP

# What a plan asks for a range of bytes (the kinds of a plan's Extents).
SEG_COMPARE = 0       # read both sides
SEG_SRC_HOLE = 1      # the source reads as zeroes: scan the target
SEG_DST_HOLE = 2      # the target reads as zeroes: scan the source
SEG_SKIP_HOLE = 3     # both read as zeroes
SEG_SKIP_SHARED = 4   # both are the same physical storage
SEG_MAP = 5           # scan the source: which blocks are zero
SEG_COPY = 6          # read the source, write the target
SEG_SKIP_DIGEST = 7   # both gave the same digests
SEG_MARK = 8          # added to a kind: the caller's mark; granules are cut where it changes

READ_MODES = {"auto": BD_READ_AUTO, "direct": BD_READ_DIRECT, "buffered": BD_READ_BUFFERED, "mmap": BD_READ_MMAP}
READ_PATHS = ("mmap", "direct", "buffered", "remote")
MIN_GRANULARITY = 512
MAX_GRANULARITY = 1 << 20


class Cancelled(Exception):
    """A worker was told to stop."""


class ReadFailed(Exception):
    """``side`` (0 source, 1 target), ``offset``, ``length`` (bytes), ``errno`` (0: the device ended early), ``writing``."""

    def __init__(self, int side, int64_t offset, int64_t length, int errno, bint writing):
        super().__init__(side, offset, length, errno, writing)
        self.side, self.offset, self.length, self.errno, self.writing = side, offset, length, errno, writing


@cython.no_gc  # the collector would take away what __dealloc__ goes by; it can be in no cycle of its own
cdef class Reader:
    """Reads two devices for one worker thread and judges their bytes by a plan.

    ``sides`` is (source, target), each ``(fd, direct fd or -1, size, alignment, read mode)``, with a ``Places`` behind where
    the disk lies inside of the file, a driver's capsule (see driver.h), or None for a side that is never read. ``run(plan)`` takes a batch of plan segments (kinds SEG_*) and returns ``(findings, unreadable)``: Extents
    whose kinds are the classes of differences (or DATA/ZERO for SEG_MAP), and Extents whose kind is a bit set of the sides
    that could not be read (only with ``keep_going``). Raises ReadFailed, Cancelled, MemoryError.

    With a ``digester`` the blocks of the source are digested and nothing is judged: in place of the findings there is
    ``(kinds, digests)``, Extents of DATA and ZERO and a digest for each block. Segments then consist of whole blocks of
    ``granularity`` bytes.
    """
    cdef bd_reader r
    cdef Digester digester
    cdef bint busy
    cdef object drivers           # kept alive

    def __cinit__(self, source, target, *, int64_t granularity, bint strict=False, bint keep_going=False,
                  size_t chunk=512 * 1024, int queue_depth=8, size_t window=2 << 20, int write_fd=-1,
                  writer=None, bint write_sparse=False, Digester digester=None, int64_t most_ahead=0):
        memset(&self.r, 0, sizeof(self.r))
        if granularity < MIN_GRANULARITY or granularity > MAX_GRANULARITY or granularity & (granularity - 1):
            raise InvalidInput(f"granularity must be a power of two from {MIN_GRANULARITY} to {MAX_GRANULARITY}, "
                               f"not {granularity}")
        if bd_guard_install() < 0:
            raise OSError("cannot install the SIGBUS handler")
        self._set_side(0, source)
        self._set_side(1, target)
        self.r.granularity = granularity
        self.r.strict = strict
        self.r.keep_going = keep_going
        self.r.chunk = max(chunk - chunk % granularity, <size_t>granularity)
        self.r.window = max(window - window % granularity, <size_t>granularity)
        self.r.qd = min(max(queue_depth, 1), BD_MAX_QD)
        self.r.most_ahead = most_ahead
        self.r.write_fd = write_fd
        self.drivers = (source, target, writer)
        if writer is not None:
            self.r.write_driver = <const bd_driver *>PyCapsule_GetPointer(writer, BD_DRIVER_NAME)
        self.r.write_sparse = write_sparse
        self.digester = digester
        if digester is not None:
            if keep_going:
                raise InvalidInput("a block that cannot be read has no digest")
            self.r.digests = &digester.d

    cdef int _set_side(self, int i, side) except -1:
        self.r.side[i].fd = self.r.side[i].dfd = -1
        self.r.side[i].align = 4096
        if side is None:
            return 0
        if PyCapsule_CheckExact(side):
            self.r.side[i].driver = <const bd_driver *>PyCapsule_GetPointer(side, BD_DRIVER_NAME)
            self.r.side[i].size = self.r.side[i].driver.size
            return 0
        fd, dfd, size, align, mode, *inside = side
        if inside:
            self._set_places(i, inside[0], size)
        self.r.side[i].fd = fd
        self.r.side[i].dfd = dfd
        self.r.side[i].size = size
        self.r.side[i].align = max(align, 1)
        self.r.side[i].mode = READ_MODES[mode]
        return 0

    cdef int _set_places(self, int i, Places places, int64_t size) except -1:
        if places.v.n == 0 or places.last_place > size:
            raise InvalidInput("a disk inside of a file needs places, and all of them in the file")
        places.sealed = True
        self.r.side[i].places = places.v.items
        self.r.side[i].n_places = places.v.n
        return 0

    def __dealloc__(self):
        bd_reader_close(&self.r)

    def close(self):
        """Frees the buffers; the reader may be used again."""
        if not self.busy:
            bd_reader_close(&self.r)

    def run(self, Extents plan not None):
        cdef bd_vec out, bad
        cdef int rc
        memset(&out, 0, sizeof(out))
        memset(&bad, 0, sizeof(bad))
        if self.busy:
            raise RuntimeError("a Reader serves one thread")
        self._check(plan)
        cdef bytes digests = None
        if self.digester is not None:
            digests = self.digester._begin(self._blocks(plan))
        bd_guard_install()
        self.busy = True
        with nogil:
            rc = bd_run(&self.r, plan.items, plan.n, &out, &bad)
        self.busy = False
        if rc == BD_OK and digests is None:
            return made(&out), made(&bad)
        if rc == BD_OK:
            found, unreadable = made(&out), made(&bad)
            self.digester._check(rc)
            return (found, digests), unreadable
        bd_free(&out)
        bd_free(&bad)
        if rc == BD_E_NOMEM:
            raise MemoryError()
        if rc == BD_E_CANCELLED:
            raise Cancelled()
        if self.digester is not None:
            self.digester._check(rc)
        raise ReadFailed(self.r.err_side, self.r.err_offset, self.r.err_length,
                         0 if rc == BD_E_SHORT else self.r.err_errno, rc == BD_E_WRITE)

    cdef int _check(self, Extents plan) except -1:
        """A segment that reads a side which is not there would read from nowhere."""
        cdef Py_ssize_t i
        cdef int side
        cdef const bd_place *last
        for side in range(2):
            if self.r.side[side].fd < 0 and self.r.side[side].driver == NULL:
                for i in range(plan.n):
                    if bd_reads(plan.items[i].kind, side):
                        raise InvalidInput(f"segment {i} of the plan reads side {side}, which this reader does not have")
            if self.r.side[side].places != NULL and plan.n:
                last = &self.r.side[side].places[self.r.side[side].n_places - 1]
                if plan.end > last.offset + last.length:
                    raise InvalidInput(f"the plan goes past the end of side {side}")
        return 0

    cdef size_t _blocks(self, Extents plan) except? 0:
        """How many blocks a plan reads. Its segments begin and end where blocks do, or at the end of all."""
        cdef Py_ssize_t i
        cdef int64_t end, g = self.r.granularity
        cdef size_t n = 0
        for i in range(plan.n):
            if not (bd_reads(plan.items[i].kind, 0) or bd_reads(plan.items[i].kind, 1)):
                continue
            end = plan.items[i].offset + plan.items[i].length
            if bd_reads(plan.items[i].kind, 1) or plan.items[i].offset % g or (end % g and end != self.digester.d.end):
                raise InvalidInput(f"segment {i} of the plan is not of whole blocks of the source")
            n += (plan.items[i].length + g - 1) // g
        return n

    def cancel(self):
        """Makes run() raise Cancelled within one chunk. Any thread may call it."""
        self.r.cancel = 1

    @property
    def compared(self):
        """Bytes judged so far."""
        return self.r.compared

    @property
    def written(self):
        """Bytes written so far (SEG_COPY)."""
        return self.r.written

    @property
    def punched(self):
        """Bytes of zeroes punched instead of written so far (SEG_COPY with write_sparse)."""
        return self.r.punched

    @property
    def aio(self):
        """1 when asynchronous reads work, -1 when the kernel refuses them, 0 while not tried."""
        return self.r.aio

    def bytes_read(self, int side):
        """Bytes read of a side, by path: a dict of the READ_PATHS that were used."""
        return {READ_PATHS[i]: self.r.side[side].bytes[i] for i in range(4) if self.r.side[side].bytes[i]}

    def direct_errno(self, int side):
        """Why O_DIRECT was given up on the way (an errno), or 0."""
        return self.r.side[side].direct_errno


def judge_buffers(int segment, source, target, int64_t offset, *, int64_t granularity, bint strict=False):
    """Judges bytes in memory: what ``Reader.run`` does for one segment that starts at ``offset``.

    ``source`` and ``target`` are contiguous buffers of one length, or None for the side that the segment does not read.
    Returns Extents of findings.
    """
    cdef Py_buffer a, b
    cdef bd_vec out
    cdef int rc
    cdef bint has_a = source is not None, has_b = target is not None
    cdef int64_t length
    memset(&out, 0, sizeof(out))
    if segment in (SEG_COMPARE, SEG_DST_HOLE, SEG_MAP) and not has_a or segment in (SEG_COMPARE, SEG_SRC_HOLE) and not has_b:
        raise InvalidInput("a buffer that the segment reads is missing")
    if granularity < MIN_GRANULARITY or granularity & (granularity - 1):
        raise InvalidInput(f"granularity must be a power of two from {MIN_GRANULARITY}, not {granularity}")
    if has_a:
        PyObject_GetBuffer(source, &a, PyBUF_SIMPLE)
    try:
        if has_b:
            PyObject_GetBuffer(target, &b, PyBUF_SIMPLE)
        try:
            length = a.len if has_a else b.len if has_b else 0
            if has_a and has_b and a.len != b.len:
                raise InvalidInput(f"buffers of {a.len} and {b.len} bytes cannot be compared")
            with nogil:
                rc = bd_judge(<uint8_t>segment, <unsigned char *>a.buf if has_a else NULL,
                              <unsigned char *>b.buf if has_b else NULL, offset, length, granularity, strict, &out)
        finally:
            if has_b:
                PyBuffer_Release(&b)
    finally:
        if has_a:
            PyBuffer_Release(&a)
    if rc < 0:
        bd_free(&out)
        raise MemoryError()
    return made(&out)


def cached_bytes(int fd, int64_t offset, int64_t length):
    """Bytes of a range that are in the page cache, or -1 where the kernel cannot tell (before 6.5)."""
    return bd_cached_bytes(fd, offset, length)


def split_plan(Extents plan not None, int64_t max_bytes, Py_ssize_t max_extents=65536):
    """Cuts a plan into tasks: lists of segments in order, each of about ``max_bytes``, big segments cut on that grid.

    Segments that nobody reads (SEG_SKIP_*) are left out. Returns a list of Extents.
    """
    cdef list tasks = []
    cdef bd_vec v
    cdef int64_t sum_ = 0, pos, end, stop
    cdef Py_ssize_t i
    cdef uint8_t seg
    if max_bytes <= 0:
        raise InvalidInput(f"a task must have a positive size, not {max_bytes}")
    memset(&v, 0, sizeof(v))
    for i in range(plan.n):
        seg = plan.items[i].kind & 7
        if seg == SEG_SKIP_HOLE or seg == SEG_SKIP_SHARED or seg == SEG_SKIP_DIGEST:
            continue
        pos = plan.items[i].offset
        end = pos + plan.items[i].length
        while pos < end:
            stop = min(end, bd_next_multiple(pos, max_bytes))
            vec_push(&v, pos, stop - pos, plan.items[i].kind)
            sum_ += stop - pos
            pos = stop
            if stop % max_bytes == 0 or sum_ >= max_bytes or <Py_ssize_t>v.n >= max_extents:
                tasks.append(made(&v))
                sum_ = 0
    if v.n:
        tasks.append(made(&v))
    return tasks
