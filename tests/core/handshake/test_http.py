"""Reading requests (RFC 9112)."""

from __future__ import annotations

import time

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from anyws.core.handshake.headers import Headers
from anyws.core.handshake.http import RequestReader
from anyws.core.handshake.request import Request
from anyws.errors import InvalidHandshake
from anyws.limits import Limits

pytestmark = pytest.mark.usefixtures("each_parser")

LIMITS = Limits()
SIMPLE = b"GET / HTTP/1.1\r\nHost: h\r\n\r\n"


def read_request(data: bytes, limits: Limits = LIMITS, *, step: int = 0) -> Request | None:
    reader = RequestReader(limits)
    request = None
    for start in range(0, len(data), step or len(data)):
        request = reader.receive_data(data[start : start + (step or len(data))])
    return request


def refused(data: bytes, limits: Limits = LIMITS) -> InvalidHandshake:
    """Feed a request whole and in single bytes; both must be refused in the same way."""
    errors = []
    for step in (0, 1):
        with pytest.raises(InvalidHandshake) as caught:
            read_request(data, limits, step=step)
        errors.append(caught.value)
    assert errors[0].status == errors[1].status
    assert str(errors[0]) == str(errors[1])
    return errors[0]


@pytest.mark.parametrize("step", [0, 1, 2, 3, 7])
def test_a_request_is_read_in_pieces_of_any_size(step: int) -> None:
    data = b"GET /a?b HTTP/1.1\r\nHost: h\r\nX:\t v  w \r\nX:\r\nY: \xe9\x85\r\n\r\n"
    assert read_request(data, step=step) == Request(
        "GET",
        "/a?b",
        Headers([("Host", "h"), ("X", "v  w"), ("X", ""), ("Y", "\xe9\x85")]),
    )


def test_the_spelling_of_names_is_kept() -> None:
    request = read_request(b"GET / HTTP/1.1\r\nhOST: h\r\n\r\n")
    assert request is not None
    assert request.headers.raw == (("hOST", "h"),)


def test_h14_what_follows_the_head_is_left_over() -> None:
    reader = RequestReader(LIMITS)
    assert reader.receive_data(SIMPLE[:-1]) is None
    assert reader.leftover == b""
    assert reader.receive_data(SIMPLE[-1:] + b"\x81\x00\r\n\r\n") is not None
    assert reader.leftover == b"\x81\x00\r\n\r\n"


def test_leftover_may_be_larger_than_the_limits() -> None:
    reader = RequestReader(LIMITS)
    tail = bytes(LIMITS.handshake_size * 2)
    assert reader.receive_data(SIMPLE + tail) is not None
    assert reader.leftover == tail


def test_h8_nothing_is_read_after_a_request_or_a_refusal() -> None:
    reader = RequestReader(LIMITS)
    reader.receive_data(SIMPLE)
    with pytest.raises(RuntimeError):
        reader.receive_data(SIMPLE)
    reader = RequestReader(LIMITS)
    with pytest.raises(InvalidHandshake):
        reader.receive_data(b"\n")
    with pytest.raises(RuntimeError):
        reader.receive_data(SIMPLE)


