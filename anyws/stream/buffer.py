"""A bounded hand-over of bytes between tasks."""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING

import anyio
import anyio.lowlevel
from anyio.abc import ByteReceiveStream

from anyws.core.turns import CHECKPOINT_INTERVAL, Turns
from anyws.enums import DataType

if TYPE_CHECKING:
    from typing import Self

__all__ = ["Buffer"]


class Buffer(ByteReceiveStream):
    """Hands bytes from a writing task to a reading task, at most ``limit`` bytes ahead.

    It is an ``anyio.abc.ByteReceiveStream`` too, and can be given to ``WebSocketWriter.feed``.

    Args:
        limit: bytes that ``write`` may run ahead of the reader.
        data_type: the kind of message to send the content as, when it is fed to a writer.
    """

    def __init__(self, limit: int = 65536, *, data_type: DataType | None = DataType.BINARY) -> None:
        if limit < 1:
            raise ValueError(f"limit must be at least 1 byte, not {limit}")
        self.data_type = data_type
        self._limit = limit
        self._chunks: deque[bytes] = deque()
        # Bytes of the first chunk that were read: cutting them off would copy the rest each time.
        self._start = 0
        self._collecting = False
        self._turns = Turns(CHECKPOINT_INTERVAL)
        self._size = 0
        self._eof = False
        self._error: BaseException | None = None
        self._abandoned = False
        self._changed: anyio.Event | None = None

    @property
    def size(self) -> int:
        """Bytes that were written and not yet read."""
        return self._size

    def at_eof(self) -> bool:
        """Tell whether everything was read and nothing follows."""
        return self._eof and not self._chunks

    # Writing

    async def write(self, data: bytes | bytearray | memoryview) -> None:
        """Append ``data``, waiting first while the reader is ``limit`` bytes behind.

        Raises:
            anyio.BrokenResourceError: the reader has given up.
            RuntimeError: after ``feed_eof``.

        If cancelled: ``data`` was not appended.
        """
        await anyio.lowlevel.checkpoint()
        while self._size >= self._limit and not (self._collecting or self._abandoned):
            await self._wait_for_change()
        if self._abandoned:
            raise anyio.BrokenResourceError("nobody reads this buffer any more")
        self.write_nowait(bytes(data))

    def write_nowait(self, data: bytes) -> None:
        """Append ``data`` whatever the limit.

        Raises:
            RuntimeError: after ``feed_eof``.
        """
        if self._eof:
            raise RuntimeError("write after feed_eof")
        if data and not self._abandoned:
            self._chunks.append(data)
            self._size += len(data)
            self._notify()

    def feed_eof(self) -> None:
        """Say that nothing follows."""
        self._eof = True
        self._notify()

    def fail(self, error: BaseException) -> None:
        """Let the reader meet ``error`` once it has read what was written."""
        self._error = error
        self._notify()

    # Reading

    async def read(self, n: int = -1) -> bytes:
        """Return at most ``n`` bytes, as soon as there are any; all until the end for -1.

        Returns:
            The bytes; ``b""`` at the end only (or for ``n`` 0).

        Raises:
            anyio.ClosedResourceError: after ``aclose``, or when it is called meanwhile.
            BaseException: what ``fail`` was given, once everything before it was read.

        If cancelled: nothing is lost.
        """
        if n < 0:
            await self._collect(None)
            return self._take(self._size)
        if n:
            await self._wait_for_any()
        self._check_not_closed()
        return self._take(n)

    async def read_into(self, memory: bytearray | memoryview, n: int) -> int:
        """Fill the first ``n`` bytes of ``memory``.

        Returns:
            The number of bytes, less than ``n`` only at the end.

        Raises:
            ValueError: ``memory`` has fewer than ``n`` bytes.
            anyio.ClosedResourceError: as ``read``.
            BaseException: what ``fail`` was given, once fewer than ``n`` bytes are left before it.

        If cancelled: nothing is lost; the bytes stay in the buffer.
        """
        if n > len(memory):
            raise ValueError(f"{n} bytes do not fit into {len(memory)}")
        await self._collect(n)
        data = self._take(n)
        memory[: len(data)] = data
        return len(data)

    async def receive(self, max_bytes: int = 65536) -> bytes:
        """Return at most ``max_bytes`` bytes, as soon as there are any.

        Raises:
            anyio.EndOfStream: there are no more.
            anyio.ClosedResourceError: as ``read``.
            BaseException: what ``fail`` was given, once everything before it was read.

        If cancelled: nothing is lost.
        """
        await anyio.lowlevel.checkpoint()
        await self._wait_for_any()
        if not self._chunks:
            raise anyio.EndOfStream
        return self._take(max_bytes)

    def __aiter__(self) -> Self:
        """Iterate over the bytes in the pieces in which they came."""
        return self

    async def __anext__(self) -> bytes:
        """Return the next piece; raises as ``read`` does."""
        await self._wait_for_any()
        if not self._chunks:
            raise StopAsyncIteration
        return self._take(len(self._chunks[0]) - self._start)

    async def aclose(self) -> None:
        """Give up reading: what is there is dropped, and to read or to ``write`` raises from now on."""
        self.abandon()
        await anyio.lowlevel.checkpoint()

    def abandon(self) -> None:
        """Give up reading, without a checkpoint."""
        self._abandoned = True
        self._chunks.clear()
        self._size = self._start = 0
        self._notify()

    def _take(self, n: int) -> bytes:
        """Remove and return the first ``n`` bytes, or what there is."""
        pieces = []
        while n and self._chunks:
            chunk = self._chunks[0]
            piece = chunk[self._start : self._start + n] if self._start or n < len(chunk) else chunk
            self._start += len(piece)
            n -= len(piece)
            pieces.append(piece)
            if self._start == len(chunk):
                self._chunks.popleft()
                self._start = 0
        data = pieces[0] if len(pieces) == 1 else b"".join(pieces)
        self._size -= len(data)
        self._notify()
        return data

    async def _collect(self, n: int | None) -> None:
        """Wait until there are ``n`` bytes or the end has come; the limit is off meanwhile."""
        if self._eof or (n is not None and self._size >= n):
            await self._checkpoint_if_due()
            self._check_not_closed()
            return
        self._collecting = True
        self._notify()
        try:
            while not self._eof and (n is None or self._size < n):
                await self._wait_for_data()
        finally:
            self._collecting = False
        self._check_not_closed()

    async def _checkpoint_if_due(self) -> None:
        """Let others run after so many reads that found data ready."""
        if not self._turns.spend():
            self._turns.renew()
            await anyio.lowlevel.checkpoint()

    async def _wait_for_any(self) -> None:
        if self._chunks or self._eof:
            await self._checkpoint_if_due()
        while not self._chunks and not self._eof:
            await self._wait_for_data()
        self._check_not_closed()

    def _check_not_closed(self) -> None:
        # The end may have been fed to a closed buffer, and is no answer to who asks for its content.
        if self._abandoned:
            raise anyio.ClosedResourceError(
                "this buffer was closed, or its message skipped by asking for the next one"
            )

    async def _wait_for_data(self) -> None:
        """Wait until something was written or the end was; raises what ``fail`` was given."""
        self._check_not_closed()
        if self._error is not None:
            raise self._error
        await self._wait_for_change()

    async def _wait_for_change(self) -> None:
        if self._changed is None:
            self._changed = anyio.Event()
        await self._changed.wait()

    def _notify(self) -> None:
        if self._changed is not None:
            event, self._changed = self._changed, None
            event.set()
