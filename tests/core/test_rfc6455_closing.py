"""The end of a connection, byte by byte in both roles, named by the section of RFC 6455."""

import pytest

from anyws.core import rules
from anyws.core.connection import Connection
from anyws.enums import CloseCode, Opcode, Role, State
from anyws.errors import Close, CloseCause, ConnectionClosedError, ConnectionClosedOK
from anyws.limits import Limits

BOTH = pytest.mark.parametrize("role", list(Role), ids=["client", "server"])


class Side:
    """One side of a connection; the peer's frames are masked when the role asks for it."""

    def __init__(self, role):
        self.connection = Connection(role, Limits())
        self.masked = role is Role.SERVER

    def receive(self, *frames, size=None):
        data = b"".join(self.frame(*frame) for frame in frames)
        return self.receive_bytes(data, size)

    def receive_bytes(self, data, size=None):
        inbound = self.connection.inbound
        inbound.hungry = True
        for start in range(0, len(data), size or len(data)):
            piece = bytearray(data[start : start + (size or len(data))])
            inbound.receive_data(piece, len(piece))
        return inbound

    def frame(self, first, payload=b""):
        if self.masked:
            return bytes((first, 0x80 | len(payload))) + bytes(4) + payload
        return bytes((first, len(payload))) + payload

    def sent(self, data):
        """What we sent, unmasked, as hexadecimal digits."""
        assert bool(data[1] & 0x80) is not self.masked
        if self.masked:
            return data.hex()
        key, payload = data[2:6], data[6:]
        plain = bytes(byte ^ key[i % 4] for i, byte in enumerate(payload))
        return (bytes((data[0], data[1] & 0x7F)) + plain).hex()


# 5.5.1


@BOTH
@pytest.mark.parametrize(
    ("code", "reason", "wire"),
    [(1005, "", "8800"), (1000, "", "880203e8"), (1001, "bye", "880503e9627965"),
     (4999, "é", "88041387c3a9"), (1000, "r" * 123, "887d03e8" + "72" * 123)],
)  # fmt: skip
def test_5_5_1_our_close_frame(role, code, reason, wire):
    side = Side(role)
    assert side.sent(side.connection.send_close(code, reason)) == wire
    assert side.connection.sent == Close(code, reason)


@BOTH
@pytest.mark.parametrize("reason", ["r" * 124, "é" * 62, "\ud800"])
def test_5_5_1_a_reason_that_cannot_be_sent(role, reason):
    side = Side(role)
    with pytest.raises(ValueError, match=r"123|surrogates"):
        side.connection.send_close(1000, reason)
    assert (side.connection.sent, side.connection.state) == (None, State.OPEN)


@BOTH
@pytest.mark.parametrize("size", [None, 1])
@pytest.mark.parametrize(
    ("payload", "close"),
    [(b"", Close(1005)), (b"\x03\xe8", Close(1000)), (b"\x03\xe9bye", Close(1001, "bye")),
     (b"\x13\x87\xc3\xa9", Close(4999, "é")), (b"\x0b\xb8" + b"r" * 123, Close(3000, "r" * 123))],
)  # fmt: skip
def test_5_5_1_the_peers_close_frame(role, size, payload, close):
    side = Side(role)
    assert side.receive((0x88, payload), size=size).close == close
    # Until the application comes to it, the connection is open.
    assert side.connection.state is State.OPEN
    answer = side.sent(side.connection.reach_end())
    code = payload[:2].hex()
    assert answer == f"880{len(code) // 2}{code}"
    assert (side.connection.received, side.connection.state) == (close, State.CLOSED)
    assert side.connection.reach_end() == b""


@BOTH
def test_5_5_1_one_byte_is_no_code(role):
    for first in range(256):
        inbound = Side(role).receive((0x88, bytes((first,))))
        assert inbound.failure.rule is rules.CLOSE_PAYLOAD_TOO_SHORT
        assert inbound.close is None


