"""Connecting: what it refuses at once, what it raises, and what it leaves behind: nothing."""

import asyncio
import base64
import os
import socket
import ssl
from contextlib import asynccontextmanager
from functools import partial

import anyio
import pytest
import trustme

import anyws
from anyws.net.tls import context_or_default
from anyws.testing import RawPeer, memory_pair

pytestmark = pytest.mark.anyio


@asynccontextmanager
async def answering(answer):
    """Give the port of a server that does ``await answer(peer)`` for each connection."""

    async def handle(stream):
        async with stream:
            await answer(RawPeer(stream))

    with anyio.fail_after(10):
        listener = await anyio.create_tcp_listener(local_host="127.0.0.1")
        async with listener, anyio.create_task_group() as tg:
            tg.start_soon(listener.serve, handle)
            yield listener.extra(anyio.abc.SocketAttribute.local_port)
            tg.cancel_scope.cancel()


def descriptors():
    """The sockets that this process has open."""
    found = set()
    for name in os.listdir("/proc/self/fd"):
        try:
            target = os.readlink(f"/proc/self/fd/{name}")
        except OSError:
            continue
        if target.startswith("socket:"):
            found.add(target)
    return found


async def open_and_leave(uri, **options):
    async with anyws.connect(uri, **options):
        pass


@pytest.mark.parametrize(
    "uri",
    [
        "http://h/",
        "ws:///",
        "ws://h/#x",
        "h",
        "",
        "ws://h:x/",
        "ws://h:70000/",
        "ws://h/ x",
        "ws://h\r\n/",
    ],
)
async def test_an_invalid_address_is_refused_by_the_call(uri):
    with pytest.raises(anyws.InvalidURI):
        anyws.connect(uri)
    with pytest.raises(anyws.InvalidURI):
        anyws.client_over(None, uri)


@pytest.mark.parametrize("call", [anyws.connect, partial(anyws.client_over, None)])
async def test_an_unknown_keyword_is_refused_by_the_call(call):
    with pytest.raises(TypeError, match="unknown"):
        call("ws://h/", unknown=1)


@pytest.mark.parametrize(
    "options",
    [
        {"headers": {"A": "b\r\nC: d"}},
        {"headers": [("a b", "c")]},
        {"headers": {"Sec-WebSocket-Key": "mine"}},
        {"subprotocols": ["a b"]},
        {"subprotocols": ["a", "a"]},
        {"origin": "a\nb"},
        {"compression": "zstd"},
        {"ping_interval": -1},
        {"close_timeout": -1},
    ],
)
async def test_a_wrong_argument_is_refused_by_the_call(options):
    with pytest.raises(ValueError):
        anyws.connect("ws://h/", **options)


async def test_a_context_is_for_secure_addresses():
    with pytest.raises(ValueError, match="wss"):
        anyws.connect("ws://h/", ssl_context=ssl.create_default_context())


async def test_refused():
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
    before = descriptors()
    with pytest.raises(ConnectionRefusedError):
        await open_and_leave(f"ws://127.0.0.1:{port}")
    assert descriptors() <= before


async def test_no_such_unix_socket(tmp_path):
    with pytest.raises(OSError):
        await open_and_leave("ws://h/", unix_path=tmp_path / "none")


async def test_no_such_name():
    with pytest.raises(OSError):
        await open_and_leave("ws://name.invalid/")


async def test_a_server_that_says_nothing():
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
        before = descriptors()
        with anyio.fail_after(5), pytest.raises(TimeoutError) as caught:
            await open_and_leave(f"ws://a:b@127.0.0.1:{port}/x", open_timeout=0.05)
        assert str(caught.value) == (
            f"the connection to ws://127.0.0.1:{port}/x was not open within 0.05 seconds (open_timeout)"
        )
        await anyio.wait_all_tasks_blocked()
        assert descriptors() <= before


async def test_the_time_limit_is_one_for_the_whole_opening():
    async def answer(peer):
        await peer._head()
        for byte in b"HTTP/1.1 101 Switching":
            await peer.send(bytes([byte]))
        await peer.receive_eof()

    async with answering(answer) as port:
        with pytest.raises(TimeoutError):
            await open_and_leave(f"ws://127.0.0.1:{port}", open_timeout=0.1)


