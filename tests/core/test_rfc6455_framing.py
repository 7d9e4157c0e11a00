"""Frames as they stand on the wire, in both roles, named by the section of RFC 6455 that demands it."""

import random

import pytest

from anyws._wire.header import frame
from anyws.core import outbound, rules
from anyws.core.connection import Connection
from anyws.core.deflate import Deflate
from anyws.enums import Opcode, Role
from anyws.limits import Limits

K4 = "01020304"
HELLO = "48656c6c6f"
OPCODES = (0x0, 0x1, 0x2, 0x8, 0x9, 0xA)


def server(deflate=None):
    return Connection(Role.SERVER, Limits(), deflate)


def client(deflate=None):
    return Connection(Role.CLIENT, Limits(), deflate)


def receive(connection, data, size=None):
    """Feed the bytes, in pieces of ``size`` if it is given, and return what came of them."""
    inbound = connection.inbound
    inbound.hungry = True
    size = size or len(data)
    for start in range(0, len(data), size):
        piece = bytearray(data[start : start + size])
        inbound.receive_data(piece, len(piece))
    return inbound


def from_hex(*parts):
    return bytes.fromhex("".join(parts))


def masked(first, payload=b"", key=bytes.fromhex(K4)):
    """A frame from a client, made without the code under test."""
    length = len(payload)
    if length < 126:
        head = bytes((first, 0x80 | length))
    elif length < 65536:
        head = bytes((first, 0xFE)) + length.to_bytes(2, "big")
    else:
        head = bytes((first, 0xFF)) + length.to_bytes(8, "big")
    return head + key + bytes(byte ^ key[i % 4] for i, byte in enumerate(payload))


def begun(opcode):
    """What must go before a frame for its opcode to be in place, masked and not."""
    return ("0280" + K4, "0200") if opcode == Opcode.CONTINUATION else ("", "")


# 5.1


@pytest.mark.parametrize("opcode", OPCODES)
def test_5_1_a_server_takes_no_frame_without_a_mask(opcode):
    before = "8181 00000000 61" + begun(opcode)[0]
    inbound = receive(server(), from_hex(before, f"{0x80 | opcode:02x}02", "03e8"))
    assert inbound.failure.rule is rules.MASK_MISSING
    assert (inbound.messages, inbound.pings, inbound.close) == (["a"], [], None)


@pytest.mark.parametrize("opcode", OPCODES)
def test_5_1_a_client_takes_no_frame_with_a_mask(opcode):
    before = "8101 61" + begun(opcode)[1]
    inbound = receive(client(), from_hex(before, f"{0x80 | opcode:02x}82", K4, "02ea"))
    assert inbound.failure.rule is rules.MASK_UNEXPECTED
    assert (inbound.messages, inbound.pings, inbound.close) == (["a"], [], None)


@pytest.mark.parametrize("key", ["00000000", K4, "ffffffff"])
def test_5_1_a_mask_of_any_value_is_a_mask(key):
    inbound = receive(server(), masked(0x81, b"Hello", bytes.fromhex(key)))
    assert inbound.messages == ["Hello"]


# 5.2


@pytest.mark.parametrize("bits", [0x10, 0x20, 0x40, 0x30, 0x50, 0x60, 0x70])
@pytest.mark.parametrize("opcode", OPCODES)
@pytest.mark.parametrize("role", list(Role))
def test_5_2_reserved_bits_without_an_extension(bits, opcode, role):
    first = f"{0x80 | bits | opcode:02x}"
    if role is Role.SERVER:
        inbound = receive(server(), from_hex(begun(opcode)[0], first, "80", K4))
    else:
        inbound = receive(client(), from_hex(begun(opcode)[1], first, "00"))
    assert inbound.failure.rule is rules.RESERVED_BITS
    assert (inbound.messages, inbound.pings, inbound.close) == ([], [], None)


@pytest.mark.parametrize("bits", [0x10, 0x20, 0x30, 0x50, 0x60, 0x70])
@pytest.mark.parametrize("opcode", OPCODES)
def test_5_2_reserved_bits_that_the_extension_does_not_define(bits, opcode):
    _, parameters = Deflate().accept([])
    first = f"{0x80 | bits | opcode:02x}"
    inbound = receive(server(parameters), from_hex(begun(opcode)[0], first, "80", K4))
    assert inbound.failure.rule is rules.RESERVED_BITS


