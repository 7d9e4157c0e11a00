cimport anyws._wire.header as header
cimport anyws._wire.mask as mask
from anyws.core.deflate_streams cimport Deflater

cdef class _KeyPool:
    cdef bytes _pool
    cdef Py_ssize_t _position

    cpdef forget(self)
    cpdef bytes take(self)

cdef Py_ssize_t COMPRESSED_AT_ONCE
cdef int _FIN
cdef int _RSV1
cdef Py_ssize_t _JOIN_BELOW

cdef class Outbound:
    cdef bint _masked
    cdef Deflater _deflater
    cdef object _threshold
    cdef bint _deflating
    cdef double _unused
    cdef _KeyPool _keys

    cpdef bint wants_deflate(self, Py_ssize_t size, compress)
    cpdef bint is_long(self, int opcode, Py_ssize_t size, compress)
    cpdef compress_ahead(self, bytes payload)
    cpdef drop_ahead(self, int opcode)
    cpdef bint sends_plain(self, Py_ssize_t size, compress)
    cpdef text_payload(self, str text)
    cpdef list message(self, int opcode, payload, compress)
    cpdef list encode(self, int first, payload)
    cpdef bytes control(self, int opcode, bytes payload)