def test_the_stream_ends_before_or_in_a_request() -> None:
    reader = RequestReader(LIMITS)
    with pytest.raises(InvalidHandshake, match="before a request"):
        reader.receive_eof()
    reader.receive_data(b"GET")
    with pytest.raises(InvalidHandshake, match="in the middle"):
        reader.receive_eof()


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"GET / HTTP/1.1\nHost: h\n\n", "bare LF"),
        (b"GET / HTTP/1.1\r\nHost: h\n\r\n", "bare LF"),
        (b"GET / HTTP/1.1\r\nHost: h\r\nA: b\rc\r\n\r\n", "bare CR"),
        (b"GET / HTTP/1.1\r\nHost: h\r\r\n\r\n", "bare CR"),
        (b"GET / HTTP/1.1\r\r\nHost: h\r\n\r\n", "request line"),
        (b"GET / HTTP/1.1\r\nHost: h\r\nA: \x00\r\n\r\n", "control character"),
        (b"GET / HTTP/1.1\r\nHost: h\r\nA: b\r\n c\r\n\r\n", "folded"),
        (b"GET / HTTP/1.1\r\n\tHost: h\r\n\r\n", "folded"),
        (b"GET / HTTP/1.1\r\nHost : h\r\n\r\n", "space"),
        (b"GET / HTTP/1.1\r\nHost: h\r\nA\r\n\r\n", "no colon"),
        (b"GET / HTTP/1.1\r\nHost: h\r\n: a\r\n\r\n", "not a token"),
        (b"GET / HTTP/1.1\r\nHost: h\r\nA\x80: a\r\n\r\n", "not a token"),
        (b"GET / HTTP/1.1\r\nHost: h\r\nA b: a\r\n\r\n", "not a token"),
        (b"GET  / HTTP/1.1\r\nHost: h\r\n\r\n", "request line"),
        (b"GET /\r\nHost: h\r\n\r\n", "request line"),
        (b"GET / http/1.1\r\nHost: h\r\n\r\n", "request line"),
        (b"GET / HTTP/1.1 \r\nHost: h\r\n\r\n", "request line"),
        (b"GET /\xff HTTP/1.1\r\nHost: h\r\n\r\n", "request line"),
        (b"G\x00T / HTTP/1.1\r\nHost: h\r\n\r\n", "request line"),
        (b"\r\nGET / HTTP/1.1\r\nHost: h\r\n\r\n", "does not begin like"),
        (b"\x16\x03\x01\x02\x00\x01", "does not begin like"),
        (b"GET / HTTP/1.1\r\n\r\n", "Host header is missing"),
        (b"GET / HTTP/1.1\r\nHost: h\r\nHost: h\r\n\r\n", "host comes more than once"),
        (b"GET / HTTP/1.1\r\nHost: h\r\nOrigin: a\r\norigin: b\r\n\r\n", "origin comes more"),
        (b"GET / HTTP/1.1\r\nHost:\r\n\r\n", "Host header is not"),
        (b"GET / HTTP/1.1\r\nHost: [::1 bad host%\r\n\r\n", "Host header is not"),
        (b"GET / HTTP/1.1\r\nHost: h:99999\r\n\r\n", "Host header is not"),
        (b"GET x HTTP/1.1\r\nHost: h\r\n\r\n", "target"),
        (b"GET * HTTP/1.1\r\nHost: h\r\n\r\n", "target"),
        (b"GET /#a HTTP/1.1\r\nHost: h\r\n\r\n", "target"),
        (b"GET http://other/ HTTP/1.1\r\nHost: h\r\n\r\n", "target"),
        (b"CONNECT h:443 HTTP/1.1\r\nHost: h\r\n\r\n", "target"),
        (b"POST / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: gzip\r\n\r\n", "body"),
    ],
)
def test_h9_a_malformed_request_is_refused_with_400(data: bytes, message: str) -> None:
    error = refused(data)
    assert error.status == 400
    assert message in str(error)


@pytest.mark.parametrize("value", [b"+0", b"0_0", b"-1", b"0, 0", b"", b"0x0", b"\x0b0", b"1" * 19])
def test_h9_a_content_length_that_is_no_number_is_refused(value: bytes) -> None:
    assert refused(b"GET / HTTP/1.1\r\nHost: h\r\nContent-Length: " + value + b"\r\n\r\n")


@pytest.mark.parametrize("name", [b"Content-Length", b"Transfer-Encoding"])
def test_h9_what_announces_a_body_comes_once(name: bytes) -> None:
    line = name + (b": 0\r\n" if name.startswith(b"C") else b": chunked\r\n")
    error = refused(b"GET / HTTP/1.1\r\nHost: h\r\n" + line * 2 + b"\r\n")
    assert "more than once" in str(error)


@pytest.mark.parametrize("version", [b"1.0", b"1.2", b"0.9", b"2.0", b"9.9"])
def test_h9_another_version_of_http_is_refused_with_505(version: bytes) -> None:
    assert refused(b"GET / HTTP/" + version + b"\r\nHost: h\r\n\r\n").status == 505


@pytest.mark.parametrize("byte", [0x0B, 0x0C, 0x1C, 0x1D, 0x1E, 0x85])
def test_h6_odd_separators_never_make_a_header(byte: int) -> None:
    value = b"a" + bytes([byte]) + b"Origin: x"
    data = b"GET / HTTP/1.1\r\nHost: h\r\nX: " + value + b"\r\n\r\n"
    if byte < 0x20:
        assert refused(data).status == 400
    else:
        request = read_request(data)
        assert request is not None
        assert request.headers.raw[1:] == (("X", value.decode("latin-1")),)


