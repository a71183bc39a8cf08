# Where the bytes of a disk are that lies inside of a file.

cdef extern from "places.h" nogil:
    ctypedef struct bd_places:
        bd_place *items
        size_t n
        size_t cap
    int bd_add_place(bd_places *v, int64_t offset, int64_t length, int64_t place)
    int bd_add_table(bd_places *v, const unsigned char *table, int64_t offset, int64_t end, int64_t cluster, int version,
                     int64_t file_size)


cdef class Places:
    """The places of a disk of ``size`` bytes in a file, from its beginning to its end; what is in none is zeroes.

    ``add_nothing`` and ``add_table`` go on where the last one ended. ``data`` is how many bytes are in the file.
    """
    cdef bd_places v
    cdef readonly int64_t size
    cdef int64_t end_, last_place
    cdef bint sealed              # a reader uses it

    def __cinit__(self, size):
        self.size = to_int64(size)
        memset(&self.v, 0, sizeof(self.v))

    def __dealloc__(self):
        free(self.v.items)

    def __len__(self):
        return self.v.n

    @property
    def end(self):
        """Up to where it is known."""
        return self.end_

    @property
    def data(self):
        cdef int64_t sum_ = 0
        cdef size_t i
        for i in range(self.v.n):
            if self.v.items[i].place >= 0:
                sum_ += self.v.items[i].length
        return sum_

    def _check(self):
        if self.sealed:
            raise RuntimeError("a reader uses these places")

    def add_nothing(self, length):
        """The next bytes are nowhere; no more than the disk has."""
        cdef int64_t n = min(to_int64(length), self.size - self.end_)
        self._check()
        if n > 0:
            if bd_add_place(&self.v, self.end_, n, -1) < 0:
                raise MemoryError()
            self.end_ += n

    def add_table(self, bytes table not None, int64_t cluster, int version, int64_t file_size):
        """The clusters of a qcow2 table of level 2. False: it has entries that are not plain clusters in the file."""
        cdef int rc
        cdef int64_t first = self.end_
        self._check()
        if cluster < 512 or len(table) != cluster or file_size < 0:
            raise InvalidInput("a table has the size of a cluster")
        rc = bd_add_table(&self.v, <const unsigned char *>PyBytes_AS_STRING(table), first, self.size, cluster, version,
                          file_size)
        if rc < 0:
            raise MemoryError()
        self.last_place = max(self.last_place, file_size)
        self.end_ = min(self.size, first + cluster // 8 * cluster)
        return rc == 0

    def extents(self, start, end):
        """What is in the file is data, the rest a hole, inside of ``[start, end)``."""
        cdef int64_t lo = max(to_int64(start), 0), hi = min(to_int64(end), self.end_), s, e
        cdef size_t i
        cdef bd_vec out
        memset(&out, 0, sizeof(out))
        for i in range(self.v.n):
            s = max(lo, self.v.items[i].offset)
            e = min(hi, self.v.items[i].offset + self.v.items[i].length)
            if e > s and bd_push_joined(&out, s, e - s, 2 if self.v.items[i].place < 0 else 0) < 0:
                bd_free(&out)
                raise MemoryError()
        return made(&out)

    def pieces(self, start, end):
        """``(offset, length, place)`` of each piece inside of ``[start, end)``; place -1 is nowhere."""
        cdef int64_t lo = to_int64(start), hi = to_int64(end), s, e
        cdef size_t first = 0, last = self.v.n, middle
        found = []
        while last - first > 1:
            middle = first + (last - first) // 2
            if self.v.items[middle].offset <= lo:
                first = middle
            else:
                last = middle
        while first < self.v.n and self.v.items[first].offset < hi:
            s = max(lo, self.v.items[first].offset)
            e = min(hi, self.v.items[first].offset + self.v.items[first].length)
            if e > s:
                found.append((s, e - s, -1 if self.v.items[first].place < 0
                              else self.v.items[first].place + (s - self.v.items[first].offset)))
            first += 1
        return found
