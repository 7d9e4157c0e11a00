"""What an application answers (RFC 9112)."""

from __future__ import annotations

import pytest

from anyws.core.handshake.response import Response


def test_a_response_with_text() -> None:
    response = Response(404, {"X": "y"}, "né")
    assert response.reason == "Not Found"
    assert response.body == b"n\xc3\xa9"
    assert response.serialize() == (
        b"HTTP/1.1 404 Not Found\r\nX: y\r\nContent-Type: text/plain; charset=utf-8\r\n"
        b"Content-Length: 3\r\nConnection: close\r\n\r\nn\xc3\xa9"
    )


def test_a_response_keeps_the_content_type_of_its_user() -> None:
    assert Response(200, {"content-type": "text/html"}, "x").headers.raw == (
        ("content-type", "text/html"),
    )
    assert Response(200, (), b"x").headers.raw == ()


def test_a_response_with_its_own_reason_and_an_unknown_status() -> None:
    assert Response(299, reason="Né").serialize().startswith(b"HTTP/1.1 299 N\xe9\r\n")
    assert Response(299).reason == ""


def test_h8_a_response_always_closes_the_connection_and_knows_its_length() -> None:
    headers = [("Connection", "keep-alive"), ("Content-Length", "99")]
    assert Response(200, headers, b"x").serialize() == (
        b"HTTP/1.1 200 OK\r\nContent-Length: 1\r\nConnection: close\r\n\r\nx"
    )
    assert Response(204, headers).serialize() == (
        b"HTTP/1.1 204 No Content\r\nConnection: close\r\n\r\n"
    )


def test_an_upgrade_header_comes_with_its_connection_option() -> None:
    assert Response(426, {"Upgrade": "websocket"}).serialize() == (
        b"HTTP/1.1 426 Upgrade Required\r\nUpgrade: websocket\r\nContent-Length: 0\r\n"
        b"Connection: close\r\nConnection: upgrade\r\n\r\n"
    )


def test_a_101_goes_as_it_is() -> None:
    assert Response(101, {"Upgrade": "websocket"}).serialize() == (
        b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\n\r\n"
    )


def test_the_answer_to_head_has_no_body() -> None:
    assert Response(200, (), b"xy").serialize(head_only=True) == (
        b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nConnection: close\r\n\r\n"
    )


@pytest.mark.parametrize(
    ("status", "headers", "body", "reason"),
    [
        (99, {}, b"", None),
        (1000, {}, b"", None),
        (204, {}, b"x", None),
        (304, {}, b"x", None),
        (101, {}, b"x", None),
        (200, {}, b"", "a\r\nX: y"),
        (200, {}, b"", "a\x00"),
        (200, {}, b"", "€"),
        (200, {"A": "b\r\nC: d"}, b"", None),
    ],
)
def test_h10_a_response_that_cannot_be_sent_is_refused(
    status: int, headers: dict[str, str], body: bytes, reason: str | None
) -> None:
    with pytest.raises(ValueError, match=r".+"):
        Response(status, headers, body, reason)


def test_a_response_is_not_sent_with_a_transfer_encoding() -> None:
    with pytest.raises(ValueError, match="Transfer-Encoding"):
        Response(200, {"Transfer-Encoding": "chunked"}).serialize()
