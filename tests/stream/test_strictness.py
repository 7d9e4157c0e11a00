"""What breaks a rule, over TCP: the order of messages, answers, close frame and end of stream.

Each row is sent behind a good message and in front of data that nobody will read. The peer must see the answer
to the good message, then the close frame, then the end of the stream, and no reset that
could swallow the two before.
"""

import zlib
from functools import partial

import anyio
import pytest

import anyws
from anyws.testing import RawPeer

pytestmark = pytest.mark.anyio

DEFLATE = "Sec-WebSocket-Extensions: permessage-deflate"
HELLO = bytes.fromhex("f248cdc9c90700")


def masked(first, payload):
    return bytes((first, 0x80 | len(payload))) + bytes(4) + payload


def finished(text):
    """A compressed message whose last block says that it is the last of all (RFC 7692, 7.2.3.4)."""
    compressor = zlib.compressobj(6, zlib.DEFLATED, -15)
    return masked(0xC1, compressor.compress(text) + compressor.flush() + b"\0")


VIOLATIONS = {
    "unmasked": (b"\x81\x02hi", 1002),
    "RSV2": (masked(0xA1, b""), 1002),
    "RSV3": (masked(0x91, b""), 1002),
    "RSV1 on a ping": (masked(0xC9, b""), 1002),
    **{f"opcode {n:X}": (masked(0x80 | n, b""), 1002) for n in (*range(3, 8), *range(11, 16))},
    "ping of 126": (b"\x89\xfe\0\x7e" + bytes(130), 1002),
    "ping in fragments": (masked(0x09, b""), 1002),
    "continuation first": (masked(0x80, b""), 1002),
    "text inside a message": (masked(0x01, b"a") + masked(0x81, b"b"), 1002),
    "RSV1 on a continuation": (masked(0x01, b"a") + masked(0xC0, b"b"), 1002),
    "close of one byte": (masked(0x88, b"\3"), 1002),
    **{
        f"close {code}": (masked(0x88, code.to_bytes(2, "big")), 1002)
        for code in (0, 999, 1004, 1005, 1006, 1015, 1016, 1100, 2999, 5000, 65535)
    },
    "close reason": (masked(0x88, b"\3\xe8\xff\xfe"), 1007),
    "text": (masked(0x81, b"\xce\xba\xed\xa0\x80"), 1007),
    "text that is not finished": (masked(0x01, b"\xff" * 10), 1007),
    "a frame that is not finished": (b"\x81\xfe\x01\x00" + bytes(4) + b"\xff", 1007),
    "length 5 in 16 bits": (b"\x81\xfe\0\5" + bytes(4) + b"12345", 1002),
    "length 5 in 64 bits": (b"\x81\xff" + bytes(7) + b"\5" + bytes(4) + b"12345", 1002),
    "length over 63 bits": (b"\x82\xff\x80" + bytes(7), 1002),
    "length over the limit": (b"\x82\xff\0\0\0\0\4\0\0\0", 1009),
    "bad compressed data": (masked(0xC1, b"\xff\xff\xff\xff"), 1007),
}


async def echo(websocket):
    async for message in websocket:
        await websocket.send(message)


@pytest.fixture
async def peer():
    """A client byte by byte, connected to a server that echoes."""
    async with anyio.create_task_group() as tg:
        server = await tg.start(partial(anyws.serve, echo, "127.0.0.1", 0))
        async with await anyio.connect_tcp("127.0.0.1", server.port) as stream:
            peer = RawPeer(stream)
            await peer.request(DEFLATE)
            with anyio.fail_after(20):
                yield peer
        await server.aclose()


@pytest.mark.parametrize(("data", "code"), VIOLATIONS.values(), ids=VIOLATIONS)
async def test_violations(peer, data, code):
    # What follows is far more than the server reads ahead.
    await peer.send(masked(0x81, b"before") + data + masked(0x81, b"after") * 10000)
    assert (await peer.receive_frame())[:2] == (0x81, b"before")
    close = await peer.receive_frame()
    assert close.first == 0x88
    assert int.from_bytes(close.payload[:2], "big") == code
    assert b"RFC" in close.payload
    await peer.receive_eof()


@pytest.mark.parametrize("code", [1000, 1001, 1002, 1003, *range(1007, 1015), 3000, 4999])
async def test_close_codes_are_echoed(peer, code):
    await peer.send(masked(0x81, b"before") + masked(0x88, code.to_bytes(2, "big") + b"bye"))
    await peer.send(masked(0x81, b"after") * 10000)
    assert (await peer.receive_frame())[:2] == (0x81, b"before")
    assert await peer.receive_close() == (code, "")
    await peer.receive_eof()


@pytest.mark.parametrize(
    ("data", "expected"),
    [
        (finished(b"one") + finished(b"two"), [b"one", b"two"]),
        (masked(0xC1, bytes.fromhex("f248050000 00ffffcac9c90700")), [b"Hello"]),
        (masked(0xC1, HELLO) + masked(0xC1, bytes.fromhex("f200110000")), [b"Hello", b"Hello"]),
        (masked(0xC1, b"\0"), [b""]),
    ],
    ids=["final blocks", "two blocks", "shared window", "empty"],
)
async def test_compressed_messages(peer, data, expected):
    await peer.send(data)
    assert [(await peer.receive_frame()).payload for _ in expected] == expected


async def test_a_message_and_the_end_of_the_stream(peer):
    await peer.send(masked(0x81, b"before"))
    await peer.stream.send_eof()
    assert (await peer.receive_frame())[:2] == (0x81, b"before")
    await peer.receive_eof()
