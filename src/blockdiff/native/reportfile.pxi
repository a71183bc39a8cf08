# Reports as files: their ranges as a stream, their other values as they stand there; and ranges packed for a page.

cdef extern from *:
    """
    enum { R_START, R_OPEN, R_MEMBERS, R_LIST_FIRST, R_LIST, R_LINE, R_TRAILER, R_END };
    """
    enum:
        R_START, R_OPEN, R_MEMBERS, R_LIST_FIRST, R_LIST, R_LINE, R_TRAILER, R_END

DEF VALUE_LIMIT = 8388608
DEF VALUES_LIMIT = 33554432
DEF KEYS_LIMIT = 1000

cdef extern from "extent.h" nogil:
    enum:
        BD_DIFF_DATA

cdef tuple RANGE_LISTS = ("differences", "under_reported", "ranges")


cdef class ReportParser(JsonReader):
    """Iterates the ranges of a report, JSON or JSON lines, in batches; ``file`` is opened for bytes.

    ``values`` has, for each key of the report but its list, the line and column of its value and the value as it is
    written (None: it has more than 8 MiB), once all was read. ``list_key``: the list's key, "" where ranges are lines.

    Raises InvalidInput with the file's name, line and column.
    """
    cdef readonly dict values
    cdef readonly str list_key
    cdef readonly int64_t count
    cdef readonly bint lines                  # ranges came a line each
    cdef int state
    cdef bint capturing
    cdef Py_ssize_t since                     # where in the chunk the captured value goes on
    cdef list kept
    cdef int64_t kept_bytes, all_bytes, last_end
    cdef bd_object entry
    cdef bd_vec out

    def __cinit__(self, file, str name="report", **options):
        self.values = {}
        self.list_key = ""
        self.state = R_START
        memset(&self.out, 0, sizeof(self.out))

    def __dealloc__(self):
        bd_free(&self.out)

    def __iter__(self):
        return self

    def __next__(self):
        self.out.n = 0
        if bd_reserve(&self.out, BATCH) < 0:
            raise MemoryError()
        try:
            while self.state != R_END and self.out.n < BATCH:
                self.step()
        except BaseException:
            self.state = R_END
            self.out.n = 0
            raise
        if self.out.n:
            return made(&self.out)
        raise StopIteration

    # ---- values kept as they are ----

    cdef int fill(self) except -2:
        if self.capturing:
            self.keep(self.end)
            self.since = 0
        return JsonReader.fill(self)

    cdef int keep(self, Py_ssize_t stop) except -1:
        """Keeps a piece of the value that is read."""
        self.kept_bytes += stop - self.since
        if self.kept_bytes > VALUE_LIMIT:
            self.kept.clear()
        elif stop > self.since:
            self.kept.append(PyBytes_FromStringAndSize(<const char *>self.buf + self.since, stop - self.since))
        return 0

    cdef int capture(self, str key) except -1:
        """Checks a value and keeps its text."""
        cdef bd_field dropped
        self.space()
        line, column = self.line, self.column()
        self.kept = []
        self.kept_bytes = 0
        self.since = self.pos
        self.capturing = True
        try:
            self.value(&dropped)
            self.keep(self.pos)
        finally:
            self.capturing = False
        if self.kept_bytes <= VALUE_LIMIT:
            self.all_bytes += self.kept_bytes
        if self.all_bytes > VALUES_LIMIT:
            self.fail_at(line, column, "the report is too large: what is beside its list of ranges has more than 32 MiB")
        self.values[key] = (line, column, b"".join(self.kept) if self.kept_bytes <= VALUE_LIMIT else None)
        return 0

    # ---- the report ----

    cdef int member(self) except -1:
        cdef char text[BD_WORD + 1]
        cdef int n = self.key(text)
        return self.value_of(text, n)

    cdef int value_of(self, const char *text, int n) except -1:
        """The value of a key, or the beginning of the list of ranges."""
        cdef bd_field dropped
        key = PyBytes_FromStringAndSize(text, n).decode("latin-1") if n <= BD_WORD else ""
        self.state = R_MEMBERS
        if not key.isascii() or n > BD_WORD:
            return self.value(&dropped)       # no key of ours
        if key in self.values or key == self.list_key and n:
            self.fail(f"the key {key!r} appears twice in one object")
        if len(self.values) >= KEYS_LIMIT:
            self.fail(f"the report has more than {KEYS_LIMIT} keys")
        if key in RANGE_LISTS and self.space() == 91:
            if self.list_key or self.count:
                self.fail(f"a second list of ranges, {key!r}")
            self.list_key = key
            self.pos += 1
            self.state = R_LIST_FIRST
            return 0
        return self.capture(key)

    cdef int open_object(self) except -1:
        """Behind an opening bracket: a range that is a line, or the report."""
        cdef char text[BD_WORD + 1]
        cdef int n, key
        if self.space() == 125:
            self.fail("an empty object, expected a report of blockdiff verify, audit or copy")
        n = self.key(text)
        key = bd_key(text, n) if n <= BD_WORD else -1
        if key != BD_K_OFFSET and key != BD_K_LENGTH and key != BD_K_CLASS:
            return self.value_of(text, n)
        self.lines = True
        self.range(key)
        self.state = R_LINE
        return 0

    cdef int range(self, int key) except -1:
        """A range, from behind its opening bracket (``key`` -1) or behind its first key."""
        cdef char text[BD_WORD + 1]
        cdef bd_object *o = &self.entry
        cdef bd_field dropped
        cdef int c, n
        cdef bint behind = key >= 0
        o.seen = 0
        while True:
            if not behind:
                n = self.key(text)
                key = bd_key(text, n) if n <= BD_WORD else -1
            behind = False
            if key >= 0 and o.seen >> key & 1:
                self.fail(f'the key "{BD_KEY_NAMES[key].decode()}" appears twice in one range')
            if key >= 0:
                o.seen |= 1u << key
            self.value(&o.f[key] if key >= 0 else &dropped)
            c = self.space()
            if c == 125:
                self.pos += 1
                return self.take()
            if c != 44:
                self.unexpected("a comma or the end of the object")
            self.pos += 1

    cdef int64_t integer(self, int key) except -1:
        cdef bd_field *f = &self.entry.f[key]
        name = BD_KEY_NAMES[key].decode()
        if not self.entry.seen >> key & 1:
            self.fail(f'range {self.count} has no "{name}"')
        if f.token != BD_T_INT:
            self.fail_at(f.line, f.column, f'range {self.count}: "{name}" is {TOKEN_NAMES[f.token]}, expected an integer '
                                           "from 0 to 2^63 - 1")
        return f.value

    cdef int take(self) except -1:
        """Checks a range and adds it."""
        cdef int64_t offset = self.integer(BD_K_OFFSET), length = self.integer(BD_K_LENGTH)
        cdef bd_field *f = &self.entry.f[BD_K_CLASS]
        cdef int kind
        if not self.entry.seen >> BD_K_CLASS & 1:
            self.fail(f'range {self.count} has no "class"')
        kind = bd_label(f, True)
        if kind < BD_DIFF_DATA:
            self.fail_at(f.line, f.column, f"range {self.count}: not a class of differences, such as data or bit-flip")
        if length <= 0 or length > MAX_OFFSET - offset:
            self.fail(f"range {self.count} (offset {offset}, length {length}) is empty or ends past 2^63 - 1")
        if offset < self.last_end:
            self.fail(f"range {self.count} (offset {offset}, length {length}) begins before {self.last_end}, where the one "
                      "before it ends")
        self.last_end = offset + length
        self.count += 1
        return vec_push(&self.out, offset, length, <uint8_t>kind)

    # ---- the walk ----

    cdef int step(self) except -1:
        """One step: about one range or one key."""
        cdef int c = 0
        if self.state == R_OPEN:
            return self.open_object()
        c = self.space()
        if self.state == R_LIST or self.state == R_LIST_FIRST:
            return self.step_list(c)
        if self.state == R_MEMBERS:
            if c == 125:
                self.state = R_TRAILER
            elif c != 44:
                self.unexpected("a comma or the end of the object")
            self.pos += 1
            return 0 if c == 125 else self.member()
        if self.state == R_TRAILER:
            if c >= 0:
                self.unexpected("the end of the file: a file holds one report")
            self.state = R_END
            return 0
        return self.begin(c)

    cdef int step_list(self, int c) except -1:
        if c == 93:
            self.pos += 1
            self.state = R_MEMBERS
            return 0
        if self.state == R_LIST:
            if c != 44:
                self.unexpected("a comma or the end of the array")
            self.pos += 1
            c = self.space()
        if c != 123:
            self.unexpected("a range: an object")
        self.pos += 1
        if self.space() == 125:
            self.fail(f'range {self.count} has no "offset"')
        self.state = R_LIST
        return self.range(-1)

    cdef int begin(self, int c) except -1:
        """The next object of the file."""
        if c < 0 and self.state == R_LINE:
            self.fail("the file ends without the report, its last line: the run that wrote it was cut short")
        if c < 0:
            self.fail("the file is empty, expected a report of blockdiff verify, audit or copy")
        if self.base + self.pos == 0 and (c == 0xef or c >= 0xfe):
            self.fail("the file begins with a byte order mark; expected plain UTF-8 without one")
        if c == 91:
            self.fail("an array is no report: expected what blockdiff verify, audit or copy write with -o json or jsonl")
        if c != 123:
            self.unexpected("a report: an object")
        self.pos += 1
        self.state = R_OPEN
        return 0


