# The functions of mask.py in C, for the compiled modules. Same names, same meaning.

from cpython.bytearray cimport PyByteArray_AS_STRING
from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_FromStringAndSize, PyBytes_GET_SIZE
from cpython.unicode cimport PyUnicode_AsUTF8String, PyUnicode_DecodeUTF8
from libc.stdint cimport uint64_t
from libc.string cimport memcpy


cdef extern from "Python.h":
    object PyUnicode_New(Py_ssize_t size, Py_UCS4 maxchar)
    void *PyUnicode_DATA(object text)
    Py_ssize_t PyUnicode_GET_LENGTH(object text)
    bint PyUnicode_IS_COMPACT_ASCII(object text)


cdef inline uint64_t xor_loop(
    unsigned char *target, const unsigned char *source, Py_ssize_t length,
    const unsigned char *key, Py_ssize_t offset,
) noexcept nogil:
    # Returns the inclusive or of all bytes written, somewhere in its eight bytes.
    # Words go through memcpy: payloads are not aligned, and compilers turn it into plain moves.
    cdef unsigned char pattern[8]
    cdef uint64_t word, pattern_word, every = 0
    cdef Py_ssize_t i, words
    for i in range(8):
        pattern[i] = key[(offset + i) & 3]
    memcpy(&pattern_word, pattern, 8)
    words = length >> 3
    for i in range(words):
        memcpy(&word, source + 8 * i, 8)
        word ^= pattern_word
        memcpy(target + 8 * i, &word, 8)
        every |= word
    for i in range(words << 3, length):
        target[i] = source[i] ^ pattern[i & 7]
        every |= target[i]
    return every


cdef inline bint xor_ascii(
    unsigned char *target, const unsigned char *source, Py_ssize_t length, const unsigned char *key,
) noexcept nogil:
    # Whether it was ASCII all over; it stops soon when not.
    cdef Py_ssize_t position = 0, stop
    cdef uint64_t every
    while position < length:
        stop = min(position + 1024, length)
        every = xor_loop(target + position, source + position, stop - position, key, 0)
        if every & <uint64_t>0x8080808080808080ULL:
            return False
        position = stop
    return True


cdef inline Py_ssize_t header_size(Py_ssize_t length) noexcept:
    return 2 if length < 126 else 4 if length < 65536 else 10


cdef inline unsigned char *write_header(
    unsigned char *target, int first, Py_ssize_t length, int mask_bit
) noexcept:
    # Returns where the header ends.
    cdef int i
    cdef int size = 0 if length < 126 else 2 if length < 65536 else 8
    target[0] = <unsigned char>first
    target[1] = <unsigned char>(mask_bit | (length if not size else 126 if size == 2 else 127))
    for i in range(size):
        target[2 + i] = <unsigned char>((<uint64_t>length) >> (8 * (size - 1 - i)))
    return target + 2 + size


cdef inline bytes frame_header(int first, Py_ssize_t length, int mask_bit):
    cdef bytes header = PyBytes_FromStringAndSize(NULL, header_size(length))
    write_header(<unsigned char *>PyBytes_AS_STRING(header), first, length, mask_bit)
    return header


# ASCII in memory is its own UTF-8, and is copied once less if it need not become bytes before it is in a frame.
cdef inline object text_payload(str text):
    return text if PyUnicode_IS_COMPACT_ASCII(text) else PyUnicode_AsUTF8String(text)


cdef inline bytes encoded(payload):
    return PyUnicode_AsUTF8String(payload) if isinstance(payload, str) else payload


cdef inline const unsigned char *payload_start(payload, Py_ssize_t *length) except NULL:
    if isinstance(payload, str) and PyUnicode_IS_COMPACT_ASCII(payload):
        length[0] = PyUnicode_GET_LENGTH(payload)
        return <const unsigned char *>PyUnicode_DATA(payload)
    if not isinstance(payload, bytes):
        raise TypeError("a payload must be bytes, or a str of ASCII")
    length[0] = PyBytes_GET_SIZE(payload)
    return <const unsigned char *>PyBytes_AS_STRING(payload)


