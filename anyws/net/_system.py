"""Receiving and sending on non-blocking sockets, for the plain build.

``_system.pxd`` has the same functions in C; the compiled modules take those instead, since the methods
of a socket let other threads run around every system call, which takes longer than the call on a
few bytes, and an epoll makes a pair of objects for each socket.
"""

from __future__ import annotations

import socket
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import select

__all__ = ["readable", "receive", "send"]

_MORE = getattr(socket, "MSG_MORE", 0)


def receive(sock: socket.socket, descriptor: int, buffer: memoryview) -> int:  # noqa: ARG001 - for C
    """Receive into ``buffer``; return how many bytes came, or raise ``OSError`` as ``recv_into``.

    Args:
        sock: the socket.
        descriptor: its file descriptor, -1 for what only behaves like a socket.
        buffer: where the bytes go.
    """
    return sock.recv_into(buffer)


def send(sock: socket.socket, descriptor: int, data: bytes, more: bool) -> int:  # noqa: ARG001 - for C
    """Send ``data``; return how many bytes the kernel took, or raise ``OSError`` as ``send``.

    Args:
        sock: the socket.
        descriptor: its file descriptor, -1 for what only behaves like a socket.
        data: what to send.
        more: whether something follows at once, for which the kernel may keep it back.
    """
    return sock.send(data, _MORE) if more else sock.send(data)


def readable(epoll: select.epoll, descriptor: int, most: int) -> list[int]:  # noqa: ARG001 - for C
    """Return the descriptors of sockets that can be read, without waiting.

    Args:
        epoll: what watches them.
        descriptor: its file descriptor.
        most: how many to return at most, up to 256.
    """
    return [number for number, _ in epoll.poll(0, most)]
