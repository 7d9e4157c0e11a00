cdef class Receiver:
    cpdef get_buffer(self, Py_ssize_t sizehint)
    cpdef bint buffer_updated(self, Py_ssize_t count) except -1
    cpdef eof_received(self)
    cpdef connection_lost(self, error)