# ---- ranges packed for a page ----

cdef uint8_t *put_varint(uint8_t *p, uint64_t v) noexcept nogil:
    """Seven bits a byte, least significant first; the high bit says that more follow."""
    while v >= 128:
        p[0] = <uint8_t>(v | 128)
        p += 1
        v >>= 7
    p[0] = <uint8_t>v
    return p + 1


def pack_extents(Extents extents not None, after, int64_t unit):
    """``(gaps, lengths, kinds)``: varints of the gap before each extent (the first one's from ``after``) and of its
    length, in units; and a byte each. All but the last end must be multiples of the unit; that one is rounded up.
    """
    cdef int64_t end = to_int64(after), gap, length
    cdef Py_ssize_t i, n = extents.n
    cdef uint8_t *gaps
    cdef uint8_t *lengths
    cdef uint8_t *g
    cdef uint8_t *l
    if unit <= 0 or end % unit or n and extents.items[0].offset < end:
        raise InvalidInput(f"cannot pack extents after {after} in units of {unit}")
    g = gaps = <uint8_t *>malloc(n * 10 + 1)
    l = lengths = <uint8_t *>malloc(n * 10 + 1)
    try:
        if gaps == NULL or lengths == NULL:
            raise MemoryError()
        for i in range(n):
            gap = extents.items[i].offset - end
            length = extents.items[i].length
            if gap % unit or length % unit and i < n - 1:
                raise InvalidInput(f"extent {i} is not in units of {unit}")
            g = put_varint(g, gap // unit)
            l = put_varint(l, length // unit + (length % unit != 0))
            end = extents.items[i].offset + length
        return (PyBytes_FromStringAndSize(<char *>gaps, g - gaps), PyBytes_FromStringAndSize(<char *>lengths, l - lengths),
                bytes([extents.items[i].kind for i in range(n)]))
    finally:
        free(gaps)
        free(lengths)
