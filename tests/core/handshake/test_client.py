"""The client's side of the opening handshake (RFC 6455, section 4.1)."""

from __future__ import annotations

import base64
import contextlib
from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from anyws.core.deflate import Deflate
from anyws.core.handshake.client import ClientHandshake
from anyws.core.handshake.headers import HeadersLike
from anyws.core.handshake.server import ServerHandshake
from anyws.core.handshake.upgrade import Acceptance, accept_value
from anyws.core.handshake.uri import URI, parse_uri
from anyws.errors import InvalidHandshake, RejectedHandshake
from anyws.limits import Limits


def client(
    uri: str | URI = "ws://h/",
    *,
    headers: HeadersLike = (),
    origin: str | None = None,
    subprotocols: Sequence[str] = (),
    compression: Deflate | None = None,
    user_agent: str | None = None,
) -> ClientHandshake:
    return ClientHandshake(
        parse_uri(uri) if isinstance(uri, str) else uri,
        headers=headers,
        origin=origin,
        subprotocols=subprotocols,
        compression=compression,
        limits=Limits(),
        user_agent=user_agent,
    )


def answer(handshake: ClientHandshake, more: bytes = b"", /, **changes: bytes | None) -> bytes:
    key = handshake.request.headers["Sec-WebSocket-Key"]
    lines: dict[str, bytes | None] = {
        "Upgrade": b"websocket",
        "Connection": b"Upgrade",
        "Accept": accept_value(key).encode(),
        **changes,
    }
    names = {"Accept": b"Sec-WebSocket-Accept"}
    head = b"".join(
        names.get(name, name.encode()) + b": " + value + b"\r\n"
        for name, value in lines.items()
        if value is not None
    )
    return b"HTTP/1.1 101 Switching Protocols\r\n" + head + more + b"\r\n"


def accepted(handshake: ClientHandshake, more: bytes = b"") -> Acceptance:
    acceptance = handshake.receive_data(answer(handshake, more))
    assert acceptance is not None
    return acceptance


def test_accept_value_of_rfc_6455() -> None:
    assert accept_value("dGhlIHNhbXBsZSBub25jZQ==") == "s3pPLMBiTxaQ9kYGzzhZRbK+xOo="


def test_the_smallest_request() -> None:
    handshake = client("ws://server.example.com:8000/chat?a=b")
    key = handshake.request.headers["Sec-WebSocket-Key"]
    assert handshake.data == (
        b"GET /chat?a=b HTTP/1.1\r\n"
        b"Host: server.example.com:8000\r\n"
        b"Upgrade: websocket\r\n"
        b"Connection: Upgrade\r\n"
        b"Sec-WebSocket-Key: " + key.encode() + b"\r\n"
        b"Sec-WebSocket-Version: 13\r\n\r\n"
    )
    assert len(base64.b64decode(key, validate=True)) == 16


def test_a_request_with_everything() -> None:
    handshake = client(
        "ws://user:pass@h/",
        headers={"X": "y"},
        origin="http://h",
        subprotocols=["a", "b"],
        compression=Deflate(),
        user_agent="agent/1",
    )
    headers = handshake.request.headers
    assert headers["Origin"] == "http://h"
    assert headers["Sec-WebSocket-Protocol"] == "a, b"
    assert headers["Sec-WebSocket-Extensions"].startswith("permessage-deflate")
    assert headers["Authorization"] == "Basic dXNlcjpwYXNz"
    assert headers["User-Agent"] == "agent/1"
    assert headers["X"] == "y"
    assert handshake.data == handshake.request.serialize()


def test_each_request_has_its_own_key() -> None:
    keys = {client().request.headers["Sec-WebSocket-Key"] for _ in range(100)}
    assert len(keys) == 100


def test_host_user_agent_and_authorization_can_be_replaced() -> None:
    headers = {"host": "other:8", "user-agent": "mine", "AUTHORIZATION": "Bearer x"}
    handshake = client("ws://user:pass@h/", headers=headers, user_agent="ours")
    fields = handshake.request.headers
    assert fields.get_all("Host") == ["other:8"]
    assert fields.get_all("User-Agent") == ["mine"]
    assert fields.get_all("Authorization") == ["Bearer x"]
    assert fields.raw[0] == ("Host", "other:8")


def test_the_origin_may_be_given_as_a_header() -> None:
    assert client(headers={"Origin": "null"}).request.origin == "null"


