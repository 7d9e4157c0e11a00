cimport cython

from anyws.net.receiver cimport Receiver

cdef Py_ssize_t _JOIN_BELOW
cdef Py_ssize_t _AT_ONCE
cdef int _PIECES

cdef class TlsCore(Receiver):
    cdef public object _below
    cdef public Receiver _receiver
    cdef public object _ssl_object
    cdef public object _incoming
    cdef public object _outgoing
    cdef public list _unencrypted
    cdef public object _error
    cdef public object _drained
    cdef object _read
    cdef bint _farewell
    cdef bint _end_told
    cdef public bint _established
    cdef public bint _eof
    cdef public bint _eof_sent
    cdef public bint _lost

    cpdef get_buffer(self, Py_ssize_t sizehint)
    cpdef bint buffer_updated(self, Py_ssize_t count) except -1
    cpdef eof_received(self)
    cpdef connection_lost(self, error)
    @cython.locals(receiver=Receiver, size=Py_ssize_t, filled=Py_ssize_t, count=Py_ssize_t, more=bint, new=bint)
    cpdef bint _decrypt(self) except -1
    cpdef write(self, bytes data)
    cpdef writelines(self, chunks)
    @cython.locals(start=Py_ssize_t, pieces=list)
    cdef _encrypt_in_pieces(self, view)
    cdef bint _encrypt(self, data) except -1
    cdef _tell_end(self)
    cdef _encrypt_held(self)
    cdef _wake(self)
    cpdef _flush(self)
    cpdef bytes _take_farewell(self)
