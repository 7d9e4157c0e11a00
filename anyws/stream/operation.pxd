cimport cython

cimport anyws.stream._driving as driving

cdef int _READY
cdef int _SUSPENDED
cdef int _CLOSED
cdef object _ENDED


cdef class Operation:
    cdef object __weakref__
    cdef int _state
    cdef object _awaited
    cdef object _result

    cpdef proceed(self)
    cpdef settle(self, bint succeeded)
    @cython.final
    cdef inline _go_on(self, value)
    cdef _let_go(self, bint succeeded)