@BOTH
@pytest.mark.parametrize("reason", ["fffe", "c3", "eda080", "80", "f4908080", "6f6bc0af"])
def test_5_5_1_a_reason_that_is_not_utf_8(role, reason):
    side = Side(role)
    inbound = side.receive((0x88, b"\x03\xe8" + bytes.fromhex(reason)))
    assert inbound.failure.rule is rules.TEXT_NOT_UTF8
    assert side.sent(side.connection.reach_end())[4:8] == "03ef"
    assert side.connection.received is None


@BOTH
def test_5_5_1_close_frames_that_cross(role):
    side = Side(role)
    assert side.sent(side.connection.send_close(1000, "ours")) == "880603e86f757273"
    side.receive((0x88, b"\x03\xe9theirs"))
    assert side.connection.reach_end() == b""
    assert side.connection.state is State.CLOSED
    assert side.connection.received == Close(1001, "theirs")


@BOTH
def test_5_5_1_messages_before_the_answer_to_our_close_frame_still_count(role):
    side = Side(role)
    side.connection.send_close(1000)
    inbound = side.receive((0x81, b"a"), (0x89, b"ping"), (0x82, b"b"), (0x88, b"\x03\xe8"))
    assert inbound.messages == ["a", b"b"]
    assert inbound.close == Close(1000)


@BOTH
@pytest.mark.parametrize("size", [None, 1])
def test_5_5_1_nothing_counts_behind_the_peers_close_frame(role, size):
    side = Side(role)
    wrong = [(0x83, b""), (0x80, b""), (0x88, b"\x03"), (0xF1, b"x")]
    late = [(0x81, b"late"), (0x89, b"late"), (0x88, b"\x03\xe9")]
    inbound = side.receive((0x88, b"\x03\xe8"), *late, *wrong, size=size)
    assert (inbound.close, inbound.failure) == (Close(1000), None)
    assert (inbound.messages, inbound.pings) == ([], [])
    assert side.sent(side.connection.reach_end()) == "880203e8"
    side.receive(*late)
    assert side.connection.reach_end() == b""
    assert side.connection.received == Close(1000)


# 7.1.5 and 7.1.6


@BOTH
@pytest.mark.parametrize(
    ("payload", "code", "reason"),
    [(b"", 1005, ""), (b"\x03\xe8", 1000, ""), (b"\x0f\xa1why", 4001, "why")],
)
def test_7_1_5_code_and_reason_are_those_of_the_peers_close_frame(role, payload, code, reason):
    side = Side(role)
    side.connection.send_close(1011, "ours")
    side.receive((0x88, payload), (0x88, b"\x03\xf3second"))
    side.connection.reach_end()
    error = side.connection.closed_error()
    assert (error.code, error.reason) == (code, reason)


@BOTH
@pytest.mark.parametrize("closing", [False, True])
def test_7_1_5_without_a_close_frame_the_code_is_1006(role, closing):
    side = Side(role)
    if closing:
        side.connection.send_close(1000)
    side.connection.lose()
    error = side.connection.closed_error()
    assert isinstance(error, ConnectionClosedError)
    assert (error.code, error.reason, error.received) == (1006, "", None)


@BOTH
def test_7_1_4_a_connection_is_closed_cleanly_after_both_close_frames(role):
    side = Side(role)
    side.receive((0x88, b"\x03\xe8"))
    side.connection.reach_end()
    assert isinstance(side.connection.closed_error(), ConnectionClosedOK)


# 7.1.7

FAILURES = {
    "reserved bit": ((0xB1, b"x"), 1002),
    "opcode": ((0x8B, b""), 1002),
    "continuation": ((0x80, b""), 1002),
    "ping in fragments": ((0x09, b""), 1002),
    "close of one byte": ((0x88, b"\x03"), 1002),
    "close 1005": ((0x88, b"\x03\xed"), 1002),
    "text": ((0x81, b"\xff"), 1007),
}


