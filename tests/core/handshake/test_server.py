"""The server's side of the opening handshake (RFC 6455, section 4.2)."""

from __future__ import annotations

import enum
from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from anyws.core.deflate import Deflate
from anyws.core.handshake.request import Request
from anyws.core.handshake.response import Response
from anyws.core.handshake.server import SelectSubprotocol, ServerHandshake, error_response
from anyws.errors import InvalidHandshake
from anyws.limits import Limits

pytestmark = pytest.mark.usefixtures("each_parser")

KEY = b"dGhlIHNhbXBsZSBub25jZQ=="
LINES = {
    b"Host": b"server.example.com",
    b"Upgrade": b"websocket",
    b"Connection": b"Upgrade",
    b"Sec-WebSocket-Key": KEY,
    b"Sec-WebSocket-Version": b"13",
}


def server(
    *,
    subprotocols: Sequence[str] = (),
    select_subprotocol: SelectSubprotocol | None = None,
    compression: Deflate | None = None,
) -> ServerHandshake:
    return ServerHandshake(
        limits=Limits(),
        subprotocols=subprotocols,
        select_subprotocol=select_subprotocol,
        compression=compression,
    )


def upgrade(
    changes: dict[bytes, bytes | None] | None = None,
    *,
    line: bytes = b"GET /chat HTTP/1.1",
    more: bytes = b"",
) -> bytes:
    """The request of RFC 6455, section 1.2, with header lines changed, removed or added."""
    lines = {**LINES, **(changes or {})}
    head = [line, *(name + b": " + value for name, value in lines.items() if value is not None)]
    return b"\r\n".join(head) + b"\r\n" + more + b"\r\n"


def read(handshake: ServerHandshake, data: bytes) -> Request:
    request = handshake.receive_data(data)
    assert request is not None
    return request


def refusal(data: bytes, handshake: ServerHandshake | None = None) -> InvalidHandshake:
    handshake = handshake or server()
    with pytest.raises(InvalidHandshake) as caught:
        handshake.accept(read(handshake, data))
    return caught.value


@pytest.mark.parametrize("step", [1, 1000])
def test_the_example_of_rfc_6455_is_accepted(step: int) -> None:
    handshake = server()
    data = upgrade()
    request = None
    for start in range(0, len(data), step):
        assert request is None
        request = handshake.receive_data(data[start : start + step])
    assert request is not None
    handshake.check_upgrade(request)
    acceptance = handshake.accept(request)
    assert acceptance.data == (
        b"HTTP/1.1 101 Switching Protocols\r\n"
        b"Upgrade: websocket\r\n"
        b"Connection: Upgrade\r\n"
        b"Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n\r\n"
    )
    assert acceptance.response.status == 101
    assert acceptance.subprotocol is None
    assert acceptance.deflate is None


def test_accept_checks_a_request_that_was_not_checked() -> None:
    handshake = server()
    assert handshake.accept(read(handshake, upgrade())).response.status == 101
    other = Request("GET", "/")
    with pytest.raises(InvalidHandshake):
        handshake.accept(other)


def test_h14_frames_behind_the_request_are_left_over() -> None:
    handshake = server()
    read(handshake, upgrade() + b"\x81\x80abcd")
    assert handshake.leftover == b"\x81\x80abcd"


def test_there_is_no_request_before_it_has_come() -> None:
    handshake = server()
    assert handshake.receive_data(b"GET / HTTP/1.1\r\n") is None
    with pytest.raises(RuntimeError, match="not come yet"):
        _ = handshake.request
    request = handshake.receive_data(b"Host: h\r\n\r\n")
    assert handshake.request is request


def test_the_stream_ends_before_the_request() -> None:
    with pytest.raises(InvalidHandshake):
        server().receive_eof()


