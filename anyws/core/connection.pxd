from anyws.core.inbound cimport Inbound
from anyws.core.outbound cimport Outbound

cdef class Connection:
    cdef public object role
    cdef public object limits
    cdef public object deflate
    cdef public object state
    cdef public object peer
    cdef public object target
    cdef public object sent
    cdef public object received
    cdef public Inbound inbound
    cdef public Outbound outbound
    cdef object _cause
    cdef object _detail
    cdef object _error
    cdef object _began_by_us

    cpdef bint closed_ok(self)
