"""Connecting to a host with several addresses, on asyncio and uvloop."""

import asyncio
import socket

import anyio
import pytest

from anyws.net import _happy_eyeballs
from anyws.net._happy_eyeballs import _interleaved, connect_socket

pytestmark = [
    pytest.mark.anyio,
    pytest.mark.parametrize(
        "anyio_backend",
        [("asyncio", {"debug": True}), ("asyncio", {"use_uvloop": True})],
        ids=["asyncio", "uvloop"],
    ),
]
TCP = (socket.SOCK_STREAM, socket.IPPROTO_TCP, "")


@pytest.fixture
def resolve(monkeypatch):
    """Give ``resolve(*names)``: what the resolver says from now on."""

    def says(*names):
        async def getaddrinfo(host, port, *, type):  # noqa: A002 - the name of the original
            return [(socket.AF_INET, *TCP, name) for name in names]

        loop = asyncio.get_running_loop()
        wrapped = type("Loop", (), {
            "getaddrinfo": staticmethod(getaddrinfo), "sock_connect": loop.sock_connect,
        })()  # fmt: skip
        monkeypatch.setattr(
            "anyws.net._happy_eyeballs.asyncio",
            type("asyncio", (), {"get_running_loop": staticmethod(lambda: wrapped)}),
        )

    return says


@pytest.fixture
def listener():
    with socket.create_server(("127.0.0.1", 0)) as listener:
        yield listener


@pytest.fixture
def closed_port():
    with socket.create_server(("127.0.0.1", 0)) as listener:
        return listener.getsockname()


@pytest.fixture
def silent():
    """An address at which nobody answers: the queue of its listener is full."""
    with socket.socket() as listener, socket.socket() as first, socket.socket() as second:
        listener.bind(("127.0.0.1", 0))
        listener.listen(0)
        for filler in (first, second):
            filler.setblocking(False)
            filler.connect_ex(listener.getsockname())
        yield listener.getsockname()


async def test_the_next_address_is_tried_after_a_refusal(resolve, listener, closed_port):
    resolve(closed_port, listener.getsockname())
    with await connect_socket("host", 1) as connected:
        assert connected.getpeername() == listener.getsockname()
        assert connected.gettimeout() == 0


async def test_the_next_address_is_tried_when_one_is_silent(resolve, listener, silent):
    resolve(silent, listener.getsockname())
    with anyio.fail_after(5), await connect_socket("host", 1) as connected:
        assert connected.getpeername() == listener.getsockname()


async def test_the_only_address_refuses(closed_port):
    with pytest.raises(ConnectionRefusedError):
        await connect_socket(*closed_port)


async def test_all_addresses_refuse(resolve, closed_port):
    resolve(closed_port, closed_port)
    with pytest.raises(OSError, match="all attempts to connect to host:1 failed") as caught:
        await connect_socket("host", 1)
    causes = caught.value.__cause__.exceptions
    assert [type(cause) for cause in causes] == [ConnectionRefusedError] * 2


@pytest.mark.parametrize("addresses", [1, 2])
async def test_cancelled(resolve, silent, addresses):
    """No socket stays open, which a ``ResourceWarning`` would tell."""
    resolve(*[silent] * addresses)
    with anyio.move_on_after(0.01) as scope:
        await connect_socket("host", 1)
    assert scope.cancelled_caught


@pytest.fixture
def connecting(monkeypatch):
    """Give a function that has ``then(sock)`` awaited whenever a socket has connected."""

    def says(then):
        # The stand-in of ``resolve``.
        loop = _happy_eyeballs.asyncio.get_running_loop()
        original = loop.sock_connect

        async def sock_connect(sock, name):
            await original(sock, name)
            await then(sock)

        monkeypatch.setattr(loop, "sock_connect", sock_connect)

    return says


async def test_cancelled_as_it_connects(resolve, connecting, listener):
    """Nobody gets the socket that won, so it is closed."""
    resolve(listener.getsockname(), listener.getsockname())
    sockets = []

    async def cancel(sock):
        sockets.append(sock)
        scope.cancel()

    connecting(cancel)
    with anyio.CancelScope() as scope:
        await connect_socket("host", 1)
    assert scope.cancelled_caught
    assert [sock.fileno() for sock in sockets] == [-1]


async def test_two_addresses_answer_at_once(resolve, connecting, listener, monkeypatch):
    """Both attempts go on in the same round of the loop, before the second can be cancelled."""
    monkeypatch.setattr(_happy_eyeballs, "_DELAY", 0)
    resolve(listener.getsockname(), listener.getsockname())
    both = asyncio.get_running_loop().create_future()
    sockets = []

    async def meet(sock):
        sockets.append(sock)
        if len(sockets) == 2:
            both.set_result(None)
        await both

    connecting(meet)
    with await connect_socket("host", 1) as connected:
        assert len(sockets) == 2
        assert [sock.fileno() for sock in sockets if sock is not connected] == [-1]
        assert connected.getpeername() == listener.getsockname()


def test_families_take_turns(anyio_backend):
    four, six = socket.AF_INET, socket.AF_INET6
    addresses = [(six, 1), (six, 2), (six, 3), (four, 4)]
    assert _interleaved(addresses) == [(six, 1), (four, 4), (six, 2), (six, 3)]
