"""Pings: asked for, and sent to find out whether a silent peer is still there."""

import anyio
import pytest

from anyws.core.connection import Connection
from anyws.enums import Role, State
from anyws.errors import CloseCause, ConnectionClosedError
from anyws.limits import Limits
from anyws.stream import ticker
from anyws.stream.keepalive import Keepalive, Pings
from anyws.testing import WebSocketPair

pytestmark = pytest.mark.anyio


async def test_dead_peer_is_found(raw_client):
    async with raw_client(ping_interval=0.05, ping_timeout=0.05) as (websocket, peer):
        with anyio.fail_after(10), pytest.raises(ConnectionClosedError) as caught:
            await websocket.receive()
        assert caught.value.cause is CloseCause.PING_TIMEOUT
        assert caught.value.code == 1006
        assert caught.value.sent.code == 1011
        ping = await peer.receive_frame()
        assert ping.opcode == 9
        assert len(ping.payload) == 4


async def test_dead_peer_is_found_when_nobody_receives(raw_client):
    async with raw_client(ping_interval=0.05, ping_timeout=0.05) as (websocket, peer):
        with anyio.fail_after(10):
            assert (await peer.receive_frame()).opcode == 9
            with pytest.raises(anyio.EndOfStream):
                while True:
                    await peer.receive_frame()
        with pytest.raises(ConnectionClosedError) as caught:
            await websocket.send("x")
        assert caught.value.cause is CloseCause.PING_TIMEOUT


async def test_dead_peer_is_found_by_a_sender_that_waits(raw_client):
    """A peer that reads slowly and answers nothing: its time begins when the ping has left at last."""
    options = {"ping_interval": 0.05, "ping_timeout": 0.05, "capacity": 100}
    async with raw_client(**options) as (websocket, peer), anyio.create_task_group() as tg:
        tg.start_soon(websocket.send, bytes(70000))
        await anyio.wait_all_tasks_blocked()
        with anyio.fail_after(20), pytest.raises(anyio.EndOfStream):
            while True:
                await peer.receive_frame()
    with pytest.raises(ConnectionClosedError) as caught:
        await websocket.send("x")
    assert caught.value.cause is CloseCause.PING_TIMEOUT


async def test_an_answering_peer_lives(raw_client):
    async with raw_client(ping_interval=0.04, ping_timeout=0.04) as (websocket, peer):
        with anyio.fail_after(5):
            for _ in range(8):
                ping = await peer.receive_frame()
                assert ping.opcode == 9
                await peer.send_frame(0x8A, ping.payload)
        await websocket.send("open")
        assert websocket.latency > 0


async def test_any_byte_is_life(raw_client):
    """One byte of a frame now and then: no pong, no message, and alive all the same."""
    async with raw_client(ping_interval=1, ping_timeout=1) as (websocket, peer):
        frame = peer.frame(0x82, bytes(4), mask=b"mask")
        got = []

        async def receive():
            got.append(await websocket.receive())

        async with anyio.create_task_group() as tg:
            tg.start_soon(receive)
            for byte in frame:
                await anyio.sleep(0.25)
                await peer.send(bytes([byte]))
        assert got == [bytes(4)]
        await websocket.send("open")
        # And no ping was needed.
        assert (await peer.receive_frame()).opcode == 1


async def test_no_keepalive(raw_client):
    async with raw_client(ping_interval=None, ping_timeout=0.01) as (_, peer):
        with anyio.move_on_after(0.1) as scope:
            await peer.receive_frame()
        assert scope.cancelled_caught


async def test_pings_without_a_timeout(raw_client):
    async with raw_client(ping_interval=0.02, ping_timeout=None) as (websocket, peer):
        assert (await peer.receive_frame()).opcode == 9
        with anyio.move_on_after(0.1):
            await peer.receive_frame()
        await websocket.send("open")
        assert (await peer.receive_frame()).opcode == 1


async def test_the_clock_stands_still_while_we_do_not_read():
    """The server's application is elsewhere and its buffer is full: the pong may lie behind it."""
    options = {"limits": Limits(receive_buffer=100), "ping_interval": 0.04, "ping_timeout": 0.04}
    async with (
        WebSocketPair(server=options, client={"ping_interval": None}) as (client, server),
        anyio.create_task_group() as tg,
    ):
        for _ in range(50):
            await client.send(bytes(100))
        tg.start_soon(client.receive)
        with anyio.move_on_after(0.5):
            await anyio.sleep_forever()
        for _ in range(50):
            assert await server.receive() == bytes(100)
        await server.send("alive")


