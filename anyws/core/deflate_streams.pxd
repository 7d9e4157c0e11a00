cdef Py_ssize_t _AT_ONCE
cdef Py_ssize_t _DECODERS_AT_ONCE
cdef bytes _END
cdef Py_ssize_t _PIECE
cdef Py_ssize_t _SHORT
cdef bytes _TAIL

cdef class Deflater:
    cdef object _codec
    cdef tuple _settings
    cdef bint _takeover
    cdef public object _compressor
    cdef bint _held
    cdef list _ahead

    cpdef compress_ahead(self, data)
    cpdef bytes compress(self, data)
    cpdef bytes fragment(self, data)
    cpdef bytes finish(self, data=*)
    cpdef reset(self)

cdef class Inflater:
    cdef object _codec
    cdef int _bits
    cdef bint _takeover
    cdef public bytearray _window
    cdef public object _decompressor
    cdef object _input
    cdef Py_ssize_t _position
    cdef bint _ending
    cdef public bint pending
    cdef public Py_ssize_t decoders
    cdef public Py_ssize_t size

    cpdef whole(self, bytes data, Py_ssize_t limit, bint text)
    cpdef bytes decompress(self, data, Py_ssize_t max_length)
    cpdef bytes finish(self, Py_ssize_t max_length, data=*)
    cdef _kept(self)
    cdef bytes _step(self, Py_ssize_t max_length)
    cdef _end_message(self)
    cdef bytes _decode(self, Py_ssize_t max_length)
    cdef _settle(self, decompressor, Py_ssize_t end, bint full)
    cdef bint _drained(self)
    cdef _remember(self, bytes out)
    cdef _bad(self, error)
    cdef _clear(self)
