"""What a hostile client may send in frames, byte by byte, to a server that echoes: the frame-level rows of docs/security.md."""

import contextlib
import zlib

import anyio
import pytest

pytestmark = pytest.mark.anyio

KEY = b"\x01\x02\x03\x04"
DEFLATE = "Sec-WebSocket-Extensions: permessage-deflate"


def masked(payload):
    """Return key and masked payload."""
    return KEY + bytes(byte ^ KEY[index % 4] for index, byte in enumerate(payload))


@pytest.fixture
def abused(serving):
    """Give a function: send bytes to a new connection, get the frames that come back up to a close frame."""

    async def abuse(data, *lines):
        async with serving() as serve:
            return await exchange(serve, data, *lines)

    return abuse


async def exchange(serve, data, *lines):
    async with serve.peer(*lines) as peer:
        await peer.send(data)
        frames = []
        while not frames or frames[-1][0] != 0x88:
            frame = await peer.receive_frame()
            frames.append((frame.first, frame.payload))
        return frames


def close(code):
    return (0x88, code.to_bytes(2, "big"))


def codes(frames):
    """Return the frames, the close frame without its reason."""
    return [(first, payload[:2] if first == 0x88 else payload) for first, payload in frames]


async def test_a_frame_without_a_mask(abused):
    """Nothing of it is delivered."""
    assert codes(await abused(b"\x81\x02\x68\x69")) == [close(1002)]


@pytest.mark.parametrize(
    ("data", "lines"),
    [
        (b"\xc2\x82" + masked(b"hi"), []),
        (b"\xa2\x82" + masked(b"hi"), []),
        (b"\x92\x82" + masked(b"hi"), []),
        (b"\xa2\x82" + masked(b"hi"), [DEFLATE]),
        (b"\x92\x82" + masked(b"hi"), [DEFLATE]),
        (b"\x02\x82" + masked(b"hi") + b"\xc0\x80" + KEY, [DEFLATE]),
        (b"\xc9\x80" + KEY, [DEFLATE]),
    ],
    ids=["1", "2", "3", "2 deflate", "3 deflate", "1 continuation", "1 ping"],
)
async def test_reserved_bits(abused, data, lines):
    assert codes(await abused(data, *lines)) == [close(1002)]


@pytest.mark.parametrize(
    "data",
    [
        *(bytes((0x80 | opcode, 0x80)) + KEY for opcode in (3, 4, 5, 6, 7, 11, 12, 13, 14, 15)),
        b"\x89\xfe\x00\x7e" + masked(b"x" * 126),
        b"\x09\x80" + KEY,
        b"\x80\x80" + KEY,
        b"\x01\x82" + masked(b"hi") + b"\x81\x82" + masked(b"hi"),
    ],
    ids=[*"34567bcdef", "long ping", "ping without fin", "continuation first", "text inside"],
)
async def test_opcodes_and_fragmentation(abused, data):
    assert codes(await abused(data)) == [close(1002)]


BAD = [0, 999, 1004, 1005, 1006, 1015, 1016, 1100, 2999, 5000, 65535]
GOOD = [1000, 1001, 1002, 1003, *range(1007, 1015), 3000, 4999]


async def test_close_codes(serving):
    """Those that may stand in a close frame are echoed, the others and a single byte are violations."""
    async with serving() as serve:
        for code in BAD:
            data = b"\x88\x82" + masked(code.to_bytes(2, "big"))
            assert codes(await exchange(serve, data)) == [close(1002)], code
        assert codes(await exchange(serve, b"\x88\x81" + masked(b"\x03"))) == [close(1002)]
        for code in GOOD:
            data = b"\x88\x82" + masked(code.to_bytes(2, "big"))
            assert await exchange(serve, data) == [close(code)], code


async def test_a_close_reason_that_is_no_utf_8(abused):
    assert codes(await abused(b"\x88\x84" + masked(b"\x03\xe8\xff\xfe"))) == [close(1007)]


