cimport cython

from anyws.net._reading_waiter cimport ReadingWaiter
from anyws.net._socket cimport SocketCore
from anyws.net.receiver cimport Receiver

cdef class SelectorCore(SocketCore):
    cdef public object _loop
    cdef public int _number
    cdef public ReadingWaiter _reading_waiter
    cdef public bint _ended
    cdef bint _writing
    cdef object _poller

    cdef _stop_writing(self)
    cpdef receive_more(self)
    @cython.locals(receiver=Receiver, waiter=ReadingWaiter)
    cpdef readable(self)
