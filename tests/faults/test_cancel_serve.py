"""A server, cancelled at every step of a client: in a handshake, while it serves, while it shuts down."""

from contextlib import nullcontext, suppress

import anyio
import anyio.lowlevel
import pytest

pytestmark = pytest.mark.anyio
ENDED = (anyio.EndOfStream, anyio.BrokenResourceError, anyio.ClosedResourceError, OSError)
MESSAGES = ["one", "two" * 5000, "three"]
REQUEST = (
    "GET / HTTP/1.1\r\nHost: localhost\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
    "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n"
)


def on(*ways):
    return pytest.mark.cancelled_on(
        *ways, where=lambda kind, role, _: role == "server" and kind != "memory"
    )


async def echo(websocket):
    async for message in websocket:
        await websocket.send(message)


async def echo_in_fragments(websocket):
    async for message in websocket:
        async with websocket.writer.fragment() as stream:
            for start in range(0, len(message), 4000):
                await stream.send(message[start : start + 4000])
                await anyio.lowlevel.checkpoint()


class Client:
    """Takes every step of a connection, and looks at how the server takes its leave.

    Attributes:
        head: the answer to the request, if one came.
        peer: the ``Peer`` that talks after it, if the server agreed.
        talking: set when the handshake is over.
        leaving: whether the client has begun to close the connection.
    """

    def __init__(self, cancelling):
        self.head = b""
        self.peer = None
        self.talking = anyio.Event()
        self.leaving = False
        self._cancelling = cancelling

    async def run(self):
        try:
            stream = await self._cancelling.dial()
        except ENDED:
            return
        rest = await self._shake_hands(stream)
        if self.head.startswith(b"HTTP/1.1 101 "):
            await self._talk(stream, rest)
        elif self.head:
            with suppress(*ENDED):
                while True:
                    await stream.receive()
        await anyio.aclose_forcefully(stream)

    async def _shake_hands(self, stream):
        """Ask in two parts; return what came behind the answer."""
        request = REQUEST
        if self._cancelling.deflate:
            request += "Sec-WebSocket-Extensions: permessage-deflate\r\n"
        data = b""
        with suppress(*ENDED):
            await stream.send(request[:100].encode())
            await anyio.lowlevel.checkpoint()
            await stream.send(f"{request[100:]}\r\n".encode())
            while b"\r\n\r\n" not in data:
                data += await stream.receive()
        self.head, empty, rest = data.partition(b"\r\n\r\n")
        assert bool(empty) == bool(data), "half an answer"
        return rest

    async def _talk(self, stream, rest):
        peer = self.peer = self._cancelling.peer_class(
            stream, client=True, deflate=self._cancelling.deflate
        )
        self.talking.set()
        async with anyio.create_task_group() as tg:
            tg.start_soon(peer.run, rest)
            for count, message in enumerate(MESSAGES, 1):
                await peer.send_message(message, fragments=count)
                while len(peer.judge.messages) < count and not peer.ended:
                    await peer._changed.wait()
            if not peer.ended:
                self.leaving = True
                await peer.send_frame(0x88, b"\x03\xe8")

    def judge(self, codes):
        """Check what came; the close code is one of ``codes``, or the client's own."""
        if self.peer is None:
            assert self.head[:13] in (b"", b"HTTP/1.1 503 ")
            return
        judge = self.peer.judge
        assert judge.messages == MESSAGES[: len(judge.messages)]
        assert judge.close_code in ((*codes, 1000) if self.leaving else codes)
        assert not judge.data
        # The handler was cancelled in the middle of a message, and the code says so.
        assert not judge.unfinished or judge.close_code == 1011


@on("tcp-server-plain", "tls-server-plain", "unix-server-deflate")
async def test_serve(cancelling):
    handler = echo if cancelling.kind == "tls" else echo_in_fragments

    async def scenario(cancel):
        client = Client(cancelling)
        async with cancelling.serving(handler) as (_, scope):
            await cancel(client.run(), scope)
            scope.cancel()
        client.judge((1001, 1011) if handler is echo_in_fragments else (1001,))

    await cancelling.sweep(scenario, ways=["scope"], listening=nullcontext())


@on("tcp-server-deflate")
@pytest.mark.parametrize("target", ["serve", "aclose"])
async def test_shutdown(cancelling, target):
    """``Server.aclose`` is under way, and is cancelled itself, or the scope around ``serve`` is."""

    async def shut_down(client, server, scope):
        await client.talking.wait()
        with scope:
            await server.aclose()

    async def scenario(cancel):
        client = Client(cancelling)
        async with cancelling.serving(echo_in_fragments) as (server, scope):
            async with anyio.create_task_group() as tg:
                closing = anyio.CancelScope()
                tg.start_soon(shut_down, client, server, closing)
                await cancel(client.run(), scope if target == "serve" else closing)
                client.talking.set()
        client.judge((1001, 1011))

    await cancelling.sweep(scenario, ways=["scope"], listening=nullcontext())


@on("tcp-server-plain", "tls-server-plain")
async def test_shutdown_by_itself(cancelling):
    """Each point of ``Server.aclose``, with a handler that does not listen to anybody."""

    async def ignore(websocket):
        del websocket
        await anyio.sleep_forever()

    async def scenario(cancel):
        clients = [Client(cancelling) for _ in range(2)]
        async with cancelling.serving(ignore) as (server, _):
            async with anyio.create_task_group() as tg:
                for client in clients:
                    tg.start_soon(client.run)
                while len(server.clients) < len(clients):
                    await anyio.sleep(0.001)
                await cancel(server.aclose(0.02))
        for client in clients:
            client.judge((1001,))

    await cancelling.sweep(scenario, listening=nullcontext())


@on("tcp-server-deflate")
async def test_serve_as_a_task(cancelling):
    """``Task.cancel`` instead of a scope, twice, at each step of a client."""
    if cancelling.loop == "trio":
        pytest.skip("trio cancels scopes only")

    async def scenario(cancel):
        client = Client(cancelling)
        async with cancelling.serving_task(echo_in_fragments) as task:
            await cancel(client.run(), task)
            task.cancel()
        client.judge((1001, 1011))

    await cancelling.sweep(scenario, ways=["scope"], listening=nullcontext())


@on("tcp-server-plain", "tls-server-plain")
@pytest.mark.parametrize("first", [b"", b"\x16\x03"])
@pytest.mark.parametrize("way", ["cancel", "aclose"])
async def test_silent_client(cancelling, first, way):
    """When ``serve`` is over nothing is left of a client that stopped in its handshake, of TLS or of HTTP."""
    # The time that a client has to read that it was refused.
    cancelling.options["close_timeout"] = 0.05

    async def scenario(_):
        before = cancelling.open_sockets()
        async with cancelling.serving(echo) as (server, scope):
            stream = await cancelling.dial(secure=False)
            await stream.send(first)
            # The listener, and both ends.
            await cancelling.until(lambda: cancelling.open_sockets() == before + 3)
            if way == "aclose":
                await server.aclose()
            else:
                scope.cancel()
        try:
            await cancelling.until(lambda: cancelling.open_sockets() == before + 1)
        finally:
            await anyio.aclose_forcefully(stream)

    await cancelling.once(scenario)
