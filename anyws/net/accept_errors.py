"""What becomes of a listening socket on which ``accept`` failed."""

from __future__ import annotations

import errno
import logging

__all__ = ["seconds_to_wait"]

_logger = logging.getLogger("anyws.server")
#: Seconds after which the system may have what it lacked.
_BACKOFF = 0.1
#: The connection failed before it was taken, and is gone: accept(2) of Linux says to try again.
_CONNECTION_FAILED = frozenset(
    getattr(errno, name)
    for name in (
        "ECONNABORTED", "ECONNRESET", "EHOSTDOWN", "EHOSTUNREACH", "ENETDOWN", "ENETUNREACH", "ENONET",
        "ENOPROTOOPT", "EOPNOTSUPP", "EPROTO", "ETIMEDOUT",
    )
    if hasattr(errno, name)
)  # fmt: skip
#: It is no listening socket, or none any more.
_NO_LISTENER = frozenset((errno.EBADF, errno.EINVAL, errno.ENOTSOCK))


def seconds_to_wait(error: OSError) -> float:
    """Return the seconds after which to accept again; most often the process is out of file descriptors.

    Raises:
        OSError: ``error``, after which nothing can be accepted.
    """
    if error.errno in _NO_LISTENER:
        raise error
    if error.errno in _CONNECTION_FAILED:
        _logger.debug("a connection failed before it was accepted: %s", error)
        return 0.0
    _logger.warning("cannot accept a connection: %s", error)
    return _BACKOFF
