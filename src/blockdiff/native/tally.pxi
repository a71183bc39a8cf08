# Bytes by state in equal cells of a volume: what a block map is drawn from.

DEF MAX_CELLS = 65536
DEF MAX_STATES = 16


@cython.no_gc
cdef class Tally:
    """Counts the bytes of ``[0, size)`` by state, in cells of ``cell`` bytes each; the last one may be smaller.

    What a kind counts as is said by tables of 256 bytes: the number of a state, or 255 for nothing.
    """
    cdef int64_t *counts                      # one row of cells for each state
    cdef readonly int64_t size, cell
    cdef readonly Py_ssize_t cells
    cdef readonly int states

    def __cinit__(self, size, cell, int states):
        self.size = to_int64(size)
        self.cell = to_int64(cell)
        if self.size < 0 or self.cell <= 0 or not 0 < states <= MAX_STATES:
            raise InvalidInput(f"no tally: size {size}, cells of {cell} bytes, {states} states")
        if self.size // self.cell >= MAX_CELLS:
            raise InvalidInput(f"{size} bytes in cells of {cell} are more than {MAX_CELLS} cells")
        self.cells = self.size // self.cell + (self.size % self.cell != 0)
        self.states = states
        self.counts = <int64_t *>calloc(max(1, self.cells * states), sizeof(int64_t))
        if self.counts == NULL:
            raise MemoryError()

    def __dealloc__(self):
        free(self.counts)

    cdef void add(self, int state, int64_t start, int64_t end, int sign) noexcept nogil:
        cdef int64_t *row = self.counts + state * self.cells
        cdef int64_t stop
        end = min(end, self.size)
        while start < end:
            stop = min(end, bd_next_multiple(start, self.cell))
            row[start // self.cell] += sign * (stop - start)
            start = stop

    def book(self, Extents batch not None, bytes states not None):
        """Counts extents by their kind."""
        cdef const uint8_t *table = self.table(states)
        cdef Py_ssize_t i
        with nogil:
            for i in range(batch.n):
                if table[batch.items[i].kind] < self.states:
                    self.add(table[batch.items[i].kind], batch.items[i].offset,
                             batch.items[i].offset + batch.items[i].length, 1)

    def move(self, Extents booked not None, Extents found not None, bytes states not None, int state):
        """The bytes of ``found`` that are also in ``booked``, which was counted by ``states``, count as ``state`` now."""
        cdef const uint8_t *table = self.table(states)
        cdef Py_ssize_t i, k, first
        cdef int64_t start, end
        if not 0 <= state < self.states:
            raise InvalidInput(f"no state {state}")
        with nogil:
            first = 0
            for i in range(found.n):
                while first < booked.n and booked.items[first].offset + booked.items[first].length <= found.items[i].offset:
                    first += 1
                for k in range(first, booked.n):
                    start = max(found.items[i].offset, booked.items[k].offset)
                    end = min(found.items[i].offset + found.items[i].length,
                              booked.items[k].offset + booked.items[k].length)
                    if end <= start:
                        break
                    if table[booked.items[k].kind] < self.states:
                        self.add(table[booked.items[k].kind], start, end, -1)
                        self.add(state, start, end, 1)

    def clear(self, int state):
        """Forgets what counted as ``state``."""
        if not 0 <= state < self.states:
            raise InvalidInput(f"no state {state}")
        memset(self.counts + state * self.cells, 0, self.cells * sizeof(int64_t))

    cdef const uint8_t *table(self, bytes states) except NULL:
        if len(states) != 256:
            raise InvalidInput("a table of states has 256 bytes")
        return <const uint8_t *>PyBytes_AS_STRING(states)

    def totals(self):
        """Bytes of each state."""
        return [sum(self.counts[state * self.cells + i] for i in range(self.cells)) for state in range(self.states)]

    def runs(self):
        """``(cells, counts)`` of neighbouring cells with the same counts, a tuple with a number for each state."""
        cdef list found = []
        cdef Py_ssize_t i, begin = 0
        for i in range(1, self.cells + 1):
            if i == self.cells or not self.same(begin, i):
                found.append((i - begin, tuple([self.counts[s * self.cells + begin] for s in range(self.states)])))
                begin = i
        return found

    cdef bint same(self, Py_ssize_t a, Py_ssize_t b) noexcept:
        cdef int s
        for s in range(self.states):
            if self.counts[s * self.cells + a] != self.counts[s * self.cells + b]:
                return False
        return True