@pytest.mark.parametrize(
    "data",
    [
        b"OPTIONS * HTTP/1.1\r\nHost: h\r\n\r\n",
        b"GET http://H:80/a HTTP/1.1\r\nHost: h:80\r\n\r\n",
        b"POST / HTTP/1.1\r\nHost: [::1]:8\r\nContent-Length: 5\r\n\r\n",
        b"POST / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n",
    ],
)
def test_a_request_that_is_no_upgrade_still_comes_through(data: bytes) -> None:
    assert read_request(data) is not None
    assert read_request(data, step=1) is not None


def test_no_refusal_repeats_the_bytes_of_the_request() -> None:
    for data in (
        b"GET /<script> HTTP/1.0\r\n",
        b"GET / HTTP/1.1\r\nHost: <script>\r\n\r\n",
        b"GET / HTTP/1.1\r\n<script>: h\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: <script>\r\n\r\n",
    ):
        assert "script" not in str(refused(data))


def test_the_limits_are_exact() -> None:
    head = b"GET / HTTP/1.1\r\nHost: h\r\nX: 1\r\n\r\n"
    exact = Limits(handshake_size=len(head), handshake_line=14, handshake_headers=2)
    assert read_request(head, exact) is not None
    assert read_request(head, exact, step=1) is not None
    assert refused(head, Limits(handshake_size=len(head) - 1)).status == 431
    assert refused(head, Limits(handshake_line=13)).status == 414
    assert refused(head, Limits(handshake_headers=1)).status == 431


def test_a_request_line_that_is_too_long_is_refused_with_414() -> None:
    assert refused(b"GET /" + b"a" * 10_000, Limits()).status == 414
    assert refused(b"GET /" + b"a" * 10_000 + b" HTTP/1.1\r\n", Limits()).status == 414


def test_a_header_line_that_is_too_long_is_refused_with_431() -> None:
    assert refused(b"GET / HTTP/1.1\r\nA: " + b"a" * 10_000).status == 431


@pytest.mark.parametrize("count", [129, 300, 100_000])
def test_h2_too_many_headers_are_refused_with_431(count: int) -> None:
    data = b"GET / HTTP/1.1\r\nHost: h\r\n" + b"A: b\r\n" * count
    with pytest.raises(InvalidHandshake) as caught:
        read_request(data)
    assert caught.value.status == 431


def test_h1_a_big_head_byte_by_byte_takes_linear_time() -> None:
    limits = Limits(handshake_size=2**18, handshake_line=2**18)
    start = time.process_time()
    assert read_request(SIMPLE[:-2] + b"A: " + b"a" * 2**17 + b"\r\n\r\n", limits, step=1)
    assert time.process_time() - start < 2


def test_h1_memory_never_grows_past_the_limit() -> None:
    reader = RequestReader(Limits(handshake_size=64))
    with pytest.raises(InvalidHandshake) as caught:
        reader.receive_data(b"GET / HTTP/1.1\r\nA: " + b"a" * 10_000_000)
    assert caught.value.status == 431


_piece = st.sampled_from([
    b"GET / HTTP/1.1\r\n", b"Host: h\r\n", b"\r\n", b"\n", b"\r", b" ", b":", b"Content-Length: ",
    b"0", b"Transfer-Encoding: chunked\r\n", b"http://h/", b"HTTP/1.1", b"HTTP/1.1 101 x\r\n",
    b"HTTP/1.1 200 OK\r\n", b"HTTP/1.1 100 \r\n", b"\xff", b"\x00", b"5\r\n", b"HTTP/1.1 099\r\n",
]) | st.binary(max_size=8)  # fmt: skip
_stream = st.binary() | st.lists(_piece, max_size=12).map(b"".join)


@given(_stream)
@example(b"GET / HTTP/1.1\r\nHost: h\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n")
def test_h5_any_bytes_are_a_request_or_refused(data: bytes) -> None:
    outcomes = []
    for step in (0, 1):
        reader = RequestReader(LIMITS)
        outcome: object = None
        try:
            for start in range(0, len(data), step or max(1, len(data))):
                outcome = reader.receive_data(data[start : start + (step or len(data))])
                if outcome is not None:
                    break
        except InvalidHandshake as error:
            outcome = (error.status, str(error))
        outcomes.append(outcome)
    assert outcomes[0] == outcomes[1]