async def test_cancelled_while_it_opens():
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
        before = descriptors()
        async with anyio.create_task_group() as tg:
            tg.start_soon(open_and_leave, f"ws://127.0.0.1:{port}")
            await anyio.wait_all_tasks_blocked()
            tg.cancel_scope.cancel()
        await anyio.wait_all_tasks_blocked()
        assert descriptors() <= before


async def test_rejected():
    async def answer(peer):
        await peer._head()
        await peer.send(b"HTTP/1.1 418 I'm a teapot\r\nA: b\r\nContent-Length: 5\r\n\r\nshort")

    async with answering(answer) as port:
        with pytest.raises(anyws.RejectedHandshake) as caught:
            await open_and_leave(f"ws://127.0.0.1:{port}")
        error = caught.value
        assert (error.status, error.reason, error.body) == (418, "I'm a teapot", b"short")
        assert ("a", "b") in [(name.lower(), value) for name, value in error.headers]
        assert "418" in str(error)
        assert isinstance(error, anyws.HandshakeError)


async def test_rejected_by_who_resets_the_connection():
    """As a server does that has not read all of the request: the status has come."""
    ours, theirs = memory_pair()
    peer = RawPeer(theirs)

    async def answer():
        await peer._head()
        await peer.send(b"HTTP/1.1 403 Forbidden\r\nContent-Length: 1000\r\n\r\nthe beginning")
        await anyio.wait_all_tasks_blocked()
        theirs.reset()

    with anyio.fail_after(10):
        async with anyio.create_task_group() as tg:
            tg.start_soon(answer)
            with pytest.raises(anyws.RejectedHandshake) as caught:
                async with anyws.client_over(ours, "ws://memory/"):
                    pass
    assert (caught.value.status, caught.value.body) == (403, b"the beginning")


async def test_rejected_by_who_does_not_come_to_an_end():
    async def answer(peer):
        await peer._head()
        await peer.send(b"HTTP/1.1 403 Forbidden\r\nContent-Length: 1000\r\n\r\nthe beginning")
        await peer.receive_eof()

    async with answering(answer) as port:
        with pytest.raises(anyws.RejectedHandshake) as caught:
            await open_and_leave(f"ws://127.0.0.1:{port}", open_timeout=0.2)
    assert (caught.value.status, caught.value.body) == (403, b"the beginning")


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"SSH-2.0-OpenSSH_9.6\r\n",
        b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\r\n",
        b"HTTP/1.1 101 Switching Proto",
    ],
)
async def test_an_answer_that_breaks_the_rules(data):
    async def answer(peer):
        await peer._head()
        if data:
            await peer.send(data)
        await peer.stream.send_eof()
        await peer.receive_eof()

    async with answering(answer) as port:
        with pytest.raises(anyws.InvalidHandshake):
            await open_and_leave(f"ws://127.0.0.1:{port}")


async def request_head(uri, **options):
    """Return the lines of the request that a client sends, over memory."""
    client, server = memory_pair()
    heads = []

    async def answer():
        peer = RawPeer(server)
        heads.append(await peer.answer())
        await peer.receive_close()
        await peer.send_frame(0x88, b"\x03\xe8")
        await server.aclose()

    with anyio.fail_after(5):
        async with anyio.create_task_group() as tg:
            tg.start_soon(answer)
            async with anyws.client_over(client, uri, **options) as ws:
                assert ws.request.target == heads[0].split()[1].decode()
    return heads[0].decode("latin-1").split("\r\n")


async def test_the_request():
    lines = await request_head(
        "ws://h:81/a?b", headers={"X-One": "1"}, origin="http://o", subprotocols=["a"]
    )
    assert lines[0] == "GET /a?b HTTP/1.1"
    for line in ("Host: h:81", "X-One: 1", "Origin: http://o", "Sec-WebSocket-Protocol: a"):
        assert line in lines
    lines = await request_head("ws://h", headers=[("X", "1"), ("X", "2")], compression=None)
    assert lines[0] == "GET / HTTP/1.1"
    assert "X: 1" in lines
    assert "X: 2" in lines
    assert "Host: h" in lines
    assert not [line for line in lines if line.startswith("Sec-WebSocket-Extensions")]