@pytest.mark.parametrize("role", list(Role))
def test_5_2_we_set_no_reserved_bit(role):
    connection = Connection(role, Limits())
    out = connection.outbound
    frames = [
        *out.message(Opcode.TEXT, b"x" * 1000, True),
        *out.message(Opcode.BINARY, b"x" * 1000, None),
        *out.fragment(Opcode.TEXT, b"x", final=False, compress=True),
        *out.fragment(Opcode.CONTINUATION, b"x", final=True),
        out.control(Opcode.PING, b""),
        out.control(Opcode.PONG, b""),
        connection.send_close(1000),
    ]
    assert [data[0] for data in frames] == [0x81, 0x82, 0x01, 0x80, 0x89, 0x8A, 0x88]


@pytest.mark.parametrize("opcode", [*range(0x3, 0x8), *range(0xB, 0x10)])
@pytest.mark.parametrize("fin", [0x00, 0x80])
@pytest.mark.parametrize("within", [False, True])
def test_5_2_unknown_opcodes(opcode, fin, within):
    before = begun(Opcode.CONTINUATION) if within else ("", "")
    first = f"{fin | opcode:02x}"
    for inbound in (
        receive(server(), from_hex(before[0], first, "80", K4)),
        receive(client(), from_hex(before[1], first, "00")),
        # The first byte is enough.
        receive(server(), from_hex(before[0], first)),
    ):
        assert inbound.failure.rule is rules.OPCODE_UNKNOWN
        assert inbound.messages == []


@pytest.mark.parametrize(
    ("length", "header"),
    [
        (0, "00"), (1, "01"), (125, "7d"), (126, "7e007e"), (127, "7e007f"), (256, "7e0100"),
        (65535, "7effff"), (65536, "7f0000000000010000"), (65537, "7f0000000000010001"),
    ],
)  # fmt: skip
@pytest.mark.parametrize("size", [None, 997])
def test_5_2_the_length_in_its_three_forms(length, header, size):
    payload = random.Random(length).randbytes(length)
    assert receive(client(), from_hex("82", header) + payload, size).messages == [payload]
    assert masked(0x82, payload)[:2] == from_hex("82", f"{int(header[:2], 16) | 0x80:02x}")
    assert receive(server(), masked(0x82, payload), size).messages == [payload]


@pytest.mark.parametrize("size", [None, 1])
@pytest.mark.parametrize(
    "length",
    [
        *("7e0000", "7e0005", "7e007d", "7f0000000000000000", "7f000000000000007d"),
        *("7f000000000000007e", "7f0000000000000100", "7f000000000000ffff"),
    ],
)
def test_5_2_a_length_that_is_not_in_its_shortest_form(length, size):
    inbound = receive(client(), from_hex("82", length) + bytes(65536), size)
    assert inbound.failure.rule is rules.LENGTH_NOT_MINIMAL
    assert inbound.messages == []


@pytest.mark.parametrize("size", [None, 1])
@pytest.mark.parametrize("length", ["8000000000000000", "8000000000000005", "ffffffffffffffff"])
def test_5_2_a_length_with_its_highest_bit(length, size):
    for inbound in (
        receive(client(), from_hex("827f", length), size),
        receive(server(), from_hex("82ff", length), size),
    ):
        assert inbound.failure.rule is rules.LENGTH_TOO_LARGE


# 5.3


@pytest.mark.parametrize("size", [None, *range(1, 9)])
@pytest.mark.parametrize("length", [*range(20), 130])
def test_5_3_byte_i_is_unmasked_with_byte_i_modulo_4(length, size):
    payload = bytes(range(7, 7 + length))
    key = bytes.fromhex("a15b20c9")
    assert receive(server(), masked(0x82, payload, key), size).messages == [payload]
    assert frame(0x82, payload, key) == masked(0x82, payload, key)


def test_5_3_the_key_is_not_part_of_the_length():
    (data,) = client().outbound.message(Opcode.TEXT, b"Hello", None)
    assert data[:2] == b"\x81\x85"
    assert len(data) == 2 + 4 + 5


