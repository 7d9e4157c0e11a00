"""Byte streams in memory, and a wrapper that makes them misbehave."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

import anyio
import anyio.lowlevel
from anyio.abc import ByteStream

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from typing import Any

__all__ = ["FaultyStream", "MemoryStream", "lockstep_pair", "memory_pair"]


class _Pipe:
    """One direction of a pair."""

    def __init__(self, capacity: int) -> None:
        self.capacity = capacity
        self.data = bytearray()
        self.eof = False
        self.broken = False
        self._changed = anyio.Event()

    async def wait(self) -> None:
        await self._changed.wait()

    def notify(self) -> None:
        event, self._changed = self._changed, anyio.Event()
        event.set()


class MemoryStream(ByteStream):
    """One end of a pair of byte streams in memory.

    It behaves as a trio socket does, the strictest of all: a ``send`` that is cancelled may have sent
    a part, and nothing tells which.
    """

    def __init__(self, incoming: _Pipe, outgoing: _Pipe) -> None:
        self._incoming = incoming
        self._outgoing = outgoing
        self._receiving = False
        self._sending = False
        self.closed: bool = False

    async def receive(self, max_bytes: int = 65536) -> bytes:
        """Return at most ``max_bytes`` bytes, as soon as there are any.

        Raises:
            anyio.EndOfStream: the other end sends no more.
            anyio.BrokenResourceError: the pair was ``reset``.
            anyio.ClosedResourceError: this end is closed.
            anyio.BusyResourceError: another task is receiving.

        If cancelled: nothing is lost.
        """
        if self._receiving:
            raise anyio.BusyResourceError("receiving from")
        await anyio.lowlevel.checkpoint()
        pipe = self._incoming
        self._receiving = True
        try:
            while not (pipe.data or pipe.eof or pipe.broken or self.closed):
                await pipe.wait()
        finally:
            self._receiving = False
        if self.closed:
            raise anyio.ClosedResourceError
        if pipe.broken:
            raise anyio.BrokenResourceError
        if not pipe.data:
            raise anyio.EndOfStream
        data = bytes(pipe.data[:max_bytes])
        del pipe.data[:max_bytes]
        pipe.notify()
        return data

    async def send(self, item: bytes) -> None:
        """Send ``item``, waiting while the pipe is full.

        Raises:
            anyio.BrokenResourceError: the other end is closed, or the pair was ``reset``.
            anyio.ClosedResourceError: this end is closed.
            anyio.BusyResourceError: another task is sending.

        If cancelled: a part may have gone, and nothing tells how much.
        """
        if self._sending:
            raise anyio.BusyResourceError("sending to")
        await anyio.lowlevel.checkpoint()
        pipe = self._outgoing
        view = memoryview(item)
        self._sending = True
        try:
            while view:
                self._check(pipe)
                room = max(1, pipe.capacity) - len(pipe.data)
                if room > 0:
                    count = len(view) if pipe.capacity == 0 else min(room, len(view))
                    pipe.data += view[:count]
                    view = view[count:]
                    pipe.notify()
                else:
                    await pipe.wait()
            while pipe.capacity == 0 and pipe.data:
                self._check(pipe)
                await pipe.wait()
        finally:
            self._sending = False

    def _check(self, pipe: _Pipe) -> None:
        if self.closed:
            raise anyio.ClosedResourceError
        if pipe.broken:
            raise anyio.BrokenResourceError

    async def send_eof(self) -> None:
        """End our direction."""
        self._outgoing.eof = True
        self._outgoing.notify()
        await anyio.lowlevel.checkpoint()

    async def aclose(self) -> None:
        """Close this end: the peer reads what was sent, then the end; its sends break."""
        self.close()
        await anyio.lowlevel.checkpoint()

    def close(self) -> None:
        """Close this end, without a checkpoint."""
        self.closed = True
        self._outgoing.eof = True
        self._incoming.broken = True
        self._outgoing.notify()
        self._incoming.notify()

    def reset(self) -> None:
        """Break the stream as a TCP reset does: both ends fail at once."""
        self._incoming.broken = self._outgoing.broken = True
        self._outgoing.data.clear()
        self._outgoing.notify()
        self._incoming.notify()


def memory_pair(capacity: int = 65536) -> tuple[MemoryStream, MemoryStream]:
    """Return two connected byte streams, with ``capacity`` bytes of buffer each way."""
    one, other = _Pipe(capacity), _Pipe(capacity)
    return MemoryStream(one, other), MemoryStream(other, one)


def lockstep_pair() -> tuple[MemoryStream, MemoryStream]:
    """Return two connected byte streams without a buffer: a send ends when all was received.

    Whoever waits for the other side while the other side waits to send will hang here, at once.
    """
    return memory_pair(0)


Fault = Literal["eof", "reset", "stall", "drop"] | Exception


class FaultyStream(ByteStream):
    """Passes everything on to ``stream``, but for the faults that are asked for.

    Args:
        stream: the stream to wrap; ``reset`` needs a ``MemoryStream``.
        chunk: bytes that one ``receive`` returns at most; 1 delivers byte by byte.
        receive_limit: bytes after which ``receive_fault`` happens.
        receive_fault: ``"eof"`` ends the stream, ``"reset"`` breaks it, ``"stall"`` waits for ever,
            an exception is raised.
        send_limit: bytes after which ``send_fault`` happens, in the middle of a send if need be.
        send_fault: ``"drop"`` swallows the rest, ``"reset"`` breaks the stream, ``"stall"`` waits, an
            exception is raised.
        eof_fault: what ``send_eof`` meets once it has ended our direction: ``"reset"``, ``"stall"`` or
            an exception.
        close_fault: what ``aclose`` meets once it has closed the stream: the same.

    Attributes:
        sent: bytes that were passed on.
        received: bytes that were returned.
    """

    def __init__(
        self,
        stream: ByteStream,
        *,
        chunk: int | None = None,
        receive_limit: int | None = None,
        receive_fault: Fault = "eof",
        send_limit: int | None = None,
        send_fault: Fault = "drop",
        eof_fault: Fault | None = None,
        close_fault: Fault | None = None,
    ) -> None:
        self.stream = stream
        self.chunk = chunk
        self.receive_limit = receive_limit
        self.receive_fault: Fault = receive_fault
        self.send_limit = send_limit
        self.send_fault: Fault = send_fault
        self.eof_fault = eof_fault
        self.close_fault = close_fault
        self.sent: int = 0
        self.received: int = 0
        self._stall = anyio.Event()

    def release(self) -> None:
        """End a stall, and go on without faults."""
        self.receive_limit = self.send_limit = None
        self.eof_fault = self.close_fault = None
        self._stall.set()

    async def receive(self, max_bytes: int = 65536) -> bytes:
        """Receive from the stream, or meet the fault."""
        size = max_bytes if self.chunk is None else min(max_bytes, self.chunk)
        if self.receive_limit is not None:
            size = min(size, self.receive_limit - self.received)
            if size <= 0:
                await self._fault(self.receive_fault)
                return await self.receive(max_bytes)
        data = await self.stream.receive(size)
        self.received += len(data)
        return data

    async def send(self, item: bytes) -> None:
        """Send to the stream, or meet the fault."""
        if self.send_limit is not None and self.sent + len(item) > self.send_limit:
            before = bytes(item[: max(0, self.send_limit - self.sent)])
            if before:
                await self.stream.send(before)
                self.sent += len(before)
            if self.send_fault == "drop":
                await anyio.lowlevel.checkpoint()
                return
            await self._fault(self.send_fault)
            item = item[len(before) :]
        await self.stream.send(item)
        self.sent += len(item)

    async def _fault(self, fault: Fault) -> None:
        await anyio.lowlevel.checkpoint()
        if isinstance(fault, Exception):
            raise fault
        if fault == "eof":
            raise anyio.EndOfStream
        if fault == "reset":
            if isinstance(self.stream, MemoryStream):
                self.stream.reset()
            raise anyio.BrokenResourceError
        await self._stall.wait()

    async def send_eof(self) -> None:
        """End our direction, then meet the fault."""
        await self.stream.send_eof()
        if self.eof_fault is not None:
            await self._fault(self.eof_fault)

    async def aclose(self) -> None:
        """Close the stream, then meet the fault."""
        await self.stream.aclose()
        if self.close_fault is not None:
            await self._fault(self.close_fault)

    @property
    def extra_attributes(self) -> Mapping[Any, Callable[[], Any]]:
        """The typed attributes of the stream."""
        return self.stream.extra_attributes
