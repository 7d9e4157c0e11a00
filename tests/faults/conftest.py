"""A running server with raw peers, and the two sides that the tests of ``stream`` use."""

import importlib.util
import pathlib
from contextlib import asynccontextmanager
from functools import partial

import anyio
import pytest

import anyws

_PATH = pathlib.Path(__file__).parents[1] / "stream" / "conftest.py"
_spec = importlib.util.spec_from_file_location("anyws_tests_stream_conftest", _PATH)
_stream = importlib.util.module_from_spec(_spec)
_spec.loader.exec_module(_stream)

RawClient = _stream.RawClient
raw_client = _stream.raw_client
raw_server = _stream.raw_server


class Serving:
    """A server on a free port of this machine."""

    def __init__(self, server):
        self.server = server
        self.url = f"ws://127.0.0.1:{server.port}/"

    @asynccontextmanager
    async def stream(self):
        """Give a TCP connection to it."""
        async with await anyio.connect_tcp("127.0.0.1", self.server.port) as stream:
            yield stream

    @asynccontextmanager
    async def peer(self, *lines):
        """Give a ``RawClient`` with its opening handshake done, asking with further header lines."""
        async with self.stream() as stream:
            peer = RawClient(stream)
            assert (await peer.request(*lines)).startswith(b"HTTP/1.1 101 ")
            yield peer

    async def echoes(self):
        """Check that it still serves new clients."""
        async with anyws.connect(self.url) as websocket:
            await websocket.send("alive")
            assert await websocket.receive() == "alive"


async def echo(websocket):
    async for message in websocket:
        await websocket.send(message)


@pytest.fixture
def serving():
    """Give a context manager: a ``Serving``, which ends with the block."""

    @asynccontextmanager
    async def opened(handler=echo, **options):
        with anyio.fail_after(30):
            async with anyio.create_task_group() as tg:
                server = await tg.start(partial(anyws.serve, handler, "127.0.0.1", **options))
                yield Serving(server)
                tg.cancel_scope.cancel()

    return opened


async def read_all(stream):
    """Return all that comes until the peer's end."""
    data = b""
    try:
        while True:
            data += await stream.receive()
    except (anyio.EndOfStream, anyio.BrokenResourceError):
        return data


async def until(condition):
    """Wait until ``condition()`` holds; its events belong to other tasks and processes."""
    with anyio.fail_after(10):
        while not condition():
            await anyio.sleep(0.002)


@pytest.fixture(name="read_all")
def read_all_fixture():
    return read_all


@pytest.fixture(name="until")
def until_fixture():
    return until


@pytest.fixture
def raw_peer():
    """The class: a ``RawPeer`` whose frames are masked."""
    return RawClient
