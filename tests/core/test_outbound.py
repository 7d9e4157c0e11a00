"""Encoding frames: when a message goes compressed, and when a payload is not copied."""

import pytest

from anyws.core.deflate_streams import Deflater
from anyws.core.outbound import KEEP_COMPRESSOR, Outbound
from anyws.enums import Opcode

#: Bytes from which on header and payload are not joined.
JOIN_BELOW = 16384
HELLO = bytes.fromhex("f248cdc9c90700")
AGAIN = bytes.fromhex("f200110000")


def deflating(*, threshold=0, masked=False):
    return Outbound(masked=masked, deflater=Deflater("zlib", 6, 8, 15, True), threshold=threshold)


@pytest.mark.parametrize(
    ("size", "compress", "wanted"),
    [
        (99, None, False), (100, None, True), (101, None, True),
        (0, True, True), (99, True, True), (101, False, False), (0, False, False),
    ],
)  # fmt: skip
def test_compress_goes_before_the_threshold(size, compress, wanted):
    assert deflating(threshold=100).wants_deflate(size, compress) is wanted
    (data,) = deflating(threshold=100).message(Opcode.TEXT, b"x" * size, compress)
    assert data[0] == (0xC1 if wanted else 0x81)
    (data,) = deflating(threshold=100).fragment(
        Opcode.TEXT, b"x" * size, final=False, compress=compress
    )
    assert data[0] == (0x41 if wanted else 0x01)


@pytest.mark.parametrize("compress", [None, True, False])
def test_nothing_goes_compressed_that_was_not_agreed_on(compress):
    outbound = Outbound(masked=False)
    assert not outbound.wants_deflate(10**6, compress)
    assert outbound.message(Opcode.TEXT, b"Hello", compress) == [b"\x81\x05Hello"]


def test_the_threshold_looks_at_the_first_fragment_alone():
    outbound = deflating(threshold=5)
    frames = [
        *outbound.fragment(Opcode.TEXT, b"", final=False),
        *outbound.fragment(Opcode.CONTINUATION, b"Hello", final=True),
        *outbound.fragment(Opcode.TEXT, b"Hello", final=False),
        *outbound.fragment(Opcode.CONTINUATION, b"", final=True),
    ]
    # The end of the flush is held back, and then goes: the last frame is empty.
    packed = b"\x41\x07" + HELLO
    assert frames == [b"\x01\x00", b"\x80\x05Hello", packed, b"\x80\x00"]


def test_compress_counts_at_the_first_fragment_alone():
    outbound = deflating()
    frames = [
        *outbound.fragment(Opcode.BINARY, b"He", final=False, compress=False),
        *outbound.fragment(Opcode.CONTINUATION, b"llo", final=True, compress=True),
        *outbound.fragment(Opcode.BINARY, b"", final=False, compress=True),
        *outbound.fragment(Opcode.CONTINUATION, b"Hello", final=True, compress=False),
    ]
    assert frames == [b"\x02\x02He", b"\x80\x03llo", b"\x42\x00", b"\x80\x07" + HELLO]


def test_a_message_of_one_fragment_leaves_nothing_behind():
    outbound = deflating()
    frames = [
        *outbound.fragment(Opcode.TEXT, b"Hello", final=True),
        *outbound.fragment(Opcode.TEXT, b"Hello", final=True, compress=False),
        *outbound.message(Opcode.TEXT, b"Hello", None),
    ]
    assert frames == [b"\xc1\x07" + HELLO, b"\x81\x05Hello", b"\xc1\x05" + AGAIN]


def test_a_control_frame_between_fragments_leaves_the_compressor_alone():
    outbound = deflating()
    frames = [
        *outbound.fragment(Opcode.TEXT, b"He", final=False),
        outbound.control(Opcode.PING, b"Hello"),
        *outbound.fragment(Opcode.CONTINUATION, b"llo", final=True),
    ]
    assert [frame.hex() for frame in frames] == [
        "4104f2480500", "890548656c6c6f", "80090000ffffcac9c90700",
    ]  # fmt: skip


def test_a_large_payload_is_not_copied():
    payload = bytes(JOIN_BELOW)
    header, same = Outbound(masked=False).message(Opcode.BINARY, payload, None)
    assert header == bytes.fromhex("827e4000")
    assert same is payload
    header, same = Outbound(masked=False).fragment(Opcode.BINARY, payload, final=False)
    assert header == bytes.fromhex("027e4000")
    assert same is payload


