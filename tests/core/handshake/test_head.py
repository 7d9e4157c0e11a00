"""Collecting a head, line after line (RFC 9112, sections 2 to 5): what is kept, and how early."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from anyws.core.handshake.head import REQUEST_HEAD, RESPONSE_HEAD, HeadCollector, HeadRules
from anyws.errors import InvalidHandshake
from anyws.limits import Limits

HEAD = b"GET / HTTP/1.1\r\nHost: h\r\nA:b\r\n\r\n"
ANSWER = b"HTTP/1.1 101 x\r\nHost: h\r\nHost: h\r\n\r\n"


def request(**limits: int) -> HeadCollector:
    return HeadCollector(REQUEST_HEAD, Limits(**limits))


def response(**limits: int) -> HeadCollector:
    return HeadCollector(RESPONSE_HEAD, Limits(**limits))


@pytest.mark.parametrize("rules", [REQUEST_HEAD, RESPONSE_HEAD])
def test_a_head_comes_out_as_it_came(rules: HeadRules) -> None:
    head = HEAD if rules is REQUEST_HEAD else ANSWER
    for cut in range(len(head)):
        collector = HeadCollector(rules, Limits())
        assert collector.receive_data(head[:cut]) is None
        assert collector.empty is (cut == 0)
        assert collector.receive_data(head[cut:] + b"\r\nmore\n") == head
        assert collector.leftover == b"\r\nmore\n"


def test_an_empty_piece_changes_nothing() -> None:
    collector = request()
    assert collector.receive_data(b"") is None
    assert collector.empty
    assert collector.receive_data(HEAD[:20]) is None
    assert collector.receive_data(b"") is None
    assert collector.receive_data(HEAD[20:]) == HEAD


@pytest.mark.parametrize(
    "data",
    [
        # The first byte of the first line, before the line is there.
        b"\x16",
        b"\r",
        # A line, before the head is there.
        b"GET / HTTP/1.0\r\n",
        b"GET / HTTP/1.1\r\nA : b\r\n",
        b"GET / HTTP/1.1\r\nHost: h\r\nHost: h\r\n",
        b"GET / HTTP/1.1\r\nContent-Length: x\r\n",
        b"GET / HTTP/1.1\n",
    ],
)
def test_what_is_wrong_is_refused_before_the_rest_comes(data: bytes) -> None:
    assert request().receive_data(data[:-1]) is None
    collector = request()
    with pytest.raises(InvalidHandshake):
        collector.receive_data(data)
    with pytest.raises(RuntimeError):
        collector.receive_data(b"\r\n")


def test_an_answer_begins_with_a_capital_h() -> None:
    assert response().receive_data(b"H") is None
    for byte in range(256):
        if byte != ord("H"):
            with pytest.raises(InvalidHandshake, match="does not begin like"):
                response().receive_data(bytes((byte,)))


@pytest.mark.parametrize(
    ("line", "fine"),
    [
        (b"HTTP/1.1 101", True),
        (b"HTTP/1.1 101 ", True),
        (b"HTTP/1.0 200 \xe9\t!", True),
        (b"HTTP/1.1  101", False),
        (b"HTTP/1.1 10", False),
        (b"HTTP/1.1 101x", False),
        (b"HTTP/2 101", False),
        (b"HTTP/1.1 101 \x7f", False),
        (b"HTTP/1.1 101\r", False),
    ],
)
def test_status_lines(line: bytes, fine: bool) -> None:
    if fine:
        assert response().receive_data(line + b"\r\n\r\n") == line + b"\r\n\r\n"
    else:
        with pytest.raises(InvalidHandshake, match="status line"):
            response().receive_data(line + b"\r\n")


@pytest.mark.parametrize("name", [b"Sec-WebSocket-Accept", b"Content-Length", b"Transfer-Encoding"])
def test_what_an_answer_may_say_once(name: bytes) -> None:
    lines = name + b": 0\r\n" + name.upper() + b": 0\r\n"
    with pytest.raises(InvalidHandshake, match=f"{name.decode().lower()} comes more than once"):
        response().receive_data(b"HTTP/1.1 101 x\r\n" + lines)


@pytest.mark.parametrize(
    ("value", "fine"), [(b"0", True), (b"007 \t", True), (b"9" * 18, True), (b"1 1", False)]
)
def test_content_length(value: bytes, fine: bool) -> None:
    line = b"HTTP/1.1 200 x\r\nContent-Length: " + value + b"\r\n"
    if fine:
        assert response().receive_data(line) is None
    else:
        with pytest.raises(InvalidHandshake, match="Content-Length is not a number"):
            response().receive_data(line)


@pytest.mark.parametrize(
    ("collector", "begin"), [(request, b"GET /"), (response, b"HTTP/1.1 101 ")]
)
def test_the_first_line_that_is_too_long_has_its_status(
    collector: Callable[..., HeadCollector], begin: bytes
) -> None:
    line = begin.ljust(20, b"x")
    # The 21st byte may be the CR of the line's end; the 22nd may not.
    assert collector(handshake_line=20).receive_data(line + b"\r") is None
    with pytest.raises(InvalidHandshake, match="longer than 20 bytes") as caught:
        collector(handshake_line=20).receive_data(line + b"xx")
    assert caught.value.status == (414 if collector is request else 431)


@pytest.mark.parametrize("step", [1, 7, 64])
def test_what_lies_behind_the_head_is_not_counted(step: int) -> None:
    """Even when it comes in the same piece, and with lines that would be too long."""
    collector = request(handshake_size=len(HEAD), handshake_line=14, handshake_headers=2)
    head = None
    for start in range(0, len(HEAD), step):
        end = start + step
        piece = HEAD[start:end] if end < len(HEAD) else HEAD[start:] + bytes(100)
        assert head is None
        head = collector.receive_data(piece)
    assert head == HEAD
    assert collector.leftover == bytes(100)


def test_no_more_is_kept_than_the_limit_allows() -> None:
    collector = request(handshake_size=20)
    with pytest.raises(InvalidHandshake, match="more than 20 bytes") as caught:
        collector.receive_data(b"GET / HTTP/1.1\r\nA: bcdef")
    assert caught.value.status == 431
    assert len(collector._buffer) == 20
    assert request(handshake_size=20).receive_data(b"GET / HTTP/1.1\r\nA: b") is None
