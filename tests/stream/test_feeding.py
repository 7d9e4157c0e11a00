"""The sources of a message that is fed."""

import gc
import io

import anyio
import anyio.lowlevel
import pytest

from anyws.enums import DataType
from anyws.errors import CloseCause, ConnectionClosedError
from anyws.stream.buffer import Buffer
from anyws.testing import WebSocketPair, memory_pair

pytestmark = pytest.mark.anyio


def filled(*chunks, **options):
    buffer = Buffer(**options)
    for chunk in chunks:
        buffer.write_nowait(chunk)
    buffer.feed_eof()
    return buffer


async def generated(*chunks):
    for chunk in chunks:
        await anyio.lowlevel.checkpoint()
        yield chunk


async def frames_of(peer):
    frames = [await peer.receive_frame()]
    while not frames[-1].final:
        frames.append(await peer.receive_frame())
    return [(frame.first, frame.payload) for frame in frames]


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: filled(b"ab", b"cd"), b"abcd"),
        (lambda: filled(b"ab", b"cd", data_type=DataType.TEXT), "abcd"),
        (lambda: filled(b"ab", b"cd", data_type=None), b"abcd"),
        (lambda: [b"ab", b"cd"], b"abcd"),
        (lambda: ["ab", "", "cd"], "abcd"),
        (lambda: (chunk for chunk in (b"ab", bytearray(b"cd"), memoryview(b"ef"))), b"abcdef"),
        (lambda: generated("ab", "cd"), "abcd"),
        (lambda: generated(b"x" * 3000), b"x" * 3000),
        (lambda: ["é" * 3000], "é" * 3000),
        (lambda: ["\U0001f40d" * 3000], "\U0001f40d" * 3000),
        (lambda: io.BytesIO(b"x" * 100000), b"x" * 100000),
        (lambda: io.StringIO("ü" * 100000), "ü" * 100000),
    ],
)
@pytest.mark.parametrize("compression", ["deflate", None])
async def test_sources(make, message, compression):
    async with (
        WebSocketPair(compression=compression) as (client, server),
        anyio.create_task_group() as tg,
    ):
        tg.start_soon(client.writer.feed, make())
        received = await server.receive()
        assert received == message
        assert type(received) is type(message)


@pytest.mark.parametrize("opened", [anyio.open_file, open])
@pytest.mark.parametrize("mode", ["rb", "r"])
async def test_files(tmp_path, opened, mode):
    path = tmp_path / "file"
    path.write_text("snake \U0001f40d\n" * 20000, encoding="utf-8", newline="")
    text = {} if mode == "rb" else {"encoding": "utf-8", "newline": ""}
    async with WebSocketPair() as (client, server), anyio.create_task_group() as tg:
        file = opened(path, mode, **text)
        if opened is anyio.open_file:
            file = await file
        tg.start_soon(client.writer.feed, file)
        received = await server.receive()
        expected = path.read_bytes()
        assert received == (expected if mode == "rb" else expected.decode())
        closed = file.aclose() if opened is anyio.open_file else None
        if closed is None:
            file.close()
        else:
            await closed


async def test_byte_stream():
    one, other = memory_pair()
    async with WebSocketPair() as (client, server), anyio.create_task_group() as tg:
        tg.start_soon(client.writer.feed, one)
        await other.send(b"x" * 5000)
        await other.send_eof()
        assert await server.receive() == b"x" * 5000
    await one.aclose()
    await other.aclose()


async def test_reader(raw_client):
    async with WebSocketPair() as (client, server):
        await client.send("there and back")
        async for reader in server.readers():
            await server.writer.feed(reader)
            break
        assert await client.receive() == "there and back"


@pytest.mark.parametrize(
    ("source", "op_code", "message"),
    [
        ([b"ab"], DataType.TEXT, "ab"),
        (["ab"], DataType.BINARY, b"ab"),
        ([b"ab", "cd"], DataType.TEXT, "abcd"),
        ([b"ab"], 1, "ab"),
        ([b"ab"], 2, b"ab"),
        (["é".encode()[:1], "é".encode()[1:]], DataType.TEXT, "é"),
        ([], DataType.TEXT, ""),
        ([], DataType.BINARY, b""),
    ],
)
async def test_op_code(source, op_code, message):
    async with WebSocketPair() as (client, server):
        await client.writer.feed(source, op_code)
        received = await server.receive()
        assert received == message
        assert type(received) is type(message)


