"""Watching the many connections of a server with one epoll."""

import socket
from contextlib import AsyncExitStack
from functools import partial

import anyio
import pytest

import anyws
from anyws.net import _asyncio, _poller, _trio
from anyws.net._poller import Poller

pytestmark = [
    pytest.mark.anyio,
    pytest.mark.skipif(not _poller.HAS_EPOLL, reason="there is no epoll here"),
]


class Reader:
    """Notes what it reads, and does something more."""

    def __init__(self, sock, also=lambda: None):
        self.sock = sock
        self.also = also
        self.data = []

    def readable(self):
        self.data.append(self.sock.recv(100))
        self.also()


@pytest.fixture
def pairs():
    made = [socket.socketpair() for _ in range(3)]
    yield made
    for pair in made:
        for sock in pair:
            sock.close()


@pytest.fixture
def calls():
    return []


@pytest.fixture
def poller(calls):
    return Poller(lambda poller: calls.append("begin"), lambda poller: calls.append("end"))


def test_who_can_read_is_called(poller, pairs):
    readers = [Reader(here) for here, _ in pairs]
    for reader in readers:
        poller.watch(reader.sock.fileno(), reader)
    poller.poll()
    pairs[0][1].send(b"first")
    pairs[2][1].send(b"third")
    poller.poll()
    poller.poll()
    assert [reader.data for reader in readers] == [[b"first"], [], [b"third"]]


def test_the_loop_watches_only_while_there_is_something(poller, calls, pairs):
    readers = [Reader(here) for here, _ in pairs[:2]]
    assert poller.idle
    for _ in range(2):
        for reader in readers:
            poller.watch(reader.sock.fileno(), reader)
        assert not poller.idle
        for reader in readers:
            poller.unwatch(reader.sock.fileno())
        assert poller.idle
    assert calls == ["begin", "end"] * 2
    pairs[0][1].send(b"unheard")
    poller.poll()
    assert not readers[0].data


def test_a_socket_that_another_closes_in_the_same_round_is_left_alone(poller, pairs):
    readers = {here.fileno(): Reader(here) for here, _ in pairs}

    def close_the_others():
        for number, reader in readers.items():
            if not reader.data and not poller.idle:
                poller.unwatch(number)
                reader.sock.close()

    for number, reader in readers.items():
        reader.also = close_the_others
        poller.watch(number, reader)
    for _, there in pairs:
        there.send(b"x")
    poller.poll()
    assert sorted(reader.data for reader in readers.values()) == [[], [], [b"x"]]


async def echo(client):
    async for message in client:
        await client.send(message)


@pytest.fixture
def watched(monkeypatch):
    """Count what the poller reads."""
    count = []

    class CountingPoller(Poller):
        def __init__(self, begin, end):
            super().__init__(begin, end)
            self.numbers = set()

        def watch(self, number, reader):
            self.numbers.add(number)
            super().watch(number, reader)

        def unwatch(self, number):
            self.numbers.remove(number)
            super().unwatch(number)

        def poll(self):
            count.append(len(self.numbers))
            super().poll()

    monkeypatch.setattr(_asyncio, "Poller", CountingPoller)
    monkeypatch.setattr(_trio, "Poller", CountingPoller)
    return count


async def test_a_server_with_many_connections(watched, request, anyio_backend):
    name, options = anyio_backend
    with anyio.fail_after(20):
        async with anyio.create_task_group() as tg:
            server = await tg.start(partial(anyws.serve, echo, "127.0.0.1", 0))
            uri = f"ws://127.0.0.1:{server.port}"
            async with AsyncExitStack() as stack:
                clients = [
                    await stack.enter_async_context(anyws.connect(uri))
                    for _ in range(_poller.FEW + 8)
                ]
                for size in (10, 100_000):
                    for number, client in enumerate(clients):
                        await client.send(bytes([number]) * size)
                    for number, client in enumerate(clients):
                        assert await client.receive() == bytes([number]) * size
            tg.cancel_scope.cancel()
    assert bool(watched) == (not options.get("use_uvloop"))
    if watched:
        assert 1 <= max(watched) <= 8


async def test_a_server_that_ends_while_many_are_connected(monkeypatch):
    monkeypatch.setattr(_poller, "FEW", 0)
    codes = []

    async def connect(uri, *, task_status):
        async with anyws.connect(uri) as client:
            await client.send("here")
            assert await client.receive() == "here"
            task_status.started()
            with pytest.raises(anyws.ConnectionClosed) as caught:
                await client.receive()
            codes.append(caught.value.code)

    with anyio.fail_after(20):
        async with anyio.create_task_group() as clients:
            async with anyio.create_task_group() as tg:
                server = await tg.start(partial(anyws.serve, echo, "127.0.0.1", 0))
                for _ in range(5):
                    await clients.start(connect, f"ws://127.0.0.1:{server.port}")
                tg.cancel_scope.cancel()
    assert codes == [1001] * 5


async def test_connections_that_come_and_go(monkeypatch):
    monkeypatch.setattr(_poller, "FEW", 0)
    with anyio.fail_after(20):
        async with anyio.create_task_group() as tg:
            server = await tg.start(partial(anyws.serve, echo, "127.0.0.1", 0))
            for number in range(20):
                async with anyws.connect(f"ws://127.0.0.1:{server.port}") as client:
                    await client.send(str(number))
                    assert await client.receive() == str(number)
            tg.cancel_scope.cancel()


async def test_connections_that_are_gone_do_not_count(watched):
    with anyio.fail_after(20):
        async with anyio.create_task_group() as tg:
            server = await tg.start(partial(anyws.serve, echo, "127.0.0.1", 0))
            for _ in range(_poller.FEW + 8):
                async with anyws.connect(f"ws://127.0.0.1:{server.port}") as client:
                    await client.send("hello")
                    assert await client.receive() == "hello"
            tg.cancel_scope.cancel()
    assert not watched


async def test_where_there_is_no_epoll(monkeypatch, watched):
    monkeypatch.setattr(_poller, "FEW", 0)
    monkeypatch.setattr(_poller, "HAS_EPOLL", False)
    with anyio.fail_after(20):
        async with anyio.create_task_group() as tg:
            server = await tg.start(partial(anyws.serve, echo, "127.0.0.1", 0))
            async with anyws.connect(f"ws://127.0.0.1:{server.port}") as client:
                await client.send("hello")
                assert await client.receive() == "hello"
            tg.cancel_scope.cancel()
    assert not watched
