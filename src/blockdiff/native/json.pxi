# JSON as a stream of bytes, strictly, in constant memory and without recursion.

DEF READ_SIZE = 262144

cdef extern from "parse.h" nogil:
    enum:
        BD_WORD, BD_LONG, BD_DEPTH
        BD_K_BYTE_OFFSET, BD_K_SIZE_BYTES, BD_K_OFFSET, BD_K_LENGTH, BD_K_START, BD_K_EXISTS, BD_K_PRESENT, BD_K_ZERO
        BD_K_DATA, BD_K_TYPE, BD_K_DESCRIPTION, BD_K_KIND, BD_K_CLASS, BD_K_RECORD_TYPE, BD_K_CAPACITY, BD_K_METADATA
        BD_K_DIFFERENCES, BD_K_VERSION, BD_K_COMMAND, BD_K_COMPLETE, BD_K_FOUND, BD_K_HOLE, BD_K_DIRTY, BD_K_UNREADABLE
        BD_T_INT, BD_T_NEGATIVE, BD_T_FLOAT, BD_T_BIG, BD_T_STRING, BD_T_TRUE, BD_T_FALSE, BD_T_NULL, BD_T_ARRAY
        BD_T_OBJECT
    const char *const *BD_KEY_NAMES
    ctypedef struct bd_field:
        int64_t value
        int64_t line
        int64_t column
        uint8_t token
        uint8_t n
        char *text
    ctypedef struct bd_object:
        uint32_t seen
        bd_field *f
    int bd_key(const char *text, size_t n)
    int bd_text_is(const bd_field *f, const char *text)
    int bd_label(const bd_field *f, int is_class)
    int bd_nbd_kind(const bd_field *f)
    int bd_nbd_dirty(const bd_field *f)

cdef tuple TOKEN_NAMES = ("a number", "a negative number", "a number with a fraction or an exponent",
                          "a number past 2^63 - 1", "a string", "true", "false", "null", "an array", "an object")


cdef inline bint is_space(int c) noexcept:
    return c == 32 or c == 10 or c == 13 or c == 9


cdef inline bint is_digit(int c) noexcept:
    return 48 <= c <= 57


