"""wss over sockets and over memory, with certificates that fit and others that do not."""

import logging
import ssl
from functools import partial

import anyio
import pytest
import trustme
from anyio.streams.tls import TLSAttribute, TLSStream

import anyws
from anyws.testing import check_websocket_pair, memory_pair

pytestmark = pytest.mark.anyio

CA = trustme.CA()


@pytest.fixture
def server_context():
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    CA.issue_cert("localhost", "127.0.0.1").configure_cert(context)
    return context


@pytest.fixture
def client_context():
    context = ssl.create_default_context()
    CA.configure_trust(context)
    return context


async def echo(client):
    async for message in client:
        await client.send(message)


async def serve_tls(tg, context, handler=echo, **options):
    return await tg.start(
        partial(anyws.serve, handler, "127.0.0.1", ssl_context=context, **options)
    )


@pytest.mark.parametrize("host", ["localhost", "127.0.0.1"])
@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
async def test_messages(server_context, client_context, host, version):
    server_context.maximum_version = version
    large = bytes(range(256)) * 8000
    with anyio.fail_after(10):
        async with anyio.create_task_group() as tg:
            server = await serve_tls(tg, server_context)
            uri = f"wss://{host}:{server.port}"
            limits = anyws.Limits(message_size=2**22)
            async with anyws.connect(uri, ssl_context=client_context, limits=limits) as ws:
                for message in ("text", b"", large[: 2**20]):
                    await ws.send(message)
                    assert await ws.receive() == message
                assert await ws.ping() >= 0
                assert ws.extra(TLSAttribute.ssl_object).version() == version.name.replace(
                    "v1_", "v1."
                )
            assert ws.close_code == 1000
            tg.cancel_scope.cancel()


async def test_over_a_unix_socket(server_context, client_context, tmp_path, quiet_loop):
    quiet_loop()
    path = tmp_path / "socket"
    with anyio.fail_after(10):
        async with anyio.create_task_group() as tg:
            await tg.start(partial(anyws.serve, echo, unix_path=path, ssl_context=server_context))
            options = {"unix_path": path, "ssl_context": client_context}
            async with anyws.connect("wss://localhost/", **options) as ws:
                await ws.send("hello")
                assert await ws.receive() == "hello"
            # The certificate is that of localhost.
            with pytest.raises(ssl.SSLCertVerificationError):
                async with anyws.connect("wss://other/", **options):
                    pass
            tg.cancel_scope.cancel()


async def test_a_stuck_peer_and_a_cancelled_send_tear_nothing(server_context, client_context):
    release = anyio.Event()
    received = []

    async def handler(client):
        await release.wait()
        async for message in client:
            received.append(len(message))

    limits = anyws.Limits(message_size=2**25)
    with anyio.fail_after(15):
        async with anyio.create_task_group() as tg:
            server = await serve_tls(tg, server_context, handler, limits=limits)
            uri = f"wss://localhost:{server.port}"
            async with anyws.connect(uri, ssl_context=client_context, compression=None) as ws:
                async with anyio.create_task_group() as sending:
                    sending.start_soon(ws.send, bytes(2**24))
                    await anyio.wait_all_tasks_blocked()
                    sending.cancel_scope.cancel()
                release.set()
                await ws.send(b"next")
            assert ws.close_code == 1000
            tg.cancel_scope.cancel()
    assert received in ([2**24, 4], [4])


async def test_cancelling_the_server_closes_with_1001(server_context, client_context):
    with anyio.fail_after(10):
        async with anyio.create_task_group() as tg:
            server = await serve_tls(tg, server_context)
            with anyio.CancelScope(shield=True):
                uri = f"wss://localhost:{server.port}"
                async with anyws.connect(uri, ssl_context=client_context) as ws:
                    await ws.send("x")
                    await ws.receive()
                    tg.cancel_scope.cancel()
                    with pytest.raises(anyws.ConnectionClosed) as caught:
                        await ws.receive()
    assert caught.value.code == 1001


