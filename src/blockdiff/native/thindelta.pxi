# The XML of thin_delta: a superblock, in it a diff, in it ranges of blocks; with --verbose the ranges stand in groups.
# Elements that are not known are refused: a range could be in them.

cdef extern from "parse.h" nogil:
    enum:
        BD_A_BEGIN, BD_A_LENGTH, BD_A_BLOCK_SIZE, BD_A_VERSION
    const char *const *BD_ATTRIBUTE_NAMES
    ctypedef struct bd_tag:
        char *name
        unsigned n
        uint32_t seen
        int64_t *value
        int empty
    int bd_name_is(const char *name, unsigned n, const char *text)
    int bd_attribute(const char *name, unsigned n)
    int bd_delta_kind(const char *name, unsigned n)

cdef extern from *:
    """
    enum { X_PROLOG, X_SUPERBLOCK, X_DIFF, X_GROUP, X_AFTER };
    """
    enum:
        X_PROLOG, X_SUPERBLOCK, X_DIFF, X_GROUP, X_AFTER

DEF SECTOR = 512


cdef inline bint is_name_char(int c) noexcept:
    return 97 <= c | 32 <= 122 or is_digit(c) or c == 95 or c == 45 or c == 46


cdef class ThinDeltaReader(ExtentSink):
    """Reads the ranges of a thin_delta; what did not change is a hole, all else is data."""
    cdef int place, group
    cdef bint bare, has_diff                  # bare: a diff without its superblock
    cdef readonly bint versioned              # thin_delta 1.0 and later say the version of their XML
    cdef char group_name[BD_WORD + 1]
    cdef unsigned group_n
    cdef bd_tag tag

    cdef str named(self, const char *name, unsigned n):
        return f"<{name[:<Py_ssize_t>n if n <= BD_WORD else BD_WORD].decode('latin-1')}>"

    cdef int next_byte(self, wanted) except -1:
        """Passes a byte inside markup and gives it."""
        cdef int c = self.peek()
        if c < 0 or (c < 32 and not is_space(c)):
            self.unexpected(wanted)
        if c >= 128:
            return self.utf8(c)
        self.pos += 1
        if c == 10:
            self.line += 1
            self.line_start = self.base + self.pos
        return c

    cdef int xml_name(self, char *name, wanted) except -1:
        """Reads a name, keeping up to BD_WORD bytes of it; gives its length, or BD_LONG."""
        cdef unsigned n = 0
        cdef int c = self.peek()
        if not (is_name_char(c) and not is_digit(c) and c != 45 and c != 46):
            self.unexpected(wanted)
        while is_name_char(c):
            if n < BD_WORD:
                name[n] = <char>c
            n += n <= BD_WORD
            self.pos += 1
            c = self.peek()
        return n if n <= BD_WORD else BD_LONG

    cdef int attribute_number(self, int quote, int key) except -1:
        cdef int64_t v = 0
        cdef int c = self.peek()
        what = f'the value of {BD_ATTRIBUTE_NAMES[key].decode()}: a number from 0 to 2^63 - 1'
        if not is_digit(c):
            self.unexpected(what)
        while is_digit(c):
            if v > (MAX_OFFSET - (c - 48)) // 10:
                self.fail(f"{BD_ATTRIBUTE_NAMES[key].decode()} is a number past 2^63 - 1")
            v = v * 10 + (c - 48)
            self.pos += 1
            c = self.peek()
        if c != quote:
            self.unexpected(what)
        self.pos += 1
        self.tag.value[key] = v
        return 0

    cdef int attribute(self) except -1:
        cdef char name[BD_WORD + 1]
        cdef int key, quote, c
        cdef unsigned n = <unsigned>self.xml_name(name, "an attribute or the end of the tag")
        if self.space() != 61:
            self.unexpected("'=' and the value of an attribute")
        self.pos += 1
        quote = self.space()
        if quote != 34 and quote != 39:
            self.unexpected("the value of an attribute in quotes")
        self.pos += 1
        key = bd_attribute(name, n) if n <= BD_WORD else -1
        if key >= 0:
            if self.tag.seen >> key & 1:
                self.fail(f"the attribute {BD_ATTRIBUTE_NAMES[key].decode()} appears twice in one tag")
            self.tag.seen |= 1u << key
            return self.attribute_number(quote, key)
        while True:
            c = self.next_byte("the rest of an attribute")
            if c == quote:
                return 0
            if c == 60:
                self.pos -= 1
                self.unexpected("the rest of an attribute")

    cdef int start_tag(self) except -1:
        """Reads a tag from behind its opening bracket."""
        cdef int c
        self.tag.seen = 0
        self.tag.empty = 0
        self.tag.n = <unsigned>self.xml_name(self.tag.name, "the name of an element")
        while True:
            c = self.peek()
            if c == 62:
                self.pos += 1
                return 0
            if c == 47:
                self.pos += 1
                if self.peek() != 62:
                    self.unexpected("'>'")
                self.pos += 1
                self.tag.empty = 1
                return 0
            if not is_space(c):
                self.unexpected("a space, '/>' or '>'")
            c = self.space()
            if c != 62 and c != 47:
                self.attribute()
                c = self.peek()
                if not is_space(c) and c != 62 and c != 47:
                    self.unexpected("a space, '/>' or '>'")

    cdef int end_tag(self) except -1:
        cdef char name[BD_WORD + 1]
        cdef unsigned n = <unsigned>self.xml_name(name, "the name of an element")
        cdef bint right
        if self.place == X_GROUP:
            right = n == self.group_n and memcmp(name, self.group_name, n) == 0
        elif self.place == X_DIFF:
            right = bd_name_is(name, n, b"diff")
        else:
            right = self.place == X_SUPERBLOCK and bd_name_is(name, n, b"superblock")
        if not right:
            self.fail(f"{self.named(name, n)} ends here, and is not what was begun last")
        if self.space() != 62:
            self.unexpected("'>'")
        self.pos += 1
        if self.place == X_GROUP:
            self.place = X_DIFF
        elif self.place == X_DIFF:
            self.place = X_AFTER if self.bare else X_SUPERBLOCK
        else:
            return self.end_superblock()
        return 0

    cdef int end_superblock(self) except -1:
        if not self.has_diff:
            self.fail("the superblock has no <diff>: thin_delta writes one, and what has none says nothing of changes")
        self.place = X_AFTER
        return 0

    cdef int instruction(self) except -1:
        """Skips an instruction, such as the one that names the encoding."""
        cdef int c = 0, before = 0
        while not (before == 63 and c == 62):
            before = c
            c = self.next_byte("the rest of an instruction")
        return 0

    cdef int declaration(self) except -1:
        """A comment; other declarations could change what the document says."""
        cdef int i, c = 0, before = 0
        self.pos += 1
        for i in range(2):
            if self.peek() != 45:
                self.unexpected("a comment: document types and the like are not read")
            self.pos += 1
        while not (before == 45 and c == 45):
            before = c
            c = self.next_byte("the rest of a comment")
        if self.peek() != 62:
            self.unexpected("the end of the comment")
        self.pos += 1
        return 0

    cdef bint markup(self) except -1:
        """Reads one tag, comment or instruction; gives 0 at the end of the document."""
        cdef int c = self.space()
        if c < 0:
            if self.place == X_AFTER:
                return 0
            self.fail("the file ends too early: expected the end of the " +
                      ("superblock" if self.place == X_SUPERBLOCK else "document" if self.place == X_PROLOG else "diff"))
        if c != 60:
            self.unexpected("the end of the file" if self.place == X_AFTER else "a tag")
        self.pos += 1
        c = self.peek()
        if c == 63:
            if self.place != X_PROLOG:
                self.unexpected("a tag")
            self.instruction()
        elif c == 33:
            self.declaration()
        elif c == 47:
            self.pos += 1
            self.end_tag()
        elif self.place == X_AFTER:
            self.unexpected("the end of the file")
        else:
            self.start_tag()
            self.element()
        return 1

    cdef int element(self) except -1:
        """An element begins."""
        cdef bd_tag *t = &self.tag
        if self.place == X_PROLOG and bd_name_is(t.name, t.n, b"superblock"):
            return self.begin_superblock()
        if (self.place == X_SUPERBLOCK or self.place == X_PROLOG) and bd_name_is(t.name, t.n, b"diff"):
            return self.begin_diff()
        if self.place == X_PROLOG:
            return self.fail(f"the root of the XML is {self.named(t.name, t.n)}, that of thin_delta is <superblock>")
        if self.place == X_SUPERBLOCK:
            return self.fail(f"{self.named(t.name, t.n)} in the superblock, expected <diff>: thin_dump writes what is mapped, "
                             "and thin_delta what changed")
        if self.place == X_DIFF:
            return self.begin_range()
        if not bd_name_is(t.name, t.n, b"range") or not t.empty:
            self.fail(f"{self.named(t.name, t.n)} in {self.named(self.group_name, self.group_n)}, expected <range .../>")
        return self.range_(self.group)

    cdef int begin_superblock(self) except -1:
        cdef bd_tag *t = &self.tag
        cdef int64_t size
        self.shape = F_THIN
        self.says = SAYS_CHANGED
        self.versioned = t.seen >> BD_A_VERSION & 1
        if t.seen >> BD_A_BLOCK_SIZE & 1:
            size = t.value[BD_A_BLOCK_SIZE]
            if size <= 0 or size > MAX_OFFSET // SECTOR:
                self.fail(f"data_block_size is {size} sectors, expected from 1 to 2^54 - 1")
            size *= SECTOR
            if self.block and self.block != size:
                self.fail(f"data_block_size is {size} bytes, and the block size that was given is {self.block}")
            self.block = size
        elif not self.block:
            self.fail("the superblock has no data_block_size, and no block size was given: of what size the blocks are is "
                      "not known")
        self.place = X_SUPERBLOCK
        return self.end_superblock() if t.empty else 0

    cdef int begin_diff(self) except -1:
        if self.has_diff:
            self.fail("a second <diff>: a list is of one pair of volumes")
        self.has_diff = True
        if self.place == X_PROLOG:
            self.bare = True
            self.shape = F_THIN
            self.says = SAYS_CHANGED
            if not self.block:
                self.fail("a diff without its superblock, and no block size was given: of what size the blocks are is not "
                          "known")
        self.place = X_DIFF
        if self.tag.empty:
            self.place = X_AFTER if self.bare else X_SUPERBLOCK
        return 0

    cdef int begin_range(self) except -1:
        """A range, or with --verbose a group of ranges."""
        cdef bd_tag *t = &self.tag
        cdef int kind = bd_delta_kind(t.name, t.n)
        if kind < 0:
            self.fail(f"{self.named(t.name, t.n)} in the diff, expected <same>, <different>, <left_only> or <right_only>")
        if t.empty:
            return self.range_(kind)
        if t.seen >> BD_A_BEGIN & 1 or t.seen >> BD_A_LENGTH & 1:
            self.fail(f"{self.named(t.name, t.n)} has a range of its own, and is not ended by '/>'")
        self.group = kind
        self.group_n = t.n
        memcpy(self.group_name, t.name, t.n)
        self.place = X_GROUP
        return 0

    cdef int range_(self, int kind) except -1:
        cdef bd_tag *t = &self.tag
        cdef int64_t begin, length, offset, size
        for key in (BD_A_BEGIN, BD_A_LENGTH):
            if not t.seen >> key & 1:
                self.fail(f"extent {self.count} has no {BD_ATTRIBUTE_NAMES[key].decode()}")
        begin, length = t.value[BD_A_BEGIN], t.value[BD_A_LENGTH]
        if begin > MAX_OFFSET // self.block or length > MAX_OFFSET // self.block:
            self.fail(f"extent {self.count} (block {begin}, length {length}) ends past 2^63 - 1")
        offset, size = begin * self.block, length * self.block
        if offset < self.limit and size <= MAX_OFFSET - offset and self.limit < offset + size < self.limit + self.block:
            size = self.limit - offset        # the volume ends inside of its last block
        return self.emit(offset, size, kind)
