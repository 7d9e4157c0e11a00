"""httptools where it is installed, and what is left to h11."""

from __future__ import annotations

import sys
from types import SimpleNamespace

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from anyws.core.handshake import request_parser
from anyws.core.handshake.head import REQUEST_HEAD, HeadCollector
from anyws.core.handshake.headers import Headers
from anyws.core.handshake.http import RequestReader
from anyws.core.handshake.request import Request
from anyws.core.handshake.request_parser import parse_request
from anyws.errors import InvalidHandshake
from anyws.limits import Limits

LIMITS = Limits()
SIMPLE = b"GET / HTTP/1.1\r\nHost: h\r\n\r\n"

httptools = pytest.importorskip("httptools")

TCHAR = "!#$%&'*+-.^_`|~0123456789abcXYZ"
VALUE = [*range(0x20, 0x7F), 9, *range(0x80, 0x100)]


@st.composite
def heads(draw: st.DrawFn) -> bytes:
    """Heads that ``HeadCollector`` lets pass, but for those that repeat what may come once."""
    token = st.text(TCHAR, min_size=1, max_size=8).map(str.encode)
    names = st.sampled_from([
        b"Upgrade", b"Connection", b"connection", b"Origin", b"Expect", b"Proxy-Connection", b"Keep-Alive",
        b"Sec-WebSocket-Key", b"X", b"Content-Length", b"Transfer-Encoding", b"Host",
    ])  # fmt: skip
    values = st.sampled_from(
        [b"websocket", b"h2c", b"close", b"Upgrade", b"chunked", b"0", b"7", b"h"]
    )
    value = st.one_of(values, st.lists(st.sampled_from(VALUE), max_size=12).map(bytes))
    space = st.text(" \t", max_size=2).map(str.encode)
    field = st.builds(
        lambda name, before, value, after: b"%b:%b%b%b\r\n" % (name, before, value, after),
        st.one_of(names, token), space, value, space,
    )  # fmt: skip
    methods = st.sampled_from([*[b"GET"] * 8, b"HEAD", b"PRI", b"CONNECT"])
    targets = st.one_of(
        st.lists(st.integers(0x21, 0x7E), max_size=12).map(lambda rest: b"/" + bytes(rest)),
        st.sampled_from([b"/", b"*", b"http://h/", b"ws://h", b"h:1", b"//", b"/?a#b"]),
        st.lists(st.integers(0x21, 0x7E), min_size=1, max_size=12).map(bytes),
    )
    host = draw(st.sampled_from([*[b"Host: h\r\n"] * 8, b""]))
    before, after = draw(st.lists(field, max_size=3)), draw(st.lists(field, max_size=5))
    fields = b"".join([*before, host, *after])
    return b"%b %b HTTP/1.1\r\n%b\r\n" % (draw(methods), draw(targets), fields)


@given(heads())
@example(SIMPLE)
@example(b"GET / HTTP/1.1\r\nHost: h\r\nX:\r\nY: \t\r\nX: \xe9\xff  \r\n\r\n")
@example(b"GET / HTTP/1.1\r\nHost: h\r\nUpgrade: a\r\nConnection: upgrade\r\nZ: after\r\n\r\n")
def test_h9_both_parsers_read_the_same(head: bytes) -> None:
    try:
        if HeadCollector(REQUEST_HEAD, LIMITS).receive_data(head) != head:
            return
    except InvalidHandshake:
        return
    found = parse_request(head)
    if found is not None:
        assert found == RequestReader(LIMITS)._parse(head)
        request, values = found
        assert values == request.headers._values()


def test_a_request_is_parsed() -> None:
    head = b"GET /a?b HTTP/1.1\r\nHost: h\r\nX:\t v  w \r\nx:\r\nUpgrade: websocket\r\n\r\n"
    fields = [("Host", "h"), ("X", "v  w"), ("x", ""), ("Upgrade", "websocket")]
    assert parse_request(head) == (
        Request("GET", "/a?b", Headers(fields)),
        {"host": ["h"], "x": ["v  w", ""], "upgrade": ["websocket"]},
    )


@pytest.mark.parametrize(
    "head",
    [
        SIMPLE.replace(b"GET", b"GE"),
        SIMPLE.replace(b"GET", b"GETS"),
        SIMPLE.replace(b"Host", b"Most"),
        SIMPLE.replace(b"/ ", b"ftp "),
        SIMPLE.replace(b"\r\n\r\n", b"\r\nContent-Length: 1\r\n\r\n"),
        SIMPLE.replace(b"\r\n\r\n", b"\r\nTransfer-Encoding: chunked\r\n\r\n"),
    ],
)
def test_what_opens_no_websocket_is_left_to_h11(head: bytes) -> None:
    assert parse_request(SIMPLE) is not None
    assert parse_request(head) is None


def test_without_httptools_everything_is_left_to_h11(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "httptools", None)
    monkeypatch.setattr(request_parser, "_httptools", request_parser._httptools.__wrapped__)
    assert parse_request(SIMPLE) is None
    assert RequestReader(LIMITS).receive_data(SIMPLE) == Request("GET", "/", Headers({"Host": "h"}))


def test_h9_a_parser_that_reads_something_else_is_not_believed(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    class Parser(httptools.HttpRequestParser):  # type: ignore[misc,name-defined]
        def feed_data(self, data: bytes) -> None:
            super().feed_data(data.replace(b"X: 1\r\n", b""))

    fake = SimpleNamespace(
        HttpRequestParser=Parser,
        HttpParserUpgrade=httptools.HttpParserUpgrade,
        HttpParserError=httptools.HttpParserError,
    )
    monkeypatch.setattr(request_parser, "_httptools", lambda: fake)
    assert parse_request(SIMPLE) is not None
    assert parse_request(SIMPLE.replace(b"\r\n\r\n", b"\r\nX: 1\r\n\r\n")) is None
