"""A connection that has held as much as it may, whose application then takes it without waiting."""

import anyio
import pytest

import anyws
from anyws.enums import State
from anyws.net import _poller

pytestmark = pytest.mark.anyio

#: Two of them are more than a connection holds.
LARGE = bytes(40_000)
#: So that the ticker looks often.
QUICK = {"ping_interval": 0.2, "ping_timeout": None}


@pytest.fixture(params=["few connections", "many connections"])
def opened(request, serving, monkeypatch):
    """Serve with sockets that are read as on a server with few connections or many."""
    if request.param == "many connections":
        monkeypatch.setattr(_poller, "FEW", 0)
    return serving


class Taking:
    """Takes two messages when it is told to, and then never receives again."""

    def __init__(self):
        self.websocket = None
        self.take = anyio.Event()
        self.taken = anyio.Event()

    async def __call__(self, websocket):
        self.websocket = websocket
        await self.take.wait()
        for _ in range(2):
            assert await websocket.receive() == LARGE
        self.taken.set()
        while websocket.state is State.OPEN:
            await anyio.sleep(0.01)

    def holds(self, count):
        """Tell whether so many messages have come."""
        return self.websocket is not None and len(self.websocket._inbound.messages) == count

    def is_paused(self):
        """Tell whether the socket is not read any more, where it is read though no task receives."""
        transport = self.websocket._transport
        return transport.paused or not transport.reads_by_itself


async def fill(peer, handler, until, behind=b""):
    """Send two messages, and bytes that come together with the second."""
    message = b"\x82\xfe\x9c\x40\0\0\0\0" + LARGE
    await peer.send(message)
    await until(lambda: handler.holds(1))
    await peer.send(message + behind)
    await until(lambda: handler.holds(2))


async def answer(peer, opcode):
    """Return the payload of the next such frame, past the server's own pings."""
    with anyio.fail_after(5):
        while (frame := await peer.receive_frame()).opcode != opcode:
            assert frame.opcode == 0x9
    return frame.payload


async def test_a_ping_that_comes_when_it_is_full(opened, until):
    """The socket is not read then, and must be again once there is room."""
    handler = Taking()
    async with opened(handler, **QUICK) as serve, serve.peer() as peer:
        await fill(peer, handler, until)
        await peer.send_frame(0x89, b"there?")
        await until(handler.is_paused)
        handler.take.set()
        assert await answer(peer, 0xA) == b"there?"


async def test_a_ping_that_came_behind_what_filled_it(opened, until):
    """It was received already, and not looked at."""
    handler = Taking()
    async with opened(handler, **QUICK) as serve, serve.peer() as peer:
        await fill(peer, handler, until, b"\x89\x86\0\0\0\0there?")
        assert handler.websocket._inbound.stopped
        handler.take.set()
        assert await answer(peer, 0xA) == b"there?"


async def test_a_close_that_came_behind_what_filled_it(opened, until):
    handler = Taking()
    async with opened(handler, **QUICK) as serve, serve.peer() as peer:
        await fill(peer, handler, until, b"\x88\x82\0\0\0\0\x0f\xa0")
        assert handler.websocket._inbound.stopped
        handler.take.set()
        assert await answer(peer, 0x8) == b"\x0f\xa0"
        assert handler.websocket.close_code == 4000


async def test_a_ping_while_messages_are_taken_slowly(opened):
    """Whoever has enough to take never waits for more, and yet the peer wants to know that it is there."""
    taken = 0
    answered = anyio.Event()

    async def slow(websocket):
        nonlocal taken
        while not answered.is_set():
            await websocket.receive()
            taken += 1
            # It has something to do for each.
            await anyio.sleep(0.02)

    async with opened(slow, **QUICK) as serve, serve.peer() as peer:
        await peer.send(b"\x81\x84\0\0\0\0work" * 200)
        await peer.send_frame(0x89, b"there?")
        assert await answer(peer, 0xA) == b"there?"
        assert taken < 150
        answered.set()


async def test_a_live_peer_of_who_only_sends_is_kept(opened, until):
    """Its pongs are read, though what came before them filled the connection."""
    handler = Taking()
    options = {"ping_interval": 0.2, "ping_timeout": 1}
    async with (
        opened(handler, **options) as serve,
        anyws.connect(serve.url, ping_interval=None) as client,
        anyio.create_task_group() as tg,
    ):
        for count in (1, 2):
            await client.send(LARGE)
            await until(lambda count=count: handler.holds(count))
        tg.start_soon(client.ping)
        await until(handler.is_paused)
        handler.take.set()
        await handler.taken.wait()
        for _ in range(5):
            assert await client.ping() < 2
        tg.cancel_scope.cancel()