class FakeTransport:
    unsent = 0


class FakeWriter:
    """Counts as the writer does, without sending."""

    written = 0

    def write_control(self, frames):
        self.written += sum(map(len, frames))


@pytest.fixture
def ticked():
    """Give a ``Keepalive`` of 10 and 5 seconds, and a function that ticks it at a time."""
    keepalive = Keepalive(10, 5)
    connection = Connection(Role.SERVER, Limits())
    transport, writer, pings = FakeTransport(), FakeWriter(), Pings()

    def tick(now):
        return keepalive.tick(now, connection, transport, writer, pings)

    return keepalive, tick, transport, writer, pings


def test_clock_ping_after_the_interval(ticked):
    _, tick, _, writer, _ = ticked
    assert not tick(0)
    assert not tick(9.9)
    assert writer.written == 0
    assert not tick(10)
    assert writer.written == 6
    assert not tick(11)
    assert not tick(15.9)
    assert tick(16)


def test_clock_starts_when_the_ping_has_left(ticked):
    _, tick, transport, _, _ = ticked
    tick(0)
    tick(10)
    transport.unsent = 6
    assert not tick(100)
    transport.unsent = 0
    assert not tick(101)
    assert not tick(105)
    assert tick(106)


def test_clock_bytes_behind_the_ping_do_not_hold_it_up(ticked):
    _, tick, transport, writer, _ = ticked
    tick(0)
    tick(10)
    writer.written += 1000
    transport.unsent = 1001
    assert not tick(100)
    transport.unsent = 1000
    assert not tick(101)
    assert tick(106)


def test_clock_any_byte_starts_it_again(ticked):
    keepalive, tick, _, writer, _ = ticked
    tick(0)
    tick(10)
    tick(11)
    keepalive.heard()
    assert not tick(20)
    assert not tick(29)
    assert writer.written == 6
    assert not tick(30)
    assert writer.written == 12


def test_clock_stands_still(ticked):
    keepalive, tick, _, writer, _ = ticked
    tick(0)
    keepalive.stand_still(5)
    assert not tick(14)
    assert writer.written == 0
    tick(15)
    tick(16)
    keepalive.stand_still(10)
    assert not tick(30)
    assert tick(31)


def test_clock_that_did_not_start_stands_still(ticked):
    keepalive, tick, _, writer, _ = ticked
    keepalive.stand_still(100)
    assert not tick(0)
    assert not tick(9.9)
    assert writer.written == 0
    assert not tick(10)
    assert writer.written == 6


async def test_a_tick_that_comes_late_leaves_the_peer_its_time(raw_client):
    """The machine slept, or something blocked the loop: the pong may lie there unread."""
    async with (
        raw_client(ping_interval=20, ping_timeout=20) as (websocket, peer),
        anyio.create_task_group() as tg,
    ):
        # Ahead of the true time, so that the true ticks change nothing.
        start = anyio.current_time() + 1000
        websocket.tick(start, 0.5, tg)
        websocket.tick(start + 1000, 1000, tg)
        assert (await peer.receive_frame()).opcode == 9
        websocket.tick(start + 1000.5, 0.5, tg)
        websocket.tick(start + 2000, 999.5, tg)
        await websocket.send("open")
        assert (await peer.receive_frame()).opcode == 1
        websocket.tick(start + 2019.5, 0.5, tg)
        await websocket.send("open")
        websocket.tick(start + 2020, 0.5, tg)
        with pytest.raises(ConnectionClosedError) as caught:
            await websocket.send("lost")
        assert caught.value.cause is CloseCause.PING_TIMEOUT


async def test_a_pong_answers_all_pings_before_it():
    pings = Pings()
    added = [pings.add() for _ in range(4)]
    pings.received([added[2][0]])
    assert [ping.answered.is_set() for _, ping in added] == [True, True, True, False]
    assert pings.latency == added[2][1].seconds
    pings.received([added[0][0], b"unknown"])
    assert not added[3][1].answered.is_set()
    pings.forget(added[3][0])
    pings.received([added[3][0]])
    assert not added[3][1].answered.is_set()


async def test_wake():
    pings = Pings()
    _, ping = pings.add()
    pings.wake()
    assert ping.answered.is_set()
    assert ping.seconds is None
    pings.wake()
    pings.forget(b"")


