"""permessage-deflate on the wire, named by the section of RFC 7692 that demands it."""

import zlib

import pytest

from anyws.core import rules
from anyws.core.connection import Connection
from anyws.core.deflate import Deflate
from anyws.enums import Opcode, Role
from anyws.limits import Limits

SNCT, CNCT = ("server_no_context_takeover", None), ("client_no_context_takeover", None)
SETTINGS = Deflate(threshold=0, server_max_window_bits=15, client_max_window_bits=15, level=6)


def connection(role=Role.SERVER, *offer):
    _, parameters = SETTINGS.accept(list(offer))
    return Connection(role, Limits(), parameters)


def receive(connection, *frames):
    inbound = connection.inbound
    inbound.hungry = True
    for data in frames:
        buffer = bytearray(data)
        inbound.receive_data(buffer, len(buffer))
    return inbound


def masked(first, payload):
    return bytes((first, 0x80 | len(payload))) + bytes(4) + payload


def inflate(payload):
    return zlib.decompressobj(-15).decompress(payload + b"\0\0\xff\xff")


def test_6_1_rsv1_marks_a_compressed_message():
    (frame,) = connection().outbound.message(Opcode.TEXT, b"Hello", None)
    assert frame[0] == 0xC1
    assert inflate(frame[2:]) == b"Hello"


def test_6_1_a_message_that_goes_as_it_is_has_no_rsv1():
    (frame,) = connection().outbound.message(Opcode.TEXT, b"Hello", False)
    assert frame == b"\x81\x05Hello"


def test_6_1_rsv1_marks_the_first_fragment_alone():
    outbound = connection().outbound
    frames = [
        *outbound.fragment(Opcode.TEXT, b"Hel", final=False),
        *outbound.fragment(Opcode.CONTINUATION, b"l", final=False),
        *outbound.fragment(Opcode.CONTINUATION, b"o", final=True),
    ]
    assert [frame[0] for frame in frames] == [0x41, 0x00, 0x80]
    assert inflate(b"".join(frame[2:] for frame in frames)) == b"Hello"


def test_6_1_control_frames_are_not_compressed():
    link = connection()
    assert link.outbound.control(Opcode.PING, b"Hello") == b"\x89\x05Hello"
    assert link.send_close(1000, "Hello") == b"\x88\x07\x03\xe8Hello"


@pytest.mark.parametrize("first", [0xC9, 0xCA, 0xC8])
def test_6_2_rsv1_on_a_control_frame_ends_the_connection(first):
    inbound = receive(connection(), masked(first, b""))
    assert inbound.failure.rule is rules.RESERVED_BITS


def test_6_2_rsv1_on_a_later_fragment_ends_the_connection():
    inbound = receive(connection(), masked(0x41, b"\xf2\x48"), masked(0xC0, b"\xcd\xc9\xc9\x07\0"))
    assert inbound.failure.rule is rules.RESERVED_BITS


def test_6_2_messages_with_and_without_compression_take_turns():
    inbound = receive(
        connection(),
        masked(0xC1, bytes.fromhex("f248cdc9c90700")),
        masked(0x81, b"plain"),
        masked(0xC1, bytes.fromhex("f200110000")),
    )
    assert inbound.messages == ["Hello", "plain", "Hello"]


def test_7_1_1_1_without_context_takeover_messages_stand_alone():
    outbound = connection(Role.SERVER, SNCT).outbound
    frames = [outbound.message(Opcode.TEXT, b"Hello", None)[0] for _ in range(3)]
    assert len(set(frames)) == 1
    outbound = connection().outbound
    frames = [outbound.message(Opcode.TEXT, b"Hello Hello", None)[0] for _ in range(2)]
    assert len(frames[1]) < len(frames[0])


def test_7_1_1_2_a_client_gives_up_its_context_when_told():
    settings = Deflate(threshold=0)
    link = Connection(Role.CLIENT, Limits(), settings.confirm([CNCT]))
    payloads = set()
    for _ in range(3):
        (frame,) = link.outbound.message(Opcode.TEXT, b"Hello Hello", None)
        key = frame[2:6]
        payloads.add(bytes(byte ^ key[i % 4] for i, byte in enumerate(frame[6:])))
    assert len(payloads) == 1


@pytest.mark.parametrize("payload", [b"Hello", b"Hello" * 1000, bytes(70000)])
def test_7_2_1_the_tail_of_the_flush_is_left_out(payload):
    data = b"".join(connection().outbound.message(Opcode.BINARY, payload, None))
    assert not data.endswith(b"\0\0\xff\xff")
    header = {1: 2, 126: 4, 127: 10}[min(data[1], 126) if data[1] > 125 else 1]
    assert inflate(data[header:]) == payload


def test_7_2_3_6_an_empty_message():
    (frame,) = connection().outbound.message(Opcode.TEXT, b"", True)
    assert frame == b"\xc1\x01\0"


@pytest.mark.parametrize("size", [1, 1000])
def test_7_2_3_4_a_final_block_does_not_end_the_connection(size):
    """What a sender that finishes its stream each time writes: the next message must not get lost."""
    packed = []
    for text in (b"one", b"two", b"three"):
        compressor = zlib.compressobj(6, zlib.DEFLATED, -15)
        packed.append(masked(0xC1, compressor.compress(text) + compressor.flush() + b"\0"))
    data = b"".join(packed)
    pieces = [data[start : start + size] for start in range(0, len(data), size)]
    assert receive(connection(), *pieces).messages == ["one", "two", "three"]


@pytest.mark.parametrize("data", [b"\xff\xff\xff\xff", b"\x07", b"\x05\xe0"])
def test_7_2_2_bad_data_ends_the_connection(data):
    inbound = receive(connection(), masked(0xC1, data))
    assert inbound.failure.rule is rules.COMPRESSED_DATA_INVALID
    assert inbound.messages == []
