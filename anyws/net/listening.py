"""The sockets on which a server listens."""

from __future__ import annotations

import os
import stat
from contextlib import suppress
from typing import TYPE_CHECKING

import anyio
from anyio.abc import SocketAttribute

if TYPE_CHECKING:
    from collections.abc import Sequence
    from os import PathLike
    from socket import socket

    from anyio.abc import Listener, SocketStream

__all__ = ["bind", "identify_socket", "unlink_socket"]


async def bind(host: str | None, port: int, unix_path: str | PathLike[str] | None) -> list[socket]:
    """Return listening sockets, which are the caller's to close."""
    if unix_path is not None:
        if host is not None or port:
            raise ValueError("give either unix_path, or host and port")
        # Nothing here waits for others; cancelled in the middle, it would leave a file that nobody removes.
        with anyio.CancelScope(shield=True):
            listeners: Sequence[Listener[SocketStream]] = [
                await anyio.create_unix_listener(unix_path)
            ]
    else:
        listeners = (await anyio.create_tcp_listener(local_host=host, local_port=port)).listeners
    # What anyio has around them holds nothing else that would have to be closed.
    return [listener.extra(SocketAttribute.raw_socket) for listener in listeners]


def identify_socket(path: str) -> tuple[int, int] | None:
    """Return what tells the file of a UNIX socket from another at its place; ``None`` where there is none."""
    try:
        found = os.stat(path)
    except OSError:
        return None
    return (found.st_dev, found.st_ino) if stat.S_ISSOCK(found.st_mode) else None


def unlink_socket(path: str, identity: tuple[int, int] | None) -> None:
    """Remove the file of a UNIX socket that is served no more, unless another server has taken its place."""
    if identity is not None and identify_socket(path) == identity:
        with suppress(FileNotFoundError):
            os.unlink(path)
