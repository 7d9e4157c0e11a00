cdef class Turns:
    cdef public Py_ssize_t interval
    cdef public Py_ssize_t left

    cpdef bint spend(self)
    cpdef renew(self)
