"""Any ``anyio.abc.ByteStream`` as a transport: TLS, memory pairs, tunnels, test doubles.

Such a stream can only be written by awaiting it, and what it does when that is cancelled is its own
affair. So one shielded task per stream does all the writing, and a user's cancellation never
reaches it; ``abort`` does. Whatever the stream raises means that it is lost.
"""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING, Any

import anyio
import anyio.lowlevel

from anyws.net.transport import Transport

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from anyio.abc import ByteStream

    from anyws.net.network import TaskStarter

__all__ = ["StreamTransport"]

_CHUNK = 65536


class StreamTransport(Transport):
    """Carries a connection over ``stream``, which it owns from now on.

    Args:
        stream: the open byte stream.
        task_group: where the writing task runs; it ends when the transport is closed.
    """

    def __init__(self, stream: ByteStream, task_group: TaskStarter) -> None:
        super().__init__()
        self._stream = stream
        self._backlog: deque[bytes] = deque()
        self._backlog_size = 0
        self._callbacks: list[Callable[[], object]] = []
        self._reading = False
        self._eof_due = False
        self._close_due = False
        self._lost = False
        self._scope = anyio.CancelScope(shield=True)
        self._work = anyio.Event()
        self._drained: anyio.Event | None = None
        self._done = anyio.Event()
        task_group.start_soon(self._run)

    async def receive_more(self) -> None:
        if self._reading:
            raise anyio.BusyResourceError("receiving from")
        if self._lost:
            await anyio.lowlevel.checkpoint()
            return
        self._reading = True
        try:
            # Empty is what many streams give at their end, and what would be asked for again and again.
            while data := await self._stream.receive(_CHUNK):
                if self._deliver(data):
                    return
            self._receiver.eof_received()
        except anyio.EndOfStream:
            self._receiver.eof_received()
        except Exception as error:  # noqa: BLE001 - told to the user as what ended the connection
            self._lose(error)
        finally:
            self._reading = False

    def _deliver(self, data: bytes) -> bool:
        """Give ``data`` to the receiver; return whether who waits should look."""
        view = memoryview(data)
        new = False
        while view:
            buffer = self._receiver.get_buffer(len(view))
            count = min(len(buffer), len(view))
            buffer[:count] = view[:count]
            new = self._receiver.buffer_updated(count) or new
            view = view[count:]
        return new

    def write(self, data: bytes) -> None:
        if self._lost or self._close_due:
            return
        self._backlog.append(data)
        self._backlog_size += len(data)
        self.clogged = self.clogged or self._backlog_size > self._high_water
        self._work.set()

    def write_eof(self, last: bytes = b"") -> None:
        if last:
            self.write(last)
        self._eof_due = True
        self._work.set()

    @property
    def unsent(self) -> int:
        return self._backlog_size

    def call_soon(self, callback: Callable[[], object]) -> None:
        self._callbacks.append(callback)
        self._work.set()

    async def drain(self) -> None:
        while self.clogged:
            if self._drained is None:
                self._drained = anyio.Event()
            await self._drained.wait()

    async def aclose(self) -> None:
        """Send what was written, then close; if cancelled, drop the connection at once."""
        self._close_due = True
        self._work.set()
        try:
            await self._done.wait()
        except BaseException:
            self.abort()
            raise

    def abort(self) -> None:
        self._scope.cancel()

    async def _run(self) -> None:
        try:
            with self._scope:
                await self._write()
        except Exception as error:  # noqa: BLE001 - told to the user as what ended the connection
            self._lose(error)
        finally:
            self._lose(None)
            with anyio.CancelScope(shield=True):
                await self._close_stream()
            self._done.set()

    async def _write(self) -> None:
        while True:
            callbacks, self._callbacks = self._callbacks, []
            for callback in callbacks:
                callback()
            if self._backlog:
                await self._write_chunk()
            elif self._eof_due:
                self._eof_due = False
                await self._send_eof()
            elif self._close_due:
                await self._stream.aclose()
                return
            elif not self._callbacks:
                self._work = anyio.Event()
                await self._work.wait()

    async def _write_chunk(self) -> None:
        chunk = self._backlog.popleft()
        if self._backlog and len(chunk) < _CHUNK:
            pieces = [chunk]
            size = len(chunk)
            while self._backlog and size + len(self._backlog[0]) <= _CHUNK:
                pieces.append(self._backlog.popleft())
                size += len(pieces[-1])
            chunk = b"".join(pieces)
        await self._stream.send(chunk)
        if self._lost:
            # The task that reads has met the loss meanwhile, and counted everything out.
            return
        self._backlog_size -= len(chunk)
        if self.clogged and self._backlog_size <= self._high_water // 4:
            self.clogged = False
            self._wake()

    async def _send_eof(self) -> None:
        try:
            await self._stream.send_eof()
        except NotImplementedError:
            # TLS has no half-closed state: the only way to say that nothing follows is to close.
            self._close_due = True

    async def _close_stream(self) -> None:
        try:
            await anyio.aclose_forcefully(self._stream)
        except Exception:  # noqa: BLE001, S110 - there is nothing more to be done with it
            pass

    def _lose(self, error: Exception | None) -> None:
        if self._lost:
            return
        self._lost = True
        self.clogged = False
        self._backlog.clear()
        self._backlog_size = 0
        self._wake()
        self._receiver.connection_lost(error)
        self._scope.cancel()

    def _wake(self) -> None:
        if self._drained is not None:
            event, self._drained = self._drained, None
            event.set()

    @property
    def extra_attributes(self) -> Mapping[Any, Callable[[], Any]]:
        return self._stream.extra_attributes
