# Sums over a list of extents: what `blockdiff extents stat` shows.

cdef extern from *:
    int clzll "__builtin_clzll" (unsigned long long x) noexcept nogil


cdef class ExtentStatistics:
    """Counts extents and bytes by kind, and the lengths of all but holes. ``add`` batches that ascend, in order."""
    cdef int64_t counts_[MAX_KIND + 1]
    cdef int64_t bytes_[MAX_KIND + 1]
    cdef int64_t lengths_[64]
    cdef readonly int64_t smallest, largest
    cdef int64_t bits, last_end

    def add(self, Extents extents not None):
        """Counts a batch."""
        cdef Py_ssize_t i
        cdef int64_t length
        cdef const bd_extent *e
        with nogil:
            for i in range(extents.n):
                e = &extents.items[i]
                length = e.length
                self.counts_[e.kind] += 1
                self.bytes_[e.kind] += length
                if e.kind == 2:
                    continue
                self.lengths_[63 - clzll(<uint64_t>length)] += 1
                self.bits |= e.offset | self.last_end
                self.last_end = e.offset + length
                if length > self.largest:
                    self.largest = length
                if self.smallest == 0 or length < self.smallest:
                    self.smallest = length

    @property
    def kinds(self):
        """A dict of kind to (extents, bytes)."""
        return {i: (self.counts_[i], self.bytes_[i]) for i in range(MAX_KIND + 1) if self.counts_[i]}

    @property
    def lengths(self):
        """How many extents have at least 2^i bytes and fewer than 2^(i + 1), for i from 0 to 62."""
        return [self.lengths_[i] for i in range(63)]

    def granularity(self, capacity=None):
        """The largest power of two that divides every boundary, except one at the capacity; 0 where there is none."""
        cdef int64_t bits = self.bits, top = -1 if capacity is None else to_int64(capacity)
        if self.last_end != top:
            bits |= self.last_end
        if bits == 0:
            return top if self.last_end and top > 0 else 0
        return bits & -bits
