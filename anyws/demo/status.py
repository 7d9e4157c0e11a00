"""What the terminal shows: connections, messages and bytes per second."""

from __future__ import annotations

import time
from contextlib import contextmanager
from typing import TYPE_CHECKING, TextIO

import anyio

from anyws.stream.websocket import Statistics, WebSocket

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

__all__ = ["StatusDisplay", "Traffic", "format_bytes"]

_TTY_INTERVAL = 1.0
_PLAIN_INTERVAL = 5.0


class Traffic:
    """Counts what goes over all connections, those that are closed included."""

    def __init__(self) -> None:
        self._open: set[WebSocket] = set()
        self._past = Statistics(0, 0, 0, 0)

    @property
    def connections(self) -> int:
        """How many connections are open."""
        return len(self._open)

    @contextmanager
    def counting(self, websocket: WebSocket) -> Iterator[None]:
        """Count ``websocket`` as open inside the block, and what went over it ever after."""
        self._open.add(websocket)
        try:
            yield
        finally:
            self._open.discard(websocket)
            self._past = _add(self._past, websocket.statistics())

    def total(self) -> Statistics:
        """Return the sums since the start."""
        total = self._past
        for websocket in self._open:
            total = _add(total, websocket.statistics())
        return total


def _add(one: Statistics, other: Statistics) -> Statistics:
    return Statistics(
        one.messages_sent + other.messages_sent,
        one.messages_received + other.messages_received,
        one.bytes_sent + other.bytes_sent,
        one.bytes_received + other.bytes_received,
    )


class StatusDisplay:
    """Shows the traffic: one line that changes on a terminal, plain lines anywhere else.

    Args:
        traffic: what to show.
        output: where to show it.
        clock: returns seconds.
    """

    def __init__(
        self, traffic: Traffic, output: TextIO, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._traffic = traffic
        self._output = output
        self._clock = clock
        self._tty = output.isatty()
        self._last = traffic.total()
        self._then = clock()
        self._shown = ""

    async def run(self) -> None:
        """Show the traffic until cancelled."""
        interval = _TTY_INTERVAL if self._tty else _PLAIN_INTERVAL
        try:
            while True:
                self.update()
                await anyio.sleep(interval)
        finally:
            if self._tty:
                self._write("\r\x1b[2K")

    def say(self, text: str) -> None:
        """Print a line that stays."""
        self._write(("\r\x1b[2K" if self._tty else "") + text + "\n")

    def update(self) -> None:
        """Show what has gone over the connections since the last time."""
        line = self.line()
        if self._tty:
            self._write(f"\r\x1b[2K{line}")
        elif line != self._shown:
            # A log of a server that nobody uses should not grow.
            self._write(line + "\n")
        self._shown = line

    def line(self) -> str:
        """Return the line for the time since the last call."""
        now, total, last = self._clock(), self._traffic.total(), self._last
        seconds = max(now - self._then, 1e-3)
        self._then, self._last = now, total
        count = self._traffic.connections
        received = (total.messages_received - last.messages_received) / seconds
        sent = (total.messages_sent - last.messages_sent) / seconds
        bytes_in = format_bytes((total.bytes_received - last.bytes_received) / seconds)
        bytes_out = format_bytes((total.bytes_sent - last.bytes_sent) / seconds)
        return (
            f"{count} connection{'' if count == 1 else 's'}"
            f" | in {received:.0f} messages/s, {bytes_in}/s"
            f" | out {sent:.0f} messages/s, {bytes_out}/s"
        )

    def _write(self, text: str) -> None:
        self._output.write(text)
        self._output.flush()


def format_bytes(count: float) -> str:
    """Return ``count`` as people read it, such as ``"1.5 MB"``."""
    if count < 1000:
        return f"{count:.0f} B"
    for unit in ("kB", "MB"):
        count /= 1000
        if count < 999.5:
            return f"{count:.3g} {unit}"
    return f"{count / 1000:.3g} GB"
