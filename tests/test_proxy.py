"""Connecting by way of a proxy: what it is asked for, what becomes of its refusals, and what it leaves open."""

import base64
import socket
import ssl
import struct
import sys
from contextlib import asynccontextmanager, suppress
from functools import partial

import anyio
import pytest
import trustme
from anyio.abc import SocketAttribute
from anyio.streams.tls import TLSListener

import anyws

pytestmark = pytest.mark.anyio

CA = trustme.CA()


def server_context(name):
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    CA.issue_cert(name).configure_cert(context)
    return context


@pytest.fixture
def client_context():
    context = ssl.create_default_context()
    CA.configure_trust(context)
    return context


class FakeProxy:
    """Speaks HTTP's CONNECT, SOCKS4, SOCKS4a and SOCKS5; leads every connection to ``target``.

    Attributes:
        asked: what each client wanted, as host, port, and credentials.
        refuses: whether it opens no tunnel.
        silent: whether it answers nothing.
    """

    def __init__(self, target):
        self.target = target
        self.asked = []
        self.refuses = self.silent = False
        self.reached = anyio.Event()

    async def handle(self, stream):
        with suppress(anyio.EndOfStream, anyio.BrokenResourceError):
            async with stream:
                await self.talk(stream)

    async def talk(self, stream):
        first = await stream.receive(1)
        self.reached.set()
        while self.silent:
            await stream.receive(1_000_000)
        dialogue = {b"C": self.connect, b"\x04": self.socks4, b"\x05": self.socks5}[first]
        if await dialogue(stream):
            async with await anyio.connect_tcp("127.0.0.1", self.target) as there:
                async with anyio.create_task_group() as tg:
                    tg.start_soon(self.copy, stream, there)
                    tg.start_soon(self.copy, there, stream)

    @staticmethod
    async def copy(source, sink):
        with suppress(anyio.BrokenResourceError, anyio.ClosedResourceError, OSError):
            with suppress(anyio.EndOfStream):
                while True:
                    await sink.send(await source.receive())
            try:
                await sink.send_eof()
            except NotImplementedError:
                await sink.aclose()

    async def connect(self, stream):
        head = b"C"
        while not head.endswith(b"\r\n\r\n"):
            head += await stream.receive(1)
        request, *lines = head.decode().split("\r\n")
        host, _, port = request.split(" ")[1].rpartition(":")
        headers = dict(line.lower().split(": ", 1) for line in lines if line)
        credentials = head.decode().partition("Proxy-Authorization: Basic ")[2].split("\r\n")[0]
        self.asked.append((host, int(port), base64.b64decode(credentials).decode()))
        assert "host" in headers
        if self.refuses:
            await stream.send(b"HTTP/1.1 407 Proxy Authentication Required\r\n\r\n")
            return False
        # In two pieces, as some proxies do.
        await stream.send(b"HTTP/1.1 200 Connection established\r\n")
        await stream.send(b"Via: 1.1 here\r\n\r\n")
        return True

    async def socks4(self, stream):
        _, port = struct.unpack("!BH", await exactly(stream, 3))
        address = await exactly(stream, 4)
        user = await until_zero(stream)
        host = socket.inet_ntoa(address)
        if address[:3] == bytes(3):
            host = await until_zero(stream)
        self.asked.append((host, port, user))
        await stream.send(bytes([0, 91 if self.refuses else 90]) + bytes(6))
        return not self.refuses

    async def socks5(self, stream):
        methods = await exactly(stream, (await exactly(stream, 1))[0])
        credentials = ""
        if 2 in methods:
            await stream.send(b"\x05\x02")
            await exactly(stream, 1)
            user = await exactly(stream, (await exactly(stream, 1))[0])
            password = await exactly(stream, (await exactly(stream, 1))[0])
            credentials = f"{user.decode()}:{password.decode()}"
            await stream.send(b"\x01\x00")
        else:
            await stream.send(b"\x05\x00")
        kind = (await exactly(stream, 4))[3]
        if kind == 3:
            host = (await exactly(stream, (await exactly(stream, 1))[0])).decode()
        else:
            family, size = (socket.AF_INET, 4) if kind == 1 else (socket.AF_INET6, 16)
            host = socket.inet_ntop(family, await exactly(stream, size))
        port = struct.unpack("!H", await exactly(stream, 2))[0]
        self.asked.append((host, port, credentials))
        await stream.send(bytes([5, 5 if self.refuses else 0, 0, 1]) + bytes(6))
        return not self.refuses


