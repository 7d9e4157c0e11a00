"""Connecting to the first of a host's addresses that answers (RFC 8305), on asyncio and uvloop.

asyncio's own way leaves sockets open when it is cancelled, and uvloop has none.
"""

from __future__ import annotations

import asyncio
import itertools
import socket
from typing import Any

import anyio

__all__ = ["connect_socket"]

#: Seconds after which the next address is tried beside the earlier ones (RFC 8305, section 8).
_DELAY = 0.25


async def connect_socket(host: str, port: int) -> socket.socket:
    """Return a connected, non-blocking TCP socket.

    Raises:
        OSError: of the only address, or one for all of them, whose cause has each address's.

    If cancelled: every socket is closed.
    """
    return await _Race(host, port).run()


def _interleaved(addresses: list[Any]) -> list[Any]:
    """Let the families take turns, the resolver's favourite first (RFC 8305, section 4)."""
    families: dict[int, list[Any]] = {}
    for address in addresses:
        families.setdefault(address[0], []).append(address)
    turns = itertools.chain.from_iterable(itertools.zip_longest(*families.values()))
    return [address for address in turns if address is not None]


class _Race:
    def __init__(self, host: str, port: int) -> None:
        self._host = host
        self._port = port
        self._loop = asyncio.get_running_loop()
        self._winner: socket.socket | None = None
        self._errors: list[OSError] = []

    async def run(self) -> socket.socket:
        addresses = await self._loop.getaddrinfo(self._host, self._port, type=socket.SOCK_STREAM)
        try:
            if len(addresses) == 1:
                await self._attempt(addresses[0])
            else:
                await self._race(_interleaved(addresses))
        except BaseException:
            if self._winner is not None:
                self._winner.close()
            raise
        if self._winner is not None:
            return self._winner
        if len(self._errors) == 1:
            raise self._errors[0]
        message = f"all attempts to connect to {self._host}:{self._port} failed"
        raise OSError(message) from ExceptionGroup(message, self._errors)

    async def _race(self, addresses: list[Any]) -> None:
        async with anyio.create_task_group() as task_group:

            async def attempt(address: Any, failed: anyio.Event) -> None:
                await self._attempt(address)
                if self._winner is None:
                    failed.set()
                else:
                    task_group.cancel_scope.cancel()

            for address in addresses:
                failed = anyio.Event()
                task_group.start_soon(attempt, address, failed)
                with anyio.move_on_after(_DELAY):
                    await failed.wait()

    async def _attempt(self, address: Any) -> None:
        family, kind, protocol, _, name = address
        candidate: socket.socket | None = None
        try:
            candidate = socket.socket(family, kind, protocol)
            candidate.setblocking(False)
            await self._loop.sock_connect(candidate, name)
            if self._winner is None:
                self._winner, candidate = candidate, None
        except OSError as error:
            self._errors.append(error)
        finally:
            if candidate is not None:
                candidate.close()
