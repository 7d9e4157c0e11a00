"""Cancel an operation at each point where it yields to the loop, one after another, and look at what is left.

A *scenario* is an async function that takes a ``CancelAt``, lets it run the operation, and proves afterwards
that nothing was torn, lost or left behind. ``Cancelling.sweep`` runs it with the operation cancelled at
its first point, at its second, and so on, until it completes.

There are several ways to be cancelled, see ``WAYS``.
"""

import asyncio
import gc
import os
import socket
import weakref
from contextlib import asynccontextmanager, suppress
from functools import partial
from types import SimpleNamespace

import anyio
from anyio.abc import SocketAttribute
from anyio.streams.tls import TLSStream

import anyws
from anyws.testing import RawPeer, memory_pair

#: Every operation is a point to be cancelled at, and a few kilobytes hold a sender up.
OPTIONS = {
    "checkpoint_interval": 1,
    "ping_interval": None,
    "close_timeout": 5,
    "limits": anyws.Limits(send_buffer=2000, receive_buffer=4000),
}
DEFLATE = "Sec-WebSocket-Extensions: permessage-deflate"
SOCKET_BUFFER = 4096
#: A cancel scope, of anyio or trio, reaches a task that still waits, again and again until it ends.
SCOPE = "scope"
#: ``Task.cancel`` of asyncio reaches it once, and that may be when its wait is over and it has not run since.
LATE = "late"
#: ``Task.cancel`` while it waits, and once more as soon as it waits for something else.
TWICE = "twice"
WAYS = {"asyncio": [SCOPE, LATE, TWICE], "uvloop": [SCOPE, LATE, TWICE], "trio": [SCOPE]}


class CancelAt:
    """Runs coroutines, and cancels them when they yield to the loop for the ``point``-th time in all.

    Attributes:
        reached: whether they came so far.
        caught: whether one of them ended cancelled.
        way: how they are cancelled.
    """

    def __init__(self, point, *, way):
        self.reached = self.caught = False
        self._left = point
        self.way = self._way = way

    async def __call__(self, coroutine, scope=None):
        """Run ``coroutine``; return whether it completed.

        Args:
            scope: what to cancel; by default the coroutine itself.
        """
        try:
            with anyio.CancelScope() as own:
                await _Counted(coroutine, partial(self._count, scope or own))
                swallowed = self.reached and not self.caught and self._way != SCOPE
                assert not swallowed, "the operation completed although it was cancelled"
                return True
        except asyncio.CancelledError:
            if self._way == SCOPE:
                raise
            task = asyncio.current_task()
            while task.cancelling():
                task.uncancel()
        self.caught = True
        return False

    def _count(self, scope):
        """Cancel if this is the point, or return whether to do it when the wait is over."""
        self._left -= 1
        if self._left < 0 and self._way == TWICE and not self.caught:
            asyncio.current_task().cancel()
            # Once more is enough.
            self._way = LATE
        if self._left:
            return False
        self.reached = True
        if self._way == SCOPE:
            scope.cancel()
        elif self._way == TWICE:
            asyncio.current_task().cancel()
        return self._way == LATE


class _Counted:
    """Awaits a coroutine, and calls ``count`` each time that it yields to the loop."""

    def __init__(self, coroutine, count):
        self._coroutine = coroutine
        self._count = count

    def __await__(self):
        resume = partial(self._coroutine.send, None)
        while True:
            try:
                awaited = resume()
            except StopIteration as stop:
                return stop.value
            late = self._count()
            try:
                resume = partial(self._coroutine.send, (yield awaited))
            except BaseException as error:
                resume = partial(self._coroutine.throw, error)
            if late:
                resume = partial(self._coroutine.throw, asyncio.CancelledError())