async def exactly(stream, count):
    data = b""
    while len(data) < count:
        data += await stream.receive(count - len(data))
    return data


async def until_zero(stream):
    data = b""
    while not data.endswith(b"\0"):
        data += await stream.receive(1)
    return data[:-1].decode()


@asynccontextmanager
async def proxied(*, secure=False, proxy_context=None):
    """Give a proxy before a server that echoes, and the proxy's ``host:port``."""

    async def echo(websocket):
        async for message in websocket:
            await websocket.send(message)

    with anyio.fail_after(15):
        listener = await anyio.create_tcp_listener(local_host="127.0.0.1")
        port = listener.extra(SocketAttribute.local_port)
        if proxy_context is not None:
            listener = TLSListener(listener, proxy_context, standard_compatible=False)
        async with listener, anyio.create_task_group() as tg:
            context = server_context("chat.example") if secure else None
            server = await tg.start(partial(anyws.serve, echo, "127.0.0.1", ssl_context=context))
            proxy = FakeProxy(server.port)
            tg.start_soon(listener.serve, proxy.handle)
            yield proxy, f"localhost:{port}"
            tg.cancel_scope.cancel()


async def echoed(uri, **options):
    async with anyws.connect(uri, **options) as websocket:
        for message in ("text", bytes(100_000)):
            await websocket.send(message)
            assert await websocket.receive() == message
        return websocket


@pytest.mark.parametrize(
    ("scheme", "asked"),
    [
        ("http", ("chat.example", 8000, "ada:pass word")),
        ("HTTP", ("chat.example", 8000, "ada:pass word")),
        ("socks4a", ("chat.example", 8000, "ada")),
        ("socks5h", ("chat.example", 8000, "ada:pass word")),
    ],
)
async def test_the_proxy_looks_up_the_host(scheme, asked):
    async with proxied() as (proxy, address):
        uri = "ws://chat.example:8000/path"
        websocket = await echoed(uri, proxy=f"{scheme}://ada:pass%20word@{address}")
        assert websocket.request.headers["Host"] == "chat.example:8000"
        assert proxy.asked == [asked]


@pytest.mark.parametrize("scheme", ["socks4", "socks5"])
async def test_the_host_is_looked_up_here(scheme):
    async with proxied() as (proxy, address):
        await echoed("ws://127.0.0.1:8000", proxy=f"{scheme}://{address}")
        [(host, port, _)] = proxy.asked
        assert (host, port) == ("127.0.0.1", 8000)


@pytest.mark.parametrize("scheme", ["http", "socks5h"])
async def test_tls_inside_the_tunnel(scheme, client_context):
    async with proxied(secure=True) as (proxy, address):
        await echoed(
            "wss://chat.example", proxy=f"{scheme}://{address}", ssl_context=client_context
        )
        assert proxy.asked == [("chat.example", 443, "")]


async def test_a_wrong_certificate_inside_the_tunnel(client_context, quiet_loop):
    quiet_loop()
    async with proxied(secure=True) as (_, address):
        with pytest.raises(ssl.SSLCertVerificationError):
            await echoed(
                "wss://other.example", proxy=f"http://{address}", ssl_context=client_context
            )


async def test_tls_up_to_the_proxy(monkeypatch, client_context):
    async with proxied(proxy_context=server_context("localhost")) as (proxy, address):
        with pytest.raises(ssl.SSLCertVerificationError):
            await echoed("ws://chat.example", proxy=f"https://{address}")
        monkeypatch.setattr(ssl, "create_default_context", lambda: client_context)
        await echoed("ws://chat.example", proxy=f"https://{address}")
        assert proxy.asked == [("chat.example", 80, "")]


@pytest.mark.parametrize("scheme", ["http", "socks4a", "socks5h"])
async def test_a_refusal(scheme):
    async with proxied() as (proxy, address):
        proxy.refuses = True
        with pytest.raises(
            ConnectionRefusedError, match="the proxy (answered 407|did not connect)"
        ) as caught:
            await echoed("ws://chat.example", proxy=f"{scheme}://ada:secret@{address}")
        assert "secret" not in str(caught.value)


