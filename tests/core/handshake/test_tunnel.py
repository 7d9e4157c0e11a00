"""Asking an HTTP proxy for a tunnel, byte by byte (RFC 9110, section 9.3.6)."""

from __future__ import annotations

import pytest

from anyws.core.handshake.tunnel import TunnelHandshake
from anyws.core.handshake.uri import parse_proxy_uri
from anyws.errors import InvalidHandshake
from anyws.limits import Limits


def handshake(proxy="http://proxy.example:3128", host="h.example", port=443, **limits):
    return TunnelHandshake(host, port, parse_proxy_uri(proxy), Limits(**limits))


@pytest.mark.parametrize(
    ("host", "target"),
    [
        ("h.example", b"h.example:443"),
        ("192.0.2.7", b"192.0.2.7:443"),
        ("2001:db8::1", b"[2001:db8::1]:443"),
        ("fe80::1%eth0", b"[fe80::1]:443"),
    ],
)
def test_the_request(host, target):
    expected = b"CONNECT %b HTTP/1.1\r\nHost: %b\r\n\r\n" % (target, target)
    assert handshake(host=host).data == expected


def test_the_request_with_credentials():
    # RFC 7617, section 2.
    data = handshake("http://Aladdin:open%20sesame@proxy").data
    assert data.endswith(b"Proxy-Authorization: Basic QWxhZGRpbjpvcGVuIHNlc2FtZQ==\r\n\r\n")


@pytest.mark.parametrize("step", [1, 7, 1000])
@pytest.mark.parametrize(
    "head",
    [
        b"HTTP/1.1 200 Connection established\r\n\r\n",
        b"HTTP/1.0 200 OK\r\nVia: x\r\n\r\n",
        b"HTTP/1.1 204\r\n\r\n",
        # RFC 9110, section 9.3.6: both are to be ignored.
        b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n",
        b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\n\r\n",
    ],
)
def test_a_tunnel(head, step):
    tunnel = handshake()
    answers = [tunnel.receive_data(head[at : at + step]) for at in range(0, len(head), step)]
    assert answers[:-1] == [None] * (len(answers) - 1)
    assert 200 <= answers[-1].status < 300
    assert tunnel.leftover == b""


def test_what_follows_the_answer_is_left_over():
    tunnel = handshake()
    assert tunnel.receive_data(b"HTTP/1.1 200 OK\r\n\r\nmore").status == 200
    assert tunnel.leftover == b"more"


@pytest.mark.parametrize("body", [b"", b"no", b"no!\n"])
def test_a_refusal_is_known_before_its_body_is_whole(body):
    head = b"HTTP/1.1 407 Proxy Authentication Required\r\nContent-Length: 4\r\n\r\n"
    assert handshake().receive_data(head + body).status == 407


@pytest.mark.parametrize(
    "data",
    [
        b"SSH-2.0-OpenSSH_9.2\r\n\r\n",
        b"HTTP/2 200\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nA b: c\r\n\r\n",
        b"HTTP/1.1 101 Switching Protocols\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nA: " + bytes(2000),
    ],
)
def test_nonsense(data):
    with pytest.raises(InvalidHandshake):
        handshake(handshake_size=1000).receive_data(data)