@pytest.mark.parametrize(
    "headers",
    [
        {"Upgrade": "x"},
        {"connection": "close"},
        {"Sec-WebSocket-Key": "x"},
        {"sec-websocket-protocol": "x"},
        {"Content-Length": "5"},
        {"Transfer-Encoding": "chunked"},
        {"Host": "a b"},
        {"Host": ""},
        [("Host", "a"), ("host", "a")],
        [("User-Agent", "a"), ("User-Agent", "b")],
        {"Origin": "b"},
        {"A": "b\r\nC: d"},
        {"A\r\n": "b"},
    ],
)
def test_h10_headers_that_clash_or_are_malformed_are_refused(headers: HeadersLike) -> None:
    with pytest.raises(ValueError, match=r".+"):
        client(headers=headers, origin="http://a")


@pytest.mark.parametrize(
    "arguments",
    [
        {"origin": "a\r\nB: c"},
        {"user_agent": "a\nB: c"},
        {"subprotocols": ["a\r\n"]},
        {"subprotocols": ["a", "a"]},
        {"uri": URI(False, "h", 80, "/\r\nA: b")},
        {"uri": URI(False, "h\r\nA: b", 80, "/")},
    ],
)
def test_h10_nothing_can_be_injected_into_the_request(arguments: dict[str, str]) -> None:
    with pytest.raises(ValueError, match=r".+"):
        client(**arguments)  # type: ignore[arg-type]


def test_subprotocols_are_not_a_single_string() -> None:
    with pytest.raises(TypeError):
        client(subprotocols="chat")


@pytest.mark.parametrize("step", [1, 10_000])
def test_h14_an_answer_and_the_frames_behind_it(step: int) -> None:
    handshake = client()
    interim = b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\n\r\n"
    data = interim + answer(handshake)
    acceptance = None
    for start in range(0, len(data), step):
        assert acceptance is None
        tail = b"\x81\x00" if start + step >= len(data) else b""
        acceptance = handshake.receive_data(data[start : start + step] + tail)
    assert acceptance is not None
    assert (acceptance.data, acceptance.subprotocol, acceptance.deflate) == (b"", None, None)
    assert acceptance.response.status == 101
    assert handshake.leftover == b"\x81\x00"
    assert handshake.receive_eof() is acceptance


@pytest.mark.parametrize(
    "changes",
    [
        {"Upgrade": b"WebSocket"},
        {"Connection": b"keep-alive, upgrade"},
        {"X": b"\xff"},
    ],
)
def test_what_rfc_6455_allows_is_accepted(changes: dict[str, bytes | None]) -> None:
    handshake = client()
    assert handshake.receive_data(answer(handshake, b"", **changes)) is not None


@pytest.mark.parametrize(
    ("changes", "more"),
    [
        ({"Upgrade": None}, b""),
        ({"Upgrade": b"h2c"}, b""),
        ({}, b"Upgrade: websocket\r\n"),
        ({"Connection": None}, b""),
        ({"Connection": b"close"}, b""),
        ({"Connection": b"a b"}, b""),
        ({"Accept": None}, b""),
        ({"Accept": b"s3pPLMBiTxaQ9kYGzzhZRbK+xOo="}, b""),
        ({"Accept": b"\xff\x80"}, b""),
        ({}, b"Sec-WebSocket-Accept: x\r\n"),
        ({}, b"Sec-WebSocket-Protocol: x\r\n"),
        ({}, b"Sec-WebSocket-Protocol: A\r\n"),
        ({}, b"Sec-WebSocket-Protocol: a, b\r\n"),
        ({}, b"Sec-WebSocket-Protocol: a\r\nSec-WebSocket-Protocol: b\r\n"),
        ({}, b"Sec-WebSocket-Protocol:\r\n"),
        ({}, b"Sec-WebSocket-Protocol: \xff\r\n"),
        ({}, b"Sec-WebSocket-Extensions: foo\r\n"),
        ({}, b"Sec-WebSocket-Extensions: \xff\r\n"),
        ({}, b"Sec-WebSocket-Extensions:\r\n"),
        ({}, b"Sec-WebSocket-Extensions: permessage-deflate, permessage-deflate\r\n"),
        ({}, b"Sec-WebSocket-Extensions: permessage-deflate\r\nSec-WebSocket-Extensions: foo\r\n"),
        ({}, b"Sec-WebSocket-Extensions: permessage-deflate; x\r\n"),
        ({}, b"Sec-WebSocket-Extensions: permessage-deflate; server_max_window_bits=99\r\n"),
        ({}, b"Sec-WebSocket-Extensions: permessage-deflate; server_max_window_bits=7\r\n"),
        ({}, b"Sec-WebSocket-Extensions: permessage-deflate; server_max_window_bits=-1\r\n"),
        ({}, b'Sec-WebSocket-Extensions: permessage-deflate; server_max_window_bits="1 5"\r\n'),
        (
            {},
            b"Sec-WebSocket-Extensions: permessage-deflate; "
            + b"; ".join([b"server_no_context_takeover"] * 2)
            + b"\r\n",
        ),
    ],
)
def test_h15_a_wrong_answer_is_an_error(changes: dict[str, bytes | None], more: bytes) -> None:
    handshake = client(subprotocols=["a", "b"], compression=Deflate())
    with pytest.raises(InvalidHandshake):
        handshake.receive_data(answer(handshake, more, **changes))


