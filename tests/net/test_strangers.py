"""Servers on every kind of address, and clients that speak something else or nothing at all."""

import contextlib
import logging
import socket
from contextlib import asynccontextmanager
from functools import partial

import anyio
import pytest

import anyws
from anyws.testing import RawPeer

pytestmark = pytest.mark.anyio


async def echo(client):
    async for message in client:
        await client.send(message)


@asynccontextmanager
async def serving(*address, handler=echo, **options):
    with anyio.fail_after(15):
        async with anyio.create_task_group() as tg:
            server = await tg.start(partial(anyws.serve, handler, *address, **options))
            yield server
            tg.cancel_scope.cancel()


async def check_echo(uri, **options):
    async with anyws.connect(uri, **options) as ws:
        await ws.send("alive")
        assert await ws.receive() == "alive"


async def read_all(stream):
    data = b""
    with contextlib.suppress(anyio.EndOfStream, anyio.BrokenResourceError):
        while True:
            data += await stream.receive()
    return data


def no_noise(caplog):
    return [record for record in caplog.records if record.levelno >= logging.WARNING] == []


async def test_unix_sockets(tmp_path):
    path = tmp_path / "socket"
    async with serving(unix_path=path) as server:
        assert path.is_socket()
        assert server.sockets[0].family == socket.AF_UNIX
        with pytest.raises(ValueError, match="UNIX"):
            _ = server.port
        await check_echo("ws://localhost/", unix_path=path)
        await check_echo("ws://localhost/", unix_path=str(path))
    assert not path.exists()


async def test_a_file_that_took_the_sockets_place_is_left_alone(tmp_path):
    path = tmp_path / "socket"
    async with serving(unix_path=path):
        path.unlink()
        path.write_text("precious")
    assert path.read_text() == "precious"


async def test_a_socket_that_someone_removed(tmp_path):
    path = tmp_path / "socket"
    async with serving(unix_path=path):
        path.unlink()
    assert not path.exists()


async def test_unix_and_tcp_exclude_each_other(tmp_path):
    for address in (("localhost",), (None, 80)):
        with pytest.raises(ValueError):
            await anyws.serve(echo, *address, unix_path=tmp_path / "socket")


async def test_all_addresses():
    async with serving() as server:
        await check_echo(f"ws://127.0.0.1:{server.port}")
        if any(sock.family == socket.AF_INET6 for sock in server.sockets):
            with socket.socket(socket.AF_INET6) as probe:
                try:
                    probe.bind(("::1", 0))
                except OSError:
                    pytest.skip("this machine has no IPv6 address")
            ports = {sock.getsockname()[1] for sock in server.sockets}
            assert ports == {server.port}
            await check_echo(f"ws://[::1]:{server.port}")
            await check_echo(f"ws://localhost:{server.port}")


async def test_ipv6():
    try:
        async with serving("::1") as server:
            await check_echo(f"ws://[::1]:{server.port}")
            async with anyws.connect(f"ws://[::1]:{server.port}") as ws:
                assert ws.remote_address[:2] == ("::1", server.port)
    except OSError:
        pytest.skip("this machine has no IPv6 address")


@pytest.mark.parametrize(
    "data",
    [
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",
        b"SSH-2.0-Go\r\n",
        b"\r\n\r\n",
        b"\x00" * 100,
        b"GET / HTTP/1.0\r\n\r\n",
        b"GET / HTTP/1.1\r\n\r\n",
        b"POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 5\r\n\r\nhello",
        b"GET / HTTP/1.1\r\nHost: h\r\n\r\n",
        b"GET /" + b"a" * 100_000,
        b"GET / HTTP/1.1\r\nHost: h\r\nA: " + b"a" * 100_000 + b"\r\n\r\n",
        b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
    ],
    ids=["tls", "ssh", "lines", "zeros", "1.0", "no host", "post", "get", "target", "header", "h2"],
)
async def test_garbage_is_answered_and_forgotten(caplog, data):
    async with serving("127.0.0.1", open_timeout=0.3) as server:
        async with await anyio.connect_tcp("127.0.0.1", server.port) as stream:
            with contextlib.suppress(anyio.BrokenResourceError):
                await stream.send(data)
                await stream.send_eof()
            answer = await read_all(stream)
        if answer:
            assert answer.startswith((b"HTTP/1.1 4", b"HTTP/1.1 5"))
            assert b"Traceback" not in answer
        await check_echo(f"ws://127.0.0.1:{server.port}")
    assert no_noise(caplog)


