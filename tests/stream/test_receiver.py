"""Received bytes: while somebody receives, and while nobody does."""

import socket
import struct
from functools import partial

import anyio
import anyio.lowlevel
import pytest

from anyws.errors import ConnectionClosedError, ConnectionClosedOK
from anyws.limits import Limits
from anyws.server import accept, serve
from anyws.stream.keepalive import TICK
from anyws.testing import FaultyStream, RawPeer, WebSocketPair, memory_pair

pytestmark = pytest.mark.anyio

QUICK = {"ping_interval": None, "ping_timeout": 0.04}  # A tick each 10 ms, and no pings.


async def test_a_ping_is_answered_while_somebody_receives(raw_client):
    async with raw_client() as (websocket, peer), anyio.create_task_group() as tg:
        tg.start_soon(websocket.receive)
        await peer.send_frame(0x89, b"there?")
        assert await peer.receive_frame() == (0x8A, b"there?", False)
        await peer.send_frame(0x81, b"end")


async def test_a_ping_is_answered_when_nobody_receives(raw_client):
    assert TICK <= 0.5
    async with raw_client() as (_, peer):
        for payload in (b"one", b"two"):
            await peer.send_frame(0x89, payload)
            with anyio.fail_after(5):
                assert await peer.receive_frame() == (0x8A, payload, False)


async def ask_again_and_again(websocket, pause):
    """Poll: every ``receive`` is cancelled before it could read."""
    while True:
        with anyio.CancelScope() as scope:
            scope.cancel()
            await websocket.receive()
        await pause()


PAUSES = [anyio.lowlevel.checkpoint, partial(anyio.sleep, 0.001)]


@pytest.mark.parametrize("pause", PAUSES)
async def test_pings_of_who_polls_are_answered(pause, raw_client):
    async with raw_client(**QUICK) as (websocket, peer):
        async with anyio.create_task_group() as tg:
            tg.start_soon(ask_again_and_again, websocket, pause)
            await peer.send_frame(0x89, b"there?")
            with anyio.fail_after(5):
                assert await peer.receive_frame() == (0x8A, b"there?", False)
            tg.cancel_scope.cancel()
        await peer.send_frame(0x81, b"in earnest")
        assert await websocket.receive() == "in earnest"


async def test_who_polls_gets_a_message_beyond_the_receive_buffer(raw_client):
    """As if it waited, for which a message may grow to the limit on messages."""
    async with raw_client(**QUICK) as (websocket, peer), anyio.create_task_group() as tg:
        tg.start_soon(peer.send_frame, 0x82, bytes(500_000))
        message = None
        with anyio.fail_after(10):
            while message is None:
                with anyio.CancelScope() as scope:
                    scope.cancel()
                    message = await websocket.receive()
                await anyio.sleep(0.001)
        assert message == bytes(500_000)


@pytest.mark.parametrize("pause", PAUSES)
async def test_who_polls_gets_messages_and_the_end(pause, raw_client):
    async with raw_client(**QUICK) as (websocket, peer):
        got = []
        await peer.send_frame(0x81, b"one")
        await peer.send_close(1000)
        with anyio.fail_after(5), pytest.raises(ConnectionClosedOK):
            while True:
                with anyio.CancelScope() as scope:
                    scope.cancel()
                    got.append(await websocket.receive())
                await pause()
        assert got == ["one"]


async def test_who_has_waited_need_not_let_others_run_as_well(anyio_backend, raw_client):
    if anyio_backend[0] != "asyncio":
        pytest.skip("a task of trio is not resumed by hand")
    async with raw_client(checkpoint_interval=1) as (websocket, peer):
        await peer.send_frame(0x81, b"first")
        assert await websocket.receive() == "first"
        receiving = websocket.receive()
        receiving.send(None)
        await peer.send_frame(0x81, b"second")
        await anyio.wait_all_tasks_blocked()
        with pytest.raises(StopIteration) as caught:
            receiving.send(None)
        assert caught.value.value == "second"