@pytest.mark.parametrize(
    "changes",
    [
        {b"Upgrade": b"WebSocket"},
        {b"Upgrade": b"h2c, websocket"},
        {b"Upgrade": b"HTTP/2.0,websocket"},
        {b"Connection": b"keep-alive, upgrade"},
        {b"Content-Length": b"0"},
        {b"Sec-WebSocket-Extensions": b'foo; a="b", permessage-deflate'},
        {b"Sec-WebSocket-Protocol": b"a, b,a"},
    ],
)
def test_what_rfc_6455_allows_is_accepted(changes: dict[bytes, bytes | None]) -> None:
    handshake = server()
    assert handshake.accept(read(handshake, upgrade(changes))).response.status == 101


def test_connection_may_come_in_several_lines() -> None:
    handshake = server()
    data = upgrade({b"Connection": b"keep-alive"}, more=b"connection: UPGRADE\r\n")
    assert handshake.accept(read(handshake, data)).response.status == 101


@pytest.mark.parametrize("method", [b"POST", b"HEAD", b"get", b"OPTIONS"])
def test_another_method_than_get_is_refused_with_405(method: bytes) -> None:
    assert refusal(upgrade(line=method + b" / HTTP/1.1")).status == 405


@pytest.mark.parametrize("value", [None, b"8", b"7", b"14", b"013", b"13, 8", b"", b"1_3"])
def test_h7_another_version_than_13_is_refused_with_426(value: bytes | None) -> None:
    assert refusal(upgrade({b"Sec-WebSocket-Version": value})).status == 426


@pytest.mark.parametrize(
    "value", [None, b"", b"h2c", b"websocket2", b"web socket", b"websocket/13"]
)
def test_h7_a_request_without_upgrade_to_websocket_is_refused_with_426(value: bytes | None) -> None:
    assert refusal(upgrade({b"Upgrade": value})).status == 426


@pytest.mark.parametrize(
    "value", [None, b"", b"keep-alive", b"upgraded", b"up grade", b"Upgrade;x"]
)
def test_h7_a_request_without_connection_upgrade_is_refused(value: bytes | None) -> None:
    assert refusal(upgrade({b"Connection": value})).status == 400


@pytest.mark.parametrize(
    "key",
    [
        None,
        b"",
        b"dGhlIHNhbXBsZSBub25jZQ",
        b"dGhlIHNhbXBsZSBub25jZQ==x",
        b"dGhlIHNhbXBsZSBub25jZR==",
        b"dGhlIHNhbXBsZSBub25jZ===",
        b"dGhlIHNhbXBsZSBub25j-_==",
        b"dGhlIHNhbXBs SBub25jZQ==",
        b"dGhlIHNhbXBsZSBub25jZQEB",
        b"A" * 5000,
        b"\xff" * 24,
    ],
)
def test_h13_a_key_is_exactly_16_bytes_in_base64(key: bytes | None) -> None:
    assert refusal(upgrade({b"Sec-WebSocket-Key": key})).status == 400


@pytest.mark.parametrize(
    "name", [b"Sec-WebSocket-Key", b"Sec-WebSocket-Version", b"Host", b"Origin"]
)
def test_h9_what_comes_once_must_not_come_twice(name: bytes) -> None:
    value = LINES.get(name, b"http://server.example.com")
    line = name + b": " + value + b"\r\n"
    with pytest.raises(InvalidHandshake) as caught:
        server().receive_data(upgrade({name: value}, more=line))
    assert caught.value.status == 400


@pytest.mark.parametrize(
    "changes",
    [
        {b"Content-Length": b"5"},
        {b"Content-Length": b"00"},
        {b"Transfer-Encoding": b"chunked"},
        {b"Transfer-Encoding": b"chunked", b"Content-Length": b"0"},
    ],
)
def test_h9_an_upgrade_request_has_no_body(changes: dict[bytes, bytes | None]) -> None:
    error = refusal(upgrade(changes))
    assert (error.status, "no body" in str(error)) == (400, True)


@pytest.mark.parametrize("name", [b"Sec-WebSocket-Protocol", b"Sec-WebSocket-Extensions"])
@pytest.mark.parametrize("value", [b"ch\xff\x80t", b"", b"a b", b'a; b="', b'"'])
def test_h4_malformed_lists_are_refused(name: bytes, value: bytes) -> None:
    assert refusal(upgrade({name: value})).status == 400


