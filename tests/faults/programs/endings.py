"""Open and end connections in many ways; argument: the loop. Every warning is an error, and is written."""

import gc
import logging
import sys

import anyio

import anyws
from anyws.testing import RawPeer, WebSocketPair, memory_pair

OPTIONS = {"close_timeout": 0.1}


async def echo(websocket):
    if websocket.request.target == "/fail":
        raise LookupError
    async for message in websocket:
        await websocket.send(message)


async def in_memory():
    async with WebSocketPair(**OPTIONS) as (client, server):
        await client.send("x" * 100_000)
        await server.receive()
    async with WebSocketPair(**OPTIONS) as (client, server):
        client.drop(anyws.CloseCause.ABORTED)
    near, far = memory_pair()
    async with WebSocketPair((near, far), **OPTIONS) as (client, server):
        far.reset()
    with anyio.move_on_after(0.01):
        async with WebSocketPair(**OPTIONS) as (client, server):
            await client.receive()
    near, far = memory_pair()
    try:
        async with anyws.client_over(near, "ws://h/", open_timeout=0.01):
            pass
    except TimeoutError:
        pass
    await far.aclose()


async def abandon(websocket):
    """Leave everything that can be iterated over in its middle."""

    async def pieces():
        for _ in range(100):
            yield b"piece"

    await websocket.send("1")
    async for _ in websocket:
        break
    await websocket.writer.feed(pieces())
    async for reader in websocket.readers():
        async for _ in reader:
            break
        break
    with anyio.move_on_after(0):
        await websocket.receive()
    with anyio.move_on_after(0):
        await websocket.ping()


async def over_tcp(uri, port):
    async with anyws.connect(uri, **OPTIONS) as websocket:
        await abandon(websocket)
    async with anyws.connect(uri + "fail", **OPTIONS) as websocket:
        try:
            await websocket.receive()
        except anyws.ConnectionClosedError:
            pass
    with anyio.move_on_after(0.05):
        async with anyws.connect(uri, **OPTIONS) as websocket:
            await websocket.receive()
    with anyio.CancelScope() as scope:
        scope.cancel()
        async with anyws.connect(uri):
            pass
    for data in (b"", b"GET / HT", b"GET / HTTP/1.0\r\n\r\n"):
        async with await anyio.connect_tcp("127.0.0.1", port) as stream:
            await stream.send(data)
    async with await anyio.connect_tcp("127.0.0.1", port) as stream:
        peer = RawPeer(stream)
        await peer.request()
        await peer.send_frame(0x81, b"half", mask=b"mask")
        await stream.send(b"\x81\x85mask12")


async def main():
    await in_memory()
    async with anyio.create_task_group() as tg:
        server = await tg.start(anyws.serve, echo, "127.0.0.1")
        await over_tcp(f"ws://127.0.0.1:{server.port}/", server.port)
        await server.aclose(grace=0.1)
    gc.collect()
    print("done")


# What a busy machine is slow at is not what this is about.
logging.getLogger("asyncio").addFilter(lambda record: not record.msg.startswith("Executing"))
logging.getLogger("anyws").setLevel(logging.CRITICAL)
backend, options = sys.argv[1], {}
if backend == "uvloop":
    backend, options = "asyncio", {"use_uvloop": True}
anyio.run(main, backend=backend, backend_options=options)