async def test_text_that_is_no_utf_8(serving):
    """In an unfinished message as soon as it is there, not when the message ends."""
    async with serving() as serve:
        data = b"\x81\x85" + masked(b"\xce\xba\xed\xa0\x80")
        assert codes(await exchange(serve, data)) == [close(1007)]
        assert codes(await exchange(serve, b"\x01\x8a" + masked(b"\xff" * 10))) == [close(1007)]


@pytest.mark.parametrize("length", [b"\xfe\x00\x05", b"\xff\x00\x00\x00\x00\x00\x00\x00\x05"])
async def test_a_length_that_is_not_minimal(abused, length):
    assert codes(await abused(b"\x81" + length + masked(b"Hello"))) == [close(1002)]


async def test_deflate_that_is_none(abused):
    assert codes(await abused(b"\xc1\x84" + masked(b"\xff\xff\xff\xff"), DEFLATE)) == [close(1007)]


def inflated(frames):
    """Return the payloads of the server's messages."""
    inflater = zlib.decompressobj(-15)
    payloads = []
    for first, payload in frames:
        compressed = first & 0x40
        data = inflater.decompress(payload + b"\x00\x00\xff\xff") if compressed else payload
        payloads.append((first & 0x0F, data))
    return payloads


async def echoes(abused, *messages):
    """Send compressed texts; return what came back."""
    data = b"".join(bytes((0xC1, 0x80 | len(each))) + masked(each) for each in messages)
    frames = await abused(data + b"\x88\x82" + masked(b"\x03\xe8"), DEFLATE)
    assert frames[-1] == close(1000)
    return [payload for opcode, payload in inflated(frames[:-1]) if opcode == 1]


def final(text):
    """Return text compressed with a final block, and the octet of RFC 7692, 7.2.3.4 behind it."""
    compressor = zlib.compressobj(wbits=-15)
    return compressor.compress(text) + compressor.flush(zlib.Z_FINISH) + b"\x00"


async def test_deflate_with_a_final_block_twice(abused):
    assert await echoes(abused, final(b"one"), final(b"two")) == [b"one", b"two"]


@pytest.mark.parametrize(
    ("messages", "expected"),
    [
        (["f2480500 0000ffff cac9c90700"], [b"Hello"]),
        (["f248cdc9c90700", "f200110000"], [b"Hello", b"Hello"]),
        (["00"], [b""]),
    ],
    ids=["two blocks", "shared window", "empty"],
)
async def test_deflate_of_the_rfc(abused, messages, expected):
    assert await echoes(abused, *map(bytes.fromhex, messages)) == expected


async def test_data_after_a_close_frame(serving):
    """It is ignored, and one close frame comes back."""
    async with serving() as serve, serve.peer() as peer:
        await peer.send(b"\x88\x82" + masked(b"\x03\xe8") + b"\x81\x82" + masked(b"hi") * 3)
        assert await peer.receive_close() == (1000, "")
        await peer.receive_eof()


async def test_a_message_and_the_end_of_tcp(serving):
    """The echo comes, then the end."""
    async with serving() as serve, serve.peer() as peer:
        await peer.send(b"\x81\x82" + masked(b"hi"))
        await peer.stream.send_eof()
        frame = await peer.receive_frame()
        assert (frame.first, frame.payload) == (0x81, b"hi")
        with contextlib.suppress(anyio.EndOfStream):
            frame = await peer.receive_frame()
            assert frame.first == 0x88
            await peer.receive_eof()


async def test_the_close_frame_of_a_violation_always_arrives(serving):
    """It does not race with the end of the socket."""
    arrived = []

    async def violate(serve):
        frames = await exchange(serve, b"\x83\x80" + KEY + b"\x82\xfe\x03\xe8" + bytes(4 + 1000))
        arrived.append(codes(frames))

    async with serving() as serve:
        for _ in range(10):
            async with anyio.create_task_group() as tg:
                for _ in range(10):
                    tg.start_soon(violate, serve)
        await serve.echoes()
    assert arrived == [[close(1002)]] * 100
