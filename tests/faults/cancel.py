"""Cancel an operation at each point where it yields to the loop, one after another, and look at what is left.

A *scenario* is an async function that takes a ``CancelAt``, lets it run the operation, and proves afterwards
that nothing was torn, lost or left behind. ``Cancelling.sweep`` runs it with the operation cancelled at
its first point, at its second, and so on, until it completes.

There are two ways to be cancelled. A cancel scope, of anyio or trio, reaches a task that still waits. ``Task.cancel``
of asyncio also reaches one whose wait is over and that has not run since: ``late`` does the same.
"""

import asyncio
import gc
import os
import socket
import weakref
from contextlib import asynccontextmanager, suppress
from functools import partial

import anyio
import pytest
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


class CancelAt:
    """Runs coroutines, and cancels them when they yield to the loop for the ``point``-th time in all.

    Attributes:
        reached: whether they came so far.
        caught: whether one of them ended cancelled.
    """

    def __init__(self, point, *, late):
        self.reached = self.caught = False
        self._left = point
        self._late = late

    async def __call__(self, coroutine, scope=None):
        """Run ``coroutine``; return whether it completed.

        Args:
            scope: what to cancel; by default the coroutine itself.
        """
        try:
            with anyio.CancelScope() as own:
                await _Counted(coroutine, partial(self._count, scope or own))
                return True
        except asyncio.CancelledError:
            if not self._late:
                raise
        self.caught = True
        return False

    def _count(self, scope):
        """Return whether this is the point, and cancelling is late."""
        self._left -= 1
        if self._left:
            return False
        self.reached = True
        if not self._late:
            scope.cancel()
        return self._late


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


def leftovers(websocket):
    """Name what is still held in a connection that nobody uses."""
    lock, receiver = websocket.writer._lock, websocket._receiver
    held = {
        "the send lock": lock.locked,
        "the owner of the send lock": lock.owner,
        "who waits for the send lock": lock._waiters,
        "the claim to receive": receiver.claimed,
        "hunger": websocket._inbound.hungry,
        "pings": websocket._pings._waiting,
        "bytes": websocket.buffered,
    }
    return [name for name, value in held.items() if value]