async def test_a_close_is_seen_when_nobody_receives(raw_client):
    async with raw_client(**QUICK) as (websocket, peer):
        await peer.send_close(1001)
        assert await peer.receive_close() == (1001, "")
        await peer.receive_eof()
        await peer.stream.aclose()
        assert websocket.close_code == 1001


async def test_messages_wait_while_pings_are_answered(raw_client):
    async with raw_client(**QUICK) as (websocket, peer):
        await peer.send_frame(0x81, b"first")
        await peer.send_frame(0x89, b"ping")
        await peer.send_frame(0x81, b"second")
        assert (await peer.receive_frame()).first == 0x8A
        assert [await websocket.receive(), await websocket.receive()] == ["first", "second"]


async def test_who_receives_takes_over_from_the_helper(raw_client):
    async with raw_client(**QUICK) as (websocket, peer):
        await peer.send_frame(0x89, b"ping")
        assert (await peer.receive_frame()).first == 0x8A
        async with anyio.create_task_group() as tg:
            got = []

            async def receive():
                got.append(await websocket.receive())

            tg.start_soon(receive)
            await anyio.wait_all_tasks_blocked()
            with pytest.raises(anyio.BusyResourceError):
                await websocket.receive()
            await peer.send_frame(0x81, b"message")
        assert got == ["message"]
        with anyio.move_on_after(0.01):
            await websocket.receive()
        await peer.send_frame(0x81, b"more")
        assert await websocket.receive() == "more"


async def test_two_tasks_wait_while_the_helper_reads(raw_client):
    """One receives and one closes; what the helper reads wakes both."""
    async with raw_client(**QUICK) as (websocket, peer), anyio.create_task_group() as tg:

        async def receive():
            with pytest.raises(ConnectionClosedOK):
                await websocket.receive()

        await peer.send_frame(0x89, b"ping")
        assert (await peer.receive_frame()).first == 0x8A
        tg.start_soon(receive)
        tg.start_soon(websocket.close)
        assert await peer.receive_close() == (1000, "")
        await anyio.wait_all_tasks_blocked()
        await peer.send_close()
        await peer.receive_eof()
        await peer.stream.aclose()


@pytest.mark.parametrize("size", [1, 100, 3000])
async def test_a_peer_that_floods_is_held_up(size):
    """Nobody receives: what is held stays within the budget and one read of the stream."""
    limits = Limits(receive_buffer=10000)
    async with (
        WebSocketPair(server={"limits": limits, **QUICK}) as (client, server),
        anyio.create_task_group() as tg,
    ):
        total = 300000 // (size + 6)

        async def flood():
            for _ in range(total):
                await client.writer.send(bytes(size), compress=False)

        tg.start_soon(flood)
        ticked = anyio.Event()
        original = server.tick

        def tick(*arguments):
            original(*arguments)
            if server._inbound.full:
                ticked.set()

        server.tick = tick
        await ticked.wait()
        await anyio.wait_all_tasks_blocked()
        assert server.statistics().bytes_received <= 10000 + 65536 + 16
        for _ in range(total):
            assert len(await server.receive()) == size


async def test_a_close_behind_a_full_buffer_is_seen_in_its_place():
    async with WebSocketPair(limits=Limits(receive_buffer=1000), **QUICK) as (client, server):
        for number in range(100):
            await client.send(f"{number:50}")
        async with anyio.create_task_group() as tg:
            tg.start_soon(client.close, 1000)
            assert [int(message) async for message in server] == list(range(100))
            tg.start_soon(server.close)


@pytest.mark.parametrize("compression", ["deflate", None])
async def test_a_message_beyond_the_receive_buffer(compression):
    limits = Limits(receive_buffer=1000)
    async with (
        WebSocketPair(limits=limits, compression=compression) as (client, server),
        anyio.create_task_group() as tg,
    ):
        for size in (999, 1000, 1001, 500000):
            tg.start_soon(client.send, bytes(size))
            assert await server.receive() == bytes(size)