def test_h4_a_server_lives_on_after_a_malformed_list_without_an_upgrade() -> None:
    data = b"GET / HTTP/1.1\r\nHost: h\r\nSec-WebSocket-Protocol: \xff\r\n\r\n"
    assert read(server(), data).path == "/"


# Subprotocols


def test_the_first_subprotocol_that_both_know_is_chosen() -> None:
    handshake = server(subprotocols=["c", "b", "a"])
    acceptance = handshake.accept(read(handshake, upgrade({b"Sec-WebSocket-Protocol": b"a, b"})))
    assert acceptance.subprotocol == "b"
    assert acceptance.response.headers["Sec-WebSocket-Protocol"] == "b"


@pytest.mark.parametrize("offered", [None, b"x, A"])
def test_without_a_common_subprotocol_there_is_none(offered: bytes | None) -> None:
    handshake = server(subprotocols=["a"])
    acceptance = handshake.accept(read(handshake, upgrade({b"Sec-WebSocket-Protocol": offered})))
    assert acceptance.subprotocol is None
    assert "Sec-WebSocket-Protocol" not in acceptance.response.headers


@pytest.mark.parametrize("choice", ["b", None])
def test_a_function_chooses_the_subprotocol(choice: str | None) -> None:
    seen = []

    def select(request: Request, offered: Sequence[str]) -> str | None:
        seen.append((request.path, offered))
        return choice

    handshake = server(subprotocols=["a"], select_subprotocol=select)
    data = upgrade({b"Sec-WebSocket-Protocol": b"a, b, a"})
    assert handshake.accept(read(handshake, data)).subprotocol == choice
    assert seen == [("/chat", ("a", "b"))]


@pytest.mark.parametrize("by_function", [False, True])
def test_a_subprotocol_that_is_an_enum_is_its_value(by_function: bool) -> None:
    class Name(str, enum.Enum):  # noqa: UP042 - StrEnum formats as its value
        CHAT = "chat.v1"

    select = (lambda _request, _offered: Name.CHAT) if by_function else None
    handshake = server(subprotocols=[Name.CHAT], select_subprotocol=select)
    acceptance = handshake.accept(read(handshake, upgrade({b"Sec-WebSocket-Protocol": b"chat.v1"})))
    assert b"\r\nSec-WebSocket-Protocol: chat.v1\r\n" in acceptance.data
    assert type(acceptance.subprotocol) is str


def test_a_function_cannot_choose_what_was_not_offered() -> None:
    handshake = server(select_subprotocol=lambda _request, _offered: "x\r\nA: b")
    with pytest.raises(ValueError, match="does not offer"):
        handshake.accept(read(handshake, upgrade()))


@pytest.mark.parametrize(
    ("subprotocols", "error"),
    [("chat", TypeError), (["a b"], ValueError), (["a\r\n"], ValueError), (["a", "a"], ValueError)],
)
def test_h10_subprotocols_are_checked(subprotocols: Sequence[str], error: type[Exception]) -> None:
    with pytest.raises(error):
        server(subprotocols=subprotocols)


# Extensions


def test_the_first_offer_that_suits_is_accepted() -> None:
    handshake = server(compression=Deflate())
    bad = b"permessage-deflate; server_max_window_bits=99"
    offers = b"foo, " + bad + b", permessage-deflate; client_max_window_bits"
    acceptance = handshake.accept(read(handshake, upgrade({b"Sec-WebSocket-Extensions": offers})))
    assert acceptance.deflate is not None
    assert acceptance.response.headers["Sec-WebSocket-Extensions"].startswith("permessage-deflate")


@pytest.mark.parametrize(
    "offers",
    [None, b"foo", b"permessage-deflate; x", b"permessage-deflate; server_max_window_bits=8"],
)
def test_h16_without_an_offer_that_suits_there_is_no_compression(offers: bytes | None) -> None:
    handshake = server(compression=Deflate())
    acceptance = handshake.accept(read(handshake, upgrade({b"Sec-WebSocket-Extensions": offers})))
    assert acceptance.deflate is None
    assert "Sec-WebSocket-Extensions" not in acceptance.response.headers