cdef class JsonReader:
    """Reads values from a file that is opened for bytes; every error names the file, line and column."""
    cdef object read
    cdef readonly str name
    cdef bytes chunk
    cdef const uint8_t *buf
    cdef Py_ssize_t pos, end
    cdef int64_t base, line, line_start       # base: where the chunk begins in the file
    cdef bint at_end

    def __cinit__(self, file, str name="extents", **options):
        # a pipe's reader gives what is there instead of waiting for a full chunk
        self.read = getattr(file, "read1", None) or file.read
        self.name = name
        self.chunk = b""
        self.line = 1

    # ---- errors ----

    cdef int64_t column(self):
        return self.base + self.pos - self.line_start + 1

    cdef int fail_at(self, int64_t line, int64_t column, what) except -1:
        raise InvalidInput(f"{self.name}:{line}:{column}: {what}")

    cdef int fail(self, what) except -1:
        return self.fail_at(self.line, self.column(), what)

    cdef int unexpected(self, wanted) except -1:
        """Says what is there instead of what was wanted."""
        cdef int c = self.peek()
        if c < 0:
            return self.fail(f"the file ends too early: expected {wanted}")
        found = repr(chr(c)) if 32 <= c < 127 else f"the byte 0x{c:02x}"
        return self.fail(f"found {found}, expected {wanted}")

    # ---- bytes ----

    cdef int fill(self) except -2:
        """Reads the next chunk; gives its first byte, or -1 at the end of the file."""
        if self.at_end:
            return -1
        data = self.read(READ_SIZE)
        if not isinstance(data, bytes):
            raise InvalidInput(f"{self.name}: reading gave {type(data).__name__}, not bytes")
        self.base += self.end
        self.pos = 0
        self.chunk = data
        self.end = len(self.chunk)
        self.buf = <const uint8_t *>PyBytes_AS_STRING(self.chunk)
        if self.end == 0:
            self.at_end = True
            return -1
        return self.buf[0]

    cdef inline int peek(self) except -2:
        return self.buf[self.pos] if self.pos < self.end else self.fill()

    cdef inline int space(self) except -2:
        """Skips white space; gives the byte after it, or -1 at the end of the file."""
        cdef int c
        while True:
            c = self.buf[self.pos] if self.pos < self.end else self.fill()
            if not is_space(c):
                return c
            self.pos += 1
            if c == 10:
                self.line += 1
                self.line_start = self.base + self.pos

    # ---- values ----

    cdef int literal(self, const char *text, int token) except -1:
        cdef size_t i = 0
        while text[i]:
            if self.peek() != text[i]:
                self.unexpected("a JSON value: a string, number, array, object, true, false or null")
            self.pos += 1
            i += 1
        return token

    cdef int number(self, int64_t *value) except -1:
        """Reads a number; the value is that of integers from 0 to 2^63 - 1 only."""
        cdef int64_t v = 0
        cdef int c = self.peek(), token = BD_T_INT
        if c == 45:
            token = BD_T_NEGATIVE
            self.pos += 1
            c = self.peek()
        if c == 48:
            self.pos += 1
            if is_digit(self.peek()):
                self.fail("a number begins with 0")
        elif not is_digit(c):
            self.unexpected("a digit")
        while is_digit(c := self.peek()):
            if v > (MAX_OFFSET - (c - 48)) // 10 and token == BD_T_INT:
                token = BD_T_BIG
            if token == BD_T_INT:
                v = v * 10 + (c - 48)
            self.pos += 1
        if c == 46:
            token = BD_T_FLOAT
            self.pos += 1
            self.digits()
            c = self.peek()
        if c == 101 or c == 69:
            token = BD_T_FLOAT
            self.pos += 1
            c = self.peek()
            if c == 43 or c == 45:
                self.pos += 1
            self.digits()
        value[0] = v
        return token

    cdef int digits(self) except -1:
        if not is_digit(self.peek()):
            self.unexpected("a digit")
        while is_digit(self.peek()):
            self.pos += 1
        return 0

    cdef int string(self, char *text) except -1:
        """Reads a string, keeping up to BD_WORD bytes of it; gives its length, or BD_LONG."""
        cdef int c
        cdef unsigned n = 0
        self.pos += 1
        while True:
            c = self.buf[self.pos] if self.pos < self.end else self.fill()
            if c == 34:
                self.pos += 1
                return n if n <= BD_WORD else BD_LONG
            if c < 32:
                self.unexpected("the rest of a string")
            elif c == 92:
                c = self.escape()
            elif c >= 128:
                c = self.utf8(c)
            else:
                self.pos += 1
            if n < BD_WORD:
                text[n] = <char>c
            n += n <= BD_WORD

    cdef int escape(self) except -1:
        """Reads an escape in a string; gives the character, or 255 for one outside ASCII."""
        cdef int c, i, v = 0
        self.pos += 1
        c = self.peek()
        if c != 117:
            if c < 0 or memchr(b'"\\/bfnrt', c, 8) == NULL:
                self.unexpected("an escape: one of \" \\ / b f n r t u")
            self.pos += 1
            return c if c == 34 or c == 92 or c == 47 else 255
        self.pos += 1
        for i in range(4):
            c = self.peek()
            if is_digit(c):
                c -= 48
            elif 97 <= c | 32 <= 102:
                c = (c | 32) - 87
            else:
                self.unexpected("a hexadecimal digit")
            v = v * 16 + c
            self.pos += 1
        return v if v < 128 else 255

    cdef int utf8(self, int lead) except -1:
        """Checks one character outside ASCII."""
        cdef int more = 1 if 0xc2 <= lead <= 0xdf else 2 if lead >> 4 == 0xe else 3 if 0xf0 <= lead <= 0xf4 else 0
        cdef int low = 0xa0 if lead == 0xe0 else 0x90 if lead == 0xf0 else 0x80
        cdef int high = 0x9f if lead == 0xed else 0x8f if lead == 0xf4 else 0xbf
        if more == 0:
            self.unexpected("UTF-8")
        self.pos += 1
        while more:
            if not low <= self.peek() <= high:
                self.unexpected("UTF-8")
            self.pos += 1
            low = 0x80
            high = 0xbf
            more -= 1
        return 255

    cdef int value(self, bd_field *f) except -1:
        """Reads any value into a field; the contents of arrays and objects are checked and dropped."""
        cdef int c = self.space()
        f.line = self.line
        f.column = self.base + self.pos - self.line_start + 1
        if c == 34:
            f.n = <uint8_t>self.string(f.text)
            f.token = BD_T_STRING
        elif c == 123 or c == 91:
            self.skip(c)
            f.token = BD_T_OBJECT if c == 123 else BD_T_ARRAY
        else:
            f.token = <uint8_t>self.scalar(c, &f.value)
        return 0

    cdef int scalar(self, int c, int64_t *value) except -1:
        if c == 116:
            return self.literal(b"true", BD_T_TRUE)
        if c == 102:
            return self.literal(b"false", BD_T_FALSE)
        if c == 110:
            return self.literal(b"null", BD_T_NULL)
        if c == 45 or is_digit(c):
            return self.number(value)
        return self.unexpected("a JSON value: a string, number, array, object, true, false or null")

    cdef int skip(self, int c) except -1:
        """Checks an array or object and drops it, without recursion. ``c`` is its opening bracket."""
        cdef char is_object[BD_DEPTH]
        cdef char text[BD_WORD + 1]
        cdef int64_t number
        cdef int depth = 0
        cdef bint opened
        while True:
            opened = c == 123 or c == 91
            if opened:
                if depth == BD_DEPTH:
                    self.fail(f"more than {BD_DEPTH} arrays and objects inside each other")
                is_object[depth] = c == 123
                depth += 1
                self.pos += 1
            elif c == 34:
                self.string(text)
            else:
                self.scalar(c, &number)
            while True:           # after a value, or behind an opening bracket
                c = self.space()
                if c == (125 if is_object[depth - 1] else 93):
                    self.pos += 1
                    depth -= 1
                    if depth == 0:
                        return 0
                    opened = False
                    continue
                break
            if not opened:
                if c != 44:
                    self.unexpected("a comma or the end of the " + ("object" if is_object[depth - 1] else "array"))
                self.pos += 1
                c = self.space()
            if is_object[depth - 1]:
                self.key(text)
                c = self.space()

    cdef int key(self, char *text) except -1:
        """Reads a key and its colon; gives its length, or BD_LONG."""
        cdef int n
        if self.space() != 34:
            self.unexpected('a key in ""')
        n = self.string(text)
        if self.space() != 58:
            self.unexpected("a colon")
        self.pos += 1
        return n