async def test_nobody_is_there():
    with socket.create_server(("127.0.0.1", 0)) as listener:
        address = f"127.0.0.1:{listener.getsockname()[1]}"
    for scheme in ("http", "socks5h"):
        with pytest.raises(ConnectionError if scheme == "http" else OSError):
            await echoed("ws://chat.example", proxy=f"{scheme}://{address}")


@asynccontextmanager
async def answering(*pieces, reset=False):
    """Give the ``host:port`` of a proxy that says ``pieces`` and hangs up."""

    async def answer(stream):
        async with stream:
            await stream.receive(1000)
            if reset:
                linger = struct.pack("ii", 1, 0)
                raw = stream.extra(SocketAttribute.raw_socket)
                raw.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
            for piece in pieces:
                await stream.send(piece)

    with anyio.fail_after(15):
        listener = await anyio.create_tcp_listener(local_host="127.0.0.1")
        async with listener, anyio.create_task_group() as tg:
            tg.start_soon(listener.serve, answer)
            yield f"127.0.0.1:{listener.extra(SocketAttribute.local_port)}"
            tg.cancel_scope.cancel()


@pytest.mark.parametrize("status", [300, 302, 403])
@pytest.mark.parametrize("reset", [False, True])
async def test_a_proxy_that_refuses_and_hangs_up(status, reset):
    """Every answer but 2xx; a page to go to instead is no tunnel."""
    answer = b"HTTP/1.1 %d Something\r\nContent-Length: 1000\r\n\r\nthe beginning" % status
    async with answering(answer, reset=reset) as address:
        with pytest.raises(ConnectionRefusedError, match=f"the proxy answered {status}"):
            await echoed("ws://chat.example", proxy=f"http://{address}")


@pytest.mark.parametrize("scheme", ["http", "socks5h"])
@pytest.mark.parametrize("reset", [False, True])
async def test_a_proxy_that_hangs_up(scheme, reset):
    async with answering(reset=reset) as address:
        with pytest.raises(OSError):
            await echoed("ws://chat.example", proxy=f"{scheme}://{address}")


async def test_a_proxy_that_says_why_and_hangs_up():
    async with answering(b"HTTP/1.0 502 Bad Gateway\r\n\r\nno route to that host") as address:
        with pytest.raises(ConnectionRefusedError, match="502 'Bad Gateway'"):
            await echoed("ws://chat.example", proxy=f"http://{address}")


async def test_a_proxy_that_does_not_speak_http():
    async with answering(b"220 mail.example ESMTP\r\n\r\n") as address:
        with pytest.raises(anyws.InvalidHandshake, match="the proxy's answer is malformed"):
            await echoed("ws://chat.example", proxy=f"http://{address}")


async def test_a_proxy_that_talks_into_the_tunnel():
    """Its bytes would be taken for the server's."""
    async with answering(b"HTTP/1.1 200 OK\r\n\r\nHTTP/1.1 101 Switching") as address:
        with pytest.raises(ConnectionAbortedError, match="more than its answer"):
            await echoed("ws://chat.example", proxy=f"http://{address}")


async def test_the_time_limit_and_cancelling_reach_the_proxy():
    async with proxied() as (proxy, address):
        proxy.silent = True
        with pytest.raises(TimeoutError):
            await echoed("ws://chat.example", proxy=f"http://{address}", open_timeout=0.05)
        proxy.reached = anyio.Event()
        async with anyio.create_task_group() as tg:
            tg.start_soon(partial(echoed, "ws://chat.example", proxy=f"http://{address}"))
            await proxy.reached.wait()
            tg.cancel_scope.cancel()


async def test_what_is_no_proxy_is_refused_by_the_call():
    with pytest.raises(anyws.InvalidURI, match="a proxy's address begins with http, https, socks4"):
        anyws.connect("ws://h/", proxy="localhost:3128")


async def test_one_way_at_a_time():
    with pytest.raises(ValueError, match="either proxy or unix_path"):
        anyws.connect("ws://h/", proxy="http://localhost:3128", unix_path="/tmp/socket")


async def test_without_python_socks(monkeypatch):
    monkeypatch.delitem(sys.modules, "anyws.proxy", raising=False)
    monkeypatch.setitem(sys.modules, "python_socks", None)
    anyws.connect("ws://h/", proxy="http://localhost:3128")
    with pytest.raises(ImportError, match=r"anyws\[proxy\]"):
        anyws.connect("ws://h/", proxy="socks5://localhost")
    monkeypatch.delitem(sys.modules, "anyws.proxy")
