"""Messages and the frames that carry them (RFC 6455, section 6), byte by byte in both roles."""

import pytest

from anyws.core import rules
from anyws.core.connection import Connection
from anyws.core.message import Discard
from anyws.enums import Opcode, Role, State
from anyws.limits import Limits

BOTH = pytest.mark.parametrize("role", list(Role), ids=["client", "server"])
OTHER = {Role.CLIENT: Role.SERVER, Role.SERVER: Role.CLIENT}


def connection(role, **limits):
    return Connection(role, Limits(**limits))


def receive(connection, data, size=None):
    connection.inbound.hungry = True
    size = size or max(1, len(data))
    for start in range(0, len(data), size):
        piece = bytearray(data[start : start + size])
        connection.inbound.receive_data(piece, len(piece))
    return connection.inbound


def plain(role, data):
    """One frame of ours with a short length, its mask taken off, as hexadecimal digits."""
    if role is Role.SERVER:
        return data.hex()
    assert data[1] & 0x80
    key, payload = data[2:6], data[6:]
    assert len(payload) == data[1] & 0x7F
    unmasked = bytes(byte ^ key[i % 4] for i, byte in enumerate(payload))
    return (bytes((data[0], data[1] & 0x7F)) + unmasked).hex()


def theirs(role, first, payload=b""):
    """A frame with a short length, from the peer of ``role``."""
    if role is Role.CLIENT:
        return bytes((first, len(payload))) + payload
    key = b"\xde\xad\xbe\xef"
    masked = bytes(byte ^ key[i % 4] for i, byte in enumerate(payload))
    return bytes((first, 0x80 | len(payload))) + key + masked


# 6.1


@BOTH
@pytest.mark.parametrize(
    ("opcode", "payload", "wire"),
    [(Opcode.TEXT, b"Hello", "810548656c6c6f"), (Opcode.TEXT, b"", "8100"),
     (Opcode.BINARY, b"\x00\xff", "820200ff"), (Opcode.BINARY, b"", "8200")],
)  # fmt: skip
def test_6_1_a_message_in_one_frame(role, opcode, payload, wire):
    frames = connection(role).outbound.message(opcode, payload, None)
    assert plain(role, b"".join(frames)) == wire


@BOTH
@pytest.mark.parametrize(("opcode", "first"), [(Opcode.TEXT, "01"), (Opcode.BINARY, "02")])
def test_6_1_a_message_in_several_frames(role, opcode, first):
    out = connection(role).outbound
    frames = [
        *out.fragment(opcode, b"a", final=False),
        out.control(Opcode.PING, b"p"),
        *out.fragment(Opcode.CONTINUATION, b"", final=False),
        *out.fragment(Opcode.CONTINUATION, b"bc", final=True),
        *out.fragment(opcode, b"d", final=True),
    ]
    wire = [f"{first}0161", "890170", "0000", "80026263", f"8{first[1]}0164"]
    assert [plain(role, data) for data in frames] == wire


@BOTH
@pytest.mark.parametrize("length", [0, 1, 125, 126, 16383, 16384, 65535, 65536, 200_000])
def test_6_1_what_one_side_sends_the_other_receives(role, length):
    payload = bytes(range(256)) * (length // 256 + 1)
    payload = payload[:length]
    ours, other = connection(role), connection(OTHER[role])
    wire = b"".join(ours.outbound.message(Opcode.BINARY, payload, None))
    wire += b"".join(ours.outbound.message(Opcode.TEXT, b"x" * length, None))
    assert receive(other, wire, 50_000).messages == [payload, "x" * length]


@BOTH
def test_6_1_the_state_says_when_messages_may_be_sent(role):
    """The writer asks for OPEN before each frame; this is when it is no longer so."""
    ours = connection(role)
    assert ours.state is State.OPEN
    ours.send_close(1000)
    assert ours.state is State.CLOSING
    ours.lose()
    assert ours.state is State.CLOSED
    ours = connection(role)
    receive(ours, theirs(role, 0x88))
    ours.reach_end()
    assert ours.state is State.CLOSED


# 6.2


@BOTH
@pytest.mark.parametrize("size", [None, 1, 2, 5])
def test_6_2_the_type_is_that_of_the_first_frame(role, size):
    data = (
        theirs(role, 0x01, b"a") + theirs(role, 0x80, b"b")
        + theirs(role, 0x02, b"c") + theirs(role, 0x00, b"d") + theirs(role, 0x80, b"e")
        + theirs(role, 0x81, b"f") + theirs(role, 0x82, b"g")
        + theirs(role, 0x82) + theirs(role, 0x81)
    )  # fmt: skip
    messages = receive(connection(role), data, size).messages
    assert messages == ["ab", b"cde", "f", b"g", b"", ""]
    assert [type(message) for message in messages] == [str, bytes, str, bytes, bytes, str]


@BOTH
def test_6_2_what_follows_the_last_fragment_is_a_new_message(role):
    inbound = receive(
        connection(role),
        theirs(role, 0x01, b"a") + theirs(role, 0x80, b"b") + theirs(role, 0x01, b"c"),
    )
    assert inbound.messages == ["ab"]
    assert (inbound.message.kind, inbound.message.held) == (Opcode.TEXT, 1)
    assert receive_more(inbound, theirs(role, 0x80, b"d")) == ["ab", "cd"]


def receive_more(inbound, data):
    inbound.receive_data(bytearray(data), len(data))
    return inbound.messages


@BOTH
@pytest.mark.parametrize("size", [1, 3, 7, 64])
def test_6_2_frames_are_found_however_the_bytes_come(role, size):
    payloads = [bytes((n,)) * n for n in range(60)]
    data = b"".join(theirs(role, 0x82, payload) for payload in payloads)
    assert receive(connection(role), data, size).messages == payloads


@BOTH
def test_6_2_half_a_frame_is_no_message(role):
    whole = theirs(role, 0x81, b"Hello") + theirs(role, 0x02, b"a") + theirs(role, 0x80, b"b")
    first = len(theirs(role, 0x81, b"Hello"))
    for end in range(len(whole)):
        inbound = receive(connection(role), whole[:end])
        assert inbound.messages == (["Hello"] if end >= first else [])
        assert inbound.failure is None
    assert receive(connection(role), whole).messages == ["Hello", b"ab"]


@pytest.mark.parametrize("size", [None, 1, 3])
def test_6_2_a_server_takes_off_the_mask_of_every_frame_on_its_own(size):
    # Two keys, and a payload whose length is no multiple of 4.
    data = bytes.fromhex("01833132333479575f 8085010203046d6d23736e 8a82102030407f59")
    inbound = receive(connection(Role.SERVER), data, size)
    assert inbound.messages == ["Hello wo"]
    assert inbound.pongs == [b"oy"]


@BOTH
@pytest.mark.parametrize("size", [None, 1])
def test_6_2_a_message_that_is_read_while_it_comes_obeys_the_same_rules(role, size):
    """Handed to a sink, the bytes are counted and validated as they would be otherwise."""
    ours = connection(role)
    receive(ours, theirs(role, 0x01, b"a\xc3"))
    ours.inbound.message.attach(Discard())
    assert receive(ours, theirs(role, 0x00, b"\xa9"), size).failure is None
    inbound = receive(ours, theirs(role, 0x00, b"\xff"), size)
    assert inbound.failure.rule is rules.TEXT_NOT_UTF8
