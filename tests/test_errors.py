"""The exceptions: what they are caught as, what they say, and the facts they carry."""

import copy
import pickle

import anyio
import pytest

from anyws import errors
from anyws.core import rules
from anyws.enums import CloseCode
from anyws.errors import (
    Close,
    CloseCause,
    ConnectionClosed,
    ConnectionClosedError,
    ConnectionClosedOK,
    HandshakeError,
    InvalidHandshake,
    InvalidURI,
    ProtocolError,
    RejectedHandshake,
)


@pytest.mark.parametrize(
    ("kind", "bases"),
    [
        (InvalidHandshake, [HandshakeError]),
        (RejectedHandshake, [HandshakeError]),
        (InvalidURI, [ValueError]),
        (ConnectionClosedOK, [ConnectionClosed, anyio.EndOfStream]),
        (ConnectionClosedError, [ConnectionClosed, anyio.BrokenResourceError]),
    ],
)
def test_what_they_are_caught_as(kind, bases):
    assert all(issubclass(kind, base) for base in bases)


def test_none_is_caught_as_another():
    """``except anyio.EndOfStream`` must not swallow a failure, nor the other way round."""
    assert not issubclass(ConnectionClosedOK, anyio.BrokenResourceError)
    assert not issubclass(ConnectionClosedError, anyio.EndOfStream)
    for kind in (HandshakeError, ProtocolError, ConnectionClosed, InvalidURI):
        others = {HandshakeError, ProtocolError, ConnectionClosed, InvalidURI} - {kind}
        assert not issubclass(kind, tuple(others))


def test_every_exception_is_exported():
    own = {
        name
        for name, thing in vars(errors).items()
        if isinstance(thing, type) and issubclass(thing, BaseException)
    }
    assert own <= set(errors.__all__)


def test_an_invalid_handshake_is_answered_with_400_unless_told():
    assert InvalidHandshake("bad").status == 400
    error = InvalidHandshake("bad", status=426)
    assert (error.status, str(error)) == (426, "bad")


@pytest.mark.parametrize(
    ("reason", "text"),
    [("Unauthorized", "the server answered 401 Unauthorized"), ("", "the server answered 401")],
)
def test_a_rejection(reason, text):
    error = RejectedHandshake(401, reason, [("A", "b")], b"body")
    assert str(error) == text
    assert (error.status, error.reason, error.body) == (401, reason, b"body")
    assert error.headers == [("A", "b")]


@pytest.mark.parametrize(
    ("status", "headers", "body", "text"),
    [
        (
            302,
            [("Location", "/x\x1b")],
            b"",
            ", which points to '/x\\x1b'; redirects are not followed",
        ),
        (302, [], b"", ""),
        (
            403,
            [("Content-Type", "text/plain")],
            b"go\n away\x07\xff\n",
            ": 'go away\\x07\N{REPLACEMENT CHARACTER}'",
        ),
        (403, [("content-type", "text/plain; charset=utf-8")], b"x" * 300, f": '{'x' * 200}'"),
        (403, [("Content-Type", "text/html")], b"<p>", ""),
        (403, [("Content-Type", "text/plain")], b"", ""),
    ],
)
def test_a_rejection_says_what_the_server_said(status, headers, body, text):
    error = RejectedHandshake(status, "", headers, body)
    assert str(error) == f"the server answered {status}{text}"


def test_the_end_of_a_connection_names_it():
    error = ConnectionClosedOK(
        Close(1000), Close(1000), CloseCause.CLOSED_BY_US, True, "", "connection to ws://a/"
    )
    assert str(error).startswith("connection to ws://a/: we closed it; received 1000")
    assert pickle.loads(pickle.dumps(error)).connection == "connection to ws://a/"


def test_a_protocol_error_names_its_section():
    rule = rules.TEXT_NOT_UTF8
    error = ProtocolError(rule)
    assert str(error) == "text is not valid UTF-8 (RFC 6455, section 8.1)"
    assert error.rule is rule
    text = str(ProtocolError(rule, "invalid start byte"))
    assert text == "text is not valid UTF-8: invalid start byte (RFC 6455, section 8.1)"


@pytest.mark.parametrize(
    ("close", "text"),
    [
        (Close(1000), "1000 (normal closure)"),
        (Close(1005), "1005 (no status received)"),
        (Close(1011, "a 'b'"), "1011 (internal error) \"a 'b'\""),
        # RFC 6455, section 7.4.2.
        (Close(2999), "2999 (registered elsewhere)"),
        (Close(3000), "3000 (registered elsewhere)"),
        (Close(3999), "3999 (registered elsewhere)"),
        (Close(4000), "4000 (private use)"),
        (Close(4999), "4999 (private use)"),
        (Close(5000), "5000 (registered elsewhere)"),
    ],
)
def test_a_close_frame_in_words(close, text):
    assert str(close) == text


def test_a_reason_cannot_forge_a_line_of_a_log():
    assert str(Close(1000, "a\nb\x1b")) == r"1000 (normal closure) 'a\nb\x1b'"


def test_every_code_has_a_name():
    for code in CloseCode:
        assert f"({code.name.lower().replace('_', ' ')})" in str(Close(code))


def closed(received=None, sent=None, cause=CloseCause.CONNECTION_LOST, began=None, detail=""):
    return ConnectionClosedError(received, sent, cause, began, detail)


def test_a_lost_connection():
    error = closed()
    assert (error.code, error.reason) == (1006, "")
    assert str(error) == (
        "the connection was lost without a close frame; received no close frame; sent none"
    )


def test_a_closed_connection():
    error = closed(Close(1001, "bye"), Close(1001), CloseCause.CLOSED_BY_PEER, False, detail="why")
    assert (error.code, error.reason) == (1001, "bye")
    assert str(error) == (
        "the peer closed it (why); received 1001 (going away) 'bye'; sent 1001 (going away)"
    )


def test_the_code_is_the_peers():
    error = closed(sent=Close(1011, "ours"), cause=CloseCause.CLOSE_TIMEOUT, began=True)
    assert (error.code, error.reason) == (1006, "")
    assert "sent 1011 (internal error) 'ours'" in str(error)


FACTS = (Close(1000, "a"), Close(1001), CloseCause.GOING_AWAY, True, "detail")
EXAMPLES = [
    HandshakeError("no answer"),
    InvalidHandshake("bad", status=426),
    RejectedHandshake(401, "Unauthorized", [("A", "b")], b"body"),
    InvalidURI("no scheme"),
    ProtocolError(rules.TEXT_NOT_UTF8, "invalid start byte"),
    ProtocolError(rules.MASK_MISSING),
    ConnectionClosed(*FACTS),
    ConnectionClosedOK(*FACTS),
    ConnectionClosedError(*FACTS),
]


@pytest.mark.parametrize(
    "duplicate", [copy.copy, copy.deepcopy, lambda e: pickle.loads(pickle.dumps(e))]
)
@pytest.mark.parametrize("error", EXAMPLES, ids=lambda error: type(error).__name__)
def test_each_can_be_told_to_another_process(error, duplicate):
    same = duplicate(error)
    assert same is not error
    assert type(same) is type(error)
    assert (same.args, str(same), vars(same)) == (error.args, str(error), vars(error))


def test_no_exception_is_left_out():
    own = [thing for thing in vars(errors).values() if isinstance(thing, type)]
    kinds = {thing for thing in own if issubclass(thing, BaseException)}
    assert {type(error) for error in EXAMPLES} == kinds


def test_causes_read_differently():
    assert len({cause.value for cause in CloseCause}) == len(CloseCause.__members__)
