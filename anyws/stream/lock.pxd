cdef class SendLock:
    cdef public bint locked
    cdef public object owner
    cdef public object _waiters