cdef inline bytes plain_frame(int first, payload):
    cdef Py_ssize_t length
    cdef const unsigned char *source = payload_start(payload, &length)
    cdef bytes frame = PyBytes_FromStringAndSize(NULL, header_size(length) + length)
    cdef unsigned char *target
    target = write_header(<unsigned char *>PyBytes_AS_STRING(frame), first, length, 0)
    memcpy(target, source, length)
    return frame


cdef inline bytes masked_frame(int first, bytes key, payload):
    cdef Py_ssize_t length
    cdef const unsigned char *source = payload_start(payload, &length)
    cdef bytes frame = PyBytes_FromStringAndSize(NULL, header_size(length) + 4 + length)
    cdef unsigned char *target
    target = write_header(<unsigned char *>PyBytes_AS_STRING(frame), first, length, 0x80)
    memcpy(target, PyBytes_AS_STRING(key), 4)
    xor_loop(target + 4, source, length, <const unsigned char *>PyBytes_AS_STRING(key), 0)
    return frame


cdef inline bytes take_bytes(bytearray buffer, Py_ssize_t start, Py_ssize_t end, bint masked):
    cdef const unsigned char *source = <unsigned char *>PyByteArray_AS_STRING(buffer) + start
    cdef bytes payload = PyBytes_FromStringAndSize(NULL, end - start)
    cdef unsigned char *target = <unsigned char *>PyBytes_AS_STRING(payload)
    if masked:
        xor_loop(target, source, end - start, source - 4, 0)
    else:
        memcpy(target, source, end - start)
    return payload


cdef inline str take_text(bytearray buffer, Py_ssize_t start, Py_ssize_t end, bint masked):
    cdef const unsigned char *source = <unsigned char *>PyByteArray_AS_STRING(buffer) + start
    cdef Py_ssize_t length = end - start
    cdef object text
    cdef bytes payload
    if not masked:
        return PyUnicode_DecodeUTF8(<const char *>source, length, NULL)
    if length > 1:
        # Mostly it is ASCII, which can be unmasked to where it stays.
        text = PyUnicode_New(length, 127)
        if xor_ascii(<unsigned char *>PyUnicode_DATA(text), source, length, source - 4):
            return <str>text
    payload = take_bytes(buffer, start, end, masked)
    return PyUnicode_DecodeUTF8(PyBytes_AS_STRING(payload), length, NULL)


cdef inline bytes take_piece(
    bytearray buffer, Py_ssize_t start, Py_ssize_t end, bytes key, Py_ssize_t offset
):
    cdef const unsigned char *source = <unsigned char *>PyByteArray_AS_STRING(buffer) + start
    cdef bytes piece = PyBytes_FromStringAndSize(NULL, end - start)
    cdef unsigned char *target = <unsigned char *>PyBytes_AS_STRING(piece)
    if PyBytes_GET_SIZE(key):
        xor_loop(target, source, end - start, <const unsigned char *>PyBytes_AS_STRING(key), offset)
    else:
        memcpy(target, source, end - start)
    return piece


# A payload is a bytes object that nobody else has seen while it is written to.
cdef inline bytes new_payload(Py_ssize_t size):
    return PyBytes_FromStringAndSize(NULL, size)


cdef inline int append_payload(
    bytes payload, Py_ssize_t position, bytearray buffer, Py_ssize_t start, Py_ssize_t end, bytes key
) except -1:
    cdef unsigned char *target = <unsigned char *>PyBytes_AS_STRING(payload) + position
    cdef unsigned char *source = <unsigned char *>PyByteArray_AS_STRING(buffer) + start
    if PyBytes_GET_SIZE(key):
        xor_loop(
            target, source, end - start, <const unsigned char *>PyBytes_AS_STRING(key), position & 3
        )
    else:
        memcpy(target, source, end - start)
    return 0


cdef inline bytes finish_payload(bytes payload, Py_ssize_t size, Py_ssize_t expected):
    return payload if size == expected else payload[:size]
