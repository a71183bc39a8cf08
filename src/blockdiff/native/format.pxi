# Extents as text, in chunks of bytes; never one Python object per extent.

cdef extern from "format.h" nogil:
    enum:
        BD_TEXT_MAX, BD_TEXT_STEP, BD_WIDTH_MAX, BD_UNKNOWN_KIND, BD_PART_OF_UNIT
    ctypedef struct bd_text:
        char *text
        size_t n
    ctypedef struct bd_shape:
        bd_text prefix
        bd_text middle
        bd_text suffix
        bd_text next
        int known
    ctypedef struct bd_template:
        bd_shape *shapes
        size_t offset_width
        size_t length_width
        size_t longest
        uint64_t unit
    size_t bd_format(const bd_extent *items, size_t n, const bd_template *t, int first, char **out, size_t room,
                     int *why)

cdef extern from "Python.h":
    PyObject *PyBytes_FromStringAndSizeRaw "PyBytes_FromStringAndSize" (const char *text, Py_ssize_t size)
    int _PyBytes_Resize(PyObject **bytes, Py_ssize_t size)

DEF CHUNK = 65536


cdef int set_text(bd_text *to, text) except -1:
    cdef bytes raw = text
    if len(raw) > BD_TEXT_MAX:
        raise InvalidInput(f"a template's text has {len(raw)} bytes, {BD_TEXT_MAX} at most")
    memcpy(to.text, PyBytes_AS_STRING(raw), len(raw))
    to.n = len(raw)
    return 0


cdef size_t set_shape(bd_shape *shape, texts, bytes separator) except 0:
    prefix, middle, suffix = texts
    set_text(&shape.prefix, prefix)
    set_text(&shape.middle, middle)
    set_text(&shape.suffix, suffix)
    set_text(&shape.next, separator + prefix)
    shape.known = 1
    return shape.next.n + shape.middle.n + shape.suffix.n + 1


cdef class Template:
    """How one extent is written: ``prefix offset middle length suffix``, and ``separator`` between two.

    ``Template((prefix, middle, suffix))`` serves every kind, ``Template({kind: (prefix, middle, suffix), ...})`` only the
    kinds named; all texts are bytes. ``widths`` pads the two numbers with spaces on the left to at least so many columns.
    ``unit`` writes both as multiples of so many bytes.
    """
    cdef bd_template *t

    def __cinit__(self, shapes, *, separator=b"", widths=(0, 0), uint64_t unit=1):
        self.t = <bd_template *>calloc(1, sizeof(bd_template))
        if self.t == NULL:
            raise MemoryError()
        cdef size_t longest = 0
        self.t.unit = unit if unit else 1
        self.t.offset_width, self.t.length_width = widths
        if self.t.offset_width > BD_WIDTH_MAX or self.t.length_width > BD_WIDTH_MAX:
            raise InvalidInput(f"a column of a template has {BD_WIDTH_MAX} characters at most")
        if isinstance(shapes, tuple):
            shapes = dict.fromkeys(range(MAX_KIND + 1), shapes)
        for kind, texts in shapes.items():
            longest = max(longest, set_shape(&self.t.shapes[to_kind(kind)], texts, separator))
        self.t.longest = longest + 2 * BD_WIDTH_MAX + 2 * BD_TEXT_STEP

    def __dealloc__(self):
        free(self.t)


cdef bytes format_chunk(const bd_extent *items, size_t n, const bd_template *t, bint first, size_t *done, int *why):
    """The text of as many extents as one chunk holds."""
    cdef size_t room = min(<size_t>CHUNK, (n + 1) * t.longest)
    cdef PyObject *chunk = <PyObject *>PyBytes_FromStringAndSizeRaw(NULL, room)
    cdef char *p
    if chunk == NULL:
        raise MemoryError()
    p = PyBytes_AS_STRING(<object>chunk)
    with nogil:
        done[0] = bd_format(items, n, t, first, &p, room, why)
    room = p - PyBytes_AS_STRING(<object>chunk)
    if _PyBytes_Resize(&chunk, room) < 0:
        raise MemoryError()
    result = <bytes>chunk
    Py_DECREF(result)
    return result


cdef str unwritten(const bd_extent *e, int why, uint64_t unit):
    """Why an extent has no place in a format."""
    if why == BD_PART_OF_UNIT:
        return f"the extent at {e.offset} (length {e.length}) is not made of whole blocks of {unit} bytes"
    kind = KIND_NAMES.get(e.kind)
    return f"an extent of kind {e.kind if kind is None else kind.label} cannot be written in this format"


def format_extents(Extents extents not None, Template template not None, sink=None, *, bint first=True):
    """Writes extents by a template. Calls ``sink(bytes)`` with chunks of up to 64 KiB; without a sink returns all bytes.

    ``first=False`` puts the separator before the first entry too, to go on with a list.
    Raises InvalidInput for a kind that the template has no text for, and for numbers that are no multiples of its unit.
    """
    cdef Py_ssize_t done = 0
    cdef size_t count
    cdef int why
    cdef list chunks = []
    cdef bint collect = sink is None
    if collect:
        sink = chunks.append
    while done < extents.n:
        chunk = format_chunk(extents.items + done, extents.n - done, template.t, first, &count, &why)
        if count:
            sink(chunk)
        done += count
        first = False
        if why:
            raise InvalidInput(unwritten(&extents.items[done], why, template.t.unit))
    return b"".join(chunks) if collect else None
