"""Standard input and output for a program that waits for other things too.

Neither is made non-blocking: the setting would be shared with every program that has the same file
open, the shell among them. Instead both are asked whether they are ready, and waited for if not.
"""

from __future__ import annotations

import os
import select
import sys
from typing import TYPE_CHECKING

import anyio
import anyio.lowlevel
import anyio.to_thread

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

__all__ = ["read_all", "read_input", "read_lines", "write_output"]

_CHUNK = 65536
#: What a pipe that is ready takes for certain without blocking (PIPE_BUF on Linux; 512 in POSIX).
_PIPE_ROOM = select.PIPE_BUF if hasattr(select, "PIPE_BUF") else 512


async def read_input(descriptor: int) -> bytes:
    """Read what is there of a file, waiting for it; ``b""`` at its end.

    If cancelled: nothing was read.
    """
    if sys.platform == "win32":
        return await anyio.to_thread.run_sync(os.read, descriptor, _CHUNK, abandon_on_cancel=True)
    # A file on a disk is always ready, and cannot be waited for.
    if not select.select([descriptor], [], [], 0)[0]:
        await anyio.wait_readable(descriptor)
    else:
        await anyio.lowlevel.checkpoint()
    return os.read(descriptor, _CHUNK)


async def read_all(descriptor: int) -> bytes:
    """Read a file to its end."""
    chunks = []
    while chunk := await read_input(descriptor):
        chunks.append(chunk)
    return b"".join(chunks)


async def read_lines(descriptor: int) -> AsyncIterator[bytes]:
    """Iterate over the lines of a file without their line ends, the last one ended or not."""
    pending = bytearray()
    while chunk := await read_input(descriptor):
        pending += chunk
        if b"\n" not in chunk:
            continue
        *lines, rest = pending.split(b"\n")
        pending = rest
        for line in lines:
            yield bytes(line.removesuffix(b"\r"))
    if pending:
        yield bytes(pending)


async def write_output(descriptor: int, data: bytes) -> None:
    """Write to a file, waiting as long as whoever reads it does.

    Raises:
        BrokenPipeError: nobody reads it any more.

    If cancelled: a part of ``data`` may have been written.
    """
    view = memoryview(data)
    while view:
        if sys.platform != "win32" and not select.select([], [descriptor], [], 0)[1]:
            await anyio.wait_writable(descriptor)
        view = view[os.write(descriptor, view[:_PIPE_ROOM]) :]
    await anyio.lowlevel.checkpoint()
