"""A line in the log for every frame, and for the beginning and the end of a connection."""

import logging
import random

import anyio
import pytest

from anyws import Deflate, accept, connect
from anyws._wire.header import frame
from anyws.core.deflate_streams import Deflater, Inflater
from anyws.errors import ConnectionClosed
from anyws.stream.frame_log import Tracer
from anyws.testing import WebSocketPair, memory_pair

KEY = b"\1\2\3\4"


@pytest.fixture
def lines(caplog):
    """Turn the log of frames on; give its lines, without the name of the connection."""
    caplog.set_level(logging.DEBUG, "anyws.frames")
    return lambda: [
        record.getMessage() for record in caplog.records if record.name == "anyws.frames"
    ]


def traced(lines, *frames, inflater=None, size=1):
    tracer = Tracer("<", inflater)
    data = b"".join(frames)
    for start in range(0, len(data), size):
        tracer.feed(data[start : start + size])
    return lines()


@pytest.mark.parametrize("size", [1, 3, 1000])
@pytest.mark.parametrize("key", [None, KEY])
def test_each_kind_of_frame(lines, key, size):
    frames = [
        frame(0x81, "grüße".encode(), key),
        frame(0x82, b"\0\xff", key),
        frame(0x82, b"", key),
        frame(0x01, b"Hello ", key),
        frame(0x89, b"hi", key),
        frame(0x80, b"World!", key),
        frame(0x02, b"a", key),
        frame(0x80, b"b", key),
        frame(0x8A, b"hi", key),
        frame(0x83, b"?", key),
        frame(0xA1, b"odd", key),
        frame(0x81, b"\xff", key),
        frame(0x88, b"\x03\xe8bye", key),
        frame(0x88, b"", key),
    ]
    assert traced(lines, *frames, size=size) == [
        "< text 'grüße' (7 bytes)",
        "< binary 00 ff (2 bytes)",
        "< binary (0 bytes)",
        "< text 'Hello ' (6 bytes, to be continued)",
        "< ping 68 69 (2 bytes)",
        "< continuation 'World!' (6 bytes)",
        "< binary 61 (1 byte, to be continued)",
        "< continuation 62 (1 byte)",
        "< pong 68 69 (2 bytes)",
        "< opcode 0x3 3f (1 byte)",
        "< text 'odd' (3 bytes, reserved bits 010)",
        "< text '\N{REPLACEMENT CHARACTER}' (1 byte)",
        "< close 1000 (normal closure) 'bye' (5 bytes)",
        "< close (0 bytes)",
    ]


@pytest.mark.parametrize("length", [125, 126, 65535, 65536])
def test_long_payloads_are_cut(lines, length):
    more = "..." if length > 125 else ""
    assert traced(lines, frame(0x81, b"x" * length, KEY), size=70) == [
        f"< text {'x' * 125!r}{more} ({length} bytes)"
    ]


def test_binary_is_shown_up_to_32_bytes(lines):
    assert traced(lines, frame(0x82, bytes(33), None)) == [f"< binary {'00 ' * 31}00... (33 bytes)"]


def test_a_claimed_length_takes_no_memory(lines):
    tracer = Tracer("<")
    tracer.feed(b"\x82\x7f" + b"\xff" * 8 + bytes(1000))
    assert lines() == []
    assert len(tracer._shown) == 125


@pytest.mark.parametrize("size", [1, 7, 100000])
def test_compressed_messages_are_shown_inflated(lines, size):
    deflater = Deflater("zlib", 6, 8, 15, True)
    inflater = Inflater("zlib", 15, True)
    frames = [
        frame(0xC1, deflater.compress(b"hello " * 100), KEY),
        frame(0xC1, deflater.compress(b"hello " * 2), KEY),
        frame(0x41, deflater.fragment(b"one "), KEY),
        frame(0x89, b"", KEY),
        frame(0x80, deflater.finish(b"two"), KEY),
        frame(0x41, deflater.fragment(b"three"), KEY),
        frame(0x80, deflater.finish(b""), KEY),
        frame(0x81, b"plain", KEY),
    ]
    got = traced(lines, *frames, inflater=inflater, size=size)
    assert [line.partition(" (")[0] for line in got] == [
        f"< text {('hello ' * 100)[:125]!r}...",
        "< text 'hello hello '",
        "< text 'one '",
        "< ping",
        "< continuation 'two'",
        "< text 'three'",
        "< continuation ''",
        "< text 'plain'",
    ]
    assert ["deflated" in line for line in got] == [
        True,
        True,
        True,
        False,
        True,
        True,
        True,
        False,
    ]


