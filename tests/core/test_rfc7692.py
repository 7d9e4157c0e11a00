"""permessage-deflate on the wire, named by the section of RFC 7692 that demands it."""

import random
import zlib

import pytest

from anyws.core import rules
from anyws.core.connection import Connection
from anyws.core.deflate import Deflate
from anyws.enums import Opcode, Role
from anyws.limits import Limits

BOTH = pytest.mark.parametrize("role", list(Role), ids=["client", "server"])

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


def theirs(role, first, payload):
    """A frame from the peer of ``role``."""
    return bytes((first, len(payload))) + payload if role is Role.CLIENT else masked(first, payload)


def payload_of(data):
    """The payload of one frame of ours, its mask taken off."""
    start = 2 + {126: 2, 127: 8}.get(data[1] & 0x7F, 0)
    if not data[1] & 0x80:
        return data[start:]
    key, payload = data[start : start + 4], data[start + 4 :]
    return bytes(byte ^ key[i % 4] for i, byte in enumerate(payload))


def sent(connection, message, opcode=Opcode.BINARY):
    """The payload of a message of ours."""
    return payload_of(b"".join(connection.outbound.message(opcode, message, None)))


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


@BOTH
@pytest.mark.parametrize("opcode", [Opcode.TEXT, Opcode.BINARY])
def test_6_1_the_opcode_is_that_of_the_message(role, opcode):
    link = connection(role)
    (frame,) = link.outbound.message(opcode, b"Hello", None)
    assert frame[0] == 0xC0 | opcode
    assert payload_of(frame) == bytes.fromhex("f248cdc9c90700")
    inbound = receive(link, theirs(role, 0xC0 | opcode, bytes.fromhex("f248cdc9c90700")))
    assert inbound.messages == ["Hello" if opcode is Opcode.TEXT else b"Hello"]


@BOTH
@pytest.mark.parametrize("first", [0xC1, 0x41])
def test_6_1_text_is_utf_8_before_it_is_compressed_and_not_after(role, first):
    """The compressed bytes need not be UTF-8; what they inflate to must, as early as it is known."""
    compressor = zlib.compressobj(0, zlib.DEFLATED, -15)
    bad = compressor.compress(b"ok\xff") + compressor.flush(zlib.Z_SYNC_FLUSH)
    inbound = receive(connection(role), theirs(role, first, bad[:-4]))
    assert inbound.failure.rule is rules.TEXT_NOT_UTF8
    compressor = zlib.compressobj(9, zlib.DEFLATED, -15)
    good = compressor.compress("é€".encode()) + compressor.flush(zlib.Z_SYNC_FLUSH)
    with pytest.raises(UnicodeDecodeError):
        good[:-4].decode()
    assert receive(connection(role), theirs(role, 0xC1, good[:-4])).messages == ["é€"]


@BOTH
def test_6_2_control_frames_between_compressed_fragments_go_as_they_are(role):
    inbound = receive(
        connection(role),
        theirs(role, 0x41, bytes.fromhex("f248cd")),
        theirs(role, 0x89, b"Hello"),
        theirs(role, 0x80, bytes.fromhex("c9c90700")),
        theirs(role, 0x8A, bytes.fromhex("f248cd")),
    )
    assert (inbound.messages, inbound.pings) == (["Hello"], [b"Hello"])
    assert inbound.pongs == [bytes.fromhex("f248cd")]


# 7.2.1 and 7.2.2: who keeps to what


def linked(role, server_bits, client_bits, *, server_takeover=True, client_takeover=True):
    settings = Deflate(
        threshold=0,
        server_max_window_bits=server_bits,
        client_max_window_bits=client_bits,
        server_context_takeover=server_takeover,
        client_context_takeover=client_takeover,
    )
    _, parameters = settings.accept([("client_max_window_bits", None)])
    return Connection(role, Limits(), parameters)


@BOTH
@pytest.mark.parametrize(("server_bits", "client_bits"), [(9, 15), (15, 9)])
def test_7_2_1_each_side_keeps_to_its_own_window(role, server_bits, client_bits):
    block = random.Random(7).randbytes(700)
    packed = sent(linked(role, server_bits, client_bits), block + block)
    ours = server_bits if role is Role.SERVER else client_bits
    # 700 bytes back is out of reach of 512; nothing is gained from the repetition.
    assert (len(packed) < 1000) is (ours == 15)


@BOTH
@pytest.mark.parametrize(("server", "client"), [(False, True), (True, False)])
def test_7_2_1_each_side_gives_up_its_own_context(role, server, client):
    link = linked(role, 15, 15, server_takeover=server, client_takeover=client)
    first, second = sent(link, b"Hello, Hello"), sent(link, b"Hello, Hello")
    takeover = server if role is Role.SERVER else client
    assert (len(second) < len(first)) is takeover
    assert (first == second) is not takeover


