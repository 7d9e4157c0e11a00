"""Reading the answer to an upgrade request (RFC 9112, sections 4 to 7)."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from anyws.core.handshake.http import ResponseReader
from anyws.core.handshake.response import Response
from anyws.errors import InvalidHandshake
from anyws.limits import Limits

LIMITS = Limits()


def read_response(data: bytes, *, step: int = 0) -> Response:
    reader = ResponseReader(LIMITS)
    step = step or len(data)
    for start in range(0, len(data), step):
        response = reader.receive_data(data[start : start + step])
        if response is not None:
            return response
    return reader.receive_eof()


_piece = st.sampled_from([
    b"GET / HTTP/1.1\r\n", b"Host: h\r\n", b"\r\n", b"\n", b"\r", b" ", b":", b"Content-Length: ",
    b"0", b"Transfer-Encoding: chunked\r\n", b"http://h/", b"HTTP/1.1", b"HTTP/1.1 101 x\r\n",
    b"HTTP/1.1 200 OK\r\n", b"HTTP/1.1 100 \r\n", b"\xff", b"\x00", b"5\r\n", b"HTTP/1.1 099\r\n",
]) | st.binary(max_size=8)  # fmt: skip
_stream = st.binary() | st.lists(_piece, max_size=12).map(b"".join)


SWITCH = b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\r\n"


@pytest.mark.parametrize("step", [0, 1, 3])
def test_a_101_is_read(step: int) -> None:
    assert read_response(SWITCH, step=step) == Response(
        101, [("Upgrade", "websocket"), ("Connection", "Upgrade")]
    )


def test_h14_frames_behind_a_101_are_left_over() -> None:
    reader = ResponseReader(LIMITS)
    assert reader.receive_data(SWITCH + b"\x81\x00") is not None
    assert reader.leftover == b"\x81\x00"


@pytest.mark.parametrize("step", [0, 1])
def test_h14_interim_answers_are_skipped(step: int) -> None:
    interim = b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nLink: x\r\n\r\n"
    assert read_response(interim * 5 + SWITCH, step=step).status == 101
    with pytest.raises(InvalidHandshake, match="too many interim"):
        read_response(interim * 6 + SWITCH, step=step)


@pytest.mark.parametrize("step", [0, 1, 2])
@pytest.mark.parametrize(
    ("tail", "body"),
    [
        (b"Content-Length: 3\r\n\r\nabcdef", b"abc"),
        (b"Content-Length: 0\r\n\r\n", b""),
        (b"Transfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n2;x=y\r\nde\r\n0\r\n\r\n", b"abcde"),
        (b"Transfer-Encoding: chunked\r\n\r\n0\r\nA: trailer\r\n\r\n", b""),
        (b"\r\nuntil the end", b"until the end"),
        (b"Content-Length: 9\r\n\r\nabc", b"abc"),
        (b"Transfer-Encoding: chunked\r\n\r\n3\r\nabc", b"abc"),
        (b"Transfer-Encoding: chunked\r\n\r\n+3\r\nabc\r\n0\r\n\r\n", b""),
        (b"Transfer-Encoding: chunked\r\n\r\n3\r\nabcX", b"abc"),
    ],
)
def test_the_body_of_a_refusal_is_read_as_far_as_it_comes(
    tail: bytes, body: bytes, step: int
) -> None:
    response = read_response(b"HTTP/1.1 401 No Way\r\nA: b\r\n" + tail, step=step)
    assert (response.status, response.reason, response.body) == (401, "No Way", body)
    assert response.headers["A"] == "b"


@pytest.mark.parametrize("step", [0, 1])
@pytest.mark.parametrize("tail", [b"\r\n", b"Content-Length: 99999999999\r\n\r\n"])
def test_the_body_of_a_refusal_is_bounded(tail: bytes, step: int) -> None:
    limits = Limits(handshake_size=100)
    reader = ResponseReader(limits)
    data = b"HTTP/1.1 500 x\r\n" + tail + b"a" * 1000
    response = None
    for start in range(0, len(data), step or len(data)):
        response = reader.receive_data(data[start : start + (step or len(data))])
        if response is not None:
            break
    assert response is not None
    assert response.body == b"a" * 100


def test_an_empty_piece_is_not_the_end_of_a_body() -> None:
    reader = ResponseReader(LIMITS)
    assert reader.receive_data(b"HTTP/1.1 500 x\r\n\r\nab") is None
    assert reader.receive_data(b"") is None
    assert reader.receive_data(b"c") is None
    assert reader.receive_eof().body == b"abc"


def test_a_refusal_of_http_1_0_is_read() -> None:
    assert read_response(b"HTTP/1.0 502 Bad\r\n\r\nx").body == b"x"
    assert read_response(b"HTTP/1.1 304\r\nContent-Length: 3\r\n\r\n").reason == ""


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"", "without an answer"),
        (b"HTTP/1.1 101", "in the middle"),
        (b"SSH-2.0-x\r\n", "does not begin"),
        (b"HTTP/1.2 101 x\r\n\r\n", "status line"),
        (b"HTTP/1.1 1010 x\r\n\r\n", "status line"),
        (b"HTTP/1.1 099 x\r\n\r\n", "not valid"),
        (b"HTTP/1.0 101 x\r\nUpgrade: websocket\r\n\r\n", "must speak HTTP/1.1"),
        (b"HTTP/1.1 101 x\nUpgrade: websocket\n\n", "bare LF"),
        (b"HTTP/1.1 101 x\r\nA : b\r\n\r\n", "space"),
        (b"HTTP/1.1 101 x\r\nSec-WebSocket-Accept: a\r\nsec-websocket-accept: a\r\n", "more than"),
        (b"HTTP/1.1 200 x\r\nTransfer-Encoding: gzip\r\n\r\n", "not valid"),
        (b"HTTP/1.1 101 " + b"x" * 10_000, "longer than"),
        (b"HTTP/1.1 101 x\r\n" + b"A: b\r\n" * 101, "more than 100"),
        (
            b"HTTP/1.1 101 x\r\nA: "
            + b"b" * 8000
            + b"\r\nA: "
            + b"b" * 8180
            + b"\r\nA: "
            + b"b" * 999,
            "more than 16384",
        ),
    ],
)
def test_h2_a_malformed_or_endless_answer_is_an_error(data: bytes, message: str) -> None:
    for step in (0, 1):
        with pytest.raises(InvalidHandshake, match=message):
            read_response(data, step=step or max(1, len(data)))


@given(_stream.map(b"HTTP/1.1 ".__add__) | _stream, st.sampled_from([0, 1]))
def test_h5_any_bytes_are_a_response_or_refused(data: bytes, step: int) -> None:
    try:
        response = read_response(data, step=step or max(1, len(data)))
    except InvalidHandshake:
        return
    assert response.status == 101 or response.status >= 200
