"""A running server with raw peers, connections whose operations are cancelled at every point, and the two sides that the tests of ``stream`` use."""

import importlib.util
import os
import pathlib
import ssl
from contextlib import asynccontextmanager
from functools import partial

import anyio
import pytest
import trustme

import anyws


def _load(path):
    """Load a module by its path below the tests, which are not a package."""
    name = "anyws_tests_" + path.replace("/", "_")
    full_path = pathlib.Path(__file__).parents[1] / f"{path}.py"
    spec = importlib.util.spec_from_file_location(name, full_path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


_stream = _load("stream/conftest")
_judge = _load("faults/judge")
_link = _load("faults/link")
_cancel = _load("faults/cancel")
_proofs = _load("faults/proofs")

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


@pytest.fixture(params=["memory", "tcp"])
def kind(request):
    return request.param


@pytest.fixture(params=["server", "client"])
def link(request, kind, serving):
    return _link.Link(request.param, kind, serving)


@pytest.fixture(params=["server", "client"])
def memory_link(request, serving):
    return _link.Link(request.param, "memory", serving)


@pytest.fixture
def raw_peer():
    """The class: a ``RawPeer`` whose frames are masked."""
    return RawClient


@pytest.fixture(scope="session")
def contexts():
    authority = trustme.CA()
    server = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("localhost").configure_cert(server)
    client = ssl.create_default_context()
    authority.configure_trust(client)
    return server, client


#: What operations are cancelled on: kind of stream, role of the library, compression. The second line is
#: for those that differ there.
WAYS = ["memory-server-deflate", "tcp-client-plain"]
MORE_WAYS = ["tls-client-deflate", "unix-client-plain", "tcp-server-deflate", "tls-server-plain"]
DIFFERENT = {"send", "fragment", "close"}
#: The operations that only one of the roles has.
ONE_ROLE = {"connect": "client", "accept": "server", "serve": "server"}
EVERY_WAY = [
    f"{kind}-{role}-{deflate}"
    for kind in ("memory", "tcp", "tls", "unix")
    for role in ("client", "server")
    for deflate in ("plain", "deflate")
]


def _ways(operation):
    """Return what ``operation`` is cancelled on; on everything when that is asked for."""
    if os.environ.get("ANYWS_CANCEL") == "all":
        return EVERY_WAY
    return WAYS + (MORE_WAYS if operation in DIFFERENT else [])


def pytest_generate_tests(metafunc):
    if "cancelling" in metafunc.fixturenames:
        mark = metafunc.definition.get_closest_marker("cancelled_on")
        operation = metafunc.function.__name__.removeprefix("test_")
        ways = _ways(operation)
        if mark is not None:
            ways = (
                mark.args
                if ways != EVERY_WAY
                else [way for way in EVERY_WAY if mark.kwargs["where"](*way.split("-"))]
            )
        metafunc.parametrize("cancelling", ways, indirect=True)


@pytest.fixture
def cancelling(request, anyio_backend, contexts, tmp_path):
    """Give a ``Cancelling``; what it counts is told in the summary."""
    name, options = anyio_backend
    loop = "uvloop" if options.get("use_uvloop") else name
    operation = request.node.originalname.removeprefix("test_")
    kind, role, deflate = request.param.split("-")
    given = _cancel.Cancelling(
        operation, loop, kind, role, deflate == "deflate", tmp_path, contexts, _judge.Peer
    )
    given.prove_open, given.prove_failed = _proofs.prove_open, _proofs.prove_failed
    request.node.user_properties.append(("cancelled", given.counts))
    return given
