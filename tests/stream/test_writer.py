"""Sending: whole messages or none, in order, with back-pressure."""

import logging
import zlib

import anyio
import anyio.lowlevel
import pytest

from anyws.errors import ConnectionClosed, ConnectionClosedError
from anyws.limits import Limits
from anyws.testing import FaultyStream, WebSocketPair

pytestmark = pytest.mark.anyio


class Sends(FaultyStream):
    """Counts the sends of a stream."""

    def __init__(self, stream):
        super().__init__(stream)
        self.sends = []

    async def send(self, item):
        self.sends.append(bytes(item))
        await super().send(item)


async def messages_of(peer, count, *, deflate=False):
    """Return ``count`` messages, inflated with one context as the peer's would be."""
    inflater = zlib.decompressobj(-15)
    messages = []
    while len(messages) < count:
        frame = await peer.receive_frame()
        compressed = bool(frame.first & 0x40)
        opcode, payload = frame.opcode, frame.payload
        assert opcode in (1, 2)
        while not frame.final:
            frame = await peer.receive_frame()
            assert frame.opcode == 0
            payload += frame.payload
        if compressed:
            assert deflate
            payload = inflater.decompress(payload + b"\0\0\xff\xff")
        messages.append(payload.decode() if opcode == 1 else payload)
    return messages


class Bytes(bytes):
    """As some libraries have them, with more methods."""


class Text(str):
    """The same."""

    __slots__ = ()


@pytest.mark.parametrize(
    ("data", "opcode", "payload"),
    [
        ("text é", 0x81, "text é".encode()),
        ("", 0x81, b""),
        (b"binary", 0x82, b"binary"),
        (bytearray(b"array"), 0x82, b"array"),
        (Bytes(b"a kind of bytes"), 0x82, b"a kind of bytes"),
        (Text("a kind of text é"), 0x81, "a kind of text é".encode()),
        (memoryview(b"view"), 0x82, b"view"),
        (memoryview(b"a-b-c-")[::2], 0x82, b"abc"),
        (b"x" * 16383, 0x82, b"x" * 16383),
        (b"x" * 16384, 0x82, b"x" * 16384),
        (b"x" * 65536, 0x82, b"x" * 65536),
    ],
)
async def test_types(data, opcode, payload, raw_client):
    async with raw_client(capacity=200000) as (websocket, peer):
        for send in (websocket.send, websocket.writer.send):
            await send(data)
            frame = await peer.receive_frame()
            assert (frame.first, frame.payload, frame.masked) == (opcode, payload, False)
        if len(payload) <= 125:
            await websocket.writer.ping(data)
            assert await peer.receive_frame() == (0x89, payload, False)


async def test_a_client_masks(raw_server):
    async with raw_server() as (websocket, peer):
        await websocket.send("secret")
        frame = await peer.receive_frame()
        assert (frame.first, frame.payload, frame.masked) == (0x81, b"secret", True)


@pytest.mark.parametrize("data", [None, 1, 1.0, ["a"], {"a": 1}, object()])
async def test_wrong_type(data, raw_client):
    async with raw_client() as (websocket, peer):
        with pytest.raises(TypeError, match="str or bytes-like"):
            await websocket.send(data)
        await websocket.send("next")
        assert await messages_of(peer, 1) == ["next"]


async def test_surrogates_are_refused_before_a_byte_moves(raw_client):
    async with raw_client() as (websocket, peer):
        with pytest.raises(UnicodeEncodeError):
            await websocket.send("\ud800")
        await websocket.send("next")
        assert await messages_of(peer, 1) == ["next"]


