cimport cython

from anyws.core.connection cimport Connection
from anyws.core.inbound cimport Inbound
from anyws.core.turns cimport Turns
from anyws.net._socket cimport SocketCore
from anyws.stream.operation cimport Operation
from anyws.stream.transport_receiver cimport TransportReceiver
from anyws.stream.write_buffer cimport WriteBuffer

cdef int CREATED

cdef class Receiver:
    cdef Connection _connection
    cdef Inbound _inbound
    cdef TransportReceiver _source
    cdef object _transport
    cdef SocketCore _socket
    cdef WriteBuffer _write_buffer
    cdef Turns _turns
    cdef object _closing
    cdef bint _waiting
    cdef Py_ssize_t _asked
    cdef Py_ssize_t _asked_before
    cdef bint _polled
    cdef bint _background
    cdef object _changed
    cdef bint attended
    cdef public Py_ssize_t messages_read

    cpdef _skip_abandoned(self)
    cdef _raise_closed(self, bint iterating)
    cdef _begin(self, bint hungry)
    cdef _receive_more(self)
    cdef _end(self)
    cpdef notify(self)

cdef class NextMessage(Operation):
    cdef Receiver _receiver
    cdef bint _iterating
    cdef bint _claims

    @cython.locals(receiver=Receiver, inbound=Inbound)
    cpdef proceed(self)
    @cython.locals(receiver=Receiver)
    cpdef settle(self, bint succeeded)

@cython.locals(operation=NextMessage)
cpdef NextMessage next_message(Receiver receiver, bint iterating)
