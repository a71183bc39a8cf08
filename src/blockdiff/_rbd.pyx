# distutils: language = c
"""Ceph by librados and librbd, loaded at run time: see _rbd.pyi for the interface and native/ceph*.pxi for the parts."""

cimport cython
cimport cython
from cpython.buffer cimport PyBUF_SIMPLE, PyBUF_WRITABLE, PyBuffer_Release, PyObject_GetBuffer
from cpython.bytes cimport PyBytes_FromStringAndSize
from cpython.exc cimport PyErr_CheckSignals
from cpython.pycapsule cimport PyCapsule_GetContext, PyCapsule_New, PyCapsule_SetContext
from cpython.ref cimport Py_DECREF, Py_INCREF
from libc.stdint cimport int32_t, int64_t, uint8_t, uint64_t
from libc.stdlib cimport calloc, free, malloc
from libc.string cimport memcpy, memset

import errno as errno_names

from blockdiff._fast import Extents

include "ceph.pxi"
include "cephcluster.pxi"
include "cephimage.pxi"
include "checksum.pxi"
