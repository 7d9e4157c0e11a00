"""A connection for people: what is typed is sent, what comes is shown above it."""

from __future__ import annotations

import logging
import math
import signal
import textwrap
from contextlib import aclosing, contextmanager
from typing import TYPE_CHECKING

import anyio

from anyws.cli.close_codes import close_line
from anyws.cli.errors import ExitCode, describe
from anyws.cli.printing import hex_dump, pretty_json, visible
from anyws.cli.terminal import Terminal
from anyws.errors import Close, CloseCause, ConnectionClosed, ConnectionClosedOK

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator, Sequence

    from anyio.abc import TaskGroup

    from anyws.cli.colours import Colours
    from anyws.cli.history import History
    from anyws.stream.websocket import WebSocket

__all__ = ["Repl"]

#: Characters and bytes of a message that are shown.
_MOST_TEXT, _MOST_BINARY = 20_000, 1024
#: Digits that a close code has.
_CODE_DIGITS = 4
#: Seconds that what was entered before the end has to be sent.
_PATIENCE = 2.0

_HELP = """\
/ping                 measure how long a ping and its pong take
/close [CODE [WHY]]   close the connection, with a code from 1000 on and a reason
/hex BYTES            send a binary message, such as /hex 00 ff 7f
/stats                show what went over the connection so far
//text                send a text that begins with a slash
Alt-Enter, or a backslash at the end, begins another line
Up and Down           go through what was sent before; if something is typed,
                      only through what begins alike
Ctrl-D                close the connection"""


