"""Pings: asked for by the user, and sent to find out whether a silent peer is still there.

Theory of operation
-------------------
One ticker per task group calls ``tick`` of every connection; no connection has a timer of its own. Time
is what the ticker says, so it is as exact as the ticks are close (a quarter of the
interval or the timeout, half a second at most).

Any byte from the peer counts as life. After ``interval`` seconds without one a ping is sent, and its
``timeout`` runs from the moment the ping has left the write buffer. Both stand still while we
ourselves do not read although data may wait: then a missing pong says nothing about the peer. The
same holds when a tick comes late, because the machine slept or something blocked the event loop; but
the silence counts then, so that the ping that finds out is sent at once.
"""

from __future__ import annotations

import os
from time import perf_counter
from typing import TYPE_CHECKING

import anyio

from anyws.enums import Opcode, State

if TYPE_CHECKING:
    from anyws.core.connection import Connection
    from anyws.net.transport import Transport
    from anyws.stream.write_buffer import WriteBuffer

__all__ = ["TICK", "Keepalive", "Pings", "tick_length"]

#: Seconds between two ticks, at most: a connection that nobody receives from is looked after
#: when a whole tick has passed without its application, so within a second.
TICK = 0.5


def tick_length(interval: float | None, timeout: float | None) -> float:
    """Return the seconds between two ticks for these settings."""
    return min([TICK] + [value / 4 for value in (interval, timeout) if value is not None])


class _Ping:
    """One ping on its way."""

    __slots__ = ("answered", "seconds", "sent_at")

    def __init__(self) -> None:
        self.answered = anyio.Event()
        self.sent_at = perf_counter()
        self.seconds: float | None = None


class Pings:
    """Pings that wait for their pong, in the order in which they were sent."""

    __slots__ = ("_waiting", "latency")

    def __init__(self) -> None:
        #: Seconds from the last answered ping to its pong, ``None`` before the first.
        self.latency: float | None = None
        self._waiting: dict[bytes, _Ping] | None = None

    def add(self) -> tuple[bytes, _Ping]:
        """Note a ping that is about to be sent; return the payload it must carry."""
        if self._waiting is None:
            self._waiting = {}
        payload = os.urandom(4)
        ping = self._waiting[payload] = _Ping()
        return payload, ping

    def forget(self, payload: bytes) -> None:
        """Stop waiting for a ping."""
        if self._waiting is not None:
            self._waiting.pop(payload, None)

    def received(self, pongs: list[bytes]) -> None:
        """Take pongs: each answers its ping and all that were sent before (RFC 6455, 5.5.3)."""
        now = perf_counter()
        for pong in pongs:
            waiting = self._waiting
            if waiting is None or pong not in waiting:
                continue
            for payload in list(waiting):
                ping = waiting.pop(payload)
                ping.seconds = now - ping.sent_at
                ping.answered.set()
                if payload == pong:
                    self.latency = ping.seconds
                    break

    def wake(self) -> None:
        """Wake everybody who waits, since no pong will come."""
        if self._waiting is None:
            return
        waiting, self._waiting = self._waiting, None
        for ping in waiting.values():
            ping.answered.set()


class Keepalive:
    """Finds out whether a silent peer is still there.

    Args:
        interval: seconds of silence after which a ping is sent; ``None`` for never.
        timeout: seconds that the peer has to answer it; ``None`` for ever.
    """

    __slots__ = (
        "_deadline",
        "_interval",
        "_mark",
        "_pinged",
        "_silent_since",
        "_timeout",
        "_unanswered",
    )

    def __init__(self, interval: float | None, timeout: float | None) -> None:
        self._interval = interval
        self._timeout = timeout
        self._silent_since: float | None = None
        #: Whether a ping was sent since a byte came.
        self._pinged = False
        #: The last ping; a peer that is heard may have left it unanswered.
        self._unanswered: bytes | None = None
        self._mark = 0
        self._deadline: float | None = None

    def heard(self) -> None:
        """Note that a byte has come."""
        self._silent_since = None
        self._pinged = False
        self._deadline = None

    def stand_still(self, elapsed: float) -> None:
        """Let ``elapsed`` seconds not count, since we did not read."""
        if self._silent_since is not None:
            self._silent_since += elapsed
        if self._deadline is not None:
            self._deadline += elapsed

    def held_up(self, seconds: float) -> None:
        """Give the peer ``seconds`` more to answer, since we did not run: its pong may wait unread."""
        if self._deadline is not None:
            self._deadline += seconds

    def tick(
        self,
        now: float,
        connection: Connection,
        transport: Transport,
        write_buffer: WriteBuffer,
        pings: Pings,
    ) -> bool:
        """Send the ping that is due; return whether the peer has failed to answer one."""
        if self._silent_since is None:
            self._silent_since = now
        if self._interval is None or connection.state is State.CLOSED:
            return False
        if connection.state is State.CLOSING:
            return self._tick_while_closing(now, self._interval)
        if not self._pinged:
            if now - self._silent_since >= self._interval:
                if self._unanswered is not None:
                    pings.forget(self._unanswered)
                self._unanswered, _ = pings.add()
                self._pinged = True
                ping = connection.outbound.control(Opcode.PING, self._unanswered)
                write_buffer.write_control([ping])
                self._mark = write_buffer.written
            return False
        if self._timeout is None:
            return False
        if self._deadline is None:
            # Bytes written before the mark have left once fewer are unsent than came after it.
            if transport.unsent <= write_buffer.written - self._mark:
                self._deadline = now + self._timeout
            return False
        return now >= self._deadline

    def _tick_while_closing(self, now: float, interval: float) -> bool:
        """Tell whether a peer that owes us its close frame has been silent for too long.

        A ping would say nothing: who has read our close frame need not answer it.
        """
        if self._timeout is None:
            return False
        if self._deadline is None:
            self._deadline = now + interval + self._timeout
        return now >= self._deadline