async def test_ping_gives_seconds(raw_client):
    async with raw_client() as (websocket, peer), anyio.create_task_group() as tg:
        tg.start_soon(websocket.receive)
        assert websocket.latency is None
        seconds = []

        async def ping():
            seconds.append(await websocket.ping())

        tg.start_soon(ping)
        frame = await peer.receive_frame()
        await peer.send_frame(0x8A, b"something else")
        await anyio.wait_all_tasks_blocked()
        assert seconds == []
        await peer.send_frame(0x8A, frame.payload)
        await anyio.wait_all_tasks_blocked()
        assert len(seconds) == 1
        assert seconds[0] == websocket.latency > 0
        await peer.send_frame(0x81, b"end")


async def test_ping_while_nobody_receives():
    async with WebSocketPair() as (client, server):
        with anyio.fail_after(5):
            assert await client.ping() > 0


async def test_the_pong_is_seen_at_once_while_nobody_receives(monkeypatch, raw_client):
    """The latency is that of the network, not of the ticker, which never ticks here."""
    monkeypatch.setattr(ticker, "tick_length", lambda *_: 3600)
    async with raw_client() as (websocket, peer), anyio.create_task_group() as tg:
        tg.start_soon(websocket.ping)
        await peer.send_frame(0x8A, (await peer.receive_frame()).payload)
        await anyio.wait_all_tasks_blocked()
        assert websocket.latency > 0
        # What came meanwhile, and what comes, is there for who receives at last.
        await peer.send_frame(0x81, b"first")
        await anyio.wait_all_tasks_blocked()
        assert await websocket.receive() == "first"
        await peer.send_frame(0x81, b"second")
        assert await websocket.receive() == "second"


async def test_ping_meets_the_end(raw_client):
    errors = []

    async def ping(websocket):
        with pytest.raises(ConnectionClosedError) as caught:
            await websocket.ping()
        errors.append(caught.value)

    async with raw_client() as (websocket, peer), anyio.create_task_group() as tg:
        tg.start_soon(ping, websocket)
        await peer.receive_frame()
        peer.stream.reset()
        with pytest.raises(ConnectionClosedError):
            await websocket.receive()
    assert len(errors) == 1


async def test_cancelled_ping_is_forgotten(raw_client):
    async with raw_client() as (websocket, peer):
        with anyio.move_on_after(0.01) as scope:
            await websocket.ping()
        assert scope.cancelled_caught
        await peer.send_frame(0x8A, (await peer.receive_frame()).payload)
        await peer.send_frame(0x81, b"end")
        assert await websocket.receive() == "end"
        assert websocket.latency is None


async def test_dead_peer_is_found_after_our_close_frame(raw_client):
    """A peer that owes us its close frame is given the interval and the timeout, from its last byte."""
    async with (
        raw_client(ping_interval=20, ping_timeout=10) as (websocket, peer),
        anyio.create_task_group() as tg,
    ):
        await websocket.send_eof()
        assert await peer.receive_close() == (1000, "")
        start = anyio.current_time() + 1000
        websocket.tick(start, 0.5, tg)
        websocket.tick(start + 29, 0.5, tg)
        await peer.send_frame(0x81, b"still here")
        assert await websocket.receive() == "still here"
        websocket.tick(start + 31, 0.5, tg)
        websocket.tick(start + 60, 0.5, tg)
        assert websocket.state is State.CLOSING
        websocket.tick(start + 61, 0.5, tg)
        assert websocket.state is State.CLOSED
        with pytest.raises(ConnectionClosedError) as caught:
            await websocket.receive()
        assert caught.value.cause is CloseCause.CLOSED_BY_US


async def test_a_violation_ends_a_sender_that_waits(raw_client):
    """Nobody receives, and a peer that broke a rule does not read either: its stream is closed all the same."""
    async with raw_client(capacity=100, close_timeout=0.05) as (websocket, peer):
        async with anyio.create_task_group() as tg:

            async def send():
                with pytest.raises(ConnectionClosedError) as caught:
                    await websocket.send(bytes(100000))
                assert caught.value.cause is CloseCause.PROTOCOL_ERROR

            tg.start_soon(send)
            await peer.send(b"\xff\xff")


def test_clock_a_peer_that_is_heard_and_never_answers_leaves_one_ping(ticked):
    keepalive, tick, _, writer, pings = ticked
    for second in range(0, 400, 20):
        assert not tick(second)
        assert not tick(second + 10)
        keepalive.heard()
    assert writer.written == 20 * 6
    assert len(pings._waiting) == 1