class Repl:
    """One session on an open connection.

    Args:
        websocket: the connection.
        history: what was sent before; what is sent now is added.
        colours: how things look.
    """

    def __init__(self, websocket: WebSocket, history: History, colours: Colours) -> None:
        self._websocket = websocket
        self._history = history
        self._colours = colours
        self._terminal = Terminal(history.texts)
        self._to_send, self._sending = anyio.create_memory_object_stream[str | bytes | Close](
            math.inf
        )
        self._all_sent = anyio.Event()
        self._code: int = ExitCode.DONE

    async def run(self, address: str, first: Sequence[str] = ()) -> int:
        """Talk until either side closes.

        Args:
            address: whom to, to be shown.
            first: texts to send before those that are typed.

        Returns:
            The exit code.
        """
        protocol = self._websocket.subprotocol
        spoken = f", subprotocol {protocol}" if protocol else ""
        self._notice(f"connected to {address}{spoken}; /help says what can be typed, Ctrl-D closes")
        with (
            self._to_send,
            self._sending,
            self._terminal.editing(),
            self._logging(),
            anyio.open_signal_receiver(
                signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGWINCH
            ) as signals,
        ):
            async with anyio.create_task_group() as task_group:
                scope = task_group.cancel_scope
                task_group.start_soon(self._watch, signals, scope)
                for text in first:
                    self._to_send.send_nowait(text)
                task_group.start_soon(self._send)
                task_group.start_soon(self._receive, scope)
                async with aclosing(self._terminal.texts()) as texts:
                    async for text in texts:
                        self._enter(text, task_group)
                self._to_send.close()
                with anyio.move_on_after(_PATIENCE):
                    await self._all_sent.wait()
                await self._websocket.close()
        return self._code

    def _enter(self, text: str, task_group: TaskGroup) -> None:
        if self._history.add(text):
            self._terminal.editor.remember(text)
        if text.startswith("/") and not text.startswith("//"):
            self._command(text, task_group)
        elif text:
            # Not sent from here: the keyboard is not to wait for a server that does not read.
            self._to_send.send_nowait(text.removeprefix("/") if text.startswith("//") else text)

    def _command(self, text: str, task_group: TaskGroup) -> None:
        name, _, rest = text.partition(" ")
        if name == "/ping" and not rest:
            task_group.start_soon(self._ping)
        elif name == "/close":
            self._close(rest)
        elif name == "/hex":
            try:
                self._to_send.send_nowait(bytes.fromhex(rest))
            except ValueError:
                self._error(f"{rest!r} is not bytes in hex, such as 00 ff 7f")
        elif name == "/stats":
            sent, received, bytes_sent, bytes_received = self._websocket.statistics()
            self._notice(
                f"sent {sent} messages, {bytes_sent} bytes; "
                f"received {received} messages, {bytes_received} bytes"
            )
        elif name == "/help":
            self._notice(_HELP)
        else:
            self._error(f"there is no {name}; /help lists commands, //... sends what begins with /")

    def _close(self, text: str) -> None:
        code, _, reason = text.partition(" ")
        if code and not (code.isdecimal() and len(code) <= _CODE_DIGITS):
            self._error(f"{code[:20]!r} is not a close code")
        else:
            self._to_send.send_nowait(Close(int(code or 1000), reason))

    async def _ping(self) -> None:
        try:
            taken = await self._websocket.ping()
        except ConnectionClosed:
            return
        self._notice(f"pong after {1000 * taken:.2f} ms")

    async def _send(self) -> None:
        """Send what was entered, in its order; what cannot be sent any more is told by ``_receive``."""
        try:
            async for item in self._sending:
                if isinstance(item, Close):
                    await self._close_with(item)
                else:
                    await self._websocket.send(item)
        except ConnectionClosed:
            pass
        self._all_sent.set()

    async def _close_with(self, close: Close) -> None:
        try:
            await self._websocket.close(close.code, close.reason)
        except ValueError as error:
            self._error(str(error))

    async def _receive(self, scope: anyio.CancelScope) -> None:
        try:
            while True:
                self._show(await self._websocket.receive())
        except ConnectionClosed as error:
            self._closed(error)
        scope.cancel()

    def _closed(self, error: ConnectionClosed) -> None:
        if error.cause is CloseCause.CLOSED_BY_US and error.received is not None:
            self._notice(f"closed: {close_line(error.code, error.reason)}")
        elif isinstance(error, ConnectionClosedOK):
            self._notice(f"closed by the server: {close_line(error.code, error.reason)}")
        else:
            self._code = ExitCode.CLOSED
            self._error(describe(error))

    async def _watch(
        self, signals: AsyncIterator[signal.Signals], scope: anyio.CancelScope
    ) -> None:
        async for number in signals:
            if number is signal.SIGWINCH:
                self._terminal.draw()
                continue
            self._code = 128 + number
            scope.cancel()
            return

    def _show(self, message: str | bytes) -> None:
        if isinstance(message, str):
            self._terminal.show(_beside("< ", self._text(message)))
            return
        rows = hex_dump(message, _MOST_BINARY)
        head = f"binary, {len(message)} byte{'' if len(message) == 1 else 's'}"
        dump = "\n".join([self._colours.paint(head, "dim"), *rows])
        self._terminal.show(_beside("< ", dump))

    def _text(self, message: str) -> str:
        left = len(message) - _MOST_TEXT
        if left > 0:
            rest = self._colours.paint(f"... and {left} more characters", "dim")
            return f"{visible(message[:_MOST_TEXT])}\n{rest}"
        pretty = pretty_json(message, self._terminal.width - 2)
        return visible(message) if pretty is None else self._colours.json(visible(pretty))

    def _notice(self, text: str) -> None:
        self._say(text, "dim")

    def _error(self, text: str) -> None:
        self._say(text, "red")

    def _say(self, text: str, style: str) -> None:
        width = self._terminal.width
        lines = [
            line if len(line) <= width else textwrap.fill(line, width)
            for line in visible(text).splitlines()
        ]
        self._terminal.show(self._colours.paint("\n".join(lines), style))

    @contextmanager
    def _logging(self) -> Iterator[None]:
        """Show what is logged above what is typed, not across it."""
        root = logging.getLogger()
        before, root.handlers = root.handlers, [_TerminalHandler(self._terminal)]
        try:
            yield
        finally:
            root.handlers = before


class _TerminalHandler(logging.Handler):
    def __init__(self, terminal: Terminal) -> None:
        super().__init__()
        self._terminal = terminal
        self.setFormatter(logging.Formatter("%(levelname)s %(name)s: %(message)s"))

    def emit(self, record: logging.LogRecord) -> None:
        self._terminal.show(visible(self.format(record)))


def _beside(mark: str, text: str) -> str:
    """Return ``text`` with ``mark`` before its first line and room for it before the others."""
    return mark + text.replace("\n", "\n" + " " * len(mark))
