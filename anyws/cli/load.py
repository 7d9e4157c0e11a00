"""The load of ``anyws bench``: connections that send, and send again when the answer has come."""

from __future__ import annotations

import os
import random
import time
from collections import deque
from contextlib import AsyncExitStack
from typing import TYPE_CHECKING

import anyio

from anyws.cli.errors import CommandError, describe
from anyws.cli.histogram import Histogram
from anyws.errors import ConnectionClosed, HandshakeError

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from anyws.stream.websocket import WebSocket

    Opener = Callable[[AsyncExitStack], Awaitable[WebSocket]]

__all__ = ["Load", "payload"]

#: Connections that are being opened at a time, so that no queue of the server overflows.
_OPENING = 64
#: Bytes that one task may have under way and still always send without waiting.
_ONE_TASK = 2**15
#: Seconds that the last answers have to come.
_PATIENCE = 2.0


def payload(size: int, text: bool) -> str | bytes:
    """Return a message of ``size`` bytes that does not get smaller when it is compressed."""
    if not text:
        return os.urandom(size)
    # What a base64 text looks like: three quarters of it are random.
    letters = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/"
    return "".join(random.choices(letters, k=size))  # noqa: S311 - nothing secret


class Load:
    """Keeps a number of messages in flight on each of many connections to a server that echoes.

    Args:
        open_connection: opens a connection that the stack it is given closes.
        connections: how many.
        in_flight: messages that each keeps under way.
        message: what is sent.

    Attributes:
        histogram: the round-trip times so far.
        opened: connections that were opened.
        lost: connections that ended before they should have.
        first_error: why the first of them did.
        began: when all were open, on the clock ``time.perf_counter``.
        seconds: how long messages were counted.
        processor_seconds: of this process, in that time.
    """

    def __init__(
        self, open_connection: Opener, connections: int, in_flight: int, message: str | bytes
    ) -> None:
        self.histogram = Histogram()
        self.opened = self.lost = 0
        self.first_error: ConnectionClosed | None = None
        self.began = self.seconds = self.opening_seconds = self.processor_seconds = 0.0
        self._open = open_connection
        self._connections = connections
        self._in_flight = in_flight
        self._message = message
        self._stopped = False
        self._active = 0
        self._idle = anyio.Event()

    async def run(self, seconds: float, interrupted: anyio.Event) -> None:
        """Open the connections, send for ``seconds`` or until ``interrupted``, and close them.

        Raises:
            CommandError: a connection could not be opened, or the server does not echo.
        """
        async with AsyncExitStack() as stack:
            websockets = await self._open_all(stack)
            async with anyio.create_task_group() as task_group:
                processor = time.process_time()
                self.began = time.perf_counter()
                self._active = len(websockets)
                for websocket in websockets:
                    task_group.start_soon(self._drive, websocket)
                with anyio.move_on_after(seconds):
                    task_group.start_soon(self._stop_at, interrupted)
                    await self._idle.wait()
                self.seconds = time.perf_counter() - self.began
                self.processor_seconds = time.process_time() - processor
                self._stopped = True
                with anyio.move_on_after(_PATIENCE):
                    while self._active:
                        self._idle = anyio.Event()
                        await self._idle.wait()
                task_group.cancel_scope.cancel()

    async def _open_all(self, stack: AsyncExitStack) -> list[WebSocket]:
        began = time.perf_counter()
        limiter = anyio.CapacityLimiter(_OPENING)
        websockets: list[WebSocket] = []
        # A connection is closed by the task that opened it; so it lives in a task of its own.
        task_group = await stack.enter_async_context(anyio.create_task_group())
        release = anyio.Event()
        stack.callback(release.set)
        all_open = anyio.Event()
        failure: Exception | None = None

        async def hold() -> None:
            nonlocal failure
            async with AsyncExitStack() as own:
                try:
                    async with limiter:
                        websocket = await self._open(own)
                except (CommandError, HandshakeError) as error:
                    failure = failure or error
                    all_open.set()
                    return
                websockets.append(websocket)
                self.opened += 1
                if self.opened == self._connections:
                    all_open.set()
                await release.wait()

        for _ in range(self._connections):
            task_group.start_soon(hold)
        await all_open.wait()
        if failure is not None:
            raise failure
        self.opening_seconds = time.perf_counter() - began
        return websockets

    async def _stop_at(self, interrupted: anyio.Event) -> None:
        await interrupted.wait()
        self._idle.set()

    async def _drive(self, websocket: WebSocket) -> None:
        try:
            if self._in_flight * len(self._message) <= _ONE_TASK:
                await self._drive_small(websocket)
            else:
                await self._drive_large(websocket)
        except ConnectionClosed as error:
            self.lost += 1
            self.first_error = self.first_error or error
        finally:
            self._active -= 1
            if not self._active:
                self._idle.set()

    async def _drive_small(self, websocket: WebSocket) -> None:
        message, clock = self._message, time.perf_counter_ns
        sent: deque[int] = deque()
        for _ in range(self._in_flight):
            sent.append(clock())
            await websocket.send(message)
        while sent:
            answer = await websocket.receive()
            self._count(answer, sent.popleft())
            if not self._stopped:
                sent.append(clock())
                await websocket.send(message)

    async def _drive_large(self, websocket: WebSocket) -> None:
        """Send from a task of its own: what waits for room to send must not keep answers waiting."""
        sent: deque[int] = deque()
        to_send, tickets = anyio.create_memory_object_stream[None](self._in_flight)
        failure: ConnectionClosed | None = None

        async def send() -> None:
            nonlocal failure
            try:
                async for _ in tickets:
                    sent.append(time.perf_counter_ns())
                    await websocket.send(self._message)
            except ConnectionClosed as error:
                failure = error

        async def receive() -> None:
            nonlocal failure
            under_way = self._in_flight
            try:
                while under_way:
                    self._count(await websocket.receive(), sent.popleft())
                    under_way -= 1
                    if not self._stopped:
                        under_way += 1
                        to_send.send_nowait(None)
            except ConnectionClosed as error:
                failure = error
            to_send.close()

        with to_send, tickets:
            for _ in range(self._in_flight):
                to_send.send_nowait(None)
            async with anyio.create_task_group() as task_group:
                task_group.start_soon(send)
                await receive()
                task_group.cancel_scope.cancel()
        if failure is not None:
            raise failure

    def _count(self, answer: str | bytes, sent_at: int) -> None:
        if answer != self._message:
            raise CommandError(
                "what came back is not what was sent; bench needs a server that echoes, "
                "such as anyws echo"
            )
        if not self._stopped:
            self.histogram.record(time.perf_counter_ns() - sent_at)

    def loss(self) -> str | None:
        """Return how many connections were lost and why the first was, or ``None``."""
        if self.first_error is None:
            return None
        return f"{self.lost} of {self._connections} connections ended early: {describe(self.first_error)}"
