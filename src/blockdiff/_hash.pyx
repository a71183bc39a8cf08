# distutils: language = c
"""Digests of blocks: see _hash.pyi for the interface. The reader takes hashers as capsules (native/hasher.h)."""

cimport cython
from cpython.buffer cimport PyBUF_SIMPLE, PyBuffer_Release, PyObject_GetBuffer
from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_FromStringAndSize
from cpython.pycapsule cimport PyCapsule_New
from libc.stdint cimport uint64_t
from libc.stddef cimport size_t

cdef extern from "hasher.h" nogil:
    ctypedef struct bd_hasher:
        void *self
        size_t size
        int (*blocks)(void *self, const unsigned char *p, size_t length, size_t block, unsigned char *out)
    const char *BD_HASHER_NAME

cdef extern from "xxh3hasher.h" nogil:
    ctypedef void (*bd_xxh3)(const unsigned char *p, size_t length, size_t block, uint64_t seed, unsigned char *out)
    ctypedef struct bd_xxh3_hasher:
        bd_hasher hasher
        bd_xxh3 function
        uint64_t seed
    bd_xxh3 bd_xxh3_pick(const char *wanted, const char **name)
    int bd_xxh3_blocks(void *self, const unsigned char *p, size_t length, size_t block, unsigned char *out)

DEF SIZE = 16


@cython.no_gc  # the collector would take away what a reader goes by; it can be in no cycle of its own
cdef class Xxh3:
    """XXH3-128 of blocks with a seed; ``instructions`` says with what it is computed, and can be asked for."""
    cdef bd_xxh3_hasher h
    cdef readonly str instructions

    def __cinit__(self, uint64_t seed=0, str instructions=""):
        cdef bytes wanted = instructions.encode()
        cdef const char *name
        self.h.function = bd_xxh3_pick(wanted, &name)
        if self.h.function == NULL:
            raise ValueError(f"this processor has no {instructions}")
        self.instructions = name.decode()
        self.h.seed = seed
        self.h.hasher.self = &self.h
        self.h.hasher.size = SIZE
        self.h.hasher.blocks = &bd_xxh3_blocks

    def capsule(self):
        """For the reader; it is good as long as this object is."""
        return PyCapsule_New(&self.h.hasher, BD_HASHER_NAME, NULL)

    def blocks(self, data, size_t block):
        """A digest for each block of the buffer, one after the other; the last block may be shorter."""
        cdef Py_buffer view
        cdef bytes out
        cdef unsigned char *to
        if block == 0:
            raise ValueError("a block has at least a byte")
        PyObject_GetBuffer(data, &view, PyBUF_SIMPLE)
        try:
            out = PyBytes_FromStringAndSize(NULL, (<size_t>view.len // block + (<size_t>view.len % block != 0)) * SIZE)
            to = <unsigned char *>PyBytes_AS_STRING(out)
            with nogil:
                self.h.function(<const unsigned char *>view.buf, view.len, block, self.h.seed, to)
        finally:
            PyBuffer_Release(&view)
        return out

