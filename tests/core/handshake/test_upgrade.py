"""What both sides of the opening handshake share."""

from __future__ import annotations

import pytest

from anyws.core.handshake.headers import Headers
from anyws.core.handshake.upgrade import (
    accept_value,
    added_headers,
    checked_subprotocols,
    names_protocol,
)


def test_the_accept_value_hashes_the_key_as_it_is_written() -> None:
    """The text counts, not the 16 bytes that it stands for (RFC 6455, section 4.2.2)."""
    values = {
        accept_value(key) for key in ("", "AAAAAAAAAAAAAAAAAAAAAA==", "AAAAAAAAAAAAAAAAAAAAAA")
    }
    assert len(values) == 3
    assert {len(value) for value in values} == {28}
    assert accept_value("") == "Kfh9QIsMVZcl6xEPYxPHzW8SZ8w="


@pytest.mark.parametrize(
    ("values", "found"),
    [
        (["websocket"], True),
        (["WebSocket"], True),
        (["h2c, websocket"], True),
        (["h2c", " \twebsocket\t "], True),
        ([",,websocket"], True),
        ([], False),
        ([""], False),
        (["websocket/13"], False),
        (["web socket"], False),
        (["websockets"], False),
        (["\xa0websocket"], False),
    ],
)
def test_the_upgrade_header_names_the_protocol(values: list[str], found: bool) -> None:
    assert names_protocol(values, "websocket") is found


def test_subprotocols_keep_their_order_and_their_case() -> None:
    names = ["b", "a", "A", "c.d~1"]
    checked = checked_subprotocols(names)
    names.clear()
    assert checked == ("b", "a", "A", "c.d~1")
    assert checked_subprotocols(()) == ()


@pytest.mark.parametrize("names", [[""], ["a,b"], ["é"], ["a", "b", "a"]])
def test_subprotocols_that_cannot_stand_in_a_header(names: list[str]) -> None:
    with pytest.raises(ValueError, match="subprotocol"):
        checked_subprotocols(names)


def test_added_headers_keep_their_spelling_and_their_order() -> None:
    pairs = [("set-COOKIE", "b=1"), ("X-Sec-WebSocket-A", "1"), ("set-COOKIE", "a=1")]
    assert added_headers(pairs).raw == tuple(pairs)
    assert added_headers(Headers(pairs)) == Headers(pairs)
    assert added_headers({}).raw == ()


@pytest.mark.parametrize(
    "name", ["Connection", "upgrade", "CONTENT-LENGTH", "transfer-Encoding", "SEC-WEBSOCKET-x"]
)
def test_a_reserved_header_is_named_as_it_was_spelled(name: str) -> None:
    with pytest.raises(ValueError, match=f"^the header {name} belongs to the handshake"):
        added_headers([("A", "b"), (name, "x")])