def test_5_3_the_keys_are_what_the_system_gives(monkeypatch):
    given = []

    def urandom(size):
        given.append(random.Random(len(given)).randbytes(size))
        return given[-1]

    outbound._keys.forget()
    monkeypatch.setattr(outbound.os, "urandom", urandom)
    try:
        out = client().outbound
        keys = [out.control(Opcode.PING, b"")[2:] for _ in range(3000)]
    finally:
        outbound._keys.forget()
    assert b"".join(given).startswith(b"".join(keys))


# 5.4


@pytest.mark.parametrize(
    "pieces",
    [["Hello"], ["Hel", "lo"], ["", "Hello"], ["Hello", ""], ["H", "", "e", "", "llo"], list("Hello"), ["", ""]],
)  # fmt: skip
@pytest.mark.parametrize("opcode", [0x1, 0x2])
@pytest.mark.parametrize("size", [None, 1, 3])
def test_5_4_where_a_message_is_cut_says_nothing(pieces, opcode, size):
    for role in Role:
        wire = b""
        for n, piece in enumerate(pieces):
            first = (0x80 if n == len(pieces) - 1 else 0) | (0 if n else opcode)
            payload = piece.encode()
            wire += masked(first, payload) if role is Role.SERVER else frame(first, payload, None)
        text = "".join(pieces)
        inbound = receive(Connection(role, Limits()), wire, size)
        assert inbound.messages == [text if opcode == 1 else text.encode()]
        assert inbound.message is None


def test_5_4_fragments_of_a_client():
    out = client().outbound
    frames = [
        *out.fragment(Opcode.BINARY, b"one", final=False),
        *out.fragment(Opcode.CONTINUATION, b"two", final=False),
        *out.fragment(Opcode.CONTINUATION, b"", final=True),
    ]
    assert [data[:2].hex() for data in frames] == ["0283", "0083", "8080"]
    assert receive(server(), b"".join(frames)).messages == [b"onetwo"]


@pytest.mark.parametrize("before", [0x01, 0x02])
@pytest.mark.parametrize("first", [0x01, 0x02, 0x81, 0x82])
@pytest.mark.parametrize("continued", [False, True])
def test_5_4_no_message_begins_within_another(before, first, continued):
    data = masked(before, b"a") + (masked(0x00, b"b") if continued else b"") + masked(first, b"c")
    inbound = receive(server(), data)
    assert inbound.failure.rule is rules.MESSAGE_INTERRUPTED
    assert inbound.messages == []


@pytest.mark.parametrize("first", [0x00, 0x80])
@pytest.mark.parametrize("before", ["", "8180" + K4, "0180" + K4 + "8080" + K4, "8980" + K4])
def test_5_4_nothing_is_continued_that_was_not_begun(first, before):
    inbound = receive(server(), from_hex(before) + masked(first, b"a"))
    assert inbound.failure.rule is rules.CONTINUATION_WITHOUT_MESSAGE


@pytest.mark.parametrize("size", [None, 1])
def test_5_4_control_frames_anywhere_in_a_message(size):
    ping, pong = masked(0x89, b"i"), masked(0x8A, b"o")
    data = (
        ping + masked(0x01, b"He") + ping + pong + masked(0x00, b"ll") + ping + masked(0x80, b"o")
    )
    inbound = receive(server(), data + pong, size)
    assert inbound.messages == ["Hello"]
    assert (inbound.pings, inbound.pongs) == ([b"i"] * 3, [b"o"] * 2)
    inbound = receive(server(), masked(0x01, b"He") + masked(0x88, b"\x03\xe9"), size)
    assert (inbound.close.code, inbound.messages) == (1001, [])


# 5.5


@pytest.mark.parametrize("first", [0x88, 0x89, 0x8A])
@pytest.mark.parametrize("length", ["7e0005", "7e007e", "7effff", "7f0000000000000005"])
def test_5_5_a_control_frame_has_no_longer_form_of_length(first, length):
    inbound = receive(client(), from_hex(f"{first:02x}", length, HELLO))
    assert inbound.failure.rule is rules.CONTROL_TOO_LONG


