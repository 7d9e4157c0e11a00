"""One message to many connections, none of which is waited for."""

import contextlib
import logging
import socket

import anyio
import pytest
from anyio.abc import SocketAttribute

import anyws
from anyws.core.deflate import Deflate
from anyws.limits import Limits
from anyws.testing import WebSocketPair, memory_pair

pytestmark = pytest.mark.anyio


@contextlib.asynccontextmanager
async def pairs(count, capacity=65536, **options):
    """Give the servers and the clients of ``count`` connections."""
    async with contextlib.AsyncExitStack() as stack:
        both = [
            await stack.enter_async_context(WebSocketPair(memory_pair(capacity), **options))
            for _ in range(count)
        ]
        yield [server for _, server in both], [client for client, _ in both]


@pytest.mark.parametrize(
    ("message", "received"),
    [
        ("é", "é"), ("", ""), (b"\xff", b"\xff"), (bytearray(b"a"), b"a"), (memoryview(b"ab"), b"ab"),
        (b"x" * 100_000, b"x" * 100_000), (type("Bytes", (bytes,), {})(b"sub"), b"sub"),
    ],
)  # fmt: skip
async def test_everybody_gets_it(message, received):
    async with pairs(3) as (servers, clients):
        assert anyws.broadcast(servers, message) == []
        for client in clients:
            assert await client.receive() == received
        assert [server.statistics().messages_sent for server in servers] == [1, 1, 1]


async def test_a_client_masks_for_each():
    async with pairs(2) as (servers, clients):
        assert anyws.broadcast(iter(clients), "hello") == []
        assert [await server.receive() for server in servers] == ["hello", "hello"]


@pytest.mark.parametrize("compress", [None, True, False])
async def test_each_compresses_as_it_agreed(compress):
    """Their compressors go separate ways; a frame of one would break the other."""
    deflate = {"compression": Deflate(threshold=100)}
    async with (
        WebSocketPair(server=deflate, client=deflate) as (client, server),
        WebSocketPair(server={"compression": None}) as (plain_client, plain_server),
    ):
        await server.send("x" * 500)
        await client.receive()
        before = client.statistics().bytes_received
        for text in ("x" * 500, "y", "x" * 500):
            assert anyws.broadcast([server, plain_server], text, compress=compress) == []
            assert await client.receive() == text
            assert await plain_client.receive() == text
        assert (client.statistics().bytes_received - before < 500) is (compress is not False)


async def test_it_comes_after_what_was_sent_before():
    async with pairs(1) as ([server], [client]):
        for number in range(200):
            await server.send(str(number))
            assert anyws.broadcast([server], f"{number}!") == []
        for number in range(200):
            assert await client.receive() == str(number)
            assert await client.receive() == f"{number}!"


async def test_who_cannot_take_it_gets_nothing_of_it():
    options = {"server": {"limits": Limits(send_buffer=1000)}, "capacity": 1000}
    async with pairs(4, **options) as (servers, clients):
        free, full, fragmented, closed = servers
        await closed.aclose()
        while not anyws.broadcast([full], bytes(500)):
            pass
        taken = full.statistics().messages_sent
        async with fragmented.writer.fragment() as stream:
            await stream.send("be")
            assert anyws.broadcast(servers, "news") == [full, fragmented, closed]
            await stream.send("gin")
        assert await clients[0].receive() == "news"
        assert await clients[2].receive() == "begin"
        for _ in range(taken):
            assert await clients[1].receive() == bytes(500)
        await anyio.wait_all_tasks_blocked()
        assert anyws.broadcast([full, fragmented], "later") == []
        assert await clients[1].receive() == "later"
        assert await clients[2].receive() == "later"
        assert free.statistics().messages_sent == 1


async def test_senders_that_wait_come_first(raw_client):
    options = {"limits": Limits(send_buffer=1000), "capacity": 100}
    async with raw_client(**options) as (websocket, peer), anyio.create_task_group() as tg:
        tg.start_soon(websocket.send, bytes(5000))
        await anyio.wait_all_tasks_blocked()
        tg.start_soon(websocket.send, "waiting")
        await anyio.wait_all_tasks_blocked()
        assert anyws.broadcast([websocket], "news") == [websocket]
        for payload in (bytes(5000), b"waiting"):
            assert (await peer.receive_frame()).payload == payload
        await anyio.wait_all_tasks_blocked()
        assert anyws.broadcast([websocket], "later") == []
        assert (await peer.receive_frame()).payload == b"later"


async def test_bounded_by_the_send_buffer():
    """However often it is called without a pause."""
    async with pairs(1, server={"limits": Limits(send_buffer=10_000)}, capacity=100) as (
        [server],
        _,
    ):
        for _ in range(1000):
            anyws.broadcast([server], bytes(1000))
        assert server.buffered <= 12_000


async def test_what_is_no_message():
    async with pairs(1) as (servers, clients):
        with pytest.raises(TypeError, match="str or bytes-like, not int"):
            anyws.broadcast(servers, 1)
        assert anyws.broadcast([], "nobody") == []
        anyws.broadcast(servers, "first")
        assert await clients[0].receive() == "first"


@contextlib.asynccontextmanager
async def over_sockets(count, **options):
    """Give the servers and the clients of ``count`` connections over TCP."""
    servers, clients = [], []
    arrived, leave = anyio.create_memory_object_stream(count), anyio.Event()

    async def handler(server):
        arrived[0].send_nowait(server)
        await leave.wait()

    async with contextlib.AsyncExitStack() as stack:
        for end in arrived:
            stack.enter_context(end)
        tg = await stack.enter_async_context(anyio.create_task_group())
        listening = await tg.start(lambda **kw: anyws.serve(handler, "127.0.0.1", **options, **kw))
        for _ in range(count):
            uri = f"ws://127.0.0.1:{listening.port}"
            clients.append(await stack.enter_async_context(anyws.connect(uri)))
            servers.append(await arrived[1].receive())
        yield servers, clients
        leave.set()
        tg.cancel_scope.cancel()


async def test_over_sockets():
    async with over_sockets(3) as (servers, clients):
        for message in ("first", "second", b"x" * 50_000, "last"):
            assert anyws.broadcast(servers, message) == []
            for client in clients:
                assert await client.receive() == message


async def test_over_sockets_one_of_which_is_full():
    """A reader that takes nothing holds up nobody, and gets whole what it was sent before."""
    async with over_sockets(3, limits=Limits(send_buffer=10_000)) as (servers, clients):
        # The kernel would hold megabytes.
        raw = servers[0].extra(SocketAttribute.raw_socket)
        raw.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 65536)
        sent = 0
        while not anyws.broadcast(servers[:1], bytes(30_000)):
            sent += 1
        assert anyws.broadcast(servers, "news") == servers[:1]
        for client in clients[1:]:
            assert await client.receive() == "news"
        for _ in range(sent):
            assert await clients[0].receive() == bytes(30_000)
        await servers[0].writer.flush()
        assert anyws.broadcast(servers, "later") == []
        for client in clients:
            assert await client.receive() == "later"


async def test_each_frame_is_logged(caplog):
    with caplog.at_level(logging.DEBUG, "anyws.frames"):
        async with over_sockets(2) as (servers, clients):
            anyws.broadcast(servers, "news")
            for client in clients:
                assert await client.receive() == "news"
    lines = [record.getMessage() for record in caplog.records]
    assert sum("> text 'news'" in line for line in lines) == 2