async def test_empty_buffers_are_empty_messages():
    async with WebSocketPair() as (client, server):
        await client.writer.feed(filled())
        await client.writer.feed(filled(data_type=DataType.TEXT))
        assert await server.receive() == b""
        assert await server.receive() == ""


async def test_nothing_of_no_kind_is_no_message():
    async with WebSocketPair() as (client, server):
        await client.writer.feed([])
        await client.send("next")
        assert await server.receive() == "next"


@pytest.mark.parametrize("op_code", [0, 3, 8, 9])
async def test_bad_op_code(op_code):
    async with WebSocketPair() as (client, server):
        with pytest.raises(ValueError, match=str(op_code)):
            await client.writer.feed([b"ab"], op_code)
        await client.send("next")
        assert await server.receive() == "next"


@pytest.mark.parametrize("source", ["text", b"bytes", bytearray(b"x"), memoryview(b"x"), 3, None])
async def test_no_source(source):
    async with WebSocketPair() as (client, server):
        with pytest.raises(TypeError, match="feed takes"):
            await client.writer.feed(source)
        await client.send("next")
        assert await server.receive() == "next"


@pytest.mark.parametrize("option", [{"chunksize": 0}, {"drain_every": 0}, {"chunksize": -1}])
async def test_bad_sizes(option):
    async with WebSocketPair() as (client, server):
        with pytest.raises(ValueError, match="chunksize"):
            await client.writer.feed([b"ab"], **option)
        await client.send("next")
        assert await server.receive() == "next"


async def test_chunksize(raw_client):
    async with raw_client() as (websocket, peer):
        await websocket.writer.feed([b"0123456789"], chunksize=4)
        assert await frames_of(peer) == [
            (0x02, b"0123"),
            (0x00, b"4567"),
            (0x00, b"89"),
            (0x80, b""),
        ]
        await websocket.writer.feed(filled(b"01", b"23456789"), chunksize=4)
        assert await frames_of(peer) == [(0x02, b"0123"), (0x00, b"4567"), (0x80, b"89")]


async def test_chunksize_holds_for_text_too(raw_client):
    async with raw_client() as (websocket, peer):
        # In bytes, and so between the bytes of a character, too (RFC 6455, section 5.6).
        for options in ({}, {"op_code": DataType.TEXT}):
            await websocket.writer.feed(["abcdefgh\U0001f40dé"], chunksize=5, **options)
            assert await frames_of(peer) == [
                (0x01, b"abcde"),
                (0x00, b"fgh\xf0\x9f"),
                (0x00, b"\x90\x8d\xc3\xa9"),
                (0x80, b""),
            ]


async def test_empty_chunks(raw_client):
    async with raw_client() as (websocket, peer):
        await websocket.writer.feed(["", "a", ""], chunksize=5)
        frames = [(0x01, b""), (0x00, b"a"), (0x00, b""), (0x80, b"")]
        assert await frames_of(peer) == frames


@pytest.mark.parametrize("pieces", [[b"a\xff"], [b"a", b"\xff"], [b"\xc3"], [b"a", b"\xc3"]])
async def test_bytes_fed_as_text_are_validated(pieces, raw_client):
    """The peer never sees bad text; before the first fragment nothing has happened."""
    async with raw_client() as (websocket, peer):
        with pytest.raises(UnicodeDecodeError):
            await websocket.writer.feed(pieces, DataType.TEXT)
        if len(pieces) == 1 and pieces != [b"\xc3"]:
            await websocket.send("open")
            assert await frames_of(peer) == [(0x81, b"open")]
        else:
            frame = await peer.receive_frame()
            assert (frame.first, frame.payload) == (0x01, pieces[0])
            if pieces[-1] == b"\xc3" and len(pieces) == 2:
                # It could have become a letter yet.
                assert (await peer.receive_frame()).first == 0x00
            assert (await peer.receive_close())[0] == 1011


async def test_two_kinds(raw_client):
    async with raw_client() as (websocket, peer):
        with pytest.raises(TypeError, match="binary"):
            await websocket.writer.feed([b"ab", "cd"])
        assert (await peer.receive_frame()).first == 0x02
        assert (await peer.receive_close())[0] == 1011