@pytest.mark.parametrize(
    "text",
    ["", "H", "x" * 125, "x" * 126, "\0\x7f", "\x80", "é" * 63, "日本", "\U0001f600"]
    + ["x" * (JOIN_BELOW - 1), "x" * JOIN_BELOW, "x" * 65536, "é" * JOIN_BELOW],
)
def test_a_text_goes_as_its_bytes(text):
    """Compiled, one of ASCII is not made bytes before it is in a frame."""
    payload = text.encode()
    plain = Outbound(masked=False)
    frames = plain.message(Opcode.TEXT, plain.text_payload(text), None)
    assert frames == plain.message(Opcode.TEXT, payload, None)
    assert all(type(frame) is bytes for frame in frames)
    masked = Outbound(masked=True)
    (data,) = masked.message(Opcode.TEXT, masked.text_payload(text), None)
    start = len(data) - len(payload)
    key = data[start - 4 : start]
    assert bytes(byte ^ key[i % 4] for i, byte in enumerate(data[start:])) == payload
    packed = deflating()
    assert packed.message(Opcode.TEXT, packed.text_payload(text), True) == (
        deflating().message(Opcode.TEXT, payload, True)
    )


def test_a_text_without_an_encoding():
    with pytest.raises(UnicodeEncodeError):
        Outbound(masked=False).text_payload("a\ud800")


@pytest.mark.parametrize("size", [JOIN_BELOW - 1, JOIN_BELOW])
def test_what_is_small_or_masked_goes_in_one_piece(size):
    (data,) = Outbound(masked=True).message(Opcode.BINARY, bytes(size), None)
    assert len(data) == 4 + 4 + size
    # Zeros, masked, are the key itself.
    assert data[8:] == (data[4:8] * (size // 4 + 1))[:size]
    frames = Outbound(masked=False).message(Opcode.BINARY, bytes(size), None)
    assert len(frames) == (1 if size < JOIN_BELOW else 2)


def test_a_compressor_is_given_back_when_it_was_not_used_for_long():
    """It shows in what it writes: only one that was kept refers to the message before."""
    outbound = deflating()

    def hello():
        return outbound.message(Opcode.TEXT, b"Hello", None)[0][2:]

    assert [hello(), hello()] == [HELLO, AGAIN]
    outbound.rest(KEEP_COMPRESSOR - 1)
    assert hello() != HELLO
    outbound.rest(KEEP_COMPRESSOR - 1)
    assert hello() != HELLO
    outbound.rest(KEEP_COMPRESSOR - 1)
    outbound.rest(1)
    assert [hello(), hello()] == [HELLO, AGAIN]


def test_a_compressor_is_kept_within_a_message():
    outbound = deflating()
    outbound.message(Opcode.TEXT, b"Hello", None)
    outbound.fragment(Opcode.TEXT, b"", final=False)
    outbound.rest(KEEP_COMPRESSOR + 1)
    (frame,) = outbound.fragment(Opcode.CONTINUATION, b"Hello", final=True)
    assert frame[2:] == AGAIN
    outbound.rest(KEEP_COMPRESSOR - 1)
    assert outbound.message(Opcode.TEXT, b"Hello", None)[0][2:] != HELLO


def test_rest_without_compression():
    outbound = Outbound(masked=False)
    outbound.rest(KEEP_COMPRESSOR)
    assert outbound.message(Opcode.TEXT, b"Hello", None) == [b"\x81\x05Hello"]


@pytest.mark.parametrize("how", ["long", "in fragments"])
def test_the_compressor_rests_after_every_kind_of_message(how):
    deflater = Deflater("zlib", 6, 8, 15, True)
    outbound = Outbound(masked=False, deflater=deflater, threshold=0)
    if how == "long":
        outbound.compress_ahead(b"x" * 70000)
        outbound.message(Opcode.TEXT, b"rest", True)
    else:
        outbound.fragment(Opcode.TEXT, b"Hello", final=False)
        outbound.fragment(Opcode.CONTINUATION, b"", final=True)
    outbound.rest(KEEP_COMPRESSOR)
    assert deflater._compressor is None
