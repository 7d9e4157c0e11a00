"""Where the pieces of a fed message come from."""

from __future__ import annotations

from collections.abc import AsyncGenerator, AsyncIterable, Iterable
from contextlib import aclosing
from typing import TYPE_CHECKING, Any, Protocol, TypeAlias

import anyio.to_thread
from anyio.abc import ByteReceiveStream

from anyws.enums import DataType
from anyws.stream.buffer import Buffer
from anyws.stream.fragment import FragmentContext

if TYPE_CHECKING:
    from anyws.stream.writer import WebSocketWriter

__all__ = ["Source", "feed"]

Piece: TypeAlias = "str | bytes | bytearray | memoryview"


class _File(Protocol):
    def read(self, size: int, /) -> Any: ...


Source: TypeAlias = "Buffer | ByteReceiveStream | AsyncIterable[Piece] | Iterable[Piece] | _File"

#: Bytes or characters read from a file at once, since each read is a trip to a thread.
_FILE_READ = 65536


async def feed(
    writer: WebSocketWriter,
    source: Source,
    op_code: DataType | int | None,
    chunksize: int,
    drain_every: int,
    *,
    force: bool,
    compress: bool | None,
) -> None:
    """Send what ``source`` gives as one message; see ``WebSocketWriter.feed``."""
    if chunksize < 1 or drain_every < 1:
        raise ValueError("chunksize and drain_every must be at least 1 byte")
    if op_code is None:
        op_code = getattr(source, "data_type", None)
    kind = None if op_code is None else DataType(op_code)
    undrained = 0
    context = FragmentContext(writer, force=force, compress=compress, data_type=kind)
    async with aclosing(_chunks(source, chunksize)) as chunks, context as stream:
        async for chunk in chunks:
            whole = isinstance(source, Buffer) and source.at_eof()
            kind, payload = stream._encode(chunk)
            # An empty chunk makes a fragment too: a message may have no other.
            for start in range(0, len(payload) or 1, chunksize):
                piece = payload[start : start + chunksize]
                final = whole and start + chunksize >= len(payload)
                await stream._send_encoded(kind, piece, final=final)
                undrained += len(piece)
                if undrained >= drain_every:
                    undrained = 0
                    await writer.flush()


async def _chunks(source: Any, size: int) -> AsyncGenerator[Piece, None]:
    """Give what comes from ``source``, of a ``Buffer`` no more than ``size`` bytes at once."""
    if isinstance(source, Buffer):
        while data := await source.read(size):
            yield data
    elif isinstance(source, (str, bytes, bytearray, memoryview)):
        raise TypeError("feed takes a source of chunks; use send for a message that is there")
    elif isinstance(source, ByteReceiveStream):
        async for data in source:
            yield data
    elif hasattr(source, "read"):
        async for piece in _file_chunks(source):
            yield piece
    elif isinstance(source, AsyncIterable):
        try:
            async for chunk in source:
                yield chunk
        finally:
            if hasattr(source, "aclose"):
                await source.aclose()
    elif isinstance(source, Iterable):
        for chunk in source:
            yield chunk
    else:
        raise TypeError(
            "feed takes a Buffer, a byte stream, an iterable of chunks or an open file, "
            f"not {type(source).__name__}"
        )


async def _file_chunks(file: Any) -> AsyncGenerator[Piece, None]:
    while True:
        if hasattr(file, "wrapped"):
            chunk = await file.read(_FILE_READ)
        else:
            chunk = await anyio.to_thread.run_sync(file.read, _FILE_READ)
        if chunk is None:
            raise BlockingIOError(
                "the file does not wait for what is to come; open it so that it does"
            )
        if not chunk:
            return
        yield chunk
