cimport anyws._wire.mask as mask

cdef class Payload:
    cdef object _data
    cdef Py_ssize_t _expected
    cdef public Py_ssize_t size

    cpdef append(self, bytearray buffer, Py_ssize_t start, Py_ssize_t end, bytes key)
    cpdef bytes taken(self)
