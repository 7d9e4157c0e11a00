"""A peer that delivers byte by byte, all at once or cut anywhere, and one that takes nothing, in both roles."""

import random
from contextlib import suppress

import anyio
import pytest

import anyws
from anyws import CloseCause

pytestmark = pytest.mark.anyio


def everything(peer):
    """Return a stream of frames of all kinds, and the messages in it."""
    frames = [
        peer.make(0x81, b"text"),
        peer.make(0x02, b"first "),
        peer.make(0x89, b"ping"),
        peer.make(0x00, b"second "),
        peer.make(0x8A, b"a pong that nobody asked for"),
        peer.make(0x80, b"third"),
        peer.make(0x81),
        peer.make(0x82, bytes(300)),
        peer.make(0x81, "\U0001f40d".encode()),
    ]
    return b"".join(frames), ["text", b"first second third", "", bytes(300), "\U0001f40d"]


async def take(websocket, peer, data, expected, *, send):
    """Send ``data`` and a close frame by ``send``; check what comes of it on both sides."""
    async with anyio.create_task_group() as tg:
        answers = bytearray()
        tg.start_soon(peer.read_all, answers)
        tg.start_soon(send, data + peer.make(0x88, b"\x03\xe8"))
        assert [message async for message in websocket] == expected
        await websocket.aclose()
        tg.cancel_scope.cancel()
    mask = 0 if peer.client else 0x80
    assert answers.startswith(bytes((0x8A, mask | 4)))
    assert bytes((0x88, mask | 2)) in answers
    assert (websocket.close_code, websocket.close_reason) == (1000, "")


async def test_byte_by_byte(link):
    """Header, payload, characters and close frame in pieces of one byte give what they give at once."""
    chunk = {"chunk": 1} if link.kind == "memory" else {}
    async with link.opened(**chunk) as (websocket, peer):

        async def send(data):
            for byte in data:
                await peer.send(bytes((byte,)))

        await take(websocket, peer, *everything(peer), send=send)


async def test_a_megabyte_at_once(link):
    """Thousands of frames in one piece; all that stands before the close frame is delivered, and others run."""
    async with link.opened() as (websocket, peer):
        data, expected = everything(peer)
        count = 2**20 // len(data)
        await take(websocket, peer, data * count, expected * count, send=peer.send)


@pytest.mark.parametrize("seed", range(3))
async def test_cut_anywhere(seed, memory_link):
    print(f"seed {seed}")
    cuts = random.Random(seed)
    async with memory_link.opened() as (websocket, peer):

        async def send(data):
            while data:
                size = cuts.choice((1, 2, 3, 5, 8, 100, 1000))
                await peer.send(data[:size])
                data = data[size:]
                if cuts.random() < 0.5:
                    await anyio.wait_all_tasks_blocked()

        await take(websocket, peer, *everything(peer), send=send)


async def test_messages_together_with_the_handshake(memory_link):
    """In the same piece of the stream as the handshake, and with the close frame."""
    with anyio.fail_after(10):
        async with memory_link.stream() as (opening, peer), anyio.create_task_group() as tg:
            data, expected = everything(peer)
            send = peer.stream.send

            async def send_together(head):
                await send(head + data + peer.make(0x88, b"\x03\xe8"))

            async def meet():
                await (peer.request() if peer.client else peer.answer())
                if not peer.client:
                    await peer.stream.send_eof()
                await peer.read_all(bytearray())
                await peer.stream.aclose()

            peer.stream.send = send_together
            tg.start_soon(meet)
            async with opening as websocket:
                assert [message async for message in websocket] == expected
            assert websocket.close_code == 1000
            tg.cancel_scope.cancel()


# A peer that takes nothing.


async def test_stops_reading(memory_link):
    """``send`` waits and can be cancelled; when the peer reads on, it gets whole frames, each once."""
    async with memory_link.opened(compression=None) as (websocket, peer):
        websocket._transport._stream._outgoing.capacity = 100
        await websocket.send(bytes(60_000))
        for message in ("went over the mark " * 500, "not admitted"):
            with anyio.move_on_after(0.01) as scope:
                await websocket.send(message)
            assert scope.cancelled_caught
        async with anyio.create_task_group() as tg:
            tg.start_soon(websocket.send, "admitted")
            assert (await peer.receive_frame()).payload == bytes(60_000)
            assert (await peer.receive_frame()).payload == b"went over the mark " * 500
            assert (await peer.receive_frame()).payload == b"admitted"
        peer.stream.reset()


@pytest.mark.parametrize("phase", ["idle", "mid-frame"])
async def test_stops_reading_and_is_closed(phase, memory_link):
    """Closing does not wait for what the peer never takes; who sends is told."""
    async with memory_link.opened(compression=None) as (websocket, peer):
        websocket._transport._stream._outgoing.capacity = 100
        causes = []

        async def send():
            with pytest.raises(anyws.ConnectionClosedError) as caught:
                while True:
                    await websocket.send(bytes(70_000))
            causes.append(caught.value.cause)

        async with anyio.create_task_group() as tg:
            if phase == "mid-frame":
                tg.start_soon(send)
            else:
                await websocket.send(bytes(1000))
            await peer.receive_exactly(50)
            await websocket.close()
        with pytest.raises(anyws.ConnectionClosedError) as caught:
            await websocket.receive()
        assert caught.value.cause is CloseCause.CLOSE_TIMEOUT
        assert causes == [CloseCause.CLOSE_TIMEOUT] * (phase == "mid-frame")


async def test_stops_reading_in_the_opening(memory_link):
    """A server has nothing to wait for; a client waits for the answer, as long as it may."""
    open_timeout = 0.05 if memory_link.role == "client" else 10
    options = {"capacity": 10, "open_timeout": open_timeout, "close_timeout": 0.05}
    async with memory_link.stream(**options) as (opening, peer), anyio.create_task_group() as tg:
        if memory_link.role == "client":
            with pytest.raises(TimeoutError):
                async with opening:
                    pytest.fail("it did not open")
            return

        async def ask():
            # The connection may be over before it has read the answer.
            with suppress(anyio.EndOfStream):
                await peer.request(target="/" + "x" * 100)

        tg.start_soon(ask)
        with anyio.fail_after(10):
            async with opening as websocket:
                await websocket.send("x")
        assert websocket.close_code == 1006
        tg.cancel_scope.cancel()
