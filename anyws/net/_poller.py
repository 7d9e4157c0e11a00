# cython: language_level=3, annotation_typing=False
"""An epoll below the loop's own, which watches the connections of a busy server.

Theory of operation
-------------------
For each socket that can be read, asyncio goes through its selector, its list of handles and a context,
and trio through a registration with the system and six coroutines, which costs more than reading it.
But an epoll is itself a descriptor that can be watched: it is readable while one of its sockets is. So
the loop watches only that, and here each socket costs an entry in a list.

It takes one more system call for each round, which pays where several sockets are readable at a time, or
where connections are short: to have the loop watch a socket and forget it again costs as much as a
handshake's HTTP. So each socket begins here. One that is readable alone time and again is handed to
the loop, which may watch ``few`` of them; it comes back when it has been paused.

A socket is watched until it is paused or closed. What is left unread is told of again.
"""

from __future__ import annotations

import select
from contextvars import copy_context
from typing import TYPE_CHECKING, Any, Protocol

import anyws.net._system as system

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["FEW", "HAS_EPOLL", "Poller"]

#: Connections of a server that the loop watches itself.
FEW = 8
#: Rounds in a row with one readable socket, after which it is handed to the loop.
_LONE_ROUNDS = 64
#: Sockets that are read before the loop has its turn again.
_AT_ONCE = 256
HAS_EPOLL = hasattr(select, "epoll")


class Reader(Protocol):
    """What reads one socket."""

    def readable(self) -> None:
        """Read; never raises."""


class Loop(Protocol):
    """What watches the epoll, as asyncio's loops do."""

    def add_reader(self, fd: int, callback: Callable[[], object], /) -> Any:
        """Call ``callback`` whenever the descriptor can be read."""

    def remove_reader(self, fd: int, /) -> Any:
        """Call it no more."""


class Poller:
    """Watches the sockets of one server.

    Args:
        loop: what watches this.
        few: how many sockets it may watch besides.
    """

    def __init__(self, loop: Loop, few: int) -> None:
        self._loop = loop
        self._few = few
        self._epoll = select.epoll()
        self._descriptor = self._epoll.fileno()
        self._readers: dict[int, Reader] = {}
        #: The sockets that the loop watches.
        self._handed_over: set[int] = set()
        self._lone_rounds = 0
        # Else it would be that of whoever's socket happens to come first, and live as long as there is one.
        self._context = copy_context()

    def watch(self, number: int, reader: Reader) -> None:
        """Call ``reader`` whenever the socket ``number`` can be read."""
        self._epoll.register(number, select.EPOLLIN)
        self._readers[number] = reader
        if len(self._readers) == 1:
            self._context.run(self._loop.add_reader, self._descriptor, self.poll)

    def unwatch(self, number: int) -> None:
        """Forget a socket, which is still open."""
        if number in self._handed_over:
            self._handed_over.remove(number)
            self._loop.remove_reader(number)
            return
        self._epoll.unregister(number)
        del self._readers[number]
        if not self._readers:
            self._loop.remove_reader(self._descriptor)

    def poll(self) -> None:
        """Call who can read."""
        readers = self._readers
        found = system.readable(self._epoll, self._descriptor, _AT_ONCE)
        for number in found:
            # One that came before may have closed it.
            reader = readers.get(number)
            if reader is not None:
                reader.readable()
        if len(found) != 1:
            self._lone_rounds = 0
            return
        self._lone_rounds += 1
        if self._lone_rounds == _LONE_ROUNDS:
            self._lone_rounds = 0
            self._hand_over(found[0])

    def _hand_over(self, number: int) -> None:
        reader = self._readers.get(number)
        if reader is not None and len(self._handed_over) < self._few:
            self.unwatch(number)
            self._handed_over.add(number)
            self._context.run(self._loop.add_reader, number, reader.readable)