@pytest.mark.parametrize("wrong", ["name", "authority"])
async def test_a_wrong_certificate(client_context, caplog, wrong, quiet_loop):
    quiet_loop()
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority = CA if wrong == "name" else trustme.CA()
    authority.issue_cert("elsewhere.example" if wrong == "name" else "localhost").configure_cert(
        context
    )
    with anyio.fail_after(10):
        async with anyio.create_task_group() as tg:
            server = await serve_tls(tg, context)
            with pytest.raises(ssl.SSLCertVerificationError):
                uri = f"wss://localhost:{server.port}"
                async with anyws.connect(uri, ssl_context=client_context):
                    pass
            await anyio.wait_all_tasks_blocked()
            tg.cancel_scope.cancel()
    assert not [record for record in caplog.records if record.levelno >= logging.WARNING]


async def test_a_client_without_tls_is_turned_away(
    server_context, client_context, caplog, quiet_loop
):
    quiet_loop()
    with anyio.fail_after(10):
        async with anyio.create_task_group() as tg:
            server = await serve_tls(tg, server_context)
            async with await anyio.connect_tcp("127.0.0.1", server.port) as stream:
                await stream.send(b"GET / HTTP/1.1\r\nHost: h\r\n\r\n")
                with pytest.raises((anyio.EndOfStream, anyio.BrokenResourceError)):
                    while True:
                        await stream.receive()
            uri = f"wss://localhost:{server.port}"
            async with anyws.connect(uri, ssl_context=client_context) as ws:
                await ws.send("alive")
                assert await ws.receive() == "alive"
            tg.cancel_scope.cancel()
    assert not [record for record in caplog.records if record.exc_info]


async def test_a_slow_handshake_is_cut(server_context, quiet_loop):
    quiet_loop()
    with anyio.fail_after(10):
        async with anyio.create_task_group() as tg:
            server = await serve_tls(tg, server_context, open_timeout=0.1)
            async with await anyio.connect_tcp("127.0.0.1", server.port) as stream:
                with pytest.raises((anyio.EndOfStream, anyio.BrokenResourceError)):
                    await stream.receive()
            tg.cancel_scope.cancel()


class TLSPair:
    """A connected client and server over TLS over memory."""

    def __init__(self, server_context, client_context):
        self.contexts = server_context, client_context

    async def wrap(self):
        server_context, client_context = self.contexts
        one, other = memory_pair()
        streams = {}

        async def shake(side, stream, context, hostname):
            streams[side] = await TLSStream.wrap(
                stream, server_side=side == "server", hostname=hostname, ssl_context=context
            )

        async with anyio.create_task_group() as tg:
            tg.start_soon(shake, "client", one, client_context, "localhost")
            tg.start_soon(shake, "server", other, server_context, None)
        return streams["client"], streams["server"]


async def test_client_over_and_accept_on_tls_streams(server_context, client_context):
    client_stream, server_stream = await TLSPair(server_context, client_context).wrap()

    async def accept():
        async with anyws.accept(server_stream) as ws:
            await echo(ws)

    with anyio.fail_after(10):
        async with anyio.create_task_group() as tg:
            tg.start_soon(accept)
            async with anyws.client_over(client_stream, "wss://localhost/") as ws:
                for message in ("hello", bytes(200_000)):
                    await ws.send(message)
                    assert await ws.receive() == message
            assert ws.close_code == 1000


async def test_the_contract_over_tls_streams(server_context, client_context):
    class Maker(TLSPair):
        async def __aenter__(self):
            self.pair = anyws.testing.WebSocketPair(await self.wrap())
            return await self.pair.__aenter__()

        async def __aexit__(self, *exc):
            return await self.pair.__aexit__(*exc)

    names = await check_websocket_pair(partial(Maker, server_context, client_context))
    assert "messages" in names
