"""Servers to measure: ours, those of others, and plain byte echoes.

``python servers.py NAME PORT [SETUP]`` runs one. A name is a library and a loop, "anyws:trio" for
instance; the setup is a JSON object with the fields of ``Setup``. Limits and keepalive are off
everywhere, and so is compression unless the setup has it.
"""

from __future__ import annotations

import asyncio
import json
import ssl
import sys
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any, Literal

import anyio
from raw_echoes import HOST, raw_anyio, raw_protocol, raw_trio

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

__all__ = ["PLAIN", "SERVERS", "Setup"]

#: What a server sends that was not asked to echo.
FLOOD_MESSAGE = bytes(125)
BROADCAST_MESSAGE = bytes(1024)
#: The library that runs from its plain files; whoever starts it sees to that.
PLAIN = "anyws plain"


@dataclass(frozen=True)
class Setup:
    """What a server does.

    Attributes:
        task: "echo" sends every message back; "flood" takes a number and sends as many messages;
            "broadcast" answers a message with one to every connection.
        deflate: whether permessage-deflate is negotiated.
        certificate: a file with a certificate and its key, for TLS.
    """

    task: Literal["echo", "flood", "broadcast"] = "echo"
    deflate: bool = False
    certificate: str | None = None

    @property
    def compression(self) -> str | None:
        """As websockets and those that follow it take it."""
        return "deflate" if self.deflate else None

    def tls(self) -> ssl.SSLContext | None:
        """Return a context for servers, or ``None``."""
        if self.certificate is None:
            return None
        context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
        context.load_cert_chain(self.certificate)
        return context


def handler(
    setup: Setup, broadcast: Callable[[Any, bytes], Any] | None = None
) -> Callable[[Any], Awaitable[None]]:
    """Return what serves a connection that is iterated over and has ``send``.

    Args:
        setup: what is to be done.
        broadcast: sends a message to many connections at once; without it, each ``send`` is awaited.
    """
    connections: set[Any] = set()

    async def echo(websocket: Any) -> None:
        async for message in websocket:
            await websocket.send(message)

    async def flood(websocket: Any) -> None:
        async for message in websocket:
            for _ in range(int(message)):
                await websocket.send(FLOOD_MESSAGE)

    async def to_all(websocket: Any) -> None:
        connections.add(websocket)
        async for _ in websocket:
            if broadcast is not None:
                broadcast(connections, BROADCAST_MESSAGE)
                continue
            for connection in tuple(connections):
                await connection.send(BROADCAST_MESSAGE)

    return {"echo": echo, "flood": flood, "broadcast": to_all}[setup.task]


async def anyws(port: int, setup: Setup, implementation: str = "zlib", **bounds: int) -> None:
    """Ours, compressing with ``implementation``."""
    import anyws

    deflate = anyws.Deflate(implementation=implementation)  # type: ignore[arg-type]
    await anyws.serve(
        handler(setup, anyws.broadcast),
        HOST,
        port,
        compression=deflate if setup.deflate else None,
        ping_interval=None,
        limits=anyws.Limits(message_size=None, **bounds),
        ssl_context=setup.tls(),
    )


async def websockets(port: int, setup: Setup) -> None:
    """That of websockets, on asyncio."""
    from websockets.asyncio.server import broadcast, serve

    async with serve(
        handler(setup, broadcast),
        HOST,
        port,
        compression=setup.compression,
        max_size=None,
        ping_interval=None,
        ssl=setup.tls(),
    ) as server:
        await server.serve_forever()


async def websockets_trio(port: int, setup: Setup) -> None:
    """That of websockets, on trio."""
    from websockets.trio.server import serve

    await serve(
        handler(setup),
        port,
        host=HOST,
        compression=setup.compression,
        max_size=None,
        ping_interval=None,
        ssl=setup.tls(),
    )


async def aiohttp(port: int, setup: Setup) -> None:
    """That of aiohttp."""
    from aiohttp import WSMsgType, web

    connections: set[Any] = set()

    async def serve_connection(request: Any) -> Any:
        websocket = web.WebSocketResponse(compress=setup.deflate, max_msg_size=0)
        await websocket.prepare(request)
        connections.add(websocket)
        async for message in websocket:
            if setup.task == "flood":
                for _ in range(int(message.data)):
                    await websocket.send_bytes(FLOOD_MESSAGE)
            elif setup.task == "broadcast":
                for connection in connections:
                    await connection.send_bytes(BROADCAST_MESSAGE)
            elif message.type is WSMsgType.TEXT:
                await websocket.send_str(message.data)
            elif message.type is WSMsgType.BINARY:
                await websocket.send_bytes(message.data)
        connections.discard(websocket)
        return websocket

    app = web.Application()
    app.router.add_get("/", serve_connection)
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    await web.TCPSite(runner, HOST, port, ssl_context=setup.tls(), backlog=1024).start()
    await asyncio.Event().wait()


