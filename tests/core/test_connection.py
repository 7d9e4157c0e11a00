"""How a connection ends, and what it says of it: first causes, both close frames, who began."""

import pytest

from anyws.core.connection import Connection
from anyws.enums import Role, State
from anyws.errors import Close, CloseCause, ConnectionClosedError, ConnectionClosedOK
from anyws.limits import Limits

# A close frame with 1000, and an unknown opcode, from a client whose masking key is zero.
CLOSE = bytes.fromhex("8882 00000000 03e8")
BAD = bytes.fromhex("8380 00000000")


def make(**limits):
    return Connection(Role.SERVER, Limits(**limits))


def receive(connection, data):
    connection.inbound.receive_data(bytearray(data), len(data))


@pytest.mark.parametrize(("role", "masked"), [(Role.CLIENT, 0x80), (Role.SERVER, 0)])
def test_the_role_says_who_masks(role, masked):
    connection = Connection(role, Limits())
    assert connection.send_close(1000)[1] == masked | 2
    assert connection.role is role


def test_a_close_frame_that_cannot_be_sent_changes_nothing():
    connection = make()
    with pytest.raises(ValueError, match="1006"):
        connection.send_close(1006, cause=CloseCause.HANDLER_FAILED)
    assert (connection.sent, connection.state) == (None, State.OPEN)
    connection.lose()
    error = connection.closed_error()
    assert (error.cause, error.began_by_us) == (CloseCause.CONNECTION_LOST, None)


def test_reach_end_without_an_end_does_nothing():
    connection = make()
    assert connection.reach_end() == b""
    assert connection.state is State.OPEN


@pytest.mark.parametrize("data", [CLOSE, BAD], ids=["close frame", "violation"])
def test_after_a_loss_nothing_is_answered(data):
    connection = make()
    receive(connection, data)
    connection.lose()
    assert connection.reach_end() == b""
    assert (connection.sent, connection.received) == (None, None)


def test_a_violation_behind_our_close_frame_is_not_answered():
    connection = make()
    connection.send_close(1000)
    receive(connection, BAD)
    assert connection.reach_end() == b""
    error = connection.closed_error()
    assert error.cause is CloseCause.CLOSED_BY_US
    assert error.__cause__ is connection.inbound.failure


@pytest.mark.parametrize(
    ("limits", "data", "cause", "code"),
    [
        ({}, "8380 00000000", CloseCause.PROTOCOL_ERROR, "03ea"),
        ({}, "8181 00000000 ff", CloseCause.PROTOCOL_ERROR, "03ef"),
        ({"message_size": 1}, "8182 00000000 6161", CloseCause.OVER_LIMIT, "03f1"),
    ],
)
def test_a_violation_is_answered_with_its_rule(limits, data, cause, code):
    connection = make(**limits)
    receive(connection, bytes.fromhex(data))
    failure = connection.inbound.failure
    reason = f"{failure.rule.text} ({failure.rule.section})"
    answer = bytes.fromhex(code) + reason.encode()
    assert connection.reach_end() == bytes((0x88, len(answer))) + answer
    assert connection.sent == Close(failure.rule.code, reason)
    error = connection.closed_error()
    assert (error.cause, error.detail, error.began_by_us) == (cause, str(failure), True)


@pytest.mark.parametrize(
    ("ours", "theirs", "ok"),
    [
        (1000, "03e8", True), (1001, "03e9", True), (1005, "", True), (1000, "", True),
        (1011, "03e8", False), (1000, "03f3", False), (4000, "0fa0", False),
    ],
)  # fmt: skip
def test_both_codes_say_whether_it_ended_in_good_order(ours, theirs, ok):
    connection = make()
    connection.send_close(ours)
    payload = bytes.fromhex(theirs)
    receive(connection, bytes((0x88, 0x80 | len(payload))) + bytes(4) + payload)
    connection.reach_end()
    kind = ConnectionClosedOK if ok else ConnectionClosedError
    assert type(connection.closed_error()) is kind


def test_the_first_cause_stays():
    connection = make()
    connection.send_close(1011, "x", CloseCause.PING_TIMEOUT, "20 s")
    receive(connection, CLOSE)
    connection.reach_end()
    connection.lose(CloseCause.ABORTED, "later")
    error = connection.closed_error()
    assert (error.cause, error.detail) == (CloseCause.PING_TIMEOUT, "20 s")
    assert (error.sent, error.received) == (Close(1011, "x"), Close(1000))
    assert error.began_by_us is True


@pytest.mark.parametrize("cause", [CloseCause.CLOSE_TIMEOUT, CloseCause.ABORTED])
@pytest.mark.parametrize("answered", [False, True])
def test_that_the_peer_did_not_answer_says_more_than_that_we_closed(answered, cause):
    """When it has answered, it is only the end of TCP that did not come."""
    connection = make()
    connection.send_close(1000)
    if answered:
        receive(connection, CLOSE)
        connection.reach_end()
    connection.lose(cause)
    expected = CloseCause.CLOSED_BY_US if answered else cause
    assert connection.closed_error().cause is expected


@pytest.mark.parametrize("closed", [False, True])
def test_what_took_the_stream_is_chained(closed):
    """Not to the end of a connection that was closed in good order before."""
    connection = make()
    if closed:
        connection.send_close(1000)
        receive(connection, CLOSE)
        connection.reach_end()
    lost = OSError("reset")
    connection.lose(error=lost)
    connection.lose(error=OSError("later"))
    assert connection.closed_error().__cause__ is (None if closed else lost)


def test_who_sends_while_the_peers_close_frame_waits_began():
    """The application has not come to the peer's frame yet, so for it ours was the first."""
    connection = make()
    receive(connection, CLOSE)
    connection.send_close(1001)
    assert connection.reach_end() == b""
    error = connection.closed_error()
    assert (error.began_by_us, error.cause) == (True, CloseCause.CLOSED_BY_US)
    assert (error.sent, error.received) == (Close(1001), Close(1000))


def test_the_peer_began():
    connection = make()
    receive(connection, CLOSE)
    assert connection.reach_end() == b"\x88\x02\x03\xe8"
    error = connection.closed_error()
    assert (error.began_by_us, error.cause) == (False, CloseCause.CLOSED_BY_PEER)


def test_without_a_cause_the_connection_was_lost():
    error = make().closed_error()
    assert type(error) is ConnectionClosedError
    assert (error.cause, error.began_by_us) == (CloseCause.CONNECTION_LOST, None)


def test_each_call_gets_an_exception_of_its_own():
    connection = make()
    connection.lose(detail="reset")
    first, second = connection.closed_error(), connection.closed_error()
    assert first is not second
    assert first.args == second.args


@pytest.mark.parametrize(
    ("role", "peer", "name"),
    [
        (Role.CLIENT, ("::1", 80), "connection to the target"),
        (Role.SERVER, ("::1", 80), "connection from [::1]:80 for 'the target'"),
        (Role.SERVER, ("127.0.0.1", 80), "connection from 127.0.0.1:80 for 'the target'"),
        (Role.SERVER, "", "connection from a UNIX socket for 'the target'"),
        (Role.SERVER, "/a.sock", "connection from /a.sock for 'the target'"),
        (Role.SERVER, None, "connection for 'the target'"),
    ],
)
def test_what_messages_call_it(role, peer, name):
    connection = Connection(role, Limits())
    connection.peer = peer
    connection.target = "the target"
    assert connection.name() == name
    connection.lose()
    assert connection.closed_error().connection == name