def test_what_cannot_be_inflated_is_no_error(lines):
    inflater = Inflater("zlib", 15, True)
    got = traced(
        lines,
        frame(0xC1, b"\xff" * 20, None),
        frame(0x81, b"next", None),
        inflater=inflater,
        size=99,
    )
    assert got == ["< text '' (20 bytes, reserved bits 100)", "< text 'next' (4 bytes)"]


def test_random_bytes_are_no_error(lines):
    seed = random.randrange(2**32)
    print("seed", seed)
    source = random.Random(seed)
    for _ in range(20):
        tracer = Tracer("<", Inflater("zlib", 15, True))
        for _ in range(50):
            tracer.feed(source.randbytes(source.randrange(1, 30)))


@pytest.mark.anyio
@pytest.mark.parametrize("compression", [None, Deflate(threshold=0)])
async def test_both_ends_of_a_connection_log_the_same(lines, compression):
    async with WebSocketPair(compression=compression) as (client, server):
        await client.send("a message")
        assert await server.receive() == "a message"
        async with client.writer.fragment() as stream:
            await stream.send(b"in ")
            await stream.send(b"two")
        assert await server.receive() == b"in two"
        await server.send(bytes(70000))
        assert await client.receive() == bytes(70000)
        async with anyio.create_task_group() as tg:
            tg.start_soon(client.close, 1001)
            with pytest.raises(ConnectionClosed):
                await server.receive()
    got = lines()
    ends = {}
    for line in got:
        for sign in (" > ", " < "):
            name, found, what = line.partition(sign)
            if found:
                ends.setdefault((name.split()[1], sign), []).append(what)
    (sent,) = (what for (name, sign), what in ends.items() if name == "to" and sign == " > ")
    (received,) = (what for (name, sign), what in ends.items() if name != "to" and sign == " < ")
    assert sent == received
    assert sent[0].startswith("text 'a message' (")
    assert sent[-1] == "close 1001 (going away) (2 bytes)"
    (answered,) = (what for (name, sign), what in ends.items() if name != "to" and sign == " > ")
    assert answered[0].startswith(f"binary {'00 ' * 31}00... (")
    assert ("deflated" in answered[0]) is bool(compression)
    assert answered[-1] == "close 1001 (going away) (2 bytes)"


@pytest.mark.anyio
async def test_what_came_with_the_handshake_is_logged(lines):
    ours, theirs = memory_pair()
    await theirs.send(
        b"GET / HTTP/1.1\r\nHost: memory\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
        b"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n"
        + frame(0x81, b"hello", KEY)
    )
    async with accept(ours) as websocket:
        assert await websocket.receive() == "hello"
        await theirs.aclose()
    assert lines()[0] == "connection for '/' < text 'hello' (5 bytes)"


@pytest.mark.anyio
async def test_nothing_is_wrapped_while_it_is_off(caplog):
    caplog.set_level(logging.INFO, "anyws.frames")
    async with WebSocketPair() as (client, _):
        assert type(client._transport).__name__ == "StreamTransport"


@pytest.mark.anyio
async def test_a_connection_begins_and_ends_with_a_line(caplog):
    caplog.set_level(logging.DEBUG, "anyws.stream")
    async with WebSocketPair() as (client, server), anyio.create_task_group() as tg:
        tg.start_soon(client.close)
        await server.close()
    messages = [record.getMessage() for record in caplog.records if record.name == "anyws.stream"]
    assert sum(line.endswith(" is open") for line in messages) == 2
    assert sum("we closed it" in line or "the peer closed it" in line for line in messages) == 2
    assert len(messages) == 4


@pytest.mark.anyio
async def test_a_password_is_not_logged(caplog):
    caplog.set_level(logging.DEBUG, "anyws")
    with pytest.raises(OSError) as caught:
        async with connect("ws://user:secret@127.0.0.1:1/"):
            pass
    assert caught.value.__notes__ == ["while connecting to ws://127.0.0.1:1/"]
    assert "secret" not in caplog.text
