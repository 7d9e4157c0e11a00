"""wss and UNIX sockets, client and server, on every loop."""

import os
import ssl
from functools import partial

import anyio
import anyio.streams.tls
import pytest
import trustme

import anyws

pytestmark = pytest.mark.anyio


@pytest.fixture(scope="module")
def contexts():
    authority = trustme.CA()
    server = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("localhost").configure_cert(server)
    client = ssl.create_default_context()
    authority.configure_trust(client)
    return server, client


async def echo(websocket):
    async for message in websocket:
        await websocket.send(message)


async def test_wss(contexts):
    # Incompressible, so that every byte that TLS hands over matters.
    messages = ["hello", b"", os.urandom(900000), os.urandom(16384), "last"]
    async with anyio.create_task_group() as tg:
        serve = partial(anyws.serve, echo, "127.0.0.1", 0, ssl_context=contexts[0])
        server = await tg.start(serve)
        uri = f"wss://localhost:{server.port}/"
        async with anyws.connect(uri, ssl_context=contexts[1]) as websocket:
            for message in messages:
                async with anyio.create_task_group() as sending:
                    sending.start_soon(websocket.send, message)
                    assert await websocket.receive() == message
            assert websocket.extra(anyio.streams.tls.TLSAttribute.tls_version) == "TLSv1.3"
            assert websocket.remote_address[1] == server.port
        assert websocket.close_code == 1000
        await server.aclose()


# With its debug mode on, asyncio reports every failed TLS handshake as an error of the program.
WITHOUT_DEBUG = pytest.mark.parametrize(
    "anyio_backend",
    [("asyncio", {"debug": False}), ("asyncio", {"use_uvloop": True}), ("trio", {})],
    ids=["asyncio", "uvloop", "trio"],
)


@WITHOUT_DEBUG
@pytest.mark.parametrize("host", ["127.0.0.1", "localhost"])
async def test_certificates_are_checked(contexts, host):
    """Neither a wrong name nor an unknown authority gets as far as the handshake."""
    context = contexts[1] if host == "127.0.0.1" else None
    async with anyio.create_task_group() as tg:
        serve = partial(anyws.serve, echo, "127.0.0.1", 0, ssl_context=contexts[0])
        server = await tg.start(serve)
        with pytest.raises(ssl.SSLCertVerificationError) as caught:
            async with anyws.connect(f"wss://{host}:{server.port}/", ssl_context=context):
                pass
        (note,) = caught.value.__notes__
        assert note.startswith(
            f"while connecting to wss://{host}:{server.port}/; for a certificate"
        )
        await server.aclose()


@WITHOUT_DEBUG
async def test_tls_and_plain_do_not_mix(contexts):
    async with anyio.create_task_group() as tg:
        serve = partial(anyws.serve, echo, "127.0.0.1", 0)
        secure = await tg.start(partial(serve, ssl_context=contexts[0]))
        plain = await tg.start(serve)
        with pytest.raises((anyws.InvalidHandshake, OSError, anyio.BrokenResourceError)):
            async with anyws.connect(f"ws://127.0.0.1:{secure.port}/", open_timeout=5):
                pass
        with pytest.raises((ssl.SSLError, OSError, anyio.BrokenResourceError)):
            async with anyws.connect(
                f"wss://localhost:{plain.port}/", ssl_context=contexts[1], open_timeout=5
            ):
                pass
        await secure.aclose()
        await plain.aclose()


async def test_unix_socket(tmp_path):
    path = tmp_path / "socket"
    async with anyio.create_task_group() as tg:
        server = await tg.start(partial(anyws.serve, echo, unix_path=path))
        async with anyws.connect("ws://localhost/", unix_path=path) as websocket:
            await websocket.send("hello")
            assert await websocket.receive() == "hello"
        with pytest.raises(ValueError, match="UNIX"):
            _ = server.port
        await server.aclose()
        assert not path.exists()


async def test_the_server_name_is_sent(contexts):
    """RFC 6455, section 4.1: Server Name Indication."""
    names = []
    contexts[0].sni_callback = lambda _socket, name, _context: names.append(name)
    try:
        async with anyio.create_task_group() as tg:
            serve = partial(anyws.serve, echo, "127.0.0.1", 0, ssl_context=contexts[0])
            server = await tg.start(serve)
            uri = f"wss://localhost:{server.port}/"
            async with anyws.connect(uri, ssl_context=contexts[1]):
                pass
            await server.aclose()
    finally:
        contexts[0].sni_callback = None
    assert names == ["localhost"]