@pytest.mark.parametrize("size", [None, 1, 100])
def test_5_5_a_control_frame_of_125_bytes(size):
    payload = bytes(range(125))
    inbound = receive(server(), masked(0x89, payload) + masked(0x8A, payload), size)
    assert (inbound.pings, inbound.pongs) == ([payload], [payload])
    reason = "r" * 123
    inbound = receive(client(), from_hex("887d 03e8") + reason.encode(), size)
    assert (inbound.close.code, inbound.close.reason) == (1000, reason)


@pytest.mark.parametrize("first", [0x08, 0x09, 0x0A])
@pytest.mark.parametrize("within", [False, True])
def test_5_5_a_control_frame_without_fin(first, within):
    before = masked(0x01, b"a") if within else b""
    inbound = receive(server(), before + masked(first, b"\x03\xe8"))
    assert inbound.failure.rule is rules.CONTROL_FRAGMENTED
    assert (inbound.pings, inbound.pongs, inbound.close) == ([], [], None)


# 5.6

VALID = {
    "one to four bytes": "41 c3a9 e282ac f09f908d",
    "the smallest of each": "00 c280 e0a080 f0908080",
    "the largest of each": "7f dfbf efbfbf f48fbfbf",
    "around the surrogates": "ed9fbf ee8080",
    "no characters": "efbfbe efbfbf f09fbfbf",
}
INVALID = {
    "alone": "80", "too many": "c3a9a9", "overlong 2": "c080", "overlong 3": "e0809f",
    "overlong 4": "f0808080", "surrogate": "eda080", "a pair": "eda080edb080",
    "too high": "f4908080", "five bytes": "f888808080", "FE": "fe", "FF": "ff", "cut": "e282 41",
}  # fmt: skip


@pytest.mark.parametrize("text", VALID.values(), ids=VALID)
@pytest.mark.parametrize("size", [None, 1])
def test_5_6_text_may_be_cut_anywhere(text, size):
    payload = bytes.fromhex(text)
    for cut in range(len(payload) + 1):
        data = masked(0x01, payload[:cut]) + masked(0x80, payload[cut:])
        assert receive(server(), data, size).messages == [payload.decode()]


@pytest.mark.parametrize("text", INVALID.values(), ids=INVALID)
def test_5_6_what_is_no_utf_8_is_refused_wherever_it_is_cut(text):
    payload = b"ok " + bytes.fromhex(text)
    for data in (
        masked(0x81, payload),
        *(
            masked(0x01, payload[:cut]) + masked(0x80, payload[cut:])
            for cut in range(len(payload) + 1)
        ),
    ):
        inbound = receive(server(), data)
        assert inbound.failure.rule is rules.TEXT_NOT_UTF8
        assert inbound.messages == []
        assert receive(server(), data, 1).failure.rule is rules.TEXT_NOT_UTF8
    assert receive(server(), masked(0x82, payload)).messages == [payload]


# 5.7


def test_5_7_the_examples():
    assert receive(client(), from_hex("8105", HELLO)).messages == ["Hello"]
    wire = from_hex("818537fa213d7f9f4d5158")
    assert receive(server(), wire).messages == ["Hello"]
    assert frame(0x81, b"Hello", bytes.fromhex("37fa213d")) == wire
    assert receive(client(), from_hex("010348656c 80026c6f")).messages == ["Hello"]
    assert receive(client(), from_hex("8905", HELLO)).pings == [b"Hello"]
    wire = from_hex("8a8537fa213d7f9f4d5158")
    assert receive(server(), wire).pongs == [b"Hello"]
    assert frame(0x8A, b"Hello", bytes.fromhex("37fa213d")) == wire
    assert receive(client(), from_hex("827e0100") + bytes(256)).messages == [bytes(256)]
    wire = from_hex("827f0000000000010000") + bytes(65536)
    assert receive(client(), wire).messages == [bytes(65536)]
    assert b"".join(server().outbound.message(Opcode.BINARY, bytes(65536), None)) == wire
    assert server().outbound.message(Opcode.TEXT, b"Hello", None) == [from_hex("8105", HELLO)]
