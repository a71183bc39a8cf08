# What every reader of extent lists does with an extent: it is checked, and kept for the next batch.

cdef extern from *:
    """
    enum { F_NONE, F_LISTER, F_RBD, F_QEMU, F_NBD, F_BLOCKDIFF, F_REPORT, F_OVIRT, F_THIN };
    enum { SAYS_NOTHING, SAYS_ALLOCATED, SAYS_CHANGED };
    """
    enum:
        F_NONE, F_LISTER, F_RBD, F_QEMU, F_NBD, F_BLOCKDIFF, F_REPORT, F_OVIRT, F_THIN
        SAYS_NOTHING, SAYS_ALLOCATED, SAYS_CHANGED

DEF BATCH = 65536

cdef tuple FORMAT_NAMES = ("empty", "lister", "rbd", "qemu", "nbd", "blockdiff", "report", "ovirt", "thin-delta")
cdef tuple CONTEXT_NAMES = (None, "allocation", "changes")


cdef class ExtentSink(JsonReader):
    """Takes extents in the order of the list, and knows what the list says of itself."""
    cdef int shape, says
    cdef readonly int64_t count
    cdef int64_t capacity_, type_, limit, last_end, block, gap_
    cdef bd_vec out

    def __cinit__(self, file, str name="extents", *, limit=None, block_size=None):
        self.capacity_ = self.type_ = self.gap_ = -1
        self.limit = -1 if limit is None else to_int64(limit)
        self.block = 0 if block_size is None else to_int64(block_size)
        if self.block < 0 or (block_size is not None and self.block == 0):
            raise InvalidInput(f"a block has at least one byte, not {block_size}")
        memset(&self.out, 0, sizeof(self.out))

    def __dealloc__(self):
        bd_free(&self.out)

    @property
    def format(self):
        return FORMAT_NAMES[self.shape]

    @property
    def capacity(self):
        return None if self.capacity_ < 0 else self.capacity_

    @property
    def type(self):
        return None if self.type_ < 0 else self.type_

    @property
    def context(self):
        return CONTEXT_NAMES[self.says]

    @property
    def end(self):
        return self.last_end

    @property
    def gap(self):
        return None if self.gap_ < 0 else self.gap_

    @property
    def block_size(self):
        return self.block if self.shape == F_THIN else 0

    cdef int recognise(self, int shape) except -1:
        """All entries of a list have the shape of the first."""
        if self.shape == F_NONE:
            self.shape = shape
        elif self.shape != shape:
            self.fail(f"an entry of the format {FORMAT_NAMES[shape]} in a list of the format " + FORMAT_NAMES[self.shape])
        return 0

    cdef int context_of(self, int says) except -1:
        """All entries of a list say the same: what is allocated, or what changed."""
        if self.says == SAYS_NOTHING and self.count == 0:
            self.says = says
        elif self.says != says:
            self.fail("a list that says of some ranges whether they changed, and of others whether they are allocated")
        return 0

    cdef int emit(self, int64_t offset, int64_t length, int kind) except -1:
        what = None
        if length <= 0:
            what = "is empty"
        elif length > MAX_OFFSET - offset:
            what = "ends past 2^63 - 1"
        elif self.capacity_ > 0 and offset + length > self.capacity_:
            what = f"ends past the capacity {self.capacity_} that the list gives"
        elif 0 <= self.limit < offset + length:
            what = f"ends past the end of the device, {self.limit}"
        if what is not None:
            self.fail(f"extent {self.count} (offset {offset}, length {length}) {what}")
        if offset > self.last_end and self.gap_ < 0:
            self.gap_ = self.last_end
        if offset < self.last_end:
            raise OutOfOrder(
                f"{self.name}:{self.line}:{self.column()}: extent {self.count} (offset {offset}, length {length}) begins "
                f"before {self.last_end}, where the one before it ends: extents must be ascending and must not overlap",
                index=self.count, exit_code=InvalidInput.exit_code)
        self.last_end = offset + length
        self.count += 1
        return vec_push(&self.out, offset, length, <uint8_t>kind)
