"""Which pages may connect (RFC 6455, section 10.2)."""

from __future__ import annotations

import re

import pytest

from anyws.core.handshake.origins import Origins
from anyws.core.handshake.request import Request
from anyws.core.handshake.server import ServerHandshake
from anyws.errors import InvalidHandshake
from anyws.limits import Limits


def server(origins: Origins = None) -> ServerHandshake:
    return ServerHandshake(limits=Limits(), origins=origins)


def upgrade(origin: bytes | None, host: bytes = b"h") -> bytes:
    return (
        b"GET / HTTP/1.1\r\nHost: " + host + b"\r\n"
        b"Upgrade: websocket\r\nConnection: Upgrade\r\n"
        b"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n"
        + (b"" if origin is None else b"Origin: " + origin + b"\r\n")
        + b"\r\n"
    )


def read(handshake: ServerHandshake, data: bytes) -> Request:
    request = handshake.receive_data(data)
    assert request is not None
    return request


def refusal(data: bytes, origins: Origins = None) -> InvalidHandshake:
    handshake = server(origins)
    with pytest.raises(InvalidHandshake) as caught:
        handshake.check_upgrade(read(handshake, data))
    return caught.value


@pytest.mark.parametrize(
    ("origin", "host"),
    [
        (None, b"h"),
        (b"http://h", b"h"),
        (b"https://H", b"h"),
        (b"https://h", b"h:443"),
        (b"http://h:80", b"h"),
        (b"https://h:8443", b"h:8443"),
        (b"ws://h:8", b"h:8"),
        (b"http://[::1]:8", b"[0:0::1]:8"),
    ],
)
def test_x1_a_page_of_the_same_host_may_connect(origin: bytes | None, host: bytes) -> None:
    handshake = server()
    handshake.check_upgrade(read(handshake, upgrade(origin, host)))


@pytest.mark.parametrize(
    "origin",
    [
        b"http://evil",
        b"null",
        b"",
        b"http://h.evil",
        b"http://h@evil",
        b"http://evil/h",
        b"http://h/",
        b"http://h:81",
        b"http://h:443",
        b"file://h",
        b"chrome-extension://h",
        b"http://h http://h",
        b"http://",
        b"h",
        b"\xff",
    ],
)
def test_x1_a_page_of_another_host_is_refused_with_403(origin: bytes) -> None:
    assert refusal(upgrade(origin)).status == 403


def test_x1_a_request_made_by_hand_with_a_bad_host_is_refused() -> None:
    handshake = server()
    request = read(handshake, upgrade(b"http://h"))
    headers = type(request.headers)([*request.headers.raw, ("Host", "x")])
    with pytest.raises(InvalidHandshake) as caught:
        handshake.check_upgrade(Request("GET", "/", headers))
    assert caught.value.status == 403


@pytest.mark.parametrize(
    ("origins", "origin", "allowed"),
    [
        (["https://good.example"], b"https://good.example", True),
        (["https://good.example"], b"https://good.example.evil", False),
        (["https://good.example"], b"http://good.example", False),
        (["https://good.example"], b"https://good.example:8443", False),
        (["https://good.example"], b"null", False),
        (["https://good.example"], None, False),
        (["https://good.example"], b"http://server.example.com", False),
        (["https://good.example", None], None, True),
        (["null"], b"null", True),
        ([None], b"null", False),
        ([], b"http://server.example.com", False),
        (["*"], b"anything", True),
        (["*"], None, True),
        ([re.compile(r"https://.*\.good\.example")], b"https://a.good.example", True),
        ([re.compile(r"https://.*\.good\.example")], b"https://a.good.example.evil", False),
        ([re.compile(r"https://.*\.good\.example")], None, False),
    ],
)
def test_x1_the_allow_list_decides(origins: Origins, origin: bytes | None, allowed: bool) -> None:
    data = upgrade(origin, b"server.example.com")
    if allowed:
        handshake = server(origins)
        handshake.check_upgrade(read(handshake, data))
    else:
        assert refusal(data, origins).status == 403


@pytest.mark.parametrize("origins", ["https://good.example", [1]])
def test_an_allow_list_of_the_wrong_type_is_refused(origins: Origins) -> None:
    with pytest.raises(TypeError):
        server(origins)
