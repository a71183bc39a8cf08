# What the kernel knows about a file's storage: data and holes, physical extents, alignment. Policy is in backends/.

cdef extern from "sys.h" nogil:
    ctypedef struct fiemap_extent_t "struct fiemap_extent":
        uint64_t fe_logical
        uint64_t fe_physical
        uint64_t fe_length
        uint32_t fe_flags
    ctypedef struct fiemap_t "struct fiemap":
        fiemap_extent_t *fm_extents
    ctypedef struct bd_fmap:
        fiemap_t *fm
        uint32_t n
        int64_t covered
    fiemap_t *bd_fiemap_buffer(uint32_t count)
    int bd_map_fd(int fd, int64_t start, int64_t end, size_t max, bd_vec *out)
    int bd_fiemap(int fd, int64_t start, int64_t end, int sync, uint32_t count, bd_fmap *out)
    int bd_shared_window(int fd_a, int fd_b, int64_t start, int64_t end, uint32_t count, bd_fmap *a, bd_fmap *b,
                         bd_vec *out, int64_t *next, int *stable)
    int bd_dio_align(int fd, uint32_t *memory, uint32_t *offset)
    int64_t bd_statfs_type(int fd)
    int bd_fallocate(int fd, int mode, int64_t offset, int64_t length)
    enum:
        _EXTENT_LAST "FIEMAP_EXTENT_LAST"
        _EXTENT_UNKNOWN "FIEMAP_EXTENT_UNKNOWN"
        _EXTENT_DELALLOC "FIEMAP_EXTENT_DELALLOC"
        _EXTENT_ENCODED "FIEMAP_EXTENT_ENCODED"
        _EXTENT_DATA_ENCRYPTED "FIEMAP_EXTENT_DATA_ENCRYPTED"
        _EXTENT_NOT_ALIGNED "FIEMAP_EXTENT_NOT_ALIGNED"
        _EXTENT_DATA_INLINE "FIEMAP_EXTENT_DATA_INLINE"
        _EXTENT_DATA_TAIL "FIEMAP_EXTENT_DATA_TAIL"
        _EXTENT_UNWRITTEN "FIEMAP_EXTENT_UNWRITTEN"
        _EXTENT_MERGED "FIEMAP_EXTENT_MERGED"
        _EXTENT_SHARED "FIEMAP_EXTENT_SHARED"
        _FALLOC_FL_KEEP_SIZE "FALLOC_FL_KEEP_SIZE"
        _FALLOC_FL_PUNCH_HOLE "FALLOC_FL_PUNCH_HOLE"
        _FALLOC_FL_ZERO_RANGE "FALLOC_FL_ZERO_RANGE"
    unsigned long _BLKSSZGET "BLKSSZGET"
    unsigned long _BLKFLSBUF "BLKFLSBUF"
    unsigned long _BLKDISCARD "BLKDISCARD"
    unsigned long _BLKZEROOUT "BLKZEROOUT"
    unsigned long _BLKROGET "BLKROGET"
    unsigned long _FS_IOC_FSGETXATTR "FS_IOC_FSGETXATTR"
    unsigned long _BTRFS_IOC_FS_INFO "BTRFS_IOC_FS_INFO"

FIEMAP_LAST = _EXTENT_LAST
FIEMAP_UNKNOWN = _EXTENT_UNKNOWN
FIEMAP_DELALLOC = _EXTENT_DELALLOC
FIEMAP_ENCODED = _EXTENT_ENCODED
FIEMAP_ENCRYPTED = _EXTENT_DATA_ENCRYPTED
FIEMAP_NOT_ALIGNED = _EXTENT_NOT_ALIGNED
FIEMAP_INLINE = _EXTENT_DATA_INLINE
FIEMAP_TAIL = _EXTENT_DATA_TAIL
FIEMAP_UNWRITTEN = _EXTENT_UNWRITTEN
FIEMAP_MERGED = _EXTENT_MERGED
FIEMAP_SHARED = _EXTENT_SHARED
FALLOC_KEEP_SIZE = _FALLOC_FL_KEEP_SIZE
FALLOC_PUNCH_HOLE = _FALLOC_FL_PUNCH_HOLE
FALLOC_ZERO_RANGE = _FALLOC_FL_ZERO_RANGE
# The numbers differ between architectures, so they come from the kernel's headers.
BLKSSZGET = _BLKSSZGET
BLKFLSBUF = _BLKFLSBUF
BLKDISCARD = _BLKDISCARD
BLKZEROOUT = _BLKZEROOUT
BLKROGET = _BLKROGET
FS_IOC_FSGETXATTR = _FS_IOC_FSGETXATTR
BTRFS_IOC_FS_INFO = _BTRFS_IOC_FS_INFO

cdef Py_ssize_t MAX_MAP_BATCH = 65536


cdef int check_map_range(int64_t start, int64_t end, Py_ssize_t max_extents) except -1:
    if start < 0 or end < start:
        raise InvalidInput(f"not a range to map: [{start}, {end})")
    if not 1 <= max_extents <= MAX_MAP_BATCH:
        raise InvalidInput(f"max_extents must be 1 to {MAX_MAP_BATCH}, not {max_extents}")
    return 0