@pytest.mark.parametrize("deflate", [True, False])
@pytest.mark.parametrize("size", [10, 5000, 100000])
async def test_cancelled_sends_tear_nothing(size, deflate, raw_client):
    """Each message comes whole or not at all, and what follows decodes."""
    letters = [bytes([97 + number]) * size for number in range(20)]
    scopes = []

    async def send(websocket, data):
        with anyio.CancelScope() as scope:
            scopes.append(scope)
            await websocket.writer.send(data, compress=deflate)

    limits = Limits(send_buffer=100)
    async with (
        raw_client(capacity=7 + size // 50, deflate=deflate, limits=limits) as (websocket, peer),
        anyio.create_task_group() as tg,
    ):
        for data in letters:
            tg.start_soon(send, websocket, data)
            await anyio.wait_all_tasks_blocked()
        for scope in scopes[::2]:
            scope.cancel()
        await anyio.wait_all_tasks_blocked()
        tg.start_soon(send, websocket, b"last")
        got = []
        while got[-1:] != [b"last"]:
            if not got and deflate:
                inflated = zlib.decompressobj(-15)
            frame = await peer.receive_frame()
            assert frame.opcode == 2
            assert frame.final
            payload = frame.payload
            if frame.first & 0x40:
                payload = inflated.decompress(payload + b"\0\0\xff\xff")
            got.append(payload)
    assert set(got) <= {*letters, b"last"}
    assert got[:-1] == sorted(set(got[:-1])), "whole, in order, and once"
    assert set(letters[1::2]) <= set(got), "what was not cancelled is delivered"


async def test_cancelled_before_it_starts_and_clogged_sends_nothing(raw_client):
    async with raw_client(capacity=1000) as (websocket, peer), anyio.create_task_group() as tg:
        tg.start_soon(websocket.send, bytes(70000))
        await anyio.wait_all_tasks_blocked()
        with anyio.CancelScope() as scope:
            scope.cancel()
            await websocket.send("never")
        assert scope.cancelled_caught
        tg.start_soon(websocket.send, "next")
        assert await messages_of(peer, 2) == [bytes(70000), "next"]


async def test_back_pressure(raw_client):
    sent = []

    async def send(websocket):
        for number in range(10):
            await websocket.send(bytes(40000))
            sent.append(number)

    async with raw_client(capacity=10000) as (websocket, peer), anyio.create_task_group() as tg:
        tg.start_soon(send, websocket)
        await anyio.wait_all_tasks_blocked()
        assert len(sent) == 1
        assert await messages_of(peer, 2) == [bytes(40000)] * 2
        await anyio.wait_all_tasks_blocked()
        assert 1 < len(sent) < 6
        await messages_of(peer, 8)


async def test_small_messages_count_against_the_send_buffer(raw_client):
    sent = []

    async def send(websocket):
        for number in range(1000):
            await websocket.send(bytes(100))
            sent.append(number)

    options = {"capacity": 10, "limits": Limits(send_buffer=1000)}
    async with raw_client(**options) as (websocket, _), anyio.create_task_group() as tg:
        tg.start_soon(send, websocket)
        await anyio.wait_all_tasks_blocked()
        tg.cancel_scope.cancel()
    assert len(sent) <= 12


async def test_waiting_senders_are_served_in_order(raw_client):
    async with raw_client(capacity=1000) as (websocket, peer), anyio.create_task_group() as tg:
        tg.start_soon(websocket.send, bytes(70000))
        await anyio.wait_all_tasks_blocked()
        for number in range(30):
            tg.start_soon(websocket.send, str(number))
            await anyio.wait_all_tasks_blocked()
        messages = await messages_of(peer, 31)
        assert messages[1:] == [str(number) for number in range(30)]


async def test_a_hundred_tasks_with_pings_while_a_fragment_is_open(raw_client):
    async with raw_client(capacity=100) as (websocket, peer), anyio.create_task_group() as tg:

        async def send(name):
            for number in range(5):
                await websocket.send(f"{name} {number}")
                await websocket.writer.ping(b"%d" % name)

        async def pieces():
            async with websocket.writer.fragment() as stream:
                for _ in range(20):
                    await stream.send("piece ")
                    await anyio.lowlevel.checkpoint()

        tg.start_soon(pieces)
        await anyio.wait_all_tasks_blocked()
        for name in range(100):
            tg.start_soon(send, name)
        pings, messages, open_message = 0, [], None
        while pings < 500 or len(messages) < 501:
            frame = await peer.receive_frame()
            if frame.opcode == 9:
                pings += 1
                continue
            assert (frame.opcode == 0) == (open_message is not None)
            open_message = (open_message or b"") + frame.payload
            if frame.final:
                messages.append(open_message.decode())
                open_message = None
        assert messages.count("piece " * 20) == 1
        for name in range(100):
            mine = [message for message in messages if message.startswith(f"{name} ")]
            assert mine == [f"{name} {number}" for number in range(5)]


async def test_refused_after_our_close_without_force(raw_client):
    async with raw_client() as (websocket, peer):
        assert not websocket.writer.closed
        await websocket.send_eof()
        assert websocket.writer.closed
        for call in (
            lambda: websocket.send("x"),
            lambda: websocket.writer.ping(),
            lambda: websocket.writer.pong(0, b""),
            lambda: websocket.writer.feed([b"x"]),
        ):
            with pytest.raises(ConnectionClosed):
                await call()
        assert (await peer.receive_close())[0] == 1000


async def test_force_after_our_close_sends_and_warns(raw_client, caplog):
    async with raw_client() as (websocket, peer):
        await websocket.send_eof()
        with caplog.at_level(logging.WARNING, "anyws"):
            await websocket.writer.send("forced", force=True)
        assert {record.name for record in caplog.records} == {"anyws.stream"}
        assert "5.5.1" in caplog.text
        assert (await peer.receive_close())[0] == 1000
        assert await messages_of(peer, 1) == ["forced"]


async def test_a_forced_send_warns_once(raw_client, caplog):
    async with raw_client() as (websocket, _):
        await websocket.send_eof()
        await websocket.writer.send("forced", force=True)
        assert len(caplog.records) == 1


async def test_force_after_the_peers_close(raw_client, caplog):
    """Before our answer is out, nothing is forbidden; the close is not even seen yet."""
    async with raw_client() as (websocket, peer):
        await peer.send_frame(0x81, b"question")
        await peer.send_close()
        assert await websocket.receive() == "question"
        await websocket.writer.send("answer", force=True)
        assert await messages_of(peer, 1) == ["answer"]
        assert caplog.records == []


async def test_force_cannot_bring_back_a_lost_stream(raw_client):
    async with raw_client() as (websocket, peer):
        await peer.stream.aclose()
        with pytest.raises(ConnectionClosedError):
            await websocket.receive()
        with pytest.raises(ConnectionClosedError):
            await websocket.writer.send("x", force=True)


@pytest.mark.parametrize("header", [0x81, b"\x81"])
async def test_write_frame(header, raw_client):
    async with raw_client() as (websocket, peer):
        websocket.writer.write_frame(header, "low", 3)
        await anyio.wait_all_tasks_blocked()
        with anyio.move_on_after(0.01) as scope:
            await peer.stream.receive()
        assert scope.cancelled_caught, "it was not flushed"
        await websocket.writer.flush()
        assert await messages_of(peer, 1) == ["low"]


async def test_write_frame_keeps_its_place(raw_client):
    async with raw_client() as (websocket, peer):
        await websocket.send("a")
        websocket.writer.write_frame(0x01, b"b", 1)
        websocket.writer.write_frame(0x80, bytearray(b"c"), 1)
        await websocket.send("d")
        assert await messages_of(peer, 3) == ["a", "bc", "d"]


async def test_write_frame_meets_the_loss(raw_client):
    async with raw_client() as (websocket, peer):
        peer.stream.reset()
        with pytest.raises(ConnectionClosedError):
            await websocket.receive()
        with pytest.raises(ConnectionClosedError):
            websocket.writer.write_frame(0x81, b"late", 4)


@pytest.mark.parametrize(
    "arguments",
    [(256, b"", 0), (-1, b"", 0), (b"", b"", 0), (b"\x81\x00", b"", 0), (0x81, b"a", 2)],
)
async def test_write_frame_refuses(arguments, raw_client):
    async with raw_client() as (websocket, _):
        with pytest.raises(ValueError, match=r"header|length"):
            websocket.writer.write_frame(*arguments)


async def test_ping_and_pong(raw_client):
    async with raw_client() as (websocket, peer):
        await websocket.writer.ping()
        await websocket.writer.ping("text")
        await websocket.writer.ping(bytes(125))
        await websocket.writer.pong(3, b"abc")
        frames = [await peer.receive_frame() for _ in range(4)]
        assert [(frame.first, frame.payload) for frame in frames] == [
            (0x89, b""),
            (0x89, b"text"),
            (0x89, bytes(125)),
            (0x8A, b"abc"),
        ]
        for payload in (bytes(126), "é" * 63):
            with pytest.raises(ValueError, match="125"):
                await websocket.writer.ping(payload)
        with pytest.raises(ValueError, match="125"):
            await websocket.writer.pong(126, bytes(126))
        with pytest.raises(ValueError, match="length"):
            await websocket.writer.pong(2, b"abc")


async def test_replies_to_a_batch_leave_in_one_write(raw_client):
    streams = []

    def wrap(stream):
        streams.append(Sends(stream))
        return streams[0]

    async with raw_client(wrap=wrap) as (websocket, peer), anyio.create_task_group() as tg:
        handshake = len(streams[0].sends)

        async def echo():
            async for message in websocket:
                await websocket.send(message)

        tg.start_soon(echo)
        await anyio.wait_all_tasks_blocked()
        await peer.send(b"".join(peer.frame(0x81, b"%d" % n, mask=b"mask") for n in range(50)))
        assert await messages_of(peer, 50) == [str(number) for number in range(50)]
        assert len(streams[0].sends) - handshake == 1
        await peer.send_frame(0x81, b"lone")
        assert await messages_of(peer, 1) == ["lone"]
        tg.cancel_scope.cancel()


async def test_replies_leave_when_the_handler_waits_for_something_else(raw_client):
    async with raw_client() as (websocket, peer), anyio.create_task_group() as tg:

        async def handler():
            await websocket.send(await websocket.receive())
            await anyio.sleep_forever()

        tg.start_soon(handler)
        await peer.send(peer.frame(0x81, b"a", mask=b"mask") + peer.frame(0x81, b"b", mask=b"mask"))
        assert await messages_of(peer, 1) == ["a"]
        tg.cancel_scope.cancel()


@pytest.mark.parametrize("interval", [1, 128])
async def test_a_checkpoint_is_made(interval):
    async with WebSocketPair(checkpoint_interval=interval) as (client, _):
        with anyio.CancelScope() as scope:
            scope.cancel()
            for _ in range(interval + 1):
                await client.send("x")
        assert scope.cancelled_caught


async def test_statistics_count_what_was_sent(raw_client):
    async with raw_client() as (websocket, peer):
        await websocket.send("abc")
        await websocket.writer.feed([b"abc"])
        await messages_of(peer, 2)
        statistics = websocket.statistics()
        assert statistics.messages_sent == 2
        assert statistics.bytes_sent == 5 + 5 + 2


async def test_flush_waits_for_room(raw_client):
    async with raw_client(capacity=10, limits=Limits(send_buffer=100)) as (websocket, peer):
        flushed = []

        async def flush():
            await websocket.writer.flush()
            flushed.append(True)

        websocket.writer.write_frame(0x82, bytes(5000), 5000)
        async with anyio.create_task_group() as tg:
            tg.start_soon(flush)
            await anyio.wait_all_tasks_blocked()
            assert not flushed
            assert (await peer.receive_frame()).payload == bytes(5000)
        assert flushed
