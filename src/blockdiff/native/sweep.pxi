# Set operations as one sweep over two inputs: whole sets, and streams of batches in bounded memory.

# ---- tables: what comes out where a is in state i and b in state j (0 = absent, kind + 1) ----

cdef bytes set_table(bint only_a, bint only_b, bint both):
    """The table of a set operation: a range keeps the kind that a gives it, else b's."""
    cdef bytearray table = bytearray(b"\xff") * (BD_STATES * BD_STATES)
    cdef int a, b
    for a in range(BD_STATES):
        for b in range(BD_STATES):
            if (only_a if b == 0 else both) if a else only_b and b:
                table[a * BD_STATES + b] = a - 1 if a else b - 1
    return bytes(table)


cdef bytes UNION = set_table(True, True, True)
cdef bytes INTERSECT = set_table(False, False, True)
cdef bytes SUBTRACT = set_table(True, False, False)


def combine_table(rule, a=None, b=None):
    """A table for ``combine`` and ``Merge`` from ``rule(kind of a or None, kind of b or None) -> kind or None``.

    ``a`` and ``b`` name the kinds that can occur (all, if None): the rule is asked for these only, and nothing comes out
    for others. Where both are absent nothing comes out, whatever the rule says.
    """
    cdef bytearray table = bytearray(b"\xff") * (BD_STATES * BD_STATES)
    every = range(MAX_KIND + 1)
    for x in (None, *(every if a is None else a)):
        for y in (None, *(every if b is None else b)):
            kind = None if x is None and y is None else rule(x, y)
            if kind is not None:
                table[(0 if x is None else x + 1) * BD_STATES + (0 if y is None else y + 1)] = kind
    return bytes(table)


SET_TABLES = {"union": UNION, "intersect": INTERSECT, "subtract": SUBTRACT}


def combine(Extents a not None, Extents b not None, bytes table not None):
    """One sweep over two sets: every maximal range comes out with the kind that ``table`` names for it."""
    cdef bd_cursor ca, cb
    cdef bd_vec v
    cdef int rc
    cdef const uint8_t *t = table
    if len(table) != BD_STATES * BD_STATES:
        raise InvalidInput("not a table made by combine_table()")
    set_cursor(&ca, a, True)
    set_cursor(&cb, b, True)
    ca.pos = -1
    memset(&v, 0, sizeof(v))
    with nogil:
        rc = bd_sweep(&ca, &cb, t, &v, <size_t>-1)
    if rc == BD_NOMEM:
        bd_free(&v)
        raise MemoryError()
    return made(&v)


cdef void set_cursor(bd_cursor *c, Extents e, bint eof) noexcept:
    """The next batch; ``pos``, where the sweep stands, stays."""
    c.items = e.items
    c.n = <size_t>e.n
    c.i = 0
    c.eof = eof


