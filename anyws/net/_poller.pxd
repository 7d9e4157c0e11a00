cimport cython

cimport anyws.net._system as system

cdef int _LONE_ROUNDS
cdef int _AT_ONCE

cdef class Poller:
    cdef object _loop
    cdef int _few
    cdef object _epoll
    cdef int _descriptor
    cdef dict _readers
    cdef set _handed_over
    cdef int _lone_rounds
    cdef object _context

    @cython.locals(readers=dict, found=list)
    cpdef poll(self)