class Cancelling:
    """Connections of one kind, and sweeps over them.

    Args:
        operation: its name in the summary.
        loop: asyncio, uvloop or trio.
        kind: memory, tcp, tls or unix.
        role: client or server, which of the two the library is.
        deflate: whether permessage-deflate is agreed on.
        directory: where a UNIX socket may be.
        contexts: the TLS contexts of a server and of a client.
        peer_class: ``judge.Peer``.

    Attributes:
        counts: operation, loop and number of points, for each sweep.
        options: what connections are opened with.
        address: where the peer, or the library, listens.
    """

    def __init__(self, operation, loop, kind, role, deflate, directory, contexts, peer_class):
        self.loop = loop
        self.kind = kind
        self.role = role
        self.deflate = deflate
        self.counts = []
        self.options = {**OPTIONS, "compression": "deflate" if deflate else None}
        self.address = None
        self.contexts = contexts
        self.peer_class = peer_class
        self.open_sockets, self.until = open_sockets, until
        self._operation = operation
        self._directory = directory
        self._listener = None
        self._server = None
        self._handed_over = []
        self._opened = []

    async def sweep(self, scenario, *, ways=None, listening=None):
        """Run ``scenario`` with each point cancelled, in every way that the loop knows.

        Args:
            ways: of ``WAYS``; all that the loop has by default.
            listening: an async context manager around all of it, instead of one that listens.
        """
        if self.loop != "trio":
            # It keeps a stack for each callback, which would take most of the time.
            asyncio.get_running_loop().set_debug(False)
        points = 0
        gc.freeze()
        try:
            async with listening or self._listening():
                before = open_sockets()
                for way in ways or WAYS[self.loop]:
                    points += await self._sweep(scenario, way=way)
                await until(lambda: open_sockets() == before)
            gc.collect()
            alive = [websocket() for websocket in self._opened if websocket() is not None]
            assert not alive, f"{len(alive)} of {len(self._opened)} connections are still in memory"
        finally:
            gc.unfreeze()
        assert points
        self.counts.append([self._operation, self.loop, points])

    async def once(self, scenario):
        """Run ``scenario`` with nothing cancelled by this, and see that no task is left behind."""
        await self._sweep(scenario, way=SCOPE)

    async def _sweep(self, scenario, *, way):
        point, reached = 0, True
        while reached:
            point += 1
            cancel = CancelAt(point, way=way)
            before = {task.id for task in anyio.get_running_tasks()}
            try:
                with anyio.fail_after(10):
                    await scenario(cancel)
                if self.role == "server" and self.kind != "memory":
                    # The connection's task is the server's.
                    await until(lambda: not self._tasks_since(before) and not self._deadlines())
                left = self._tasks_since(before)
                assert not left, f"tasks were left behind: {left}"
            except BaseException as error:
                error.add_note(f"{self.kind}, cancelled at point {point} in the way {way!r}")
                raise
            reached = cancel.reached
        return point - 1

    @staticmethod
    def _tasks_since(before):
        # The task that keeps a server's time limits outlives connections, and is begun anew after a pause;
        # whether it still keeps one of them is asked of it.
        return [
            task.name
            for task in anyio.get_running_tasks()
            if task.id not in before and "Deadlines._run" not in (task.name or "")
        ]

    def _deadlines(self):
        """Return the time limits that the server keeps for connections."""
        server = self._server
        if server is None:
            return []  # There is only ``accept``, which has scopes.
        return [*server._accepting.deadlines._pending, *server._ticker.lingering._pending]

    @asynccontextmanager
    async def opened(self):
        """Give a connection, and the ``Peer`` opposite it."""
        near, far = memory_pair(1000) if self.kind == "memory" else (None, None)
        async with anyio.create_task_group() as tg:
            meeting = Meeting(self, far)
            tg.start_soon(meeting.run)
            async with self._opening(near) as websocket:
                await meeting.done.wait()
                self.watch(websocket)
                if far is None:
                    _shrink(websocket)
                yield websocket, meeting.peer

    def watch(self, websocket):
        """Look at the end of the sweep whether ``websocket`` is gone."""
        self._opened.append(weakref.ref(websocket))

    def _opening(self, near):
        if self.role == "client":
            return self.connect(near)
        return anyws.accept(near, **self.options) if near is not None else self._handed()

    def connect(self, near=None):
        """Return ``anyws.connect`` to the peer that listens, or ``client_over`` for memory."""
        if near is not None:
            return anyws.client_over(near, "ws://memory/", **self.options)
        if self.kind == "unix":
            return anyws.connect("ws://localhost/", unix_path=self.address, **self.options)
        if self.kind == "tls":
            uri = f"wss://localhost:{self.address[1]}/"
            return anyws.connect(uri, ssl_context=self.contexts[1], **self.options)
        return anyws.connect(f"ws://127.0.0.1:{self.address[1]}/", **self.options)

    async def dial(self, *, secure=True):
        """Give a stream to the library's server, in TLS where that is the kind and ``secure``."""
        if self.kind == "unix":
            stream = await anyio.connect_unix(self.address)
        else:
            stream = await anyio.connect_tcp(*self.address)
        sock = stream.extra(SocketAttribute.raw_socket)
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, SOCKET_BUFFER)
        if self.kind != "tls" or not secure:
            return stream
        return await _secure(stream, hostname="localhost", ssl_context=self.contexts[1])

    async def accept(self, accepted=bool):
        """Give the stream of the next client; call ``accepted`` when it is there, before TLS."""
        stream = await self._listener.accept()
        accepted()
        if self.kind != "tls":
            return stream
        return await _secure(stream, server_side=True, ssl_context=self.contexts[0])

    @asynccontextmanager
    async def _listening(self):
        if self.kind == "memory":
            yield
        elif self.role == "server":
            async with self.serving(self._hand_over):
                async with self.opened() as (websocket, _):
                    # Starts what serves all connections.
                    for _ in range(3):
                        await websocket.send("x")
                yield
        else:
            async with self._peer_listening():
                yield

    @asynccontextmanager
    async def _peer_listening(self):
        if self.kind == "unix":
            self._listener = await anyio.create_unix_listener(self._directory / "socket")
        else:
            listeners = await anyio.create_tcp_listener(local_host="127.0.0.1")
            (self._listener,) = listeners.listeners
        self.address = self._listener.extra(SocketAttribute.local_address)
        sock = self._listener.extra(SocketAttribute.raw_socket)
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, SOCKET_BUFFER)
        async with self._listener:
            yield

    def drop_unaccepted(self):
        """Close the connections that a client has made and left before they were accepted."""
        sock = self._listener.extra(SocketAttribute.raw_socket)
        with suppress(BlockingIOError):
            while True:
                sock.accept()[0].close()

    @asynccontextmanager
    async def serving(self, handler):
        """Run ``anyws.serve``, and give the ``Server`` and the scope around it; cancelled at the end."""

        async def run(*, task_status):
            with scope:
                try:
                    await self._serve(handler)(task_status=task_status)
                finally:
                    assert not server.clients, "a handler outlived its server"

        scope = anyio.CancelScope()
        async with anyio.create_task_group() as tg:
            server = self._server = await tg.start(run)
            self.address = server.sockets[0].getsockname()
            # Connections inherit it: the kernel takes little, so that a sender waits.
            server.sockets[0].setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, SOCKET_BUFFER)
            yield server, scope
            scope.cancel()

    @asynccontextmanager
    async def serving_task(self, handler):
        """Run ``anyws.serve`` in a task of asyncio, and give that; the block must cancel it."""
        started = asyncio.get_running_loop().create_future()
        status = SimpleNamespace(started=started.set_result)
        task = asyncio.create_task(self._serve(handler)(task_status=status))
        server = self._server = await started
        self.address = server.sockets[0].getsockname()
        yield task
        with suppress(asyncio.CancelledError):
            await task
        assert task.cancelled()
        assert not server.clients, "a handler outlived its server"

    def _serve(self, handler):
        where = {"host": "127.0.0.1"}
        if self.kind == "unix":
            where = {"unix_path": self._directory / "server"}
        elif self.kind == "tls":
            where["ssl_context"] = self.contexts[0]
        return partial(anyws.serve, handler, **where, **self.options)

    async def _hand_over(self, websocket):
        self._handed_over.append((websocket, done := anyio.Event()))
        await done.wait()

    @asynccontextmanager
    async def _handed(self):
        """Give the connection that the server has accepted, and close it."""
        await until(lambda: self._handed_over)
        websocket, done = self._handed_over.pop()
        try:
            async with websocket:
                yield websocket
        finally:
            done.set()


