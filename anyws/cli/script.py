"""A connection for scripts: standard input is sent, what comes is written to standard output."""

from __future__ import annotations

import json
import math
import sys
from typing import TYPE_CHECKING

import anyio

from anyws.cli.close_codes import close_line
from anyws.cli.errors import CommandError, ExitCode
from anyws.cli.standard_streams import read_all, read_lines, write_output
from anyws.errors import ConnectionClosed, ConnectionClosedOK

if TYPE_CHECKING:
    import argparse

    from anyws.stream.websocket import WebSocket

__all__ = ["run_script"]


async def run_script(websocket: WebSocket, options: argparse.Namespace) -> int:
    """Send the input and print what comes, until as much has come as was asked for.

    Args:
        websocket: an open connection; what is sent and received is all this does to it.
        options: the command line of ``anyws connect``.

    Returns:
        The exit code.

    Raises:
        CommandError: the connection ended before all was done, or the input is not text.
        BrokenPipeError: nobody reads the output any more.
    """
    script = _Script(websocket, options)
    async with anyio.create_task_group() as task_group:
        task_group.start_soon(script.send, task_group.cancel_scope)
        await script.receive()
        task_group.cancel_scope.cancel()
    return ExitCode.DONE


class _Script:
    def __init__(self, websocket: WebSocket, options: argparse.Namespace) -> None:
        self._websocket = websocket
        self._options = options
        self._left = 1 if options.once else options.receive
        self._came = anyio.Event()
        self._writing = False

    async def receive(self) -> None:
        """Print what comes; returns when that is enough, or the server closes in good order."""
        while self._left is None or self._left > 0:
            try:
                message = await self._websocket.receive()
            except ConnectionClosed as error:
                self._end(error)
                return
            self._writing = True
            await write_output(sys.stdout.fileno(), encode(message, self._options.format))
            self._writing = False
            self._came.set()
            if self._left is not None:
                self._left -= 1

    def _end(self, error: ConnectionClosed) -> None:
        if self._left is not None:
            text = close_line(error.code, error.reason)
            raise CommandError(
                f"the connection ended before what was waited for came: {text}", ExitCode.CLOSED
            ) from error
        if not isinstance(error, ConnectionClosedOK):
            raise error

    async def send(self, scope: anyio.CancelScope) -> None:
        """Send the input; at its end wait until nothing has come for a while, then cancel ``scope``."""
        try:
            for text in self._options.message:
                await self._websocket.send(text)
            await self._send_input()
        except ConnectionClosed:
            # Receiving tells, and only after what came before.
            return
        if self._left is None and not math.isinf(self._options.wait):
            while True:
                self._came = anyio.Event()
                with anyio.move_on_after(self._options.wait):
                    await self._came.wait()
                # Whoever reads the output slowly is not to lose the end of a message.
                if not self._came.is_set() and not self._writing:
                    break
            scope.cancel()

    async def _send_input(self) -> None:
        if sys.stdin is None:  # as after "<&-" in a shell
            return
        descriptor = sys.stdin.fileno()
        if self._options.once:
            # What stands on the command line is the one message.
            data = b"" if self._options.message else await read_all(descriptor)
            if data:
                await self._send(data if self._options.binary else data.removesuffix(b"\n"))
            return
        async for line in read_lines(descriptor):
            await self._send(line)

    async def _send(self, data: bytes) -> None:
        if self._options.binary:
            await self._websocket.send(data)
            return
        try:
            text = data.decode()
        except UnicodeDecodeError:
            raise CommandError(
                "standard input is not UTF-8 text; --binary sends it as it is"
            ) from None
        await self._websocket.send(text)


def encode(message: str | bytes, form: str) -> bytes:
    """Return what a message is in the output.

    Args:
        message: text or binary.
        form: ``"lines"`` for text as it is and binary as hex, each with a line end; ``"raw"`` for the
            bytes and nothing else; ``"json"`` for one JSON object a line.
    """
    text = isinstance(message, str)
    if form == "json":
        data = message if isinstance(message, str) else message.hex()
        return json.dumps({"type": "text" if text else "binary", "data": data}).encode() + b"\n"
    if form == "raw":
        return message.encode() if isinstance(message, str) else message
    return (message if isinstance(message, str) else message.hex()).encode() + b"\n"
