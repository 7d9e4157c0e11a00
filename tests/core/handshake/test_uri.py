"""WebSocket addresses (RFC 6455, section 3)."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from anyws.core.handshake.uri import URI, ProxyURI, parse_proxy_uri, parse_uri, split_authority
from anyws.errors import InvalidURI


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("ws://localhost", URI(False, "localhost", 80, "/")),
        ("wss://localhost", URI(True, "localhost", 443, "/")),
        ("WSS://Example.COM:8443/Chat?A=b", URI(True, "example.com", 8443, "/Chat?A=b")),
        ("ws://h?x=1", URI(False, "h", 80, "/?x=1")),
        ("ws://h:/", URI(False, "h", 80, "/")),
        ("ws://h/a?b?c@d:e", URI(False, "h", 80, "/a?b?c@d:e")),
        ("ws://[::1]:8080/", URI(False, "::1", 8080, "/")),
        ("ws://[0:0::1]", URI(False, "::1", 80, "/")),
        ("ws://[fe80::1%25eth0]:9/", URI(False, "fe80::1%eth0", 9, "/")),
        ("ws://under_score.h./", URI(False, "under_score.h.", 80, "/")),
        ("ws://127.0.0.1:65535", URI(False, "127.0.0.1", 65535, "/")),
        ("ws://bücher.example/", URI(False, "xn--bcher-kva.example", 80, "/")),
        ("ws://bücher.example:81/", URI(False, "xn--bcher-kva.example", 81, "/")),
        ('ws://h/ü%20{x}\\?q="é', URI(False, "h", 80, "/%C3%BC%20%7Bx%7D%5C?q=%22%C3%A9")),
        ("ws://us%20er:p%3Aw@h/", URI(False, "h", 80, "/", "us er", "p:w")),
        ("ws://user@h/", URI(False, "h", 80, "/", "user", "")),
    ],
)
def test_a_valid_address_is_taken_apart(text: str, expected: URI) -> None:
    assert parse_uri(text) == expected


@pytest.mark.parametrize(
    "text",
    [
        "",
        "localhost:8000",
        "ws:/h",
        "http://h/",
        "ws://h/#fragment",
        "ws://h#",
        "ws://",
        "ws:///path",
        "ws://:80/",
        "ws://user@/",
        "ws://h:0/",
        "ws://h:65536/",
        "ws://h:99999999999/",
        "ws://h:-1/",
        "ws://h:+1/",
        "ws://h:8\u06610/",
        "ws://h:1:2/",
        "ws://h /",
        " ws://h/",
        "ws://h/\r\nX: y",
        "ws://h/\x00",
        "ws://h/\x7f",
        "ws://h/\x85",
        "ws://h/a\u2028b",
        "ws://[::1/",
        "ws://[::1]x/",
        "ws://[:::1]/",
        "ws://[::1\u00e9]/",
        "ws://a..b/",
        "ws://" + "a" * 64 + "/",
        "ws://" + "a." * 127 + "/",
        "ws://" + "é" * 300 + "/",
        "ws://" + "é" * 64 + "/",
        "ws://a\u2100b/",
        "ws://\ud800/",
        "ws://h/\ud800",
        "ws://\ud800@h/",
        "ws://h%41/",
        "ws://good\\@evil/",
        "ws://a@b@c/",
        "ws://a%3Ab:c@h/",
        "ws://a%0A@h/",
        "ws://a:%00@h/",
        "ws://%ff@h/",
    ],
)
def test_an_invalid_address_is_refused(text: str) -> None:
    with pytest.raises(InvalidURI):
        parse_uri(text)


@pytest.mark.parametrize(
    ("text", "authority"),
    [
        ("ws://h:80/", "h"),
        ("wss://h:443/", "h"),
        ("ws://h:443/", "h:443"),
        ("wss://h:80/", "h:80"),
        ("ws://[::1]/", "[::1]"),
        ("wss://[::1]:8443/", "[::1]:8443"),
        ("ws://[fe80::1%25eth0]:9/", "[fe80::1]:9"),
    ],
)
def test_the_authority_leaves_out_a_default_port_and_the_zone(text: str, authority: str) -> None:
    assert parse_uri(text).authority == authority


def test_credentials_become_basic_authorization_in_utf_8() -> None:
    assert parse_uri("ws://h/").authorization is None
    assert parse_uri("ws://Aladdin:open%20sesame@h/").authorization == (
        "Basic QWxhZGRpbjpvcGVuIHNlc2FtZQ=="
    )
    assert parse_uri("ws://t%C3%A9st:123%C2%A3@h/").authorization == "Basic dMOpc3Q6MTIzwqM="
    assert URI(False, "h", 80, "/", "a").authorization == "Basic YTo="


def test_the_password_is_not_in_the_repr() -> None:
    assert "sesame" not in repr(parse_uri("ws://Aladdin:sesame@h/"))


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("H", ("h", None)),
        ("h:8", ("h", 8)),
        ("[0::1]:8", ("::1", 8)),
        ("[::1 bad host%", None),
        ("[1.2]", None),
        ("h:0", None),
        ("h:65536", None),
        ("a,b", None),
        ("", None),
    ],
)
def test_split_authority(text: str, expected: tuple[str, int | None] | None) -> None:
    assert split_authority(text) == expected


@given(st.text() | st.text().map("ws://".__add__))
def test_any_text_is_an_address_or_refused(text: str) -> None:
    try:
        uri = parse_uri(text)
    except InvalidURI:
        return
    assert uri.resource.isascii()
    assert uri.host.isascii()
    assert 1 <= uri.port <= 65535
    assert parse_uri(f"ws://{uri.authority}{uri.resource}").resource == uri.resource


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("http://proxy", ProxyURI("http", "proxy", 80)),
        ("HTTPS://Proxy.Example/", ProxyURI("https", "proxy.example", 443)),
        ("socks5h://proxy", ProxyURI("socks5h", "proxy", 1080)),
        ("socks4a://[::1]:9", ProxyURI("socks4a", "::1", 9)),
        ("http://us%20er:p%3Aw@proxy:3128", ProxyURI("http", "proxy", 3128, "us er", "p:w")),
    ],
)
def test_the_address_of_a_proxy(text: str, expected: ProxyURI) -> None:
    assert parse_proxy_uri(text) == expected
    assert "p:w" not in repr(expected)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "proxy:3128",
        "http:proxy",
        "ftp://proxy",
        "ws://proxy",
        "http://",
        "http://:80",
        "http://proxy:0",
        "http://proxy:x",
        "http://proxy/path",
        "http://proxy?query",
        "http://proxy#fragment",
        "http://a b",
        "http://user:secret@host\\@proxy",
        "http://user:se\ncret@proxy",
        "http://user:secret@/",
    ],
)
def test_what_is_no_address_of_a_proxy(text: str) -> None:
    with pytest.raises(InvalidURI) as caught:
        parse_proxy_uri(text)
    assert "secret" not in str(caught.value)


@pytest.mark.parametrize("host", ["good.example\uff1a9999", "a\uff0fb.example", "a\uff20b.example"])
def test_wide_characters_are_no_delimiters(host: str) -> None:
    """A wide colon would become one, and what follows a port; browsers refuse such a host."""
    with pytest.raises(InvalidURI, match="IDNA"):
        parse_uri(f"ws://{host}/")
