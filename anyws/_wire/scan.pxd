cimport cython

cimport anyws._wire.mask as mask


@cython.locals(
    position=Py_ssize_t, payload=Py_ssize_t, length=Py_ssize_t, smallest=Py_ssize_t,
    first=int, second=int, mask_bit=int, plain=bint, piece=bytes,
)
cpdef Py_ssize_t scan(
    bytearray buffer, Py_ssize_t start, Py_ssize_t end, bint masked, Py_ssize_t limit, list messages,
    inflater,
) except -1

cpdef bytes take_piece(
    bytearray buffer, Py_ssize_t start, Py_ssize_t end, bytes key, Py_ssize_t offset
)
