"""Our client talks to our server through nginx, which takes TLS off (Debian: apt install nginx-light)."""

import contextlib
import os
import pathlib
import shutil
import socket
import ssl
import subprocess
import time
from functools import partial

import anyio
import pytest
import trustme

import anyws

pytestmark = pytest.mark.anyio

CONFIGURATION = pathlib.Path(__file__).parent / "programs" / "server_nginx.conf"
PATIENCE = 60
WITHOUT_DEBUG = pytest.mark.parametrize(
    "anyio_backend",
    [("asyncio", {"debug": False}), ("asyncio", {"use_uvloop": True}), ("trio", {})],
    ids=["asyncio", "uvloop", "trio"],
)
LARGE = os.urandom(2**20) * 20


def free_port():
    with socket.create_server(("127.0.0.1", 0)) as probe:
        return probe.getsockname()[1]


def answers(process, port):
    """Wait until something listens; false if the process ended instead."""
    deadline = time.monotonic() + PATIENCE
    while process.poll() is None:
        try:
            socket.create_connection(("127.0.0.1", port)).close()
            return True
        except ConnectionRefusedError:
            assert time.monotonic() < deadline, "nginx does not listen"
            time.sleep(0.02)
    return False


class Nginx:
    def __init__(self, program, folder):
        self.authority = trustme.CA()
        certificate = self.authority.issue_cert("localhost")
        certificate.private_key_pem.write_to_path(folder / "key.pem")
        for blob in certificate.cert_chain_pems:
            blob.write_to_path(folder / "certificate.pem", append=True)
        self.context = ssl.create_default_context()
        self.authority.configure_trust(self.context)
        self.messages = folder / "messages"
        # Another program may take the port that was free just before.
        for _ in range(5):
            self.port = free_port()
            text = CONFIGURATION.read_text().replace("FOLDER", str(folder))
            (folder / "nginx.conf").write_text(text.replace("PORT", str(self.port)))
            command = [program, "-p", folder, "-e", "stderr", "-c", folder / "nginx.conf"]
            with self.messages.open("w") as messages:
                self.process = subprocess.Popen(
                    command, stdin=subprocess.DEVNULL, stdout=messages, stderr=messages
                )
            if answers(self.process, self.port):
                return
        raise AssertionError(f"nginx did not start:\n{self.messages.read_text()}")

    def stop(self):
        self.process.terminate()
        try:
            assert self.process.wait(10) == 0, self.messages.read_text()
        finally:
            self.process.kill()
            self.process.wait()

    def connect(self, path, **options):
        options.setdefault("ssl_context", self.context)
        return anyws.connect(f"wss://localhost:{self.port}{path}", **options)


@pytest.fixture(scope="module")
def nginx(tmp_path_factory):
    program = shutil.which("nginx", path=os.pathsep.join([os.environ["PATH"], "/usr/sbin"]))
    if program is None:
        text = "nginx is not installed (Debian: apt install nginx-light): it was NOT tried"
        if os.environ.get("ANYWS_REQUIRE_PROGRAMS") == "1":
            pytest.fail(text)
        pytest.skip(text)
    running = Nginx(program, tmp_path_factory.mktemp("nginx"))
    yield running
    running.stop()


async def echo(websocket):
    async for message in websocket:
        await websocket.send(message)


@contextlib.asynccontextmanager
async def our_server(handler=echo, **options):
    options.setdefault("limits", anyws.Limits(message_size=2**25))
    with anyio.fail_after(PATIENCE):
        async with anyio.create_task_group() as tg:
            server = await tg.start(partial(anyws.serve, handler, "127.0.0.1", 0, **options))
            yield server
            await server.aclose()


async def check_echo(websocket, messages):
    for message in messages:
        async with anyio.create_task_group() as tg:
            tg.start_soon(websocket.send, message)
            assert await websocket.receive() == message


@pytest.mark.parametrize("compression", [None, "deflate"])
async def test_messages(nginx, messages, limits, compression):
    async with our_server() as server:
        async with nginx.connect(
            f"/{server.port}/", limits=limits, compression=compression
        ) as websocket:
            agreed = "sec-websocket-extensions" in websocket.response.headers
            assert agreed is (compression is not None)
            await check_echo(websocket, messages)
            async with websocket.writer.fragment() as stream:
                await stream.send("one ")
                await websocket.writer.ping(b"in between")
                await stream.send("two")
            assert await websocket.receive() == "one two"
            async with anyio.create_task_group() as tg:
                tg.start_soon(websocket.receive)
                assert await websocket.ping() > 0
                await websocket.send("the last message")
        assert websocket.close_code == 1000


# Without asyncio's debug mode, which is slow with so many bytes.
@WITHOUT_DEBUG
async def test_large_message(nginx, limits):
    async with our_server() as server:
        async with nginx.connect(f"/{server.port}/", limits=limits, compression=None) as websocket:
            await check_echo(websocket, [LARGE])