async def test_port_scans_leave_no_trace(caplog):
    async with serving("127.0.0.1") as server:
        for linger in (b"\1\0\0\0\0\0\0\0", None):
            for data in (b"", b"GET / HT"):
                with socket.create_connection(("127.0.0.1", server.port)) as sock:
                    sock.sendall(data)
                    if linger:
                        sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
                await anyio.wait_all_tasks_blocked()
        await check_echo(f"ws://127.0.0.1:{server.port}")
    assert no_noise(caplog)


async def test_a_slow_handshake_is_cut_at_the_time_limit(caplog):
    async with serving("127.0.0.1", open_timeout=0.05) as server:
        async with await anyio.connect_tcp("127.0.0.1", server.port) as stream:
            await stream.send(b"GET / HTTP/1.1\r\n")
            assert b" 101 " not in await read_all(stream)
    assert no_noise(caplog)


async def test_a_slow_process_request_is_cut_at_the_time_limit():
    async def process_request(request):
        await anyio.sleep_forever()

    async with serving("127.0.0.1", process_request=process_request, open_timeout=0.05) as server:
        with pytest.raises((anyws.HandshakeError, anyio.BrokenResourceError)):
            await check_echo(f"ws://127.0.0.1:{server.port}")


async def test_503_when_the_server_stops_during_a_handshake(caplog):
    asked = anyio.Event()

    async def handler(client):
        raise AssertionError("the handler must not start")

    async def process_request(request):
        asked.set()
        await anyio.sleep_forever()

    rejected = []

    async def client(port):
        with pytest.raises(anyws.RejectedHandshake) as caught:
            await check_echo(f"ws://127.0.0.1:{port}")
        rejected.append(caught.value.status)

    with anyio.fail_after(10):
        async with anyio.create_task_group() as clients:
            async with anyio.create_task_group() as servers:
                server = await servers.start(
                    partial(anyws.serve, handler, "127.0.0.1", process_request=process_request)
                )
                clients.start_soon(client, server.port)
                await asked.wait()
                servers.cancel_scope.cancel()
    assert rejected == [503]
    assert no_noise(caplog)


async def test_aclose_answers_503_to_a_handshake_that_comes_late():
    asked = anyio.Event()

    async def process_request(request):
        asked.set()
        await anyio.sleep_forever()

    async with serving("127.0.0.1", process_request=process_request) as server:
        async with await anyio.connect_tcp("127.0.0.1", server.port) as stream:
            await stream.send(b"GET / HTTP/1.1\r\nHost: h\r\n\r\n")
            await asked.wait()
            async with anyio.create_task_group() as tg:
                tg.start_soon(partial(server.aclose, grace=0.05))
                assert (await read_all(stream)).startswith(b"HTTP/1.1 503 ")


async def test_frames_behind_the_request_reach_the_handler():
    request = (
        b"GET / HTTP/1.1\r\nHost: h\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
        b"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n"
    )
    async with serving("127.0.0.1") as server:
        async with await anyio.connect_tcp("127.0.0.1", server.port) as stream:
            await stream.send(request + RawPeer.frame(0x81, b"early", mask=b"abcd"))
            peer = RawPeer(stream)
            assert (await peer._head()).startswith(b"HTTP/1.1 101 ")
            assert (await peer.receive_frame()).payload == b"early"


async def test_the_server_ends_tcp_first():
    async def handler(client):
        pass

    async with serving("127.0.0.1", handler=handler) as server:
        async with await anyio.connect_tcp("127.0.0.1", server.port) as stream:
            peer = RawPeer(stream)
            await peer.request()
            assert await peer.receive_close() == (1000, "")
            await peer.send_frame(0x88, b"\x03\xe8", mask=b"abcd")
            await peer.receive_eof()
