"""Echo servers: ours, those of others, and plain byte echoes. ``python servers.py NAME PORT`` runs one.

A name is a library and a loop, "anyws:trio" for instance. Compression, limits and keepalive are off
everywhere.
"""

from __future__ import annotations

import asyncio
import base64
import hashlib
import sys
from functools import partial
from typing import Any

import anyio

HOST = "127.0.0.1"
GUID = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11"


def answer(request: bytes) -> bytes:
    """Return the answer to an opening handshake, for servers that only echo bytes."""
    key = request.split(b"Sec-WebSocket-Key: ")[1].split(b"\r\n")[0]
    accept = base64.b64encode(hashlib.sha1(key + GUID, usedforsecurity=False).digest())
    head = b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
    return head + b"Sec-WebSocket-Accept: " + accept + b"\r\n\r\n"


async def echo(websocket: Any) -> None:
    """Send every message back."""
    async for message in websocket:
        await websocket.send(message)


async def anyws(port: int) -> None:
    """Ours."""
    import anyws

    limits = anyws.Limits(message_size=None)
    await anyws.serve(echo, HOST, port, compression=None, ping_interval=None, limits=limits)


async def websockets(port: int) -> None:
    """That of websockets, on asyncio."""
    from websockets.asyncio.server import serve

    async with serve(
        echo, HOST, port, compression=None, max_size=None, ping_interval=None
    ) as server:
        await server.serve_forever()


async def websockets_trio(port: int) -> None:
    """That of websockets, on trio."""
    from websockets.trio.server import serve

    await serve(echo, port, host=HOST, compression=None, max_size=None, ping_interval=None)


async def aiohttp(port: int) -> None:
    """That of aiohttp."""
    from aiohttp import WSMsgType, web

    async def handler(request: Any) -> Any:
        websocket = web.WebSocketResponse(compress=False, max_msg_size=0)
        await websocket.prepare(request)
        async for message in websocket:
            if message.type is WSMsgType.TEXT:
                await websocket.send_str(message.data)
            elif message.type is WSMsgType.BINARY:
                await websocket.send_bytes(message.data)
        return websocket

    app = web.Application()
    app.router.add_get("/", handler)
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    await web.TCPSite(runner, HOST, port).start()
    await asyncio.Event().wait()


async def picows(port: int) -> None:
    """That of picows, with callbacks for frames."""
    from picows import WSListener, WSMsgType, ws_create_server

    class Listener(WSListener):
        def on_ws_frame(self, transport: Any, frame: Any) -> None:
            if frame.msg_type is WSMsgType.CLOSE:
                transport.disconnect()
            else:
                transport.send(frame.msg_type, frame.get_payload_as_memoryview())

    server = await ws_create_server(lambda _: Listener(), HOST, port)
    await server.serve_forever()


async def picows_websockets(port: int) -> None:
    """That of picows, with the interface of websockets."""
    from picows.websockets import serve

    async with serve(
        echo, HOST, port, compression=None, max_size=None, ping_interval=None
    ) as server:
        await server.serve_forever()


async def trio_websocket(port: int) -> None:
    """That of trio-websocket."""
    from trio_websocket import ConnectionClosed, serve_websocket

    async def handler(request: Any) -> None:
        websocket = await request.accept()
        try:
            while True:
                await websocket.send_message(await websocket.get_message())
        except ConnectionClosed:
            pass

    await serve_websocket(handler, HOST, port, None, max_message_size=2**30)


async def raw_protocol(port: int) -> None:
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


async def raw_anyio(port: int) -> None:
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


async def raw_trio(port: int) -> None:
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


ON_ASYNCIO = {
    "anyws": anyws,
    "websockets": websockets,
    "aiohttp": aiohttp,
    "picows": picows,
    "picows.websockets": picows_websockets,
    "raw protocol": raw_protocol,
    "raw anyio": raw_anyio,
}
ON_TRIO = {
    "anyws": anyws,
    "websockets": websockets_trio,
    "trio-websocket": trio_websocket,
    "raw anyio": raw_anyio,
    "raw trio": raw_trio,
}
#: Every server, by name; the C echo has a program of its own.
SERVERS = {
    **{f"{name}:{loop}": run for loop in ("asyncio", "uvloop") for name, run in ON_ASYNCIO.items()},
    **{f"{name}:trio": run for name, run in ON_TRIO.items()},
}


def main() -> None:
    """Run the server named on the command line."""
    name, port = sys.argv[1], int(sys.argv[2])
    loop = name.rpartition(":")[2]
    options: dict[str, Any] = {"backend": "trio"}
    if loop != "trio":
        options = {"backend": "asyncio", "backend_options": {"use_uvloop": loop == "uvloop"}}
    anyio.run(partial(SERVERS[name], port), **options)


if __name__ == "__main__":
    main()