async def test_source_raises_before_the_first_fragment():
    async def broken():
        raise OSError("no such thing")
        yield b""

    async with WebSocketPair() as (client, server):
        with pytest.raises(OSError, match="no such thing"):
            await client.writer.feed(broken())
        await client.send("open")
        assert await server.receive() == "open"


@pytest.mark.parametrize("compression", ["deflate", None])
async def test_source_raises_after_the_first_fragment(compression):
    async def broken():
        yield b"x" * 2000
        raise OSError("gone")

    async with WebSocketPair(compression=compression) as (client, server):
        with pytest.raises(OSError, match="gone"):
            await client.writer.feed(broken())
        with pytest.raises(ConnectionClosedError) as caught:
            await client.send("next")
        assert caught.value.cause is CloseCause.MESSAGE_ABANDONED
        assert "gone" in str(caught.value)
        with pytest.raises(ConnectionClosedError) as caught:
            await server.receive()
        assert caught.value.code == 1011


async def test_cancelled_before_the_first_fragment():
    async with WebSocketPair() as (client, server):
        with anyio.move_on_after(0.01) as scope:
            await client.writer.feed(Buffer())
        assert scope.cancelled_caught
        await client.send("open")
        assert await server.receive() == "open"


async def test_cancelled_after_the_first_fragment(raw_client):
    buffer = Buffer()
    buffer.write_nowait(b"first")
    async with raw_client() as (websocket, peer):
        async with anyio.create_task_group() as tg:
            tg.start_soon(websocket.writer.feed, buffer)
            assert (await peer.receive_frame()).first == 0x02
            tg.cancel_scope.cancel()
        assert (await peer.receive_close())[0] == 1011


async def test_generator_is_closed_when_feed_is_left():
    closed = []

    async def source():
        try:
            yield b"first"
            yield "second"
        finally:
            await anyio.lowlevel.checkpoint()
            closed.append(True)

    async with WebSocketPair() as (client, _):
        with pytest.raises(TypeError):
            await client.writer.feed(source())
    assert closed == [True]
    gc.collect()


async def test_an_iterator_that_needs_no_closing():
    class Countdown:
        left = 3

        def __aiter__(self):
            return self

        async def __anext__(self):
            if not self.left:
                raise StopAsyncIteration
            self.left -= 1
            return b"%d" % self.left

    async with WebSocketPair() as (client, server):
        await client.writer.feed(Countdown())
        assert await server.receive() == b"210"


async def test_other_senders_wait(raw_client):
    buffer = Buffer()
    buffer.write_nowait(b"a")
    async with raw_client() as (websocket, peer), anyio.create_task_group() as tg:
        tg.start_soon(websocket.writer.feed, buffer)
        await anyio.wait_all_tasks_blocked()
        tg.start_soon(websocket.send, "after")
        await anyio.wait_all_tasks_blocked()
        buffer.write_nowait(b"b")
        buffer.feed_eof()
        frames = await frames_of(peer)
        assert frames[0] == (0x02, b"a")
        assert b"".join(payload for _, payload in frames) == b"ab"
        assert await frames_of(peer) == [(0x81, b"after")]


async def test_feed_waits_for_a_slow_peer(raw_client):
    produced = []

    def endless():
        for number in range(1000):
            produced.append(number)
            yield bytes(1000)

    async with raw_client(capacity=1000) as (websocket, peer), anyio.create_task_group() as tg:
        tg.start_soon(websocket.writer.feed, endless())
        await anyio.wait_all_tasks_blocked()
        assert 60 <= len(produced) <= 80
        frames = await frames_of(peer)
        assert sum(len(payload) for _, payload in frames) == 1000000


async def test_a_file_that_does_not_wait(raw_client):
    """It has nothing yet, which is not its end."""

    class File:
        def __init__(self):
            self.pieces = [b"first half", None, b"second half", b""]

        def read(self, size):
            return self.pieces.pop(0)

    async with raw_client() as (websocket, peer):
        with pytest.raises(BlockingIOError, match="open it so that it does"):
            await websocket.writer.feed(File())
        assert (await peer.receive_frame())[:2] == (0x02, b"first half")
        assert (await peer.receive_close())[0] == 1011