@pytest.mark.parametrize("pair", [WebSocketPair.lockstep, WebSocketPair.byte_by_byte])
async def test_hard_streams(pair):
    async with pair() as (client, server), anyio.create_task_group() as tg:
        for message in ("text", b"x" * 300, "", "é" * 100):
            tg.start_soon(client.send, message)
            assert await server.receive() == message
            tg.start_soon(server.send, message)
            assert await client.receive() == message
        # Otherwise nobody would take the close frames out of the streams.
        tg.start_soon(client.close)
        tg.start_soon(server.close)


async def test_control_frames_pass_an_unread_output(raw_client):
    """While our output is clogged, pings wait, the latest ones of them, and then are answered."""
    limits = Limits(pending_pongs=3, send_buffer=1000)
    async with raw_client(capacity=10000, limits=limits, **QUICK) as (websocket, peer):
        async with anyio.create_task_group() as tg:
            tg.start_soon(websocket.send, bytes(20000))
            tg.start_soon(websocket.receive)
            await anyio.wait_all_tasks_blocked()
            for number in range(10):
                await peer.send_frame(0x89, b"%d" % number)
            await anyio.wait_all_tasks_blocked()
            assert (await peer.receive_frame()).payload == bytes(20000)
            pongs = [(await peer.receive_frame()).payload for _ in range(3)]
            assert pongs == [b"7", b"8", b"9"]
            await peer.send_frame(0x81, b"end")


async def test_what_comes_with_the_handshake():
    ours, theirs = memory_pair()
    peer = RawPeer(theirs)
    from_handshake = RawPeer.frame(0x81, b"early", mask=b"mask")
    request = (
        b"GET / HTTP/1.1\r\nHost: memory\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
        b"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n"
    )
    await peer.send(request + from_handshake * 3)
    async with accept(ours) as websocket:
        assert [await websocket.receive() for _ in range(3)] == ["early"] * 3
        await theirs.aclose()


async def test_cancelled_receive_loses_nothing(raw_client):
    async with raw_client() as (websocket, peer):
        frame = peer.frame(0x82, bytes(range(100)), mask=b"mask")
        for byte in frame[:-1]:
            await peer.send(bytes([byte]))
            with anyio.move_on_after(0.0005) as scope:
                await websocket.receive()
            assert scope.cancelled_caught
        await peer.send(frame[-1:])
        assert await websocket.receive() == bytes(range(100))


async def test_reset(raw_client):
    async with raw_client() as (websocket, peer):
        await peer.send_frame(0x81, b"before")
        assert await websocket.receive() == "before"
        peer.stream.reset()
        with pytest.raises(ConnectionClosedError) as caught:
            await websocket.receive()
        assert caught.value.code == 1006


async def test_lost_as_what_was_gathered_leaves():
    """To receive sends what waits first, and on trio that is when the reset is met."""
    done = anyio.Event()
    client = socket.socket()

    async def handler(websocket):
        await websocket.send("leaves at once")
        await websocket.send("gathers")
        client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        client.close()
        with pytest.raises(ConnectionClosedError):
            await websocket.receive()
        done.set()

    with anyio.fail_after(5):
        async with anyio.create_task_group() as tg:
            server = await tg.start(partial(serve, handler, "127.0.0.1"))
            client.connect(("127.0.0.1", server.port))
            client.sendall(
                b"GET / HTTP/1.1\r\nHost: h\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
                b"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n"
            )
            await done.wait()
            tg.cancel_scope.cancel()


async def test_lost_while_nobody_receives(raw_client):
    def wrap(stream):
        return FaultyStream(stream, receive_limit=300, receive_fault="reset")

    async with raw_client(wrap=wrap, **QUICK) as (websocket, peer):
        for _ in range(10):
            await peer.send_frame(0x81, b"x" * 100)
        with pytest.raises(ConnectionClosedError):
            while True:
                await websocket.receive()
        assert websocket.close_code == 1006
