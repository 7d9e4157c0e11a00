"""What an application sees of a request (RFC 9112)."""

from __future__ import annotations

import pytest

from anyws.core.handshake.headers import Headers
from anyws.core.handshake.request import Request


def test_a_request_knows_its_parts() -> None:
    headers = Headers(
        [("Host", "h:8"), ("Origin", "http://h:8"), ("Cookie", "a=1"), ("cookie", "b=2")]
    )
    request = Request("GET", "/a%20b/%C3%A9?x=%31?", headers)
    assert request.path == "/a b/é"
    assert request.query == "x=%31?"
    assert request.cookies == {"a": "1", "b": "2"}
    assert request.origin == "http://h:8"
    assert request.host == "h:8"


def test_a_request_without_headers() -> None:
    request = Request("GET", "/")
    assert (request.query, request.origin, request.host, request.cookies) == ("", None, "", {})


@pytest.mark.parametrize(
    ("target", "path", "query"),
    [("http://h", "/", ""), ("WS://h/a?b", "/a", "b"), ("http://h?b", "/", "b"), ("*", "*", "")],
)
def test_a_request_with_an_absolute_target(target: str, path: str, query: str) -> None:
    request = Request("GET", target)
    assert (request.path, request.query) == (path, query)


def test_a_request_is_serialized() -> None:
    assert Request("GET", "/x", Headers({"Host": "h"})).serialize() == (
        b"GET /x HTTP/1.1\r\nHost: h\r\n\r\n"
    )


@pytest.mark.parametrize(
    ("method", "target"),
    [("", "/"), ("G T", "/"), ("GET\r\n", "/"), ("GET", ""), ("GET", "/\r\nX: y"), ("GET", "/ü")],
)
def test_h10_a_request_line_cannot_be_injected(method: str, target: str) -> None:
    with pytest.raises(ValueError, match="must be"):
        Request(method, target)