async def test_a_user_in_the_address_is_basic_authentication():
    lines = await request_head("ws://us%40er:p%3Aw@h/")
    expected = base64.b64encode(b"us@er:p:w").decode()
    assert f"Authorization: Basic {expected}" in lines
    assert "Host: h" in lines


async def test_the_exception_of_the_block_comes_out_as_it_went_in():
    error = LookupError("mine")

    async def answer(peer):
        await peer.answer()
        assert (await peer.receive_close())[0] == 1011
        await peer.send_frame(0x88, b"\x03\xf3")

    async with answering(answer) as port:
        with pytest.raises(LookupError) as caught:
            async with anyws.connect(f"ws://127.0.0.1:{port}"):
                raise error
    assert caught.value is error
    assert error.__cause__ is None
    assert error.__context__ is None


async def test_a_connection_is_opened_once():
    async def answer(peer):
        await peer.answer()
        await peer.receive_close()
        await peer.send_frame(0x88, b"\x03\xe8")

    async with answering(answer) as port:
        connection = anyws.connect(f"ws://127.0.0.1:{port}")
        async with connection:
            pass
        with pytest.raises(RuntimeError):
            async with connection:
                pass


async def test_client_over_a_stream_that_breaks():
    client, server = memory_pair()
    server.reset()
    with pytest.raises(anyws.InvalidHandshake, match="lost before the server had answered"):
        async with anyws.client_over(client, "ws://h/"):
            pass
    assert client.closed


async def test_client_over_closes_its_stream_when_cancelled():
    client, _server = memory_pair()

    async def run():
        async with anyws.client_over(client, "ws://h/"):
            pass

    async with anyio.create_task_group() as tg:
        tg.start_soon(run)
        await anyio.wait_all_tasks_blocked()
        tg.cancel_scope.cancel()
    assert client.closed


async def test_the_default_context_checks_certificates():
    context = context_or_default(True)
    assert context.verify_mode is ssl.CERT_REQUIRED
    assert context.check_hostname
    assert context_or_default(context) is context


async def test_the_default_context_trusts_no_ca_of_ours(anyio_backend):
    if anyio_backend[0] == "asyncio":
        # In debug mode asyncio tells its exception handler of each failed handshake.
        asyncio.get_running_loop().set_debug(False)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    trustme.CA().issue_cert("localhost").configure_cert(context)

    async def handler(client):
        raise AssertionError("nobody should come so far")

    with anyio.fail_after(10):
        async with anyio.create_task_group() as tg:
            server = await tg.start(partial(anyws.serve, handler, "localhost", ssl_context=context))
            with pytest.raises(ssl.SSLCertVerificationError):
                await open_and_leave(f"wss://localhost:{server.port}")
            tg.cancel_scope.cancel()


async def test_cancelled_with_an_unread_close_frame():
    answered = anyio.Event()
    lost = anyio.Event()

    async def answer(peer):
        await peer.answer()
        await peer.send(b"\x81\x01a\x81\x01b\x88\x02\x03\xe8")
        answered.set()
        with pytest.raises((anyio.EndOfStream, anyio.BrokenResourceError)):
            while True:
                await peer.stream.receive()
        lost.set()

    async with answering(answer) as port:
        with anyio.CancelScope() as scope:
            async with anyws.connect(f"ws://127.0.0.1:{port}") as ws:
                await answered.wait()
                assert await ws.receive() == "a"
                scope.cancel()
                await anyio.lowlevel.checkpoint()
        await lost.wait()
    assert ws.close_code == 1006


async def test_nothing_is_sent_before_the_response():
    """RFC 6455, section 4.1: not a byte behind the request."""
    ours, theirs = memory_pair()
    peer = RawPeer(theirs)
    async with anyio.create_task_group() as tg:

        async def use():
            async with anyws.client_over(ours, "ws://memory/", ping_interval=0.01) as websocket:
                await websocket.send("first")

        tg.start_soon(use)
        await anyio.wait_all_tasks_blocked()
        assert bytes(theirs._incoming.data).endswith(b"\r\n\r\n")
        await peer.answer()
        assert (await peer.receive_frame()).opcode in (1, 9)
        await theirs.aclose()
