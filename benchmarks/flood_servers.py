"""Echo servers with their limits in place: ``python flood_servers.py NAME`` runs one, and prints its port.

Unlike those of ``servers.py`` they are set up for the internet: messages up to 1 MiB, compression where it
is known, and the library's defaults. A client of ``/idle`` meets a handler that never receives.
"""

from __future__ import annotations

import asyncio
import socket
import sys
from functools import partial
from typing import Any

import anyio

HOST = "127.0.0.1"
MESSAGE_SIZE = 2**20


def free_port() -> int:
    """Return a port that nobody listens on."""
    with socket.socket() as sock:
        sock.bind((HOST, 0))
        port: int = sock.getsockname()[1]
        return port


def ready(port: int) -> None:
    """Tell whoever started this process that clients may come."""
    print(port, flush=True)


async def anyws() -> None:
    """Ours, with its defaults."""
    import anyws

    async def handler(websocket: anyws.WebSocket) -> None:
        if websocket.request.target == "/idle":
            await anyio.sleep_forever()
        async for message in websocket:
            await websocket.send(message)

    async with anyio.create_task_group() as task_group:
        server = await task_group.start(partial(anyws.serve, handler, HOST))
        ready(server.port)


async def _websockets_handler(websocket: Any) -> None:
    if websocket.request.path == "/idle":
        await anyio.sleep_forever()
    async for message in websocket:
        await websocket.send(message)


async def websockets() -> None:
    """That of websockets, on asyncio."""
    from websockets.asyncio.server import serve

    async with serve(_websockets_handler, HOST, 0, max_size=MESSAGE_SIZE) as server:
        ready(next(iter(server.sockets)).getsockname()[1])
        await server.serve_forever()


async def websockets_trio() -> None:
    """That of websockets, on trio."""
    from websockets.trio.server import serve

    port = free_port()
    async with anyio.create_task_group() as task_group:
        await task_group.start(
            partial(serve, _websockets_handler, port, host=HOST, max_size=MESSAGE_SIZE)
        )
        ready(port)


async def aiohttp() -> None:
    """That of aiohttp."""
    from aiohttp import WSMsgType, web

    async def handler(request: Any) -> Any:
        websocket = web.WebSocketResponse(max_msg_size=MESSAGE_SIZE)
        await websocket.prepare(request)
        if request.path == "/idle":
            await asyncio.Event().wait()
        async for message in websocket:
            if message.type is WSMsgType.TEXT:
                await websocket.send_str(message.data)
            elif message.type is WSMsgType.BINARY:
                await websocket.send_bytes(message.data)
        return websocket

    app = web.Application()
    app.router.add_get("/", handler)
    app.router.add_get("/idle", handler)
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    port = free_port()
    await web.TCPSite(runner, HOST, port).start()
    ready(port)
    await asyncio.Event().wait()


async def trio_websocket() -> None:
    """That of trio-websocket."""
    from trio_websocket import ConnectionClosed, serve_websocket

    async def handler(request: Any) -> None:
        websocket = await request.accept()
        try:
            if request.path == "/idle":
                await anyio.sleep_forever()
            while True:
                await websocket.send_message(await websocket.get_message())
        except ConnectionClosed:
            pass

    port = free_port()
    async with anyio.create_task_group() as task_group:
        await task_group.start(
            partial(serve_websocket, handler, HOST, port, None, max_message_size=MESSAGE_SIZE)
        )
        ready(port)


#: Every server, by its name: a library and a loop.
SERVERS = {
    "anyws:asyncio": anyws,
    "anyws:uvloop": anyws,
    "anyws:trio": anyws,
    "websockets:asyncio": websockets,
    "websockets:trio": websockets_trio,
    "aiohttp:asyncio": aiohttp,
    "trio-websocket:trio": trio_websocket,
}


def main() -> None:
    """Run the server named on the command line."""
    name = sys.argv[1]
    loop = name.rpartition(":")[2]
    options: dict[str, Any] = {"backend": "trio"}
    if loop != "trio":
        options = {"backend": "asyncio", "backend_options": {"use_uvloop": loop == "uvloop"}}
    anyio.run(SERVERS[name], **options)


if __name__ == "__main__":
    main()
