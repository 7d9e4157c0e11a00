cimport cython

from anyws.core.connection cimport Connection
from anyws.core.inbound cimport Inbound
from anyws.core.outbound cimport Outbound
from anyws.core.turns cimport Turns
from anyws.net._socket cimport SocketCore
from anyws.stream.lock cimport SendLock

cdef int NOT_TAKEN
cdef int TAKEN
cdef int CLOGGED
cdef int _TEXT
cdef int _BINARY
cdef Py_ssize_t _TURN_BYTES
cdef Py_ssize_t _GATHER_UP_TO
cdef object _OPEN

cdef class Round:
    cdef public bint over
    cdef bint watched

    cpdef end(self)

cdef class WriteBuffer:
    # First what a broadcast touches of every connection, since it is in no cache by then.
    cdef Connection _connection
    cdef SendLock _lock
    cdef SocketCore _socket
    cdef Round _round
    cdef bint _always_plain
    cdef bint _sent_lately
    cdef public bint finished
    cdef bint _flush_due
    cdef Py_ssize_t _pending_size
    cdef Py_ssize_t _room
    cdef Py_ssize_t _high_water
    # Bytes sent in the life of a connection may be more than a 32-bit Py_ssize_t holds.
    cdef public long long written
    cdef public long long messages_sent
    cdef object _transport
    cdef object _budget
    cdef list _pending
    cdef Inbound _inbound
    cdef Outbound _outbound
    cdef Turns _turns

    @cython.locals(opcode=int)
    cpdef int try_send(self, data, compress) except -1
    @cython.locals(frames=list, lone=bint)
    cpdef put_message(self, int opcode, payload, compress)
    @cython.locals(lone=bint)
    cpdef bint offer(self, int opcode, bytes payload, list frames, compress, Round current) except -1
    cdef _put(self, list frames, bint lone, Round current)
    cdef bint _round_is_over(self)
    @cython.locals(frame=bytes)
    cpdef append(self, list frames)
    cpdef write_control(self, list frames)
    cpdef end(self, bytes frame)
    cpdef before_waiting(self)
    @cython.locals(pending=list, size=Py_ssize_t)
    cpdef flush(self)
    @cython.locals(unsent=Py_ssize_t)
    cdef _write(self, list frames, Py_ssize_t size)
    cpdef Py_ssize_t held(self) except -1
    cdef bint _is_clogged(self) except -1
    cdef Py_ssize_t _unsent(self) except -1

@cython.locals(current=Round, others=list, buffer=WriteBuffer)
cpdef list offer_to_all(websockets, int opcode, bytes payload, list frames, compress)

@cython.locals(size=Py_ssize_t, frame=bytes)
cdef Py_ssize_t _size(list frames) except -1
