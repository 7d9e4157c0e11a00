"""Serve while the process has no file descriptors left, then go on; argument: the loop."""

import logging
import os
import resource
import socket
import sys

import anyio

import anyws

SPARE = 40
REQUEST = (
    b"GET / HTTP/1.1\r\nHost: h\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
    b"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n"
)


async def echo(websocket):
    async for message in websocket:
        await websocket.send(message)


def take_all():
    """Take every descriptor that is left."""
    taken = []
    try:
        while True:
            taken.append(os.dup(0))
    except OSError:
        return taken


async def check(websocket, word):
    await websocket.send(word)
    print(await websocket.receive())


async def main():
    async with anyio.create_task_group() as tg:
        server = await tg.start(anyws.serve, echo, "127.0.0.1")
        uri = f"ws://127.0.0.1:{server.port}/"
        async with anyws.connect(uri) as websocket:
            await check(websocket, "before")
            highest = max(int(name) for name in os.listdir("/proc/self/fd"))
            _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
            # Made before they are gone, so that only the server lacks one.
            late = [socket.socket() for _ in range(3)]
            resource.setrlimit(resource.RLIMIT_NOFILE, (highest + SPARE, hard))
            taken = take_all()
            for sock in late:
                sock.setblocking(False)
                sock.connect_ex(("127.0.0.1", server.port))
            with anyio.fail_after(20):
                await anyio.sleep(0.3)
                await check(websocket, "during")
                for number in taken:
                    os.close(number)
                for sock in late:
                    sock.close()
                async with anyws.connect(uri) as another:
                    await check(another, "after")
        tg.cancel_scope.cancel()


logging.disable(logging.CRITICAL)
backend, options = sys.argv[1], {}
if backend == "uvloop":
    backend, options = "asyncio", {"use_uvloop": True}
anyio.run(main, backend=backend, backend_options=options)