async def test_what_the_server_sees(nginx):
    seen = []

    async def handler(websocket):
        seen.append((websocket.request.target, websocket.request.headers))

    async with our_server(handler, subprotocols=["chat"]) as server:
        path = f"/{server.port}/room?a=b%20c"
        async with nginx.connect(
            path, subprotocols=["talk", "chat"], headers={"Cookie": "who=me"}
        ) as websocket:
            assert websocket.subprotocol == "chat"
            assert [message async for message in websocket] == []
    ((target, headers),) = seen
    assert target == "/room?a=b%20c"
    assert headers["host"] == f"localhost:{nginx.port}"
    assert headers["x-forwarded-proto"] == "https"
    assert headers["cookie"] == "who=me"


async def test_we_close(nginx):
    ended = []

    async def handler(websocket):
        with pytest.raises(anyws.ConnectionClosedError) as caught:
            await websocket.receive()
        ended.append(caught.value.received)

    async with our_server(handler) as server:
        async with nginx.connect(f"/{server.port}/") as websocket:
            await websocket.close(3001, "bye \U0001f40d")
            assert websocket.close_code == 3001
    assert ended == [anyws.Close(3001, "bye \U0001f40d")]


async def test_they_close(nginx):
    async def handler(websocket):
        await websocket.close(4001, "enough")

    async with our_server(handler) as server:
        async with nginx.connect(f"/{server.port}/") as websocket:
            with pytest.raises(anyws.ConnectionClosedError) as caught:
                await websocket.receive()
            assert caught.value.received == anyws.Close(4001, "enough")


async def test_server_goes_away(nginx):
    async with our_server() as server:
        async with nginx.connect(f"/{server.port}/") as websocket:
            await check_echo(websocket, ["hello"])
            async with anyio.create_task_group() as tg:
                tg.start_soon(server.aclose)
                with pytest.raises(anyws.ConnectionClosedOK) as caught:
                    await websocket.receive()
            assert caught.value.received == anyws.Close(1001)


async def test_an_impatient_proxy(nginx):
    """It drops a connection that says nothing; pings in between keep it."""
    async with our_server(ping_interval=None) as server:
        path = f"/impatient/{server.port}/"
        async with nginx.connect(path, ping_interval=None) as websocket:
            with pytest.raises(anyws.ConnectionClosedError) as caught:
                await websocket.receive()
            assert caught.value.cause is anyws.CloseCause.CONNECTION_LOST
            assert caught.value.code == 1006
        async with nginx.connect(path, ping_interval=0.2) as websocket:
            with anyio.move_on_after(1.5):
                await websocket.receive()
            await check_echo(websocket, ["still here"])
        assert websocket.close_code == 1000


async def test_origins(nginx):
    """Behind a proxy that passes Host on, our server refuses other origins and no others."""
    own = f"https://localhost:{nginx.port}"
    async with our_server() as server:
        async with nginx.connect(f"/{server.port}/", origin=own) as websocket:
            await check_echo(websocket, ["hello"])
        for path, origin in ((f"/{server.port}/", "https://elsewhere.example"),
                             (f"/renaming/{server.port}/", own)):  # fmt: skip
            with pytest.raises(anyws.RejectedHandshake, match="the server answered 403"):
                async with nginx.connect(path, origin=origin):
                    pass
    async with our_server(origins=[own]) as server:
        async with nginx.connect(f"/renaming/{server.port}/", origin=own) as websocket:
            await check_echo(websocket, ["hello"])


async def test_refusals(nginx):
    cases = {"/refused": 403, "/elsewhere": 404, f"/{free_port()}/": 502}
    for path, status in cases.items():
        with pytest.raises(
            anyws.RejectedHandshake, match=f"the server answered {status}"
        ) as caught:
            async with nginx.connect(path):
                pass
        assert caught.value.status == status
        assert dict(caught.value.headers)["Server"].startswith("nginx")
        assert caught.value.body


async def test_a_proxy_that_is_not_set_up_for_websocket(nginx):
    async with our_server() as server:
        with pytest.raises(anyws.RejectedHandshake) as caught:
            async with nginx.connect(f"/ignorant/{server.port}/"):
                pass
        assert caught.value.status == 426, caught.value.body


# With it, asyncio reports every failed TLS handshake as an error of the program.
@WITHOUT_DEBUG
async def test_an_unknown_authority(nginx):
    with pytest.raises(ssl.SSLCertVerificationError):
        async with nginx.connect("/1/", ssl_context=None):
            pass
    with pytest.raises(anyws.RejectedHandshake, match="the server answered 400"):
        async with anyws.connect(f"ws://127.0.0.1:{nginx.port}/"):
            pass
