# cython: language_level=3, annotation_typing=False
"""An epoll below the loop's own, which watches the connections of a busy server.

Theory of operation
-------------------
For each socket that can be read, asyncio goes through its selector, its list of handles and a context,
and trio through a registration with the system and six coroutines, which costs more than reading it.
But an epoll is itself a descriptor that can be watched: it is readable while one of its sockets is. So
the loop watches only that, and here each socket costs an entry in a list.

It takes one more system call for each round, and so only pays where several sockets are readable at a
time: the first ``FEW`` connections of a server are watched by the loop itself. uvloop's own round is
cheap enough; where there is no epoll, nothing of this is used.

A socket is watched until it is paused or closed. What is left unread is told of again.
"""

from __future__ import annotations

import select
from typing import TYPE_CHECKING, Protocol

import anyws.net._system as system

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["FEW", "HAS_EPOLL", "Poller"]

#: Connections of a server that the loop watches itself.
FEW = 8
#: Sockets that are read before the loop has its turn again.
_AT_ONCE = 256
HAS_EPOLL = hasattr(select, "epoll")


class Reader(Protocol):
    """What reads one socket."""

    def readable(self) -> None:
        """Read; never raises."""


class Poller:
    """Watches the sockets of one server.

    Args:
        begin: what to call when there is a socket to watch: from then on the loop has to call ``poll``
            whenever ``descriptor`` is readable.
        end: what to call when there is none any more.
    """

    def __init__(self, begin: Callable[[Poller], object], end: Callable[[Poller], object]) -> None:
        self._epoll = select.epoll()
        self._readers: dict[int, Reader] = {}
        self._begin = begin
        self._end = end
        #: What the loop watches.
        self.descriptor = self._epoll.fileno()

    @property
    def idle(self) -> bool:
        """Whether there is nothing to watch."""
        return not self._readers

    def watch(self, number: int, reader: Reader) -> None:
        """Call ``reader`` whenever the socket ``number`` can be read."""
        self._epoll.register(number, select.EPOLLIN)
        self._readers[number] = reader
        if len(self._readers) == 1:
            self._begin(self)

    def unwatch(self, number: int) -> None:
        """Forget a socket, which is still open."""
        self._epoll.unregister(number)
        del self._readers[number]
        if not self._readers:
            self._end(self)

    def poll(self) -> None:
        """Call who can read."""
        readers = self._readers
        for number in system.readable(self._epoll, self.descriptor, _AT_ONCE):
            # One that came before may have closed it.
            reader = readers.get(number)
            if reader is not None:
                reader.readable()
