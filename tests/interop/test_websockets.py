"""websockets, in its three forms, as the server and as the client."""

import contextlib
import itertools
import threading
from functools import partial

import anyio
import anyio.to_thread
import pytest

import anyws

websockets = pytest.importorskip("websockets")
from websockets.asyncio.client import connect as asyncio_connect  # noqa: E402
from websockets.asyncio.server import serve as asyncio_serve  # noqa: E402
from websockets.extensions import permessage_deflate  # noqa: E402
from websockets.sync.client import connect as sync_connect  # noqa: E402
from websockets.sync.server import serve as sync_serve  # noqa: E402

pytestmark = pytest.mark.anyio

BIG = [bytes(20 * 2**20), "é" * (10 * 2**20)]


def sync_echo(connection):
    with contextlib.suppress(websockets.ConnectionClosed):
        for message in connection:
            connection.send(message)


@pytest.fixture(scope="module")
def sync_server():
    """A server of websockets in a thread: it runs on no loop, so every loop can talk to it."""
    with sync_serve(sync_echo, "127.0.0.1", 0, max_size=None) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield server.socket.getsockname()[1]
        server.shutdown()
        thread.join()


async def check_echo(websocket, messages):
    for message in messages:
        await websocket.send(message)
        assert await websocket.receive() == message


async def test_our_client_sync_server(sync_server, messages, limits):
    async with anyws.connect(f"ws://127.0.0.1:{sync_server}/", limits=limits) as websocket:
        assert "permessage-deflate" in websocket.response.headers["sec-websocket-extensions"]
        await check_echo(websocket, messages)
        async with websocket.writer.fragment() as stream:
            await stream.send("one ")
            await stream.send("two")
        assert await websocket.receive() == "one two"
        assert await websocket.ping() > 0
    assert websocket.close_code == 1000


@pytest.mark.parametrize("compression", [None, "deflate"])
async def test_our_client_large_messages(sync_server, limits, compression):
    uri = f"ws://127.0.0.1:{sync_server}/"
    async with anyws.connect(uri, limits=limits, compression=compression) as websocket:
        await check_echo(websocket, BIG if compression is None else BIG[:1])


async def echo(websocket):
    async for message in websocket:
        await websocket.send(message)


@contextlib.asynccontextmanager
async def our_server(handler=echo, **options):
    options.setdefault("limits", anyws.Limits(message_size=2**25))
    async with anyio.create_task_group() as tg:
        server = await tg.start(partial(anyws.serve, handler, "127.0.0.1", 0, **options))
        yield server
        await server.aclose()


def sync_client(port, messages):
    with sync_connect(f"ws://127.0.0.1:{port}/", max_size=None) as websocket:
        for message in messages:
            websocket.send(message)
            assert websocket.recv() == message
        websocket.send(["one ", "two ", "three"])
        assert websocket.recv() == "one two three"
        assert websocket.ping().wait(5)
        websocket.close(3000, "bye")


async def test_our_server_sync_client(messages):
    async with our_server() as server:
        await anyio.to_thread.run_sync(sync_client, server.port, [*messages, *BIG[:1]])


async def test_close_from_the_server(messages):
    async def closing(websocket):
        await websocket.close(3999, "enough")

    def client(port):
        with sync_connect(f"ws://127.0.0.1:{port}/") as websocket:
            with pytest.raises(websockets.ConnectionClosedError) as caught:
                websocket.recv()
        assert (caught.value.rcvd.code, caught.value.rcvd.reason) == (3999, "enough")

    async with our_server(closing) as server:
        await anyio.to_thread.run_sync(client, server.port)


COMBINATIONS = list(itertools.product((9, 12, 15), (9, 12, 15), (False, True), (False, True)))
TEXTS = [f"{number}: {'to be or not to be, ' * number}" for number in range(1, 12)]


@pytest.mark.parametrize("anyio_backend", ["asyncio"])
@pytest.mark.parametrize(
    ("server_bits", "client_bits", "server_drops", "client_drops"), COMBINATIONS
)
async def test_compression_with_their_server(server_bits, client_bits, server_drops, client_drops):
    factory = permessage_deflate.ServerPerMessageDeflateFactory(
        server_no_context_takeover=server_drops,
        client_no_context_takeover=client_drops,
        server_max_window_bits=server_bits,
        client_max_window_bits=client_bits,
    )

    async def their_echo(connection):
        with contextlib.suppress(websockets.ConnectionClosed):
            async for message in connection:
                await connection.send(message)

    async with asyncio_serve(
        their_echo, "127.0.0.1", 0, extensions=[factory], compression=None
    ) as server:
        port = server.sockets[0].getsockname()[1]
        settings = anyws.Deflate(threshold=0, server_max_window_bits=15, client_max_window_bits=15)
        async with anyws.connect(f"ws://127.0.0.1:{port}/", compression=settings) as websocket:
            assert websocket.response.headers["sec-websocket-extensions"]
            await check_echo(websocket, TEXTS)
            async with websocket.writer.fragment() as stream:
                for text in TEXTS:
                    await stream.send(text)
            assert await websocket.receive() == "".join(TEXTS)


@pytest.mark.parametrize("anyio_backend", ["asyncio"])
@pytest.mark.parametrize(
    ("server_bits", "client_bits", "server_drops", "client_drops"), COMBINATIONS
)
async def test_compression_with_their_client(server_bits, client_bits, server_drops, client_drops):
    factory = permessage_deflate.ClientPerMessageDeflateFactory(
        server_no_context_takeover=server_drops,
        client_no_context_takeover=client_drops,
        server_max_window_bits=server_bits,
        client_max_window_bits=client_bits,
    )
    settings = anyws.Deflate(threshold=0, server_max_window_bits=15, client_max_window_bits=15)
    async with our_server(compression=settings) as server:
        async with asyncio_connect(
            f"ws://127.0.0.1:{server.port}/", extensions=[factory], compression=None
        ) as websocket:
            assert websocket.response.headers["sec-websocket-extensions"]
            for text in TEXTS:
                await websocket.send(text)
                assert await websocket.recv() == text


@pytest.mark.parametrize("anyio_backend", ["trio"])
async def test_their_trio_client(messages):
    connect = pytest.importorskip("websockets.trio.client").connect
    async with our_server() as server:
        async with connect(f"ws://127.0.0.1:{server.port}/", max_size=None) as websocket:
            for message in messages:
                await websocket.send(message)
                assert await websocket.recv() == message


@pytest.mark.parametrize("anyio_backend", ["trio"])
async def test_their_trio_server(messages, limits):
    serve = pytest.importorskip("websockets.trio.server").serve

    async def their_echo(connection):
        with contextlib.suppress(websockets.ConnectionClosed):
            async for message in connection:
                await connection.send(message)

    import trio

    async with trio.open_nursery() as nursery:
        server = await nursery.start(partial(serve, their_echo, 0, host="127.0.0.1", max_size=None))
        port = server.listeners[0].socket.getsockname()[1]
        async with anyws.connect(f"ws://127.0.0.1:{port}/", limits=limits) as websocket:
            await check_echo(websocket, messages)
        nursery.cancel_scope.cancel()
