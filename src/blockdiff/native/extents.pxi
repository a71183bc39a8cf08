# The columnar extent set: a sorted, non-overlapping, immutable native buffer, and its algebra.

cdef extern from "extent.h" nogil:
    ctypedef struct bd_extent:
        int64_t offset
        int64_t length
        uint8_t kind
    ctypedef struct bd_vec:
        bd_extent *items
        size_t n
        size_t cap
    ctypedef struct bd_cursor:
        const bd_extent *items
        size_t n
        size_t i
        int64_t pos
        int eof
    int64_t bd_next_multiple(int64_t offset, int64_t step)
    int bd_reserve(bd_vec *v, size_t more)
    int bd_push(bd_vec *v, int64_t offset, int64_t length, uint8_t kind)
    int bd_push_joined(bd_vec *v, int64_t offset, int64_t length, uint8_t kind)
    int bd_push_aligned(bd_vec *v, int64_t offset, int64_t length, uint8_t kind, int64_t g, int64_t limit)
    int bd_push_exact(bd_vec *out, int64_t offset, int64_t length, uint8_t kind, int64_t g, int64_t limit)
    void bd_free(bd_vec *v)
    const char *BD_VEC_NAME
    int bd_sweep(bd_cursor *a, bd_cursor *b, const uint8_t *table, bd_vec *out, size_t max_out)
    enum:
        BD_STATES, BD_NONE, BD_DONE, BD_NEED_A, BD_NEED_B, BD_FULL, BD_NOMEM

DEF MAX_KIND = 32
cdef bytes EXTENT_FORMAT = b"T{q:offset:q:length:B:kind:7x}"
cdef int64_t MAX_OFFSET = 0x7fffffffffffffff


cdef inline int vec_push(bd_vec *v, int64_t offset, int64_t length, uint8_t kind) except -1:
    if bd_push(v, offset, length, kind) < 0:
        raise MemoryError()
    return 0