def test_h15_an_extension_without_an_offer_is_an_error() -> None:
    handshake = client()
    with pytest.raises(InvalidHandshake, match="not offered"):
        accepted(handshake, b"Sec-WebSocket-Extensions: permessage-deflate\r\n")


def test_a_subprotocol_and_compression_can_be_agreed_on() -> None:
    acceptance = accepted(
        client(subprotocols=["a", "b"], compression=Deflate()),
        b"Sec-WebSocket-Protocol: b\r\nSec-WebSocket-Extensions: permessage-deflate\r\n",
    )
    assert acceptance.subprotocol == "b"
    assert acceptance.deflate is not None


def test_a_server_may_decline_both() -> None:
    acceptance = accepted(client(subprotocols=["a"], compression=Deflate()))
    assert (acceptance.subprotocol, acceptance.deflate) == (None, None)


def test_another_status_is_a_rejection_with_its_body() -> None:
    handshake = client()
    data = b"HTTP/1.1 401 No\r\nWWW-Authenticate: Basic\r\nContent-Length: 4\r\n\r\n"
    assert handshake.receive_data(data) is None
    with pytest.raises(RejectedHandshake) as caught:
        handshake.receive_data(b"nope")
    error = caught.value
    assert (error.status, error.reason, error.body) == (401, "No", b"nope")
    assert ("WWW-Authenticate", "Basic") in error.headers


def test_the_end_of_the_stream_ends_a_rejection() -> None:
    handshake = client()
    assert handshake.receive_data(b"HTTP/1.1 500 Oh\r\n\r\nno") is None
    with pytest.raises(RejectedHandshake) as caught:
        handshake.receive_eof()
    assert caught.value.body == b"no"


@pytest.mark.parametrize("data", [b"", b"HTTP/1.1 101 Switching"])
def test_the_end_of_the_stream_in_the_head_is_an_error(data: bytes) -> None:
    handshake = client()
    assert handshake.receive_data(data) is None
    with pytest.raises(InvalidHandshake, match="closed the connection"):
        handshake.receive_eof()


@pytest.mark.parametrize(("uri", "hint"), [("ws://h/", True), ("wss://h/", False)])
def test_a_server_that_expects_tls_says_nothing(uri: str, hint: bool) -> None:
    with pytest.raises(InvalidHandshake, match="without an answer") as caught:
        client(uri).receive_eof()
    assert str(caught.value).endswith("; does it expect wss://?") is hint


def test_both_sides_agree() -> None:
    one = client("ws://h/x", origin="http://h", subprotocols=["a", "b"], compression=Deflate())
    other = ServerHandshake(limits=Limits(), subprotocols=["b"], compression=Deflate())
    request = other.receive_data(one.data)
    assert request == one.request
    assert request is not None
    theirs = other.accept(request, {"Set-Cookie": "a=1"})
    ours = one.receive_data(theirs.data)
    assert ours is not None
    assert ours.response == theirs.response
    assert ours.subprotocol == theirs.subprotocol == "b"
    assert ours.deflate is not None
    assert theirs.deflate is not None


@given(st.binary(max_size=30), st.sampled_from(["Upgrade", "Connection", "Accept", "A"]))
def test_h5_any_header_bytes_are_accepted_or_an_error(value: bytes, name: str) -> None:
    for more in (b"", b"Sec-WebSocket-Protocol: " + value, b"Sec-WebSocket-Extensions: " + value):
        handshake = client(subprotocols=["a"], compression=Deflate())
        with contextlib.suppress(InvalidHandshake):
            handshake.receive_data(answer(handshake, more and more + b"\r\n", **{name: value}))
