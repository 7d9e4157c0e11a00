cimport cython

cimport anyws.net._system as system
from anyws.net.receiver cimport Receiver

cdef Py_ssize_t _JOIN_BELOW
cdef Py_ssize_t _PIECES

cdef class SocketCore:
    # First what a lone write touches.
    cdef public bint clogged
    cdef public bint _closed
    cdef public Py_ssize_t unsent
    cdef int _descriptor
    cdef public bint paused
    cdef public object _socket
    cdef public Receiver _receiver
    cdef public list _backlog
    cdef public object _drained
    cdef public Py_ssize_t _high_water
    cdef bint _eof_due
    cdef bint _eof_sent

    @cython.locals(receiver=Receiver, count=Py_ssize_t)
    cpdef bint _receive(self) except -1
    cpdef _end(self)
    cpdef receive_more(self)
    cpdef write(self, bytes data)
    @cython.locals(sent=Py_ssize_t)
    cdef _write(self, bytes data, bint more)
    @cython.locals(sent=Py_ssize_t, size=Py_ssize_t)
    cpdef writelines(self, chunks)
    cdef Py_ssize_t _send_several(self, chunks) except -1
    cdef _keep(self, chunks, Py_ssize_t size, Py_ssize_t sent)
    cpdef _write_backlog(self)
    cpdef write_eof(self, bytes last=*)
    cdef _wake(self)
    cdef _shutdown(self)
    cpdef _lose(self, error)
    cpdef _close(self, error=*)