cdef class Merge:
    """The sweep over two streams of extent batches, in memory bounded by the batches: iterate it for the result's batches.

    Both inputs must be ascending across batches (``ordered()`` guards that); OutOfOrder is raised where they are not.
    """
    cdef bd_cursor a, b
    cdef Extents held_a, held_b
    cdef object next_a, next_b
    cdef bytes table
    cdef bd_vec out
    cdef int64_t end_a, end_b
    cdef size_t batch
    cdef bint done

    def __cinit__(self, a, b, bytes table not None, size_t batch=65536):
        if len(table) != BD_STATES * BD_STATES:
            raise InvalidInput("not a table made by combine_table()")
        memset(&self.out, 0, sizeof(self.out))
        self.held_a = self.held_b = Extents()
        set_cursor(&self.a, self.held_a, False)
        set_cursor(&self.b, self.held_b, False)
        self.a.pos = -1
        self.next_a = iter(a).__next__
        self.next_b = iter(b).__next__
        self.table = table
        self.batch = batch if batch else 1

    def __dealloc__(self):
        bd_free(&self.out)

    def __iter__(self):
        return self

    def __next__(self):
        cdef int rc
        cdef const uint8_t *t = self.table
        while not self.done:
            with nogil:
                rc = bd_sweep(&self.a, &self.b, t, &self.out, self.batch)
            if rc == BD_NOMEM:
                raise MemoryError()
            if rc == BD_NEED_A:
                self.held_a = self._fill(&self.a, self.next_a, &self.end_a)
            elif rc == BD_NEED_B:
                self.held_b = self._fill(&self.b, self.next_b, &self.end_b)
            elif rc == BD_FULL:
                return self._flush()
            else:
                self.done = True
        if self.out.n:
            return made(&self.out)
        raise StopIteration

    cdef Extents _fill(self, bd_cursor *c, next_batch, int64_t *end):
        cdef Extents e
        try:
            e = next_batch()
        except StopIteration:
            e = Extents()
            set_cursor(c, e, True)
            return e
        if e.n and e.items[0].offset < end[0]:
            raise OutOfOrder(f"a batch begins at {e.items[0].offset}, before {end[0]}, where the one before it ends")
        if e.n:
            end[0] = e.end
        set_cursor(c, e, False)
        return e

    cdef Extents _flush(self):
        """All that is finished: the last extent may still grow, so it stays."""
        cdef bd_extent last = self.out.items[self.out.n - 1]
        cdef Extents e
        self.out.n -= 1
        e = made(&self.out)
        vec_push(&self.out, last.offset, last.length, last.kind)
        return e


cdef class Aligner:
    """``Extents.align`` over a stream of batches: ``feed(batch)`` gives what is finished, ``finish()`` the rest.

    With ``exact`` a granule that is zero (or of another kind that says something of its bytes) in part only becomes data.
    """
    cdef bd_vec out
    cdef int64_t g, limit
    cdef bint exact

    def __cinit__(self, int64_t granularity, limit=None, *, bint exact=False):
        if granularity <= 0:
            raise InvalidInput(f"granularity must be positive, not {granularity}")
        memset(&self.out, 0, sizeof(self.out))
        self.exact = exact
        self.g = granularity
        self.limit = MAX_OFFSET if limit is None else to_int64(limit)

    def __dealloc__(self):
        bd_free(&self.out)

    def feed(self, Extents batch not None):
        cdef Py_ssize_t i
        cdef const bd_extent *e
        cdef int rc
        for i in range(batch.n):
            e = &batch.items[i]
            if self.exact:
                rc = bd_push_exact(&self.out, e.offset, e.length, e.kind, self.g, self.limit)
            else:
                rc = bd_push_aligned(&self.out, e.offset, e.length, e.kind, self.g, self.limit)
            if rc < 0:
                raise MemoryError()
        if self.out.n < 3:
            return Extents()
        return self._flush()

    cdef Extents _flush(self):
        """All that is finished. The last extent may still grow, or turn into data and join the one before it."""
        cdef bd_extent kept[2]
        cdef Extents e
        self.out.n -= 2
        memcpy(kept, &self.out.items[self.out.n], sizeof(kept))
        e = made(&self.out)
        vec_push(&self.out, kept[0].offset, kept[0].length, kept[0].kind)
        vec_push(&self.out, kept[1].offset, kept[1].length, kept[1].kind)
        return e

    def finish(self):
        return made(&self.out)

    @property
    def end(self):
        """Where the last extent that is held back ends; 0 when none is."""
        return self.out.items[self.out.n - 1].offset + self.out.items[self.out.n - 1].length if self.out.n else 0


def first_odd_length(Extents extents not None, int64_t length, int64_t capacity=0):
    """The index of the first extent that has another length, or None; one that is cut short by the capacity is allowed."""
    cdef Py_ssize_t i
    for i in range(extents.n):
        if extents.items[i].length != length and not (
            extents.items[i].length < length and extents.items[i].offset + extents.items[i].length == capacity
        ):
            return i
    return None