@BOTH
@pytest.mark.parametrize("distance", [500, 4000, 32000])
def test_7_2_2_without_an_agreement_the_whole_window_can_be_read(role, distance):
    """The other side said nothing, so it may look back 32 768 bytes, also into earlier messages."""
    settings = Deflate()
    parameters = settings.confirm([]) if role is Role.CLIENT else settings.accept([])[1]
    link = Connection(role, Limits(), parameters)
    block = random.Random(8).randbytes(distance)
    compressor = zlib.compressobj(9, zlib.DEFLATED, -15)
    for _ in range(2):
        packed = compressor.compress(block) + compressor.flush(zlib.Z_SYNC_FLUSH)
        half = len(packed) // 2
        pieces = [packed[:half], packed[half:-4]]
        for first, piece in zip((0x42, 0x80), pieces, strict=True):
            header = 0 if role is Role.CLIENT else 0x80
            head = bytes((first, header | 126)) + len(piece).to_bytes(2, "big")
            if len(piece) < 126:
                head = bytes((first, header | len(piece)))
            receive(link, head + bytes(4 if header else 0) + piece)
    assert link.inbound.messages == [block, block]


def test_7_2_1_parts_of_a_message_keep_their_tails():
    """Only the end of the message loses 00 00 FF FF; the end of a fragment goes with the next."""
    outbound = connection().outbound
    frames = [
        *outbound.fragment(Opcode.TEXT, b"He", final=False),
        *outbound.fragment(Opcode.CONTINUATION, b"llo", final=True),
    ]
    assert [frame.hex() for frame in frames] == ["4104f2480500", "80090000ffffcac9c90700"]


# 7.2.3: the examples

HELLO = "f248cdc9c90700"
EXAMPLES = {
    "7.2.3.1": ([("c1", HELLO)], ["Hello"]),
    "7.2.3.1 in two frames": ([("41", "f248cd"), ("80", "c9c90700")], ["Hello"]),
    "7.2.3.2": ([("c1", HELLO), ("c1", "f200110000")], ["Hello", "Hello"]),
    "7.2.3.2 without": ([("c1", HELLO), ("c1", HELLO)], ["Hello", "Hello"]),
    "7.2.3.3": ([("c1", "000500faff48656c6c6f00")], ["Hello"]),
    "7.2.3.4": ([("c1", "f348cdc9c9070000")], ["Hello"]),
    "7.2.3.4 twice": ([("c1", "f348cdc9c9070000")] * 2, ["Hello"] * 2),
    "7.2.3.4 and on": ([("c1", "f348cdc9c9070000"), ("c1", "f200110000")], ["Hello"] * 2),
    "7.2.3.5": ([("c1", "f248050000 00ffffcac9c90700")], ["Hello"]),
    "7.2.3.6": ([("41", HELLO + "0000ffff"), ("80", "00")], ["Hello"]),
    "7.2.3.6 alone": ([("c1", "00"), ("c1", HELLO), ("c1", "00")], ["", "Hello", ""]),
}


@BOTH
@pytest.mark.parametrize("size", [None, 1, 3])
@pytest.mark.parametrize(("frames", "messages"), EXAMPLES.values(), ids=EXAMPLES)
def test_7_2_3_the_examples_are_read(role, size, frames, messages):
    data = b"".join(
        theirs(role, int(first, 16), bytes.fromhex(payload)) for first, payload in frames
    )
    size = size or len(data)
    pieces = [data[start : start + size] for start in range(0, len(data), size)]
    assert receive(connection(role), *pieces).messages == messages


@BOTH
def test_7_2_3_the_examples_are_written(role):
    out = connection(role).outbound
    two = [out.message(Opcode.TEXT, b"Hello", None)[0] for _ in range(2)]
    assert [payload_of(frame).hex() for frame in two] == [HELLO, "f200110000"]
    assert payload_of(out.message(Opcode.TEXT, b"", True)[0]) == b"\0"
    _, parameters = Deflate(threshold=0, level=0).accept([])
    (frame,) = Connection(role, Limits(), parameters).outbound.message(Opcode.TEXT, b"Hello", None)
    assert payload_of(frame).hex() == "000500faff48656c6c6f00"
    out = connection(role).outbound
    frames = [
        *out.fragment(Opcode.TEXT, b"Hello", final=False),
        *out.fragment(Opcode.CONTINUATION, b"", final=True),
    ]
    assert b"".join(map(payload_of, frames)).hex() == HELLO
