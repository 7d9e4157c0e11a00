cimport cython

cimport anyws.stream._driving as driving
from anyws.stream.operation cimport Operation
from anyws.stream.receiver cimport NextMessage, Receiver, next_message
from anyws.stream.write_buffer cimport WriteBuffer

cdef int CREATED
cdef int TAKEN

cdef class MessageStream:
    cdef public Receiver _receiver
    cdef public WriteBuffer _write_buffer
    cdef public object writer

cdef class MessageIterator:
    cdef Receiver _receiver

cdef class Sending(Operation):
    cdef MessageStream _stream
    cdef object _item

    @cython.locals(stream=MessageStream)
    cpdef proceed(self)

@cython.locals(operation=Sending)
cpdef Sending sending(MessageStream stream, item)
