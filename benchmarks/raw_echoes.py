"""Byte echoes, which know of WebSocket no more than the opening handshake: what a loop costs by itself."""

from __future__ import annotations

import asyncio
import base64
import hashlib
from typing import Any

import anyio

__all__ = ["raw_anyio", "raw_protocol", "raw_trio"]

HOST = "127.0.0.1"
GUID = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11"


def answer(request: bytes) -> bytes:
    """Return the answer to an opening handshake."""
    key = request.split(b"Sec-WebSocket-Key: ")[1].split(b"\r\n")[0]
    accept = base64.b64encode(hashlib.sha1(key + GUID, usedforsecurity=False).digest())
    head = b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
    return head + b"Sec-WebSocket-Accept: " + accept + b"\r\n\r\n"


async def raw_protocol(port: int, _: object) -> None:
    """A byte echo with asyncio's protocols."""

    class Echo(asyncio.Protocol):
        def connection_made(self, transport: Any) -> None:
            self.transport = transport
            self.open = False

        def data_received(self, data: bytes) -> None:
            self.transport.write(data if self.open else answer(data))
            self.open = True

    server = await asyncio.get_running_loop().create_server(Echo, HOST, port)
    await server.serve_forever()


async def raw_anyio(port: int, _: object) -> None:
    """A byte echo with anyio's streams."""

    async def handler(stream: Any) -> None:
        async with stream:
            try:
                await stream.send(answer(await stream.receive()))
                while True:
                    await stream.send(await stream.receive())
            except (anyio.EndOfStream, anyio.BrokenResourceError):
                pass

    listener = await anyio.create_tcp_listener(local_host=HOST, local_port=port)
    await listener.serve(handler)


async def raw_trio(port: int, _: object) -> None:
    """A byte echo with trio's streams."""
    import trio

    async def handler(stream: Any) -> None:
        request = await stream.receive_some()
        if not request:
            return
        await stream.send_all(answer(request))
        try:
            while data := await stream.receive_some():
                await stream.send_all(data)
        except trio.BrokenResourceError:
            pass

    await trio.serve_tcp(handler, port, host=HOST)