@BOTH
@pytest.mark.parametrize(("bad", "code"), FAILURES.values(), ids=FAILURES)
@pytest.mark.parametrize("size", [None, 1])
def test_7_1_7_who_fails_the_connection_says_why_and_reads_no_more(role, bad, code, size):
    side = Side(role)
    inbound = side.receive((0x81, b"a"), bad, (0x81, b"b"), (0x88, b"\x03\xe8"), size=size)
    assert inbound.messages == ["a"]
    assert (inbound.close, inbound.pings) == (None, [])
    connection = side.connection
    assert connection.state is State.OPEN
    assert int(side.sent(connection.reach_end())[4:8], 16) == code
    assert connection.state is State.CLOSING
    # Not even an answer to our close frame, nor more pings.
    inbound = side.receive((0x89, b"p"), (0x88, b"\x03\xe8"))
    assert (inbound.pings, inbound.close) == ([], None)
    assert connection.reach_end() == b""
    error = connection.closed_error()
    assert error.cause is CloseCause.PROTOCOL_ERROR
    assert (error.code, error.sent.code) == (1006, code)
    assert error.__cause__ is inbound.failure


@BOTH
def test_7_1_7_the_rest_of_a_message_is_not_delivered(role):
    side = Side(role)
    inbound = side.receive((0x01, b"a"), (0x83, b""), (0x80, b"b"))
    assert (inbound.messages, inbound.message) == ([], None)


@BOTH
def test_7_1_7_a_violation_behind_our_close_frame_makes_no_second_one(role):
    side = Side(role)
    side.connection.send_close(1000)
    side.receive((0x83, b""), (0x88, b"\x03\xe8"))
    assert side.connection.reach_end() == b""
    assert side.connection.sent == Close(1000)
    assert side.connection.received is None


# 7.4


def test_7_4_codes_from_end_to_end():
    valid = [*range(1000, 1004), *range(1007, 1015), *range(3000, 5000)]
    sent, received = [], []
    for code in (*range(5100), *range(5100, 65536, 257), 65535):
        wire = code.to_bytes(2, "big")
        inbound = Side(Role.CLIENT).receive((0x88, wire))
        if inbound.failure is None:
            assert inbound.close.code == code
            received.append(code)
        else:
            assert inbound.failure.rule is rules.CLOSE_CODE_INVALID
        side = Side(Role.SERVER)
        try:
            assert side.sent(side.connection.send_close(code, "x")) == f"8803{wire.hex()}78"
        except ValueError:
            continue
        sent.append(code)
    assert received == sent == valid


@pytest.mark.parametrize("code", [1005, 1006, 1015])
def test_7_4_1_codes_that_never_stand_in_a_close_frame(code):
    inbound = Side(Role.SERVER).receive((0x88, code.to_bytes(2, "big")))
    assert inbound.failure.rule is rules.CLOSE_CODE_INVALID
    with pytest.raises(ValueError, match=str(code)):
        Side(Role.SERVER).connection.send_close(code, "reason")


def test_7_4_1_what_our_own_codes_mean():
    for rule in rules.RULES:
        expected = {
            rules.TEXT_NOT_UTF8: CloseCode.INVALID_PAYLOAD_DATA,
            rules.COMPRESSED_DATA_INVALID: CloseCode.INVALID_PAYLOAD_DATA,
            rules.MESSAGE_TOO_BIG: CloseCode.MESSAGE_TOO_BIG,
            rules.TOO_MANY_FRAGMENTS: CloseCode.MESSAGE_TOO_BIG,
        }.get(rule, CloseCode.PROTOCOL_ERROR)
        assert rule.code == expected


@BOTH
def test_5_5_1_control_frames_of_a_client_are_masked(role):
    out = Side(role).connection.outbound
    for opcode in (Opcode.CLOSE, Opcode.PING, Opcode.PONG):
        assert bool(out.control(opcode, b"\x03\xe8")[1] & 0x80) is (role is Role.CLIENT)
