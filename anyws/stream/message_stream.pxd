cimport cython

from anyws.stream.receiver cimport Receiver
from anyws.stream.write_buffer cimport WriteBuffer

cdef int TAKEN

cdef class MessageStream:
    cdef public Receiver _receiver
    cdef public WriteBuffer _write_buffer
    cdef public object writer
