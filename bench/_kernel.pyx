# cython: language_level=3, boundscheck=False, wraparound=False, initializedcheck=False, cdivision=True
# What measuring needs from C: a histogram of single calls, the loops that fill it, and the floor that decide is held against.

cimport cython
from cpython.long cimport PyLong_AsLongLong
from cpython.object cimport PyObject
from libc.stdint cimport int64_t, uint8_t, uint32_t, uint64_t
from libc.stdlib cimport calloc, free
from libc.string cimport memcpy, memset

include "kernel/histogram.pxi"
include "kernel/loops.pxi"
include "kernel/floor.pxi"
