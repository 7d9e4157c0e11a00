"""Watching the many connections of a server with one epoll."""

import socket
from contextlib import AsyncExitStack, asynccontextmanager
from contextvars import ContextVar, copy_context
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

VARIABLE = ContextVar("variable")
#: So many times a socket must be readable alone.
_ROUNDS = 64


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


class Loop:
    """Notes what it is asked to watch, beside the epoll."""

    def __init__(self):
        self.calls = []
        self.watched = {}

    def add_reader(self, descriptor, callback):
        self.calls.append("add")
        self.watched[descriptor] = callback

    def remove_reader(self, descriptor):
        self.calls.append("remove")
        del self.watched[descriptor]


@pytest.fixture
def loop():
    return Loop()


@pytest.fixture
def poller(loop):
    return Poller(loop, 1)


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


def test_the_loop_watches_only_while_there_is_something(poller, loop, pairs):
    readers = [Reader(here) for here, _ in pairs[:2]]
    for _ in range(2):
        assert not loop.watched
        for reader in readers:
            poller.watch(reader.sock.fileno(), reader)
        assert list(loop.watched.values()) == [poller.poll]
        for reader in readers:
            poller.unwatch(reader.sock.fileno())
    assert loop.calls == ["add", "remove"] * 2
    pairs[0][1].send(b"unheard")
    poller.poll()
    assert not readers[0].data


def test_a_socket_that_another_closes_in_the_same_round_is_left_alone(poller, pairs):
    readers = {here.fileno(): Reader(here) for here, _ in pairs}

    def close_the_others():
        for number, reader in readers.items():
            if not reader.data and reader.sock.fileno() >= 0:
                poller.unwatch(number)
                reader.sock.close()

    for number, reader in readers.items():
        reader.also = close_the_others
        poller.watch(number, reader)
    for _, there in pairs:
        there.send(b"x")
    poller.poll()
    assert sorted(reader.data for reader in readers.values()) == [[], [], [b"x"]]


def test_the_loop_calls_in_the_context_of_whoever_made_it(pairs):
    """That of a connection's task would be kept for as long as the server has connections."""

    class InContext(Loop):
        def add_reader(self, descriptor, callback):
            super().add_reader(descriptor, callback)
            self.values.append(VARIABLE.get("none"))

    loop = InContext()
    loop.values = []
    poller = Poller(loop, 1)
    reader = Reader(pairs[0][0])
    context = copy_context()
    context.run(VARIABLE.set, "of a connection")
    context.run(poller.watch, reader.sock.fileno(), reader)
    for _ in range(_ROUNDS):
        pairs[0][1].send(b"x")
        context.run(poller.poll)
    assert loop.values == ["none", "none"]


def rounds(poller, *pairs, count=_ROUNDS):
    """Let sockets be readable together so many times."""
    for _ in range(count):
        for _, there in pairs:
            there.send(b"x")
        poller.poll()


def test_who_is_readable_alone_time_and_again_is_handed_to_the_loop(poller, loop, pairs):
    first, second, third = readers = [Reader(here) for here, _ in pairs]
    for reader in readers:
        poller.watch(reader.sock.fileno(), reader)
    rounds(poller, pairs[1], count=_ROUNDS - 1)
    rounds(poller, pairs[0], pairs[1], count=1)
    rounds(poller, pairs[1], count=_ROUNDS - 1)
    assert second.sock.fileno() not in loop.watched
    rounds(poller, pairs[1], count=1)
    assert loop.watched[second.sock.fileno()] == second.readable
    read = len(second.data)
    pairs[1][1].send(b"for the loop")
    poller.poll()
    assert len(second.data) == read

    # It may watch one.
    rounds(poller, pairs[2])
    assert len(third.data) == _ROUNDS
    assert third.sock.fileno() not in loop.watched
    poller.unwatch(second.sock.fileno())
    assert second.sock.fileno() not in loop.watched
    rounds(poller, pairs[2])
    assert third.sock.fileno() in loop.watched

    # Who was handed over comes back.
    poller.watch(second.sock.fileno(), second)
    poller.poll()
    assert second.data[read:] == [b"for the loop"]
    poller.unwatch(first.sock.fileno())
    poller.unwatch(second.sock.fileno())
    poller.unwatch(third.sock.fileno())
    assert not loop.watched


def test_who_closes_when_it_is_to_be_handed_over(poller, loop, pairs):
    reader = Reader(pairs[0][0])
    number = reader.sock.fileno()
    poller.watch(number, reader)
    rounds(poller, pairs[0], count=_ROUNDS - 1)
    reader.also = lambda: poller.unwatch(number)
    rounds(poller, pairs[0], count=1)
    assert not loop.watched


async def echo(client):
    async for message in client:
        await client.send(message)


@asynccontextmanager
async def serving():
    """Serve ``echo``; give the address."""
    with anyio.fail_after(20):
        async with anyio.create_task_group() as tg:
            server = await tg.start(partial(anyws.serve, echo, "127.0.0.1", 0))
            yield f"ws://127.0.0.1:{server.port}"
            tg.cancel_scope.cancel()


@pytest.fixture
def watched(monkeypatch):
    """Count what the poller reads."""
    count = []

    class CountingPoller(Poller):
        def __init__(self, loop, few):
            super().__init__(loop, few)
            self.numbers = set()

        def watch(self, number, reader):
            self.numbers.add(number)
            super().watch(number, reader)

        def unwatch(self, number):
            self.numbers.discard(number)
            super().unwatch(number)

        def poll(self):
            count.append(len(self.numbers))
            super().poll()

    monkeypatch.setattr(_asyncio, "Poller", CountingPoller)
    monkeypatch.setattr(_trio, "Poller", CountingPoller)
    return count


async def test_a_server_with_many_connections(watched, anyio_backend_name):
    async with serving() as uri, AsyncExitStack() as stack:
        clients = [
            await stack.enter_async_context(anyws.connect(uri)) for _ in range(_poller.FEW + 8)
        ]
        for size in (10, 100_000):
            for number, client in enumerate(clients):
                await client.send(bytes([number]) * size)
            for number, client in enumerate(clients):
                assert await client.receive() == bytes([number]) * size
    assert 1 <= max(watched) <= (8 if anyio_backend_name == "trio" else _poller.FEW + 8)


async def test_a_busy_connection_is_watched_by_the_loop(watched):
    async with serving() as uri, anyws.connect(uri) as client, anyws.connect(uri):
        for number in range(200):
            await client.send(str(number))
            assert await client.receive() == str(number)
    # Once for the opening of each, and for the closing of the idle one, if at all.
    assert len(watched) <= _ROUNDS + 8


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
    async with serving() as uri:
        for number in range(20):
            async with anyws.connect(uri) as client:
                await client.send(str(number))
                assert await client.receive() == str(number)


@pytest.mark.parametrize("anyio_backend", ["trio"])
async def test_connections_that_are_gone_do_not_count(watched):
    async with serving() as uri:
        for _ in range(_poller.FEW + 8):
            async with anyws.connect(uri) as client:
                await client.send("hello")
                assert await client.receive() == "hello"
    assert not watched


async def test_where_there_is_no_epoll(monkeypatch, watched):
    monkeypatch.setattr(_poller, "FEW", 0)
    monkeypatch.setattr(_poller, "HAS_EPOLL", False)
    async with serving() as uri, anyws.connect(uri) as client:
        await client.send("hello")
        assert await client.receive() == "hello"
    assert not watched
