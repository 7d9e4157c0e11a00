# The functions of mask.py in C, for the compiled modules. Same names, same meaning.

from cpython.bytearray cimport PyByteArray_AS_STRING
from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_FromStringAndSize, PyBytes_GET_SIZE
from cpython.unicode cimport PyUnicode_DecodeUTF8
from libc.stdint cimport uint64_t
from libc.string cimport memcpy


cdef inline void xor_loop(
    unsigned char *target, const unsigned char *source, Py_ssize_t length,
    const unsigned char *key, Py_ssize_t offset,
) noexcept nogil:
    # Words go through memcpy: payloads are not aligned, and compilers turn it into plain moves.
    cdef unsigned char pattern[8]
    cdef uint64_t word, pattern_word
    cdef Py_ssize_t i, words
    for i in range(8):
        pattern[i] = key[(offset + i) & 3]
    memcpy(&pattern_word, pattern, 8)
    words = length >> 3
    for i in range(words):
        memcpy(&word, source + 8 * i, 8)
        word ^= pattern_word
        memcpy(target + 8 * i, &word, 8)
    for i in range(words << 3, length):
        target[i] = source[i] ^ pattern[i & 7]


cdef inline int xor_in_place(
    bytearray buffer, Py_ssize_t start, Py_ssize_t end, bytes key, Py_ssize_t offset
) except -1:
    cdef unsigned char *data = <unsigned char *>PyByteArray_AS_STRING(buffer)
    if end > start:
        xor_loop(
            data + start, data + start, end - start,
            <const unsigned char *>PyBytes_AS_STRING(key), offset,
        )
    return 0


cdef inline bytes masked_frame(bytes header, bytes key, bytes payload):
    cdef Py_ssize_t before = PyBytes_GET_SIZE(header)
    cdef Py_ssize_t length = PyBytes_GET_SIZE(payload)
    cdef bytes frame = PyBytes_FromStringAndSize(NULL, before + 4 + length)
    cdef unsigned char *target = <unsigned char *>PyBytes_AS_STRING(frame)
    memcpy(target, PyBytes_AS_STRING(header), before)
    memcpy(target + before, PyBytes_AS_STRING(key), 4)
    xor_loop(
        target + before + 4, <const unsigned char *>PyBytes_AS_STRING(payload), length,
        <const unsigned char *>PyBytes_AS_STRING(key), 0,
    )
    return frame


cdef inline bytes take_bytes(bytearray buffer, Py_ssize_t start, Py_ssize_t end):
    return PyBytes_FromStringAndSize(PyByteArray_AS_STRING(buffer) + start, end - start)


cdef inline str take_text(bytearray buffer, Py_ssize_t start, Py_ssize_t end):
    return PyUnicode_DecodeUTF8(PyByteArray_AS_STRING(buffer) + start, end - start, NULL)


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
