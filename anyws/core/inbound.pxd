cimport cython

cimport anyws._wire.scan as wire
from anyws.core.deflate_streams cimport Inflater
from anyws.core.turns cimport Turns

cdef Py_ssize_t _MESSAGE_OVERHEAD
cdef Py_ssize_t _EFFORT_AT_ONCE
cdef Py_ssize_t _MUCH
cdef Py_ssize_t _PAYLOAD_AT_ONCE

cdef class Inbound:
    cdef public list messages
    cdef public object message
    cdef public object close
    cdef public object failure
    cdef public bint ended
    cdef list _pings
    cdef list _pongs
    cdef public bint hungry
    cdef bint _discarding
    cdef public bint stopped
    cdef public Py_ssize_t messages_taken
    cdef Py_ssize_t _taken
    cdef bint _masked
    cdef object _limits
    cdef Inflater _inflater
    cdef Py_ssize_t _scan_limit
    cdef Py_ssize_t _receive_buffer
    cdef bytearray _rest
    cdef Py_ssize_t _queued
    cdef Py_ssize_t _remaining
    cdef Py_ssize_t _offset
    cdef bint _final
    cdef bytes _key
    cdef Py_ssize_t _headers

    @cython.locals(messages=list, position=Py_ssize_t)
    cpdef take(self, Turns turns)
    cdef bint _is_full(self)
    cpdef bint has_control_frames(self)
    cpdef list take_pings(self)
    cpdef list take_pongs(self)
    cpdef bint has_news(self) except -1
    cpdef bint expects_much(self)
    cpdef Py_ssize_t effort(self) except -1
    cpdef receive_data(self, bytearray buffer, Py_ssize_t end)
    cpdef resume(self)
    cpdef refuse(self)
    cdef _process(self, bytearray buffer, Py_ssize_t position, Py_ssize_t end)
    cdef Py_ssize_t _parse(self, bytearray buffer, Py_ssize_t position, Py_ssize_t end) except -1
    cdef Py_ssize_t _scan(self, bytearray buffer, Py_ssize_t position, Py_ssize_t end) except -1
    cdef _deliver(self, message)
    cdef Py_ssize_t _take_header(self, bytearray buffer, Py_ssize_t position, Py_ssize_t end) except -1
    cdef _judge_first_byte(self, first, opcode)
    cdef _begin_frame(self, message, length, final)
    cdef Py_ssize_t _take_payload(self, message, bytearray buffer, Py_ssize_t position, Py_ssize_t end) except -1
    cdef _take_control(self, opcode, bytearray buffer, Py_ssize_t start, Py_ssize_t length)