async def picows(port: int, setup: Setup) -> None:
    """That of picows, with callbacks for frames; it compresses nothing and waits for no room."""
    from picows import WSListener, WSMsgType, ws_create_server

    connections: set[Any] = set()

    class Listener(WSListener):
        def on_ws_connected(self, transport: Any) -> None:
            connections.add(transport)

        def on_ws_disconnected(self, transport: Any) -> None:
            connections.discard(transport)

        def on_ws_frame(self, transport: Any, frame: Any) -> None:
            if frame.msg_type is WSMsgType.CLOSE:
                transport.disconnect()
            elif setup.task == "echo":
                transport.send(frame.msg_type, frame.get_payload_as_memoryview())
            elif setup.task == "flood":
                for _ in range(int(frame.get_payload_as_bytes())):
                    transport.send(WSMsgType.BINARY, FLOOD_MESSAGE)
            else:
                for connection in connections:
                    connection.send(WSMsgType.BINARY, BROADCAST_MESSAGE)

    server = await ws_create_server(lambda _: Listener(), HOST, port, ssl=setup.tls())
    await server.serve_forever()


async def picows_websockets(port: int, setup: Setup) -> None:
    """That of picows, with the interface of websockets."""
    from picows.websockets import broadcast, serve

    async with serve(
        handler(setup, broadcast),
        HOST,
        port,
        compression=setup.compression,
        max_size=None,
        ping_interval=None,
        ssl=setup.tls(),
    ) as server:
        await server.serve_forever()


async def trio_websocket(port: int, setup: Setup) -> None:
    """That of trio-websocket, which cannot compress."""
    from trio_websocket import ConnectionClosed, serve_websocket

    connections: set[Any] = set()

    async def serve_connection(request: Any) -> None:
        websocket = await request.accept()
        connections.add(websocket)
        try:
            while True:
                message = await websocket.get_message()
                if setup.task == "echo":
                    await websocket.send_message(message)
                elif setup.task == "flood":
                    for _ in range(int(message)):
                        await websocket.send_message(FLOOD_MESSAGE)
                else:
                    for connection in connections:
                        await connection.send_message(BROADCAST_MESSAGE)
        except ConnectionClosed:
            connections.discard(websocket)

    await serve_websocket(serve_connection, HOST, port, setup.tls(), max_message_size=2**30)


OURS = {
    "anyws": anyws,
    PLAIN: anyws,
    "anyws zlib-ng": partial(anyws, implementation="zlib-ng"),
    "anyws isal": partial(anyws, implementation="isal"),
    # Frames gather up to the size of the send buffer: with this one, none.
    "anyws at once": partial(anyws, send_buffer=1),
}
ON_ASYNCIO = {
    **OURS,
    "websockets": websockets,
    "aiohttp": aiohttp,
    "picows": picows,
    "picows.websockets": picows_websockets,
    "raw protocol": raw_protocol,
    "raw anyio": raw_anyio,
}
ON_TRIO = {
    **OURS,
    "websockets": websockets_trio,
    "trio-websocket": trio_websocket,
    "raw anyio": raw_anyio,
    "raw trio": raw_trio,
}
#: Every server, by name; the C echo has a program of its own.
SERVERS: dict[str, Callable[[int, Setup], Awaitable[None]]] = {
    **{f"{name}:{loop}": run for loop in ("asyncio", "uvloop") for name, run in ON_ASYNCIO.items()},
    **{f"{name}:trio": run for name, run in ON_TRIO.items()},
}


def main() -> None:
    """Run the server named on the command line."""
    name, port = sys.argv[1], int(sys.argv[2])
    setup = Setup(**json.loads(sys.argv[3])) if len(sys.argv) > 3 else Setup()
    loop = name.rpartition(":")[2]
    options: dict[str, Any] = {"backend": "trio"}
    if loop != "trio":
        options = {"backend": "asyncio", "backend_options": {"use_uvloop": loop == "uvloop"}}
    anyio.run(partial(SERVERS[name], port, setup), **options)


if __name__ == "__main__":
    main()
