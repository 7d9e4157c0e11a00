"""How anyws is used, for the checkers of types: mypy and pyright both read this file, strictly.

It is not run. ``assert_type`` says what a call gives; a line that must be refused carries an ignore for each
checker, and both complain about one that is not needed.
"""

import re
import ssl
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager
from functools import partial
from pathlib import Path
from typing import Any, assert_type

import anyio
from anyio.abc import ByteReceiveStream, ByteStream, ObjectStream, TaskGroup

import anyws
from anyws import (
    Buffer,
    Close,
    CloseCause,
    CloseCode,
    ConnectionClosed,
    DataType,
    Deflate,
    Headers,
    Limits,
    Request,
    Response,
    Server,
    State,
    WebSocket,
    WebSocketReader,
)  # fmt: skip
from anyws.testing import (
    FaultyStream,
    Frame,
    MemoryStream,
    RawPeer,
    WebSocketPair,
    check_websocket_pair,
    memory_pair,
)  # fmt: skip


async def handler(client: WebSocket) -> None:
    async for message in client:
        assert_type(message, str | bytes)
        await client.send(message)


async def client() -> None:
    async with anyws.connect(
        "wss://example.org/",
        headers={"Authorization": "Bearer x"},
        origin="https://example.org",
        subprotocols=["chat"],
        compression=Deflate(level=6, threshold=1024),
        limits=Limits(message_size=None, receive_buffer=1024),
        ping_interval=None,
        open_timeout=1,
        ssl_context=ssl.create_default_context(),
        unix_path=Path("socket"),
    ) as websocket:
        assert_type(websocket, WebSocket)
        assert_type(await websocket.receive(), str | bytes)
        assert_type(await websocket.ping(), float)
        assert_type(websocket.state, State)
        assert_type(websocket.close_code, int | None)
        assert_type(websocket.close_reason, str | None)
        assert_type(websocket.latency, float | None)
        assert_type(websocket.subprotocol, str | None)
        assert_type(websocket.request, Request)
        assert_type(websocket.response.headers, Headers)
        assert_type(websocket.response.headers["Server"], str)
        assert_type(websocket.statistics().bytes_sent, int)
        await websocket.close(CloseCode.GOING_AWAY, "bye")
    headers = [("Cookie", "a=b"), ("Cookie", "c=d")]
    async with anyws.connect("ws://example.org/", headers=headers, compression=None):
        pass


async def sending(websocket: WebSocket) -> None:
    for message in ("text", b"bytes", bytearray(b"bytes"), memoryview(b"bytes")):
        await websocket.send(message)
    await websocket.writer.send("text", compress=False)
    async with websocket.writer.fragment(compress=True) as stream:
        await stream.send("piece")
        await stream.send("piece", final=True)
    assert_type(anyws.broadcast({websocket}, "text", compress=False), list[WebSocket])
    await websocket.send(1)  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    await websocket.send(["text"])  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]


async def feeding(websocket: WebSocket, other: WebSocket, stream: ByteReceiveStream) -> None:
    async def generate() -> AsyncIterator[str]:
        yield "piece"

    feed = websocket.writer.feed
    await feed(stream, DataType.BINARY, chunksize=65536)
    await feed(generate())
    await feed(["a", "b"])
    await feed([b"a", bytearray(b"b")])
    with open("file", "rb") as file:
        await feed(file)
    async with await anyio.open_file("file") as async_file:
        await feed(async_file)
    async for reader in other.readers():
        await feed(reader)


async def receiving(websocket: WebSocket) -> None:
    async for reader in websocket.readers():
        assert_type(reader, WebSocketReader)
        assert_type(reader.data_type, DataType)
        assert_type(await reader.read(10), bytes)
        assert_type(await reader.get(), str | bytes)
        assert_type(await reader.get(DataType.TEXT), str)
        assert_type(await reader.get(DataType.BINARY), bytes)
        assert_type(await reader.get(reader.data_type), str | bytes)
        async for data in reader:
            assert_type(data, bytes)
    buffer = Buffer(1024, data_type=DataType.TEXT)
    await buffer.write(b"data")
    assert_type(await buffer.read_into(bytearray(10), 10), int)


async def errors(websocket: WebSocket) -> None:
    try:
        await websocket.receive()
    except ConnectionClosed as closed:
        assert_type(closed.received, Close | None)
        assert_type(closed.cause, CloseCause)
        assert_type(closed.began_by_us, bool | None)
        assert_type(closed.code, int)
    except anyws.RejectedHandshake as error:
        assert_type(error.status, int)
        assert_type(error.body, bytes)


def check(request: Request) -> Response | None:
    assert_type(request.origin, str | None)
    if request.path == "/health":
        return Response(200, {"Content-Type": "text/plain"}, b"fine\n")
    return Response(404, body="nothing here")


async def check_later(request: Request) -> Response | None:
    return check(request)


async def serving(task_group: TaskGroup) -> None:
    server: Server = await task_group.start(anyws.serve, handler, "127.0.0.1")
    assert_type(server.port, int)
    serve = partial(
        anyws.serve,
        handler,
        unix_path="socket",
        subprotocols=["chat"],
        select_subprotocol=lambda request, offered: offered[0] if request.host else None,
        origins=["https://example.org", re.compile(r"https://.*"), None],
        process_request=check_later,
        max_connections=10,
        max_buffer_size=2**20,
    )
    await task_group.start(serve)
    await anyws.serve(handler, process_request=check)
    await anyws.serve(handler, process_request=lambda request: None)
    await anyws.serve(check)  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]


async def closing(server: Server) -> None:
    assert_type(server.clients, frozenset[WebSocket])
    await server.aclose(grace=1)


async def testing() -> None:
    async with WebSocketPair(compression=None, server={"subprotocols": ["a"]}) as (one, other):
        assert_type((one, other), tuple[WebSocket, WebSocket])
    ends = memory_pair(1024)
    assert_type(ends, tuple[MemoryStream, MemoryStream])
    faulty = FaultyStream(ends[0], receive_limit=10, receive_fault="reset")
    FaultyStream(ends[0], send_fault="explode")  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    peer = RawPeer(faulty)
    assert_type(await peer.receive_frame(), Frame)
    assert_type(await check_websocket_pair(WebSocketPair), list[str])
    async with anyws.accept(ends[1]) as server, anyws.client_over(ends[0], "ws://x/") as websocket:
        assert_type((server, websocket), tuple[WebSocket, WebSocket])


# What a connection is to code that knows anyio alone.
def as_stream(websocket: WebSocket) -> ObjectStream[str | bytes]:
    return websocket


def as_byte_stream(stream: MemoryStream) -> ByteStream:
    return stream


def as_context(uri: str) -> AbstractAsyncContextManager[WebSocket]:
    return anyws.connect(uri)


def as_handler() -> Callable[[WebSocket], Any]:
    return handler