class Meeting:
    """The opening handshake of a ``Peer``, and the peer after it.

    Attributes:
        done: set when the handshake is over.
        peer: the ``Peer``, from then on.
    """

    def __init__(self, cancelling, stream=None):
        self.done = anyio.Event()
        self.peer = None
        self._cancelling = cancelling
        self._stream = stream

    async def run(self):
        cancelling = self._cancelling
        deflate = cancelling.deflate
        client = cancelling.role == "server"
        stream = self._stream or await (cancelling.dial if client else cancelling.accept)()
        raw = RawPeer(stream)
        head = await (raw.request if client else raw.answer)(*[DEFLATE] * deflate)
        assert (DEFLATE.encode() in head) == deflate
        self.peer = cancelling.peer_class(raw.stream, client=client, deflate=deflate)
        self.done.set()
        await self.peer.run(bytes(raw._data))


async def _secure(stream, **options):
    """Do TLS on ``stream``, which is closed if that fails."""
    try:
        return await TLSStream.wrap(stream, **options)
    except BaseException:
        await anyio.aclose_forcefully(stream)
        raise


def _shrink(websocket):
    """Let the kernel take little, so that a sender waits."""
    sock = websocket.extra(SocketAttribute.raw_socket)
    with socket.socket(fileno=os.dup(sock.fileno())) as duplicate:
        duplicate.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, SOCKET_BUFFER)


def open_sockets():
    """Return the number of sockets that this process has open."""
    links = []
    for descriptor in os.listdir("/proc/self/fd"):
        with suppress(FileNotFoundError):
            links.append(os.readlink(f"/proc/self/fd/{descriptor}"))
    return sum(link.startswith("socket:") for link in links)


async def until(condition):
    """Wait until ``condition()`` holds, which takes a few rounds of the loop."""
    with anyio.fail_after(5):
        while not condition():
            await anyio.sleep(0.001)
