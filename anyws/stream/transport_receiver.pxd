from anyws.core.connection cimport Connection
from anyws.core.inbound cimport Inbound
from anyws.net.receiver cimport Receiver
from anyws.stream.write_buffer cimport WriteBuffer

cdef Py_ssize_t _RECEIVE_SIZE
cdef Py_ssize_t _FEW_STEPS
cdef Py_ssize_t _BYTES_OF_A_STEP
cdef int _SMALL_READS
cdef Py_ssize_t _SMALL_SIZE

cdef class TransportReceiver(Receiver):
    cdef Connection _connection
    cdef Inbound _inbound
    cdef object _transport
    cdef WriteBuffer _write_buffer
    cdef object _pongs_received
    cdef object _on_lost
    cdef object _budget
    cdef Py_ssize_t _noted
    cdef bint _filled
    cdef bint _wide
    cdef int _small_reads
    cdef Py_ssize_t _effort
    cdef bytearray _scratch
    cdef object _view
    cdef object _large_view
    cdef object _small_view
    cdef public long long bytes_received
    cdef public bint heard
    cdef public bint eof
    cdef public bint lost
    cdef public object error

    cpdef get_buffer(self, Py_ssize_t sizehint)
    cpdef bint buffer_updated(self, Py_ssize_t count) except -1
    cpdef eof_received(self)
    cpdef connection_lost(self, error)
    cpdef feed(self, bytes data)
    cpdef Py_ssize_t held(self) except -1
    cpdef note_growth(self)
    cpdef answer_control_frames(self)
