# Block metadata to and from the bytes of protobuf; never one Python object per tuple.

cdef extern from "wire.h" nogil:
    ctypedef struct bd_wire:
        const uint8_t *p
        const uint8_t *end
        const uint8_t *at
        int32_t type
        int64_t capacity
    size_t bd_wire_bound(size_t n, int64_t end)
    uint8_t *bd_wire_put(uint8_t *p, int32_t type, int64_t capacity, const bd_extent *items, size_t n)
    int bd_wire_get(bd_wire *w, bd_vec *out)
    enum:
        BD_W_OK, BD_W_NOMEM, BD_W_ORDER, BD_W_CUT, BD_W_LONG, BD_W_LENGTH, BD_W_TAG, BD_W_GROUP, BD_W_DEEP

DEF WIRE_ALONE = 4096           # bytes or tuples from which it pays to let other threads run
DEF WIRE_TUPLE = 12             # bytes of a usual tuple
cdef size_t WIRE_MOST = 0x7fffffff

cdef dict WIRE_TROUBLE = {
    BD_W_CUT: "the data ends inside a number",
    BD_W_LONG: "a number has too many bytes",
    BD_W_LENGTH: "a field ends after the data",
    BD_W_TAG: "no field begins like this",
    BD_W_GROUP: "a group has no end, or an end no group",
    BD_W_DEEP: "groups are nested too deep",
}


def encode_metadata(type_, capacity, Extents extents not None):
    """The bytes of a GetMetadataAllocatedResponse or GetMetadataDeltaResponse, of both services.

    They are what protobuf writes. ``type_`` is the number of a BlockMetadataType, ``capacity`` the bytes of the volume;
    the kinds of extents are not written. Raises InvalidInput for numbers that do not fit, and where the message would
    have 2 GiB or more: nobody can read such a one.
    """
    cdef int64_t wide = to_int64(type_), size = to_int64(capacity)
    cdef size_t room = bd_wire_bound(extents.n, extents.end)
    cdef PyObject *message
    cdef uint8_t *p
    cdef uint8_t *end
    if wide != <int32_t>wide:
        raise InvalidInput(f"{type_} is no type of block metadata")
    message = <PyObject *>PyBytes_FromStringAndSizeRaw(NULL, room)
    if message == NULL:
        raise MemoryError()
    p = <uint8_t *>PyBytes_AS_STRING(<object>message)
    if extents.n < WIRE_ALONE:
        end = bd_wire_put(p, <int32_t>wide, size, extents.items, extents.n)
    else:
        with nogil:
            end = bd_wire_put(p, <int32_t>wide, size, extents.items, extents.n)
    if _PyBytes_Resize(&message, end - p) < 0:
        raise MemoryError()
    result = <bytes>message
    Py_DECREF(result)
    if <size_t>len(result) > WIRE_MOST:
        raise InvalidInput(f"{extents.n} extents make a message of {len(result)} bytes: {WIRE_MOST} are possible")
    return result


def decode_metadata(data):
    """``(type, capacity, extents)`` of the bytes of a response: what protobuf reads there. Unknown fields are skipped.

    Raises SourceError (``position``: the byte at which the data stops being a message) and OutOfOrder (a tuple is empty,
    negative, ends past 2^63, or begins before the end of the one before it; ``index`` says which).
    """
    cdef Py_buffer view
    cdef bd_vec v
    cdef bd_wire w
    cdef int rc = BD_W_NOMEM
    memset(&v, 0, sizeof(v))
    memset(&w, 0, sizeof(w))
    PyObject_GetBuffer(data, &view, PyBUF_SIMPLE)
    try:
        w.p = <const uint8_t *>view.buf
        w.end = w.p + view.len
        if bd_reserve(&v, view.len // WIRE_TUPLE) == 0:
            if view.len < WIRE_ALONE:
                rc = bd_wire_get(&w, &v)
            else:
                with nogil:
                    rc = bd_wire_get(&w, &v)
        if rc == BD_W_OK:
            return w.type, w.capacity, made(&v)
        return wire_failed(rc, &v, w.at - <const uint8_t *>view.buf)
    finally:
        bd_free(&v)
        PyBuffer_Release(&view)


cdef object wire_failed(int rc, const bd_vec *v, Py_ssize_t position):
    """Raises what a code of wire.h stands for."""
    if rc == BD_W_NOMEM:
        raise MemoryError()
    if rc == BD_W_ORDER:
        check_extents(v.items, v.n, 0)
    raise SourceError(f"not a message of block metadata: {WIRE_TROUBLE.get(rc, 'a tuple is out of order')} (byte {position})",
                      position=position)