@cython.no_gc  # the collector would take away what __dealloc__ goes by; it can be in no cycle of its own
cdef class Extents:
    """A sorted, non-overlapping, immutable set of extents in one native buffer.

    ``Extents([(offset, length), (offset, length, kind), ...])``; units are bytes, lengths are positive.
    The buffer protocol gives a structured array without a copy (``numpy.asarray(extents)`` has the fields ``offset`` i8,
    ``length`` i8 and ``kind`` u1; 24 bytes an item). Iterating yields ``Extent`` values, for people and tests.

    Raises OutOfOrder (unsorted, overlapping, negative or empty extents; ``index`` says which) and InvalidInput.
    """
    cdef bd_extent *items
    cdef readonly Py_ssize_t n
    cdef object owner             # who frees ``items``; None: we do
    cdef Py_ssize_t shape[1]
    cdef Py_ssize_t strides[1]

    def __cinit__(self, items=(), *args, **kwargs):
        self.items = NULL
        self.n = 0
        self.owner = None
        self.strides[0] = sizeof(bd_extent)

    def __init__(self, items=()):
        cdef bd_vec v
        memset(&v, 0, sizeof(v))
        if self.items != NULL or self.owner is not None:
            raise TypeError("extents are immutable")
        if isinstance(items, Extents):
            self._borrow(<Extents>items, 0, (<Extents>items).n)
            return
        try:
            for item in items:
                if len(item) == 2:
                    vec_push(&v, to_int64(item[0]), to_int64(item[1]), 0)
                else:
                    vec_push(&v, to_int64(item[0]), to_int64(item[1]), to_kind(item[2]))
            check_extents(v.items, v.n, 0)
        except BaseException:
            bd_free(&v)
            raise
        self._take(&v)

    def __dealloc__(self):
        if self.owner is None:
            free(self.items)

    cdef void _take(self, bd_vec *v) noexcept:
        """Takes the vector's memory over and empties it."""
        cdef bd_extent *shrunk
        self.items = v.items
        self.n = <Py_ssize_t>v.n
        if v.n == 0:
            free(v.items)
            self.items = NULL
        elif v.cap > v.n + v.n // 8 + 64:
            shrunk = <bd_extent *>realloc(v.items, v.n * sizeof(bd_extent))
            if shrunk != NULL:
                self.items = shrunk
        v.items = NULL
        v.n = v.cap = 0

    cdef void _borrow(self, Extents other, Py_ssize_t start, Py_ssize_t n):
        self.owner = other if other.owner is None else other.owner
        self.items = other.items + start
        self.n = n

    # ---- making ----

    @staticmethod
    def from_arrays(offsets, lengths, kinds=None):
        """Extents from two int64 arrays (anything contiguous that speaks the buffer protocol) and optional uint8 kinds."""
        cdef const int64_t[::1] o = int64_view(offsets)
        cdef const int64_t[::1] l = int64_view(lengths)
        cdef const uint8_t[::1] k = None
        cdef Py_ssize_t i, n = o.shape[0]
        cdef bd_vec v
        if l.shape[0] != n:
            raise InvalidInput(f"{n} offsets but {l.shape[0]} lengths")
        if kinds is not None:
            k = memoryview(kinds).cast("B") if not isinstance(kinds, memoryview) else kinds
            if k.shape[0] != n:
                raise InvalidInput(f"{n} offsets but {k.shape[0]} kinds")
        memset(&v, 0, sizeof(v))
        if bd_reserve(&v, n) < 0:
            raise MemoryError()
        for i in range(n):
            bd_push(&v, o[i], l[i], 0 if k is None else k[i])
        return checked(&v)

    @staticmethod
    def from_buffer(buffer):
        """Extents copied from a structured array of this class's own layout (``numpy.asarray(extents)`` and its slices)."""
        cdef Py_buffer view
        cdef bd_vec v
        cdef bint known
        memset(&v, 0, sizeof(v))
        PyObject_GetBuffer(buffer, &view, PyBUF_C_CONTIGUOUS | PyBUF_FORMAT)
        try:
            known = view.itemsize == sizeof(bd_extent) and view.format != NULL and view.format[0] == b"T"
            if not known and not (view.itemsize == 1 and view.len % sizeof(bd_extent) == 0):
                raise InvalidInput("not an extent buffer: wanted items of offset i8, length i8, kind u1, 24 bytes each")
            if bd_reserve(&v, view.len // sizeof(bd_extent)) < 0:
                raise MemoryError()
            for i in range(view.len // <Py_ssize_t>sizeof(bd_extent)):
                bd_push(&v, (<bd_extent *>view.buf)[i].offset, (<bd_extent *>view.buf)[i].length,
                        (<bd_extent *>view.buf)[i].kind)
        finally:
            PyBuffer_Release(&view)
        return checked(&v)

    @staticmethod
    def from_capsule(capsule):
        """The extents that another extension of this package made: they are taken out of its capsule, not copied."""
        cdef bd_vec *held = <bd_vec *>PyCapsule_GetPointer(capsule, BD_VEC_NAME)
        cdef bd_vec v = held[0]
        memset(held, 0, sizeof(held[0]))
        return checked(&v)

    @staticmethod
    def from_map(blocks, int64_t granularity, *, capacity=None, bint bits=False):
        """Extents of the blocks that a map marks: one byte a block, or with ``bits`` one bit a block, least significant first.

        ``granularity`` is the block size; the last block is cut at ``capacity``.
        """
        cdef const uint8_t[::1] m = memoryview(blocks).cast("B")
        cdef int64_t i, n = m.shape[0] * (8 if bits else 1)
        cdef int64_t limit = MAX_OFFSET if capacity is None else to_int64(capacity)
        cdef int64_t start
        cdef bd_vec v
        if granularity <= 0:
            raise InvalidInput(f"granularity must be positive, not {granularity}")
        if n and n > MAX_OFFSET // granularity:
            raise InvalidInput(f"{n} blocks of {granularity} bytes end past 2^63")
        memset(&v, 0, sizeof(v))
        for i in range(n):
            if (m[i >> 3] >> (i & 7)) & 1 if bits else m[i]:
                start = i * granularity
                if start >= limit:
                    bd_free(&v)
                    raise InvalidInput(f"block {i} of the map starts at {start}, past the capacity {limit}")
                if bd_push_joined(&v, start, min(granularity, limit - start), 0) < 0:
                    bd_free(&v)
                    raise MemoryError()
        return made(&v)

    # ---- looking ----

    def __len__(self):
        return self.n

    def __getitem__(self, index):
        cdef Extents part
        cdef Py_ssize_t start, stop, step, i
        if isinstance(index, slice):
            start, stop, step = index.indices(self.n)
            if step != 1:
                raise InvalidInput("extents are sliced with a step of 1 only")
            part = Extents.__new__(Extents)
            if stop > start:
                part._borrow(self, start, stop - start)
            return part
        i = index
        if i < 0:
            i += self.n
        if not 0 <= i < self.n:
            raise IndexError(f"extent {index} of {self.n}")
        return as_extent(&self.items[i])

    def __iter__(self):
        cdef Py_ssize_t i
        for i in range(self.n):
            yield as_extent(&self.items[i])

    def __eq__(self, other):
        cdef Extents o
        if not isinstance(other, Extents):
            return NotImplemented
        o = other
        return self.n == o.n and (self.n == 0 or memcmp(self.items, o.items, self.n * sizeof(bd_extent)) == 0)

    def __hash__(self):
        return hash(PyBytes_FromStringAndSize(<char *>self.items, self.n * sizeof(bd_extent)))

    def __repr__(self):
        shown = ", ".join(f"({e.offset}, {e.length}, {e.kind!r})" for e in self[:4])
        return f"Extents([{shown}{', ...' if self.n > 4 else ''}]) of {self.n}"

    def __reduce__(self):
        return Extents.from_buffer, (PyBytes_FromStringAndSize(<char *>self.items, self.n * sizeof(bd_extent)),)

    def __getbuffer__(self, Py_buffer *view, int flags):
        if flags & PyBUF_WRITABLE == PyBUF_WRITABLE:
            raise BufferError("extents are immutable")
        self.shape[0] = self.n
        view.buf = self.items if self.items != NULL else <void *>self.shape
        view.obj = self
        view.len = self.n * sizeof(bd_extent)
        view.itemsize = sizeof(bd_extent)
        view.readonly = 1
        view.format = <char *>EXTENT_FORMAT if flags & PyBUF_FORMAT else NULL
        view.ndim = 1
        view.shape = self.shape
        view.strides = self.strides
        view.suboffsets = NULL
        view.internal = NULL

    @property
    def start(self):
        """The first byte covered; 0 when empty."""
        return self.items[0].offset if self.n else 0

    @property
    def end(self):
        """The first byte after the last extent; 0 when empty."""
        return self.items[self.n - 1].offset + self.items[self.n - 1].length if self.n else 0

    def total(self, kind=None):
        """Bytes covered, of one kind if asked."""
        cdef int64_t sum_ = 0
        cdef Py_ssize_t i
        cdef int wanted = -1 if kind is None else to_kind(kind)
        with nogil:
            for i in range(self.n):
                if wanted < 0 or self.items[i].kind == wanted:
                    sum_ += self.items[i].length
        return sum_

    def totals(self):
        """Bytes covered by kind, as a dict of kind number to bytes."""
        cdef int64_t sums[256]
        cdef Py_ssize_t i
        memset(sums, 0, sizeof(sums))
        with nogil:
            for i in range(self.n):
                sums[self.items[i].kind] += self.items[i].length
        return {i: sums[i] for i in range(256) if sums[i]}

    def only(self, *kinds):
        """The extents of these kinds."""
        cdef uint8_t keep[256]
        cdef bd_vec v
        cdef Py_ssize_t i
        memset(keep, 0, sizeof(keep))
        memset(&v, 0, sizeof(v))
        for kind in kinds:
            keep[to_kind(kind)] = 1
        for i in range(self.n):
            if keep[self.items[i].kind]:
                vec_push(&v, self.items[i].offset, self.items[i].length, self.items[i].kind)
        return made(&v)

    def with_kind(self, kind):
        """The same ranges, all of one kind, adjacent ones joined."""
        cdef bd_vec v
        cdef Py_ssize_t i
        cdef uint8_t k = to_kind(kind)
        memset(&v, 0, sizeof(v))
        for i in range(self.n):
            if bd_push_joined(&v, self.items[i].offset, self.items[i].length, k) < 0:
                bd_free(&v)
                raise MemoryError()
        return made(&v)

    # ---- the algebra ----

    def coalesce(self, int64_t gap=0):
        """Joins neighbours of the same kind that are at most ``gap`` bytes apart (the gap is then covered too)."""
        cdef bd_vec v
        cdef bd_extent *last
        cdef Py_ssize_t i
        memset(&v, 0, sizeof(v))
        for i in range(self.n):
            if v.n:
                last = &v.items[v.n - 1]
                if last.kind == self.items[i].kind and self.items[i].offset - (last.offset + last.length) <= gap:
                    last.length = self.items[i].offset + self.items[i].length - last.offset
                    continue
            vec_push(&v, self.items[i].offset, self.items[i].length, self.items[i].kind)
        return made(&v)

    def clip(self, start, end):
        """The parts inside ``[start, end)``."""
        cdef int64_t lo = to_int64(start), hi = to_int64(end), s, e
        cdef Py_ssize_t first = lower_bound(self.items, self.n, lo), i
        cdef bd_vec v
        memset(&v, 0, sizeof(v))
        for i in range(first, self.n):
            s = max(lo, self.items[i].offset)
            e = min(hi, self.items[i].offset + self.items[i].length)
            if self.items[i].offset >= hi:
                break
            if e > s:
                vec_push(&v, s, e - s, self.items[i].kind)
        return made(&v)

    def shift(self, delta):
        """All offsets moved by ``delta`` bytes; InvalidInput if one would leave [0, 2^63)."""
        cdef int64_t d = to_int64(delta)
        cdef bd_vec v
        cdef Py_ssize_t i
        if self.n and (self.items[0].offset < -d if d < 0 else d > MAX_OFFSET - self.end):
            raise InvalidInput(f"shifting by {delta} moves an extent out of [0, 2^63)")
        memset(&v, 0, sizeof(v))
        for i in range(self.n):
            vec_push(&v, self.items[i].offset + d, self.items[i].length, self.items[i].kind)
        return made(&v)

    def align(self, int64_t granularity, *, limit=None):
        """Extents grown outwards to multiples of ``granularity``, but not past ``limit``, and joined.

        Where two kinds meet inside one granule, the granule becomes data, the kind that promises least.
        """
        cdef int64_t top = MAX_OFFSET if limit is None else to_int64(limit)
        cdef bd_vec v
        cdef Py_ssize_t i
        if granularity <= 0:
            raise InvalidInput(f"granularity must be positive, not {granularity}")
        memset(&v, 0, sizeof(v))
        for i in range(self.n):
            if bd_push_aligned(&v, self.items[i].offset, self.items[i].length, self.items[i].kind, granularity, top) < 0:
                bd_free(&v)
                raise MemoryError()
        return made(&v)

    def union(self, Extents other not None):
        """Bytes in either; where both cover a byte, ours names its kind."""
        return combine(self, other, UNION)

    def intersect(self, Extents other not None):
        """Our bytes that are in the other set too, with our kinds."""
        return combine(self, other, INTERSECT)

    def subtract(self, Extents other not None):
        """Our bytes that are not in the other set."""
        return combine(self, other, SUBTRACT)

    def complement(self, capacity, *, kind=0):
        """The bytes of ``[0, capacity)`` that no extent covers."""
        cdef int64_t pos = 0, top = to_int64(capacity)
        cdef uint8_t k = to_kind(kind)
        cdef bd_vec v
        cdef Py_ssize_t i
        memset(&v, 0, sizeof(v))
        for i in range(self.n):
            if self.items[i].offset >= top:
                break
            if self.items[i].offset > pos:
                vec_push(&v, pos, self.items[i].offset - pos, k)
            pos = self.items[i].offset + self.items[i].length
        if pos < top:
            vec_push(&v, pos, top - pos, k)
        return made(&v)

    def __or__(self, other):
        return combine(self, other, UNION) if isinstance(other, Extents) else NotImplemented

    def __and__(self, other):
        return combine(self, other, INTERSECT) if isinstance(other, Extents) else NotImplemented

    def __sub__(self, other):
        return combine(self, other, SUBTRACT) if isinstance(other, Extents) else NotImplemented

    def gaps(self):
        """True when the set does not cover one unbroken range."""
        cdef Py_ssize_t i
        for i in range(1, self.n):
            if self.items[i - 1].offset + self.items[i - 1].length != self.items[i].offset:
                return True
        return False

    def granularity(self, *, limit=None):
        """The largest power of two that divides every boundary except one at ``limit``; 0 when empty."""
        cdef int64_t bits = 0, top = -1 if limit is None else to_int64(limit), e
        cdef Py_ssize_t i
        for i in range(self.n):
            bits |= self.items[i].offset
            e = self.items[i].offset + self.items[i].length
            if e != top:
                bits |= e
        return bits & -bits if bits else (top if self.n and top > 0 else 0)


# ---- making Extents from native vectors ----

cdef Extents made(bd_vec *v):
    cdef Extents e = Extents.__new__(Extents)
    e._take(v)
    return e


cdef Extents checked(bd_vec *v):
    try:
        check_extents(v.items, v.n, 0)
    except BaseException:
        bd_free(v)
        raise
    return made(v)


cdef int check_extents(const bd_extent *items, size_t n, int64_t after) except -1:
    """Raises OutOfOrder at the first extent that is empty, negative, too far, of unknown kind, or begins before the last end."""
    cdef size_t i
    cdef int64_t end = after
    for i in range(n):
        if items[i].kind > MAX_KIND:
            raise InvalidInput(f"extent {i} has the unknown kind {items[i].kind}")
        if items[i].offset < 0 or items[i].length <= 0 or items[i].length > MAX_OFFSET - items[i].offset:
            raise OutOfOrder(f"extent {i} (offset {items[i].offset}, length {items[i].length}) is empty or outside [0, 2^63)",
                             index=i)
        if items[i].offset < end:
            raise OutOfOrder(f"extent {i} (offset {items[i].offset}, length {items[i].length}) begins before {end}, "
                             "where the one before it ends: extents must be ascending and must not overlap", index=i)
        end = items[i].offset + items[i].length
    return 0


cdef Py_ssize_t lower_bound(const bd_extent *items, Py_ssize_t n, int64_t offset) noexcept nogil:
    """The first extent that ends after ``offset``."""
    cdef Py_ssize_t lo = 0, hi = n, mid
    while lo < hi:
        mid = (lo + hi) // 2
        if items[mid].offset + items[mid].length <= offset:
            lo = mid + 1
        else:
            hi = mid
    return lo


cdef object as_extent(const bd_extent *e):
    return Extent(e.offset, e.length, KIND_NAMES.get(e.kind, e.kind))


cdef int64_t to_int64(value) except? -1:
    try:
        return value
    except OverflowError:
        raise InvalidInput(f"{value} is outside the 64-bit range of offsets") from None


cdef uint8_t to_kind(value) except? 255:
    cdef long kind = value
    if not 0 <= kind <= MAX_KIND:
        raise InvalidInput(f"unknown extent kind {value}")
    return <uint8_t>kind


cdef int64_view(values):
    view = memoryview(values)
    if view.itemsize != 8 or view.format not in ("q", "l", "<q", "=q", "<l", "=l"):
        raise InvalidInput(f"wanted an array of int64, not of {view.format!r}")
    return view.cast("B").cast("q") if view.format != "q" else view
