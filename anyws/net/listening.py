"""The sockets on which a server listens."""

from __future__ import annotations

import os
import stat
from typing import TYPE_CHECKING

import anyio
from anyio.abc import SocketAttribute

if TYPE_CHECKING:
    from collections.abc import Sequence
    from os import PathLike
    from socket import socket

    from anyio.abc import Listener, SocketStream

__all__ = ["bind", "unlink_socket"]


async def bind(host: str | None, port: int, unix_path: str | PathLike[str] | None) -> list[socket]:
    """Return listening sockets, which are the caller's to close."""
    if unix_path is not None:
        if host is not None or port:
            raise ValueError("give either unix_path, or host and port")
        listeners: Sequence[Listener[SocketStream]] = [await anyio.create_unix_listener(unix_path)]
    else:
        listeners = (await anyio.create_tcp_listener(local_host=host, local_port=port)).listeners
    sockets = []
    for listener in listeners:
        sockets.append(listener.extra(SocketAttribute.raw_socket).dup())
        await listener.aclose()
    return sockets


def unlink_socket(path: str | PathLike[str]) -> None:
    """Remove the file of a UNIX socket that is served no more."""
    try:
        if stat.S_ISSOCK(os.stat(path).st_mode):
            os.unlink(path)
    except FileNotFoundError:
        pass
