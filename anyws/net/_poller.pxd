cimport cython

cimport anyws.net._system as system

cdef int _AT_ONCE

cdef class Poller:
    cdef object _epoll
    cdef dict _readers
    cdef object _begin
    cdef object _end
    cdef public int descriptor

    @cython.locals(readers=dict)
    cpdef poll(self)