# Answers


def test_headers_can_be_added_to_the_response() -> None:
    handshake = server()
    cookies = [("Set-Cookie", "a=1"), ("Set-Cookie", "b=2")]
    data = handshake.accept(read(handshake, upgrade()), cookies).data
    assert data.endswith(b"\r\nSet-Cookie: a=1\r\nSet-Cookie: b=2\r\n\r\n")


@pytest.mark.parametrize(
    "header",
    [
        ("Connection", "close"),
        ("UPGRADE", "x"),
        ("Sec-WebSocket-Accept", "x"),
        ("sec-websocket-anything", "x"),
        ("Content-Length", "0"),
        ("Transfer-Encoding", "chunked"),
        ("A", "b\r\nC: d"),
        ("A\r\n", "b"),
    ],
)
def test_h10_added_headers_are_checked(header: tuple[str, str]) -> None:
    handshake = server()
    with pytest.raises(ValueError, match=r".+"):
        handshake.accept(read(handshake, upgrade()), [header])


def test_a_plain_request_is_answered_with_a_page() -> None:
    handshake = server()
    assert read(handshake, b"GET /health HTTP/1.1\r\nHost: h\r\n\r\n").path == "/health"
    assert handshake.reject(Response(200, body="ok")).endswith(b"\r\n\r\nok")


def test_the_answer_to_head_has_no_body() -> None:
    handshake = server()
    read(handshake, b"HEAD / HTTP/1.1\r\nHost: h\r\n\r\n")
    answer = handshake.reject(Response(200, body="ok"))
    assert b"Content-Length: 2\r\n" in answer
    assert answer.endswith(b"\r\n\r\n")


def test_a_refused_request_can_be_answered_though_there_is_no_request() -> None:
    handshake = server()
    with pytest.raises(InvalidHandshake) as caught:
        handshake.receive_data(b"GET / HTTP/1.1\r\n\r\n")
    assert handshake.reject(error_response(caught.value)) == (
        b"HTTP/1.1 400 Bad Request\r\nContent-Type: text/plain; charset=utf-8\r\n"
        b"Content-Length: 28\r\nConnection: close\r\n\r\nthe Host header is missing.\n"
    )


def test_a_rejection_is_a_final_response() -> None:
    with pytest.raises(ValueError, match="101"):
        server().reject(Response(101))


def test_h8_a_426_says_which_version_and_protocol_are_spoken() -> None:
    answer = server().reject(error_response(refusal(upgrade({b"Sec-WebSocket-Version": b"8"}))))
    assert answer.startswith(b"HTTP/1.1 426 Upgrade Required\r\n")
    assert b"\r\nSec-WebSocket-Version: 13\r\n" in answer
    assert b"\r\nUpgrade: websocket\r\n" in answer
    assert b"\r\nConnection: close\r\n" in answer


def test_a_405_says_which_method_is_allowed() -> None:
    error = refusal(upgrade(line=b"POST / HTTP/1.1"))
    assert error_response(error).headers["Allow"] == "GET"


def test_h12_an_answer_never_carries_raw_characters() -> None:
    assert error_response(InvalidHandshake("\x1b[31mé")).body == b"\x1b[31m\\xe9.\n"


_value = st.binary(max_size=12) | st.sampled_from(
    [b"a, b", b"http://server.example.com", b"0", b"13"]
)


_name = st.sampled_from(
    [*LINES, b"Origin", b"Sec-WebSocket-Protocol", b"Sec-WebSocket-Extensions", b"Content-Length"]
)


@given(st.dictionaries(_name, _value, max_size=3))
def test_h5_any_header_bytes_are_accepted_or_refused(changes: dict[bytes, bytes | None]) -> None:
    handshake = server(compression=Deflate(), subprotocols=["a"])
    try:
        request = handshake.receive_data(upgrade(changes))
        if request is not None:
            handshake.accept(request)
    except InvalidHandshake as error:
        handshake.reject(error_response(error)).decode("ascii")
