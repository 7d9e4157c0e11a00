cdef int _IDLE
cdef int _WAITING
cdef int _WOKEN
cdef int _CANCELLED
cdef object _DONE

cdef class ReadingWaiter:
    cdef public bint _asyncio_future_blocking
    cdef object _loop
    cdef int _state
    cdef object _callback
    cdef object _context
    cdef object _cancel_message

    cpdef begin(self)
    cpdef wake(self)
    cpdef wake_soon(self)
    cpdef result(self)
