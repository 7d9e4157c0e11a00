"""What went wrong elsewhere and has no test by its theme: see docs/security.md."""

import logging

import anyio
import pytest

import anyws
from anyws.testing import memory_pair

pytestmark = pytest.mark.anyio

HEAD = (
    b"GET %s HTTP/1.1\r\nHost: localhost\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
    b"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n%s\r\n"
)


@pytest.mark.parametrize("status", [b"301 Moved", b"302 Found", b"307 Temporary", b"308 Permanent"])
async def test_a_redirect_is_not_followed(status, read_all):
    """So no credentials go where they were not sent."""
    ours, theirs = memory_pair()
    asked = []

    async def answer():
        asked.append(await theirs.receive())
        head = b"HTTP/1.1 %s\r\nLocation: ws://elsewhere.example/\r\nContent-Length: 0\r\n\r\n"
        await theirs.send(head % status)
        asked.append(await read_all(theirs))

    async with anyio.create_task_group() as tg:
        tg.start_soon(answer)
        with pytest.raises(anyws.RejectedHandshake) as caught:
            async with anyws.client_over(ours, "ws://user:secret@memory/"):
                pass
    assert caught.value.status == int(status[:3])
    assert ("Location", "ws://elsewhere.example/") in caught.value.headers
    assert asked[0].count(b"GET ") == 1
    assert asked[1] == b""


async def test_escape_sequences_do_not_reach_the_log(serving, caplog):
    """A request that holds them raw is refused; what is logged of a connection is ``repr``."""

    async def fail(websocket):
        raise RuntimeError("the handler failed")

    async with serving(fail) as serve:
        async with serve.stream() as stream:
            await stream.send(HEAD % (b"/\x1b[31m", b""))
            assert (await stream.receive()).startswith(b"HTTP/1.1 400 ")
        async with serve.stream() as stream:
            await stream.send(HEAD % (b"/%1b[31m'\"", b"Origin: \x1b[31m\r\n"))
            assert (await stream.receive()).startswith(b"HTTP/1.1 400 ")
        with caplog.at_level(logging.DEBUG, "anyws"):
            async with serve.stream() as stream:
                await stream.send(HEAD % (b"/%1b[31m\xc3\xa9", b""))
                answer = await stream.receive()
            async with anyws.connect(serve.url + "%1b[31m") as websocket:
                with pytest.raises(anyws.ConnectionClosedError):
                    await websocket.receive()
    assert not answer.startswith(b"HTTP/1.1 101 ")
    assert "the handler failed" in caplog.text
    assert "%1b%5B31m" in caplog.text
    assert "\x1b" not in caplog.text


async def test_a_subprotocol_that_is_no_token_leaves_the_server_alive(serving):
    async with serving(subprotocols=["chat"]) as serve:
        async with serve.stream() as stream:
            await stream.send(HEAD % (b"/", b"Sec-WebSocket-Protocol: ch\xff\x80t\r\n"))
            assert (await stream.receive()).startswith(b"HTTP/1.1 400 ")
        await serve.echoes()


async def test_a_malformed_host_leaves_the_server_alive(serving):
    async with serving() as serve:
        async with serve.stream() as stream:
            await stream.send(
                (HEAD % (b"/", b"")).replace(b"Host: localhost", b"Host: [::1 bad host%")
            )
            assert (await stream.receive()).startswith(b"HTTP/1.1 400 ")
        await serve.echoes()


async def test_a_refused_request_is_the_last(serving, read_all):
    """What comes behind it is not parsed, so no proxy can be made to take it for a tunnel."""
    async with serving() as serve, serve.stream() as stream:
        refused = (HEAD % (b"/", b"")).replace(b"Version: 13", b"Version: 8")
        await stream.send(refused + HEAD % (b"/", b""))
        answer = await read_all(stream)
        assert answer.startswith(b"HTTP/1.1 426 ")
        assert answer.count(b"HTTP/1.1 ") == 1
        assert b"\r\nconnection: close\r\n" in answer.lower()
        assert b"\r\nsec-websocket-version: 13\r\n" in answer.lower()


async def test_a_rebound_name_is_refused_by_the_allow_list(serving):
    """A page of a name that its owner lets point here sends a matching Host and Origin."""
    rebound = b"Origin: http://rebound.example\r\n"
    async with serving(origins=["https://app.example"]) as serve:
        for lines in (rebound, rebound + b"X: x\r\n"):
            request = (HEAD % (b"/", lines)).replace(b"localhost", b"rebound.example")
            async with serve.stream() as stream:
                await stream.send(request)
                assert (await stream.receive()).startswith(b"HTTP/1.1 403 ")
