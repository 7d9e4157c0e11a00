cimport cython

from anyws.core.connection cimport Connection
from anyws.core.inbound cimport Inbound
from anyws.core.outbound cimport Outbound
from anyws.core.turns cimport Turns

cdef int _TEXT
cdef int _BINARY
cdef Py_ssize_t _TURN_BYTES
cdef Py_ssize_t _GATHER_UP_TO
cdef object _OPEN

cdef class WriteBuffer:
    cdef Connection _connection
    cdef Inbound _inbound
    cdef Outbound _outbound
    cdef object _transport
    cdef object _lock
    cdef Turns _turns
    cdef object _budget
    cdef list _pending
    cdef Py_ssize_t _pending_size
    cdef Py_ssize_t _high_water
    cdef Py_ssize_t _room
    cdef bint _flush_due
    cdef bint _sent_lately
    cdef public bint finished
    # Bytes sent in the life of a connection may be more than a 32-bit Py_ssize_t holds.
    cdef public long long written
    cdef public long long messages_sent

    @cython.locals(opcode=int, payload=bytes)
    cpdef try_send(self, data, compress)
    cpdef put_message(self, int opcode, bytes payload, compress)
    cpdef bint offer(self, int opcode, bytes payload, list frames, compress) except -1
    @cython.locals(lone=bint)
    cdef _put(self, list frames)
    @cython.locals(pending=list, frame=bytes)
    cpdef append(self, list frames)
    cpdef write_control(self, list frames)
    cpdef before_waiting(self)
    @cython.locals(pending=list, size=Py_ssize_t, unsent=Py_ssize_t)
    cpdef flush(self)
    @cython.locals(unsent=Py_ssize_t)
    cpdef Py_ssize_t held(self) except -1
