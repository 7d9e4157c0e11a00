# The functions of _system.py in C, for the compiled modules. Same names, same meaning.

from cpython.buffer cimport PyBUF_SIMPLE, PyBUF_WRITABLE, PyBuffer_Release, PyObject_GetBuffer
from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_GET_SIZE
from cpython.exc cimport PyErr_CheckSignals, PyErr_SetFromErrno
from libc.errno cimport EINTR, errno

cdef extern from * nogil:
    """
    #ifdef _WIN32
    /* Sockets are no file descriptors there: they are asked themselves. */
    #define anyws_recv(descriptor, buffer, length, flags) (-1)
    #define anyws_send(descriptor, data, length, flags) (-1)
    #else
    #include <sys/socket.h>
    #define anyws_recv recv
    #define anyws_send send
    #endif
    #ifndef MSG_MORE
    #define MSG_MORE 0
    #endif

    #ifdef __linux__
    #include <sys/epoll.h>
    static inline int anyws_readable(int epoll, int *found, int most) {
      struct epoll_event events[256];
      int count = epoll_wait(epoll, events, most < 256 ? most : 256, 0);
      for (int i = 0; i < count; i++) found[i] = events[i].data.fd;
      return count;
    }
    #else
    /* There is no poller either. */
    #define anyws_readable(epoll, found, most) (-1)
    #endif
    """
    Py_ssize_t c_recv "anyws_recv" (int descriptor, void *buffer, size_t length, int flags)
    Py_ssize_t c_send "anyws_send" (int descriptor, const void *data, size_t length, int flags)
    int MSG_MORE
    int c_readable "anyws_readable" (int epoll, int *found, int most)

# Copying that many bytes takes as long as letting other threads run and waiting for them to let go.
cdef enum:
    _LET_OTHERS_RUN = 16384


cdef inline Py_ssize_t receive(sock, int descriptor, buffer) except -1:
    cdef Py_buffer view
    cdef Py_ssize_t count
    if descriptor < 0:
        return sock.recv_into(buffer)
    PyObject_GetBuffer(buffer, &view, PyBUF_SIMPLE | PyBUF_WRITABLE)
    try:
        while True:
            # How much has come is not known, and mostly it is little.
            count = c_recv(descriptor, view.buf, view.len, 0)
            if count >= 0:
                return count
            if errno != EINTR:
                PyErr_SetFromErrno(OSError)
            PyErr_CheckSignals()
    finally:
        PyBuffer_Release(&view)


cdef inline Py_ssize_t send(sock, int descriptor, bytes data, bint more) except -1:
    cdef const char *start = PyBytes_AS_STRING(data)
    cdef Py_ssize_t length = PyBytes_GET_SIZE(data)
    cdef Py_ssize_t count
    cdef int flags = MSG_MORE if more else 0
    if descriptor < 0:
        return sock.send(data)
    while True:
        if length < _LET_OTHERS_RUN:
            count = c_send(descriptor, start, length, flags)
        else:
            with nogil:
                count = c_send(descriptor, start, length, flags)
        if count >= 0:
            return count
        if errno != EINTR:
            PyErr_SetFromErrno(OSError)
        PyErr_CheckSignals()


cdef inline list readable(epoll, int descriptor, int most):
    cdef int found[256]
    cdef int count = c_readable(descriptor, found, most)
    cdef int index
    if count < 0:
        if errno != EINTR:
            PyErr_SetFromErrno(OSError)
        return []
    return [found[index] for index in range(count)]