cdef int check_errno(int rc) except -1:
    """Raises OSError for a negative errno; whoever knows the device's name translates it."""
    if rc == -errno_.ENOMEM:
        raise MemoryError()
    if rc < 0:
        raise OSError(-rc, strerror(-rc).decode("utf-8", "replace"))
    return 0


def map_fd(int fd, int64_t start, int64_t end, Py_ssize_t max_extents=4096):
    """Data (kind 0) and holes (kind 2) of ``[start, x)`` by lseek, ``x <= end``: after about ``max_extents`` extents the caller
    goes on from ``.end``.

    A file system or device that cannot tell is all data; so is what lies past a file that shrank. It moves the offset of
    ``fd``. OSError when the device fails.
    """
    cdef bd_vec v
    cdef int rc
    check_map_range(start, end, max_extents)
    memset(&v, 0, sizeof(v))
    with nogil:
        rc = bd_map_fd(fd, start, end, <size_t>max_extents, &v)
    if rc < 0:
        bd_free(&v)
        check_errno(rc)
    return made(&v)


def fiemap_fd(int fd, int64_t start, int64_t end, bint sync=True, Py_ssize_t max_extents=512):
    """``(array, next)``: the physical extents from ``start`` as packed (logical, physical, length, flags), four native
    64-bit numbers an extent; the map is complete up to ``next``, and to be continued there when it is below ``end``.

    OSError where the file system has no FIEMAP.
    """
    cdef bd_fmap m
    cdef int rc
    cdef uint32_t i
    cdef uint64_t *out
    check_map_range(start, end, max_extents)
    if start == end:
        return b"", end
    m.fm = bd_fiemap_buffer(<uint32_t>max_extents)
    if m.fm == NULL:
        raise MemoryError()
    try:
        with nogil:
            rc = bd_fiemap(fd, start, end, sync, <uint32_t>max_extents, &m)
        check_errno(rc)
        packed = PyBytes_FromStringAndSize(NULL, m.n * 32)
        out = <uint64_t *>PyBytes_AS_STRING(packed)
        for i in range(m.n):
            out[4 * i] = m.fm.fm_extents[i].fe_logical
            out[4 * i + 1] = m.fm.fm_extents[i].fe_physical
            out[4 * i + 2] = m.fm.fm_extents[i].fe_length
            out[4 * i + 3] = m.fm.fm_extents[i].fe_flags
        return packed, m.covered
    finally:
        free(m.fm)


def shared_map(int fd_a, int fd_b, int64_t start, int64_t end, Py_ssize_t max_extents=4096):
    """``(extents, next, stable)``: one window of two files' FIEMAPs, walked together; go on from ``next`` until it is ``end``.

    Kind 0: both files have this range on one and the same storage, so their bytes are equal. Kind 1: neither has data there
    (hole or unwritten), both read as zeroes. Nothing is said about the rest. ``stable`` is false, and the set empty, when a
    file changed while the maps were taken, or so recently that a change could not be seen, or ends before ``end``.
    Physical addresses prove something on one file system only: ask ``backends.reflink.reflink_refusal`` first.
    """
    cdef bd_fmap a, b
    cdef bd_vec v
    cdef int64_t next_ = end
    cdef int rc, stable = 1
    check_map_range(start, end, max_extents)
    memset(&v, 0, sizeof(v))
    if start == end:
        return made(&v), end, True
    a.fm = bd_fiemap_buffer(<uint32_t>max_extents)
    b.fm = bd_fiemap_buffer(<uint32_t>max_extents)
    rc = -errno_.ENOMEM
    if a.fm != NULL and b.fm != NULL:
        with nogil:
            rc = bd_shared_window(fd_a, fd_b, start, end, <uint32_t>max_extents, &a, &b, &v, &next_, &stable)
    free(a.fm)
    free(b.fm)
    if rc < 0:
        bd_free(&v)
        check_errno(rc)
    return made(&v), next_, bool(stable)


def dio_alignment(int fd):
    """``(memory, offset)`` alignment of direct I/O by statx; (0, 0): refused; None: the kernel does not say (before 6.1)."""
    cdef uint32_t memory = 0, offset = 0
    cdef int rc
    with nogil:
        rc = bd_dio_align(fd, &memory, &offset)
    return (memory, offset) if rc == 0 else None


def statfs_type(int fd):
    """The magic number of the file system that holds the file."""
    cdef int64_t magic
    with nogil:
        magic = bd_statfs_type(fd)
    if magic < 0:
        check_errno(<int>magic)
    return magic


def fallocate(int fd, int mode, int64_t offset, int64_t length):
    """fallocate(2); ``mode`` is made of the FALLOC_ names. OSError when it fails."""
    cdef int rc
    with nogil:
        rc = bd_fallocate(fd, mode, offset, length)
    check_errno(rc)