class Cancelling:
    """Connections of one kind, and sweeps over them.

    Args:
        operation: its name in the summary.
        loop: asyncio, uvloop or trio.
        kind: memory, tcp, tls or unix. The library is the server in memory, and else the client.
        deflate: whether permessage-deflate is agreed on.
        directory: where a UNIX socket may be.
        contexts: the TLS contexts of a server and of a client.
        peer_class: ``judge.Peer``.

    Attributes:
        counts: operation, loop and number of points, for each sweep.
    """

    def __init__(self, operation, loop, kind, deflate, directory, contexts, peer_class):
        self.loop = loop
        self.kind = kind
        self.deflate = deflate
        self.counts = []
        self._operation = operation
        self._directory = directory
        self._contexts = contexts
        self.peer_class = peer_class
        self._listener = None
        self._opened = []

    async def sweep(self, scenario):
        """Run ``scenario`` with each point cancelled, in every way that the loop knows."""
        ways = [False] if self.loop == "trio" else [False, True]
        if self.loop != "trio":
            # It keeps a stack for each callback, which would take most of the time.
            asyncio.get_running_loop().set_debug(False)
        points = 0
        gc.freeze()
        try:
            async with self._listening():
                before = open_sockets()
                for late in ways:
                    points += await self._sweep(scenario, late=late)
                await until(lambda: open_sockets() == before)
            gc.collect()
            alive = [websocket() for websocket in self._opened if websocket() is not None]
            assert not alive, f"{len(alive)} of {len(self._opened)} connections are still in memory"
        finally:
            gc.unfreeze()
        assert points
        self.counts.append([self._operation, self.loop, points])

    async def _sweep(self, scenario, *, late):
        point, reached = 0, True
        while reached:
            point += 1
            cancel = CancelAt(point, late=late)
            before = {task.id for task in anyio.get_running_tasks()}
            try:
                with anyio.fail_after(10):
                    await scenario(cancel)
                left = [task.name for task in anyio.get_running_tasks() if task.id not in before]
                assert not left, f"tasks were left behind: {left}"
            except BaseException as error:
                error.add_note(f"{self.kind}, cancelled at point {point}, late={late}")
                raise
            reached = cancel.reached
        return point - 1

    @asynccontextmanager
    async def opened(self, **options):
        """Give a connection, and the ``Peer`` opposite it."""
        options = {**OPTIONS, "compression": "deflate" if self.deflate else None, **options}
        near, far = memory_pair(1000) if self.kind == "memory" else (None, None)
        opening = self.connect(**options) if far is None else anyws.accept(near, **options)
        async with anyio.create_task_group() as tg:
            meeting = Meeting(self, far)
            tg.start_soon(meeting.run)
            async with opening as websocket:
                await meeting.done.wait()
                self._opened.append(weakref.ref(websocket))
                if far is None:
                    _shrink(websocket)
                yield websocket, meeting.peer

    def connect(self, **options):
        """Return ``anyws.connect`` to the peer that listens."""
        address = self._listener.extra(SocketAttribute.local_address)
        if self.kind == "unix":
            return anyws.connect("ws://localhost/", unix_path=address, **options)
        if self.kind == "tls":
            uri = f"wss://localhost:{address[1]}/"
            return anyws.connect(uri, ssl_context=self._contexts[1], **options)
        return anyws.connect(f"ws://127.0.0.1:{address[1]}/", **options)

    async def accept(self):
        """Give the stream of the next client."""
        stream = await self._listener.accept()
        if self.kind == "tls":
            context = self._contexts[0]
            stream = await TLSStream.wrap(stream, server_side=True, ssl_context=context)
        return stream

    @asynccontextmanager
    async def _listening(self):
        if self.kind == "memory":
            yield
            return
        if self.kind == "unix":
            self._listener = await anyio.create_unix_listener(self._directory / "socket")
        else:
            listeners = await anyio.create_tcp_listener(local_host="127.0.0.1")
            (self._listener,) = listeners.listeners
        sock = self._listener.extra(SocketAttribute.raw_socket)
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, SOCKET_BUFFER)
        async with self._listener:
            yield


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
        deflate = self._cancelling.deflate
        client = self._stream is not None
        raw = RawPeer(self._stream or await self._cancelling.accept())
        head = await (raw.request if client else raw.answer)(*[DEFLATE] * deflate)
        assert (DEFLATE.encode() in head) == deflate
        self.peer = self._cancelling.peer_class(raw.stream, client=client, deflate=deflate)
        self.done.set()
        await self.peer.run(bytes(raw._data))


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


async def prove_open(websocket, peer):
    """Check that a connection is as good as new, and close it; return the messages from before."""
    assert websocket.state is anyws.State.OPEN
    probes = ["probe " * 30, bytes(range(100)), "probe " * 30]
    for probe in probes:
        await websocket.writer.send(probe, compress=True)
    await peer.until(
        lambda judge: judge.messages[-3:] == probes and peer.answered == len(judge.controls)
    )
    await peer.send_message("answer " * 30)
    assert await websocket.receive() == "answer " * 30
    assert leftovers(websocket) == []
    await websocket.close()
    await peer.until_ended()
    judge = peer.judge
    assert (judge.close_code, judge.unfinished, judge.data) == (1000, False, b"")
    assert websocket.statistics().messages_sent == len(judge.messages)
    return judge.messages[:-3]


async def prove_failed(websocket, peer, code):
    """Check that a connection failed with ``code`` in the middle of a message, and says so."""
    with pytest.raises(anyws.ConnectionClosedError) as caught:
        await websocket.send("late")
    assert caught.value.cause is anyws.CloseCause.MESSAGE_ABANDONED
    await websocket.aclose()
    await peer.until_ended()
    judge = peer.judge
    assert (judge.close_code, judge.unfinished, judge.data) == (code, True, b"")
    return judge.messages
