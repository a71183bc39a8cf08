# Extent lists of every known tool, read as a stream in constant memory.

cdef extern from *:
    """
    enum { S_START, S_FIRST, S_OBJECT, S_REST, S_LIST_FIRST, S_LIST, S_AFTER, S_TRAILER, S_XML, S_END };
    """
    enum:
        S_START, S_FIRST, S_OBJECT, S_REST, S_LIST_FIRST, S_LIST, S_AFTER, S_TRAILER, S_XML, S_END

cdef str ACCEPTED = ("accepted are the JSON of the Kubernetes snapshot-metadata lister, of rbd diff, qemu-img map, "
                     "nbdinfo --map and ovirt-imageio, the XML of thin_delta, and blockdiff's own lists and reports")


cdef class ExtentParser(ThinDeltaReader):
    """Iterates the extents of a list in batches; the format is recognised by its keys.

    ``file`` is opened for bytes. ``format`` ("lister", "rbd", "qemu", "nbd", "blockdiff", "report", "ovirt",
    "thin-delta", or "empty"), ``context`` ("allocation" or "changes"; None where the list does not say), ``capacity`` and
    ``type`` (of records; None when not given) are known as far as the list has been read. ``count`` is the number of
    extents so far, ``end`` where the last one ends, ``gap`` where the first bytes are that no entry covers. Entries that
    did not change are holes. ``limit`` is a size that no extent may exceed, such as the device's. ``block_size`` (bytes)
    is that of a thin_delta which does not say it.

    Raises InvalidInput, and OutOfOrder for extents that are unsorted or overlap, with the file's name, line and column.
    """
    cdef bint in_array
    cdef int state
    cdef bint raw_image                       # qemu-img map of an image without a format
    cdef bint classed                         # entries say a class of differences, as those of verify do
    cdef bd_object outer, entry

    def __cinit__(self, file, str name="extents", **options):
        self.state = S_START

    def __iter__(self):
        return self

    def __next__(self):
        if self.state != S_END:
            self.out.n = 0
            if bd_reserve(&self.out, BATCH) < 0:
                raise MemoryError()
            try:
                while self.state != S_END and self.out.n < BATCH:
                    self.step()
            except BaseException:
                self.state = S_END
                raise
            if self.out.n:
                return made(&self.out)
        raise StopIteration

    # ---- objects ----

    cdef int members(self, bd_object *o, bint resumed, bint outer) except -1:
        """Reads an object's members, from behind its opening bracket or, resumed, from behind a value.

        Gives 0 at its end. In an outer object it gives 1 behind the opening bracket of a list of extents.
        """
        cdef char text[BD_WORD + 1]
        cdef int c, n, key
        cdef bd_field dropped
        if not resumed:
            o.seen = 0
            if self.space() == 125:
                self.pos += 1
                return 0
        while True:
            if resumed:
                c = self.space()
                if c == 125:
                    self.pos += 1
                    return 0
                if c != 44:
                    self.unexpected("a comma or the end of the object")
                self.pos += 1
            resumed = True
            n = self.key(text)
            key = bd_key(text, n) if n <= BD_WORD else -1
            if key < 0:
                self.value(&dropped)
                continue
            if o.seen >> key & 1:
                self.fail(f'the key "{BD_KEY_NAMES[key].decode()}" appears twice in one object')
            o.seen |= 1u << key
            if outer and (key == BD_K_METADATA or key == BD_K_DIFFERENCES) and self.space() == 91:
                o.f[key].token = BD_T_ARRAY
                self.pos += 1
                return 1
            self.value(&o.f[key])

    cdef int bad(self, bd_object *o, int key, wanted) except -1:
        cdef bd_field *f = &o.f[key]
        found = TOKEN_NAMES[f.token]
        if f.token == BD_T_STRING and f.n <= BD_WORD:
            found = repr(f.text[:f.n].decode("latin-1"))
        return self.fail_at(f.line, f.column, f'extent {self.count}: "{BD_KEY_NAMES[key].decode()}" is {found}, '
                                              f"expected {wanted}")

    cdef int64_t integer(self, bd_object *o, int key) except -1:
        if not o.seen >> key & 1:
            self.fail(f'extent {self.count} has no "{BD_KEY_NAMES[key].decode()}"')
        if o.f[key].token != BD_T_INT:
            self.bad(o, key, "an integer from 0 to 2^63 - 1")
        return o.f[key].value

    cdef int boolean(self, bd_object *o, int key, int missing) except -1:
        cdef bd_field *f = &o.f[key]
        if not o.seen >> key & 1:
            if missing < 0:
                self.fail(f'extent {self.count} has no "{BD_KEY_NAMES[key].decode()}"')
            return missing
        if f.token == BD_T_TRUE or (key == BD_K_EXISTS and bd_text_is(f, b"true")):
            return 1
        if f.token != BD_T_FALSE and not (key == BD_K_EXISTS and bd_text_is(f, b"false")):
            self.bad(o, key, "true or false")
        return 0

    cdef int kind(self, bd_object *o) except -1:
        cdef int key = BD_K_KIND if o.seen >> BD_K_KIND & 1 else BD_K_CLASS, kind
        if not o.seen >> key & 1:
            return 0
        self.classed |= key == BD_K_CLASS
        kind = bd_label(&o.f[key], key == BD_K_CLASS)
        if kind < 0:
            self.bad(o, key, "data, zero, hole, or a class of differences such as src-zero")
        return kind

    # ---- entries ----

    cdef int list_entry(self) except -1:
        """An entry of block_metadata or of differences."""
        cdef bd_object *o = &self.entry
        self.members(o, False, False)
        if self.shape == F_REPORT:
            return self.emit(self.integer(o, BD_K_OFFSET), self.integer(o, BD_K_LENGTH), self.kind(o))
        return self.emit(self.integer(o, BD_K_BYTE_OFFSET) if o.seen >> BD_K_BYTE_OFFSET & 1 else 0,
                         self.integer(o, BD_K_SIZE_BYTES), self.kind(o))

    cdef int entry_of_list(self) except -1:
        """An object that is an extent itself."""
        cdef bd_object *o = &self.outer
        cdef int kind
        if o.seen >> BD_K_START & 1:
            if o.seen >> BD_K_DATA & 1 or not o.seen >> BD_K_ZERO & 1 and not o.seen >> BD_K_DIRTY & 1:
                return self.qemu_entry(o)
            return self.ovirt_entry(o)
        if not (o.seen >> BD_K_OFFSET & 1 and o.seen >> BD_K_LENGTH & 1):
            return self.fail(f"an object that is no extent and no record of extents; {ACCEPTED}")
        if o.seen >> BD_K_EXISTS & 1:
            self.recognise(F_RBD)
            kind = 0 if self.boolean(o, BD_K_EXISTS, -1) else 1
        elif o.seen >> BD_K_TYPE & 1:
            self.recognise(F_NBD)
            kind = self.nbd_kind(o)
        else:
            self.recognise(F_BLOCKDIFF)
            if self.count == 0 and o.seen >> BD_K_CLASS & 1:
                self.says = SAYS_CHANGED
            kind = self.kind(o)
        return self.emit(self.integer(o, BD_K_OFFSET), self.integer(o, BD_K_LENGTH), kind)

    cdef int nbd_kind(self, bd_object *o) except -1:
        cdef int kind = -1
        self.integer(o, BD_K_TYPE)
        if o.seen >> BD_K_DESCRIPTION & 1:
            kind = bd_nbd_kind(&o.f[BD_K_DESCRIPTION])
            if kind < 0:
                self.bad(o, BD_K_DESCRIPTION, "data, zero, hole, hole,zero, dirty or clean")
            self.context_of(SAYS_CHANGED if bd_nbd_dirty(&o.f[BD_K_DESCRIPTION]) else SAYS_ALLOCATED)
        else:
            self.fail(f'extent {self.count} has no "description": its type can mean allocation or a dirty bitmap')
        return kind

    cdef int qemu_entry(self, bd_object *o) except -1:
        """An entry of ``qemu-img map``.

        What reads as zeroes without data is a hole where nothing is present, and in a raw image (by its first entry:
        there offset 0 is kept at 0). Otherwise it is a zero cluster, which hides the data of a backing file.
        """
        cdef int64_t start = self.integer(o, BD_K_START)
        cdef bint data = self.boolean(o, BD_K_DATA, -1), zero = self.boolean(o, BD_K_ZERO, 0)
        cdef bint present = self.boolean(o, BD_K_PRESENT, 1)
        cdef int kind = 0
        if o.seen >> BD_K_DIRTY & 1:
            self.fail('"data" and "dirty" in one extent: those are two tools\' words')
        self.recognise(F_QEMU)
        self.context_of(SAYS_ALLOCATED)
        if self.count == 0:
            self.raw_image = start == 0 and o.seen >> BD_K_OFFSET & 1 and self.integer(o, BD_K_OFFSET) == 0
        if not data and (not present or (zero and self.raw_image)):
            kind = 2
        elif zero:
            kind = 1
        return self.emit(start, self.integer(o, BD_K_LENGTH), kind)

    cdef int ovirt_entry(self, bd_object *o) except -1:
        """An extent of ovirt-imageio: its context is ``dirty``, or ``zero``, whose holes old servers do not tell."""
        cdef int64_t start = self.integer(o, BD_K_START)
        cdef bint zero = self.boolean(o, BD_K_ZERO, 0), hole = False
        cdef int kind = 1 if zero else 0
        self.recognise(F_OVIRT)
        if o.seen >> BD_K_HOLE & 1 and o.f[BD_K_HOLE].token != BD_T_NULL:
            hole = self.boolean(o, BD_K_HOLE, 0)
        if o.seen >> BD_K_DIRTY & 1:
            if o.seen >> BD_K_HOLE & 1:
                self.fail('"dirty" and "hole" in one extent: it is of the context dirty or of the context zero')
            self.context_of(SAYS_CHANGED)
            if not self.boolean(o, BD_K_DIRTY, -1):
                kind = 2
        else:
            self.context_of(SAYS_ALLOCATED)
            if hole and zero:
                kind = 2
        return self.emit(start, self.integer(o, BD_K_LENGTH), kind)

    # ---- records and reports ----

    cdef int record_facts(self, bd_object *o) except -1:
        """Type and capacity of a record: they never change within a list."""
        cdef int64_t v
        if o.seen >> BD_K_CAPACITY & 1:
            v = self.integer(o, BD_K_CAPACITY)
            if self.capacity_ >= 0 and self.capacity_ != v:
                self.bad(o, BD_K_CAPACITY, f"{self.capacity_} as in the records before")
            if 0 < v < self.last_end:
                self.bad(o, BD_K_CAPACITY, f"at least {self.last_end}, where the last extent ends")
            self.capacity_ = v
        if o.seen >> BD_K_RECORD_TYPE & 1:
            v = self.integer(o, BD_K_RECORD_TYPE)
            if v > 2:
                self.bad(o, BD_K_RECORD_TYPE, "0, 1 (fixed length) or 2 (variable length)")
            if self.type_ >= 0 and self.type_ != v:
                self.bad(o, BD_K_RECORD_TYPE, f"{self.type_} as in the records before")
            self.type_ = v
        return 0

    cdef int begin_list(self) except -1:
        if self.outer.seen >> BD_K_METADATA & 1 and self.outer.seen >> BD_K_DIFFERENCES & 1:
            self.fail('"block_metadata" and "differences" in one object')
        if self.outer.seen >> BD_K_METADATA & 1:
            self.recognise(F_LISTER)
            self.record_facts(&self.outer)
        else:
            if self.in_array or self.shape != F_NONE:
                self.fail("a report beside other entries")
            self.shape = F_REPORT
            self.says = SAYS_CHANGED
        self.state = S_LIST_FIRST
        return 0

    cdef int end_object(self) except -1:
        cdef bd_object *o = &self.outer
        self.state = S_AFTER
        if o.seen >> BD_K_METADATA & 1:
            if o.f[BD_K_METADATA].token != BD_T_ARRAY and o.f[BD_K_METADATA].token != BD_T_NULL:
                self.bad(o, BD_K_METADATA, "an array of extents or null")
            self.recognise(F_LISTER)
            return self.record_facts(o)
        if o.seen >> BD_K_DIFFERENCES & 1:
            if o.f[BD_K_DIFFERENCES].token != BD_T_ARRAY:
                self.bad(o, BD_K_DIFFERENCES, "an array")
            self.state = S_TRAILER
            return self.whole_report(o)
        if o.seen >> BD_K_VERSION & 1 and o.seen >> BD_K_COMMAND & 1 and not self.in_array:
            # the report that ends our lines of differences
            if self.shape == F_NONE:
                self.shape = F_REPORT
            self.recognise(F_REPORT if self.count == 0 else F_BLOCKDIFF)
            self.state = S_TRAILER
            return self.whole_report(o)
        return self.entry_of_list()

    cdef int whole_report(self, bd_object *o) except -1:
        """A report that names only some of the differences, or others, is no list of them: they would be lost."""
        if o.seen >> BD_K_COMMAND & 1 and not bd_text_is(&o.f[BD_K_COMMAND], b"verify"):
            self.fail("a report of another command than verify, which does not list the differences")
        if not o.seen >> BD_K_DIFFERENCES & 1 and not (o.seen >> BD_K_FOUND & 1 and o.seen >> BD_K_COMPLETE & 1):
            self.fail("a report that says nothing of differences")
        if o.seen >> BD_K_COMPLETE & 1 and o.f[BD_K_COMPLETE].token == BD_T_FALSE:
            self.fail("the report is of a run that stopped early: it does not list all differences")
        if o.seen >> BD_K_UNREADABLE & 1 and self.integer(o, BD_K_UNREADABLE) != 0:
            self.fail(f"of {o.f[BD_K_UNREADABLE].value} bytes that could not be read the report does not say whether they differ")
        if o.seen >> BD_K_FOUND & 1 and self.integer(o, BD_K_FOUND) != self.count:
            self.fail(f"the report lists {self.count} of {o.f[BD_K_FOUND].value} differences")
        return 0

    # ---- the walk ----

    cdef int begin_object(self) except -1:
        if self.space() != 123:
            self.unexpected(f"an object; {ACCEPTED}")
        self.pos += 1
        self.state = S_OBJECT
        return 0

    cdef int begin(self) except -1:
        cdef int c = self.space()
        if c < 0:
            self.fail(f"the file is empty; a list without extents is []; {ACCEPTED}")
        if self.base + self.pos == 0 and (c == 0xef or c >= 0xfe):
            self.fail("the file begins with a byte order mark; expected plain UTF-8 without one")
        if c == 60:
            self.state = S_XML
            return 0
        if c == 91:
            self.pos += 1
            self.in_array = True
            self.state = S_FIRST
            return 0
        if c != 123:
            self.unexpected(f"an array, an object or XML; {ACCEPTED}")
        return self.begin_object()

    cdef int step(self) except -1:
        """One step: about one object."""
        cdef int c
        if self.state == S_LIST or self.state == S_LIST_FIRST:
            return self.step_list()
        if self.state == S_OBJECT or self.state == S_REST:
            return self.begin_list() if self.members(&self.outer, self.state == S_REST, True) else self.end_object()
        if self.state == S_XML:
            if not self.markup():
                self.state = S_END
            return 0
        if self.state == S_START:
            return self.begin()
        c = self.space()
        if self.state == S_TRAILER or (self.state == S_AFTER and not self.in_array):
            if c < 0 and self.state == S_AFTER and self.classed:
                self.fail("the report that ends the lines of verify is missing: it was stopped, and there may be more "
                          "differences. To use these alone, leave the classes out (jq -c 'del(.class)')")
            if c < 0:
                self.state = S_END
                return 0
            return self.unexpected("the end of the file") if self.state == S_TRAILER else self.begin_object()
        if c == 93:
            self.pos += 1
            self.state = S_TRAILER
            return 0
        if self.state == S_AFTER:
            if c != 44:
                self.unexpected("a comma or the end of the array")
            self.pos += 1
        return self.begin_object()

    cdef int step_list(self) except -1:
        """One entry of the list inside a record or a report."""
        cdef int c = self.space()
        if c == 93:
            self.pos += 1
            self.state = S_REST
            return 0
        if self.state == S_LIST:
            if c != 44:
                self.unexpected("a comma or the end of the array")
            self.pos += 1
            c = self.space()
        if c != 123:
            self.unexpected("an extent: an object")
        self.pos += 1
        self.state = S_LIST
        return self.list_entry()
