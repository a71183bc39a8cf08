# distutils: language = c
"""What is per byte or per extent, natively: see _fast.pyi for the interface and native/*.pxi for the parts."""

cimport cython
from cpython cimport array
from cpython.buffer cimport (
    PyBUF_C_CONTIGUOUS, PyBUF_FORMAT, PyBUF_READ, PyBUF_SIMPLE, PyBUF_WRITABLE, PyBuffer_Release, PyObject_GetBuffer,
)
from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_FromStringAndSize
from libc cimport errno as errno_
from libc.stdint cimport int32_t, int64_t, uint8_t, uint32_t, uint64_t
from libc.stdlib cimport free, malloc, realloc
from libc.string cimport memchr, memcmp, memcpy, memset, strerror
from cpython.memoryview cimport PyMemoryView_FromMemory
from cpython.object cimport PyObject
from cpython.pycapsule cimport PyCapsule_CheckExact, PyCapsule_GetPointer
from cpython.ref cimport Py_DECREF
from libc.stdint cimport int32_t, int64_t, uint8_t, uint32_t, uint64_t
from libc.stdlib cimport calloc, free, malloc, realloc
from libc.string cimport memchr, memcmp, memcpy, memset, strlen

from blockdiff.errors import DeviceError, InvalidInput, OutOfOrder, ShortRead, SourceError
from blockdiff.extent import Extent, Kind

cdef dict KIND_NAMES = {int(kind): kind for kind in Kind}

include "extents.pxi"
include "sweep.pxi"
include "digest.pxi"
include "places.pxi"
include "compare.pxi"
include "fdmap.pxi"
include "format.pxi"
include "json.pxi"
include "sink.pxi"
include "thindelta.pxi"
include "parse.pxi"
include "statistics.pxi"
include "hash.pxi"
include "wire.pxi"
include "tally.pxi"
include "reportfile.pxi"
