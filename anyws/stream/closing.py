"""How a connection ends (RFC 6455, section 7).

Theory of operation
-------------------
``reach_end`` is called when the application has taken all messages before the peer's close frame or
violation; it puts our answer into the write buffer, and a server's end of the stream behind it.
``close`` does the rest, once: our close frame if
none is out, the peer's, the end of the TCP stream, each within the one timeout, then the
transport is closed. A second caller waits for the first. Cancelled or out of time, it
drops the connection; so closing always ends. A server's own closing is shielded, in the scopes that keep the
time. Each scope costs as much as a system call, so there is none where the peer only has to end TCP.

The server ends the TCP stream first and then reads until the client has (section 7.1.1): closing
a socket on which input waits would send a reset, which may overtake the close frame.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import anyio
import anyio.lowlevel

from anyws.core.fields import close_payload
from anyws.enums import CloseCode, Role, State
from anyws.errors import CloseCause, ConnectionClosedError
from anyws.net.transport import NOBODY
from anyws.stream.transport_receiver import do_nothing

if TYPE_CHECKING:
    from collections.abc import Callable

    from anyws.core.connection import Connection
    from anyws.net.transport import Transport
    from anyws.stream.deadlines import Deadlines
    from anyws.stream.receiver import Receiver
    from anyws.stream.transport_receiver import TransportReceiver
    from anyws.stream.write_buffer import WriteBuffer

__all__ = ["LINGER", "Closing"]

#: Seconds that the peer has to end TCP after both close frames.
LINGER = 1.0
#: What a stream raises when it is lost; anything else is unexpected.
_LOSSES = (OSError, anyio.BrokenResourceError, anyio.ClosedResourceError)


def _described(error: BaseException) -> str:
    """Say what took the stream: anyio's own errors say nothing, and what caused them does."""
    while not str(error) and error.__cause__ is not None:
        error = error.__cause__
    return str(error) or type(error).__name__


class Closing:
    """Ends one connection, once.

    Args:
        timeout: seconds that the closing handshake and the end of TCP may take together.
        lingering: what drops a transport whose peer has not ended TCP after ``LINGER`` seconds.
        on_ended: what to call when the peer's close frame or violation has taken effect.
        on_closed: what to call when the transport is closed.
    """

    __slots__ = (
        "_closed",
        "_connection",
        "_done",
        "_lingering",
        "_on_closed",
        "_on_ended",
        "_receiver",
        "_source",
        "_transport",
        "_write_buffer",
        "in_progress",
        "timeout",
    )

    def __init__(
        self,
        connection: Connection,
        transport: Transport,
        timeout: float,
        lingering: Deadlines,
        on_ended: Callable[[], None],
        on_closed: Callable[[], None],
    ) -> None:
        self._connection = connection
        self._transport = transport
        self._source: TransportReceiver
        self._receiver: Receiver
        self._write_buffer: WriteBuffer
        self.timeout = timeout
        self._lingering = lingering
        self._on_ended = on_ended
        self._on_closed = on_closed
        #: Whether some task closes the connection, which has a time limit of its own.
        self.in_progress = False
        self._done = False
        #: What later callers wait for.
        self._closed: anyio.Event | None = None

    def attach(
        self, source: TransportReceiver, receiver: Receiver, write_buffer: WriteBuffer
    ) -> None:
        """Complete the circle of the connection's parts."""
        self._source = source
        self._receiver = receiver
        self._write_buffer = write_buffer

    def reach_end(self) -> None:
        """Let the peer's close frame, its violation, or the loss of the stream take effect."""
        connection = self._connection
        if self._done:
            return
        if connection.inbound.ended:
            frame = connection.reach_end()
            if connection.state is State.CLOSED and connection.role is Role.SERVER:
                # The end now, not when the handler returns: a client waits for this.
                self._write_buffer.end(frame)
            elif frame:
                self._write_buffer.write_control([frame])
            self._on_ended()
        # Behind the end of the stream there may be a close frame that nobody has looked at.
        inbound = connection.inbound
        if self._source.lost or (self._source.eof and not (inbound.ended or inbound.stopped)):
            self.lose()

    def lose(self, cause: CloseCause = CloseCause.CONNECTION_LOST, detail: str = "") -> None:
        """Note that the stream is gone."""
        error = self._source.error
        if isinstance(error, _LOSSES):
            # It says all there is to say, and its traceback would keep the connection in memory.
            error = error.with_traceback(None)
        if not detail and error is not None:
            detail = _described(error)
        self._connection.lose(cause, detail, error)
        self._write_buffer.finished = True
        self._on_closed()

    def fail(self, code: int, reason: str, cause: CloseCause, detail: str) -> None:
        """Send a close frame that says what went wrong; the handshake is left to ``close``."""
        if self._connection.sent is None and not self._write_buffer.finished:
            frame = self._connection.send_close(code, reason, cause, detail)
            self._write_buffer.write_control([frame])
            self._receiver.notify()

    def make_room(self, detail: str) -> None:
        """Give up what is held here, and say so with 1013; the handshake is left to ``close``."""
        received = self._connection.inbound.held
        self._connection.inbound.refuse()
        if self._write_buffer.held() > received:
            # The peer takes nothing, and would not take our close frame either.
            self.drop(CloseCause.OVER_LIMIT, detail)
        else:
            reason = "the server holds too much, try again later"
            self.fail(CloseCode.TRY_AGAIN_LATER, reason, CloseCause.OVER_LIMIT, detail)

    def drop(self, cause: CloseCause, detail: str = "") -> None:
        """Drop the connection at once, without a handshake."""
        self.lose(cause, detail)
        self._transport.abort()
        self._finish()

    async def close(
        self,
        code: int,
        reason: str = "",
        cause: CloseCause = CloseCause.CLOSED_BY_US,
        *,
        shield: bool = False,
    ) -> None:
        """Close the connection; returns when it is closed, ``timeout`` seconds later at most.

        Args:
            code: the close code to send.
            reason: the reason to send.
            cause: why it is closed.
            shield: whether it goes on when the caller is cancelled, which is then told after it at the
                latest; there need not be a checkpoint.

        Raises:
            ValueError: the code or the reason may not be sent; nothing has happened then.

        If cancelled: the connection is dropped at once, unless it is shielded.
        """
        close_payload(code, reason)
        if self._done:
            if not shield:
                await anyio.lowlevel.checkpoint()
            return
        if self.in_progress:
            await self._wait_until_closed(shield=shield)
            return
        self.in_progress = True
        try:
            self.reach_end()
            if self._connection.state is State.OPEN:
                self.fail(code, reason, cause, "")
            if shield and self._only_lingers():
                await self._linger()
                # Before the transport says that it is lost, which is no news then.
                self._finish()
                self._transport.abort()
                self._let_go()
            elif not await self._close_in_time(shield=shield):
                self.drop(CloseCause.CLOSE_TIMEOUT)
        except BaseException:
            self.drop(CloseCause.ABORTED)
            raise
        finally:
            self._finish()

    async def _wait_until_closed(self, *, shield: bool) -> None:
        """Wait for the task that closes."""
        if self._closed is None:
            self._closed = anyio.Event()
        try:
            with anyio.CancelScope(shield=shield):
                await self._closed.wait()
        except BaseException:
            self.drop(CloseCause.ABORTED)
            raise

    def _finish(self) -> None:
        if self._done:
            return
        self._done = True
        if self._connection.state is not State.CLOSED:
            self._connection.lose()
        self._write_buffer.finished = True
        # It is most of what a dead connection would hold until it is collected.
        self._connection.outbound.rest(math.inf)
        self._on_closed()
        if self._closed is not None:
            self._closed.set()

    async def _close_in_time(self, *, shield: bool) -> bool:
        """Do what is left of the closing handshake and end the stream; False when time is up."""
        now = anyio.current_time()
        deadline = now + self.timeout
        if self._connection.inbound.stopped or not self._source.finished:
            with anyio.CancelScope(deadline=deadline, shield=shield) as scope:
                await self._shake_hands()
            if scope.cancelled_caught:
                return False
            now = anyio.current_time()
        return await self._end_stream(now, deadline, shield=shield)

    async def _shake_hands(self) -> None:
        """Read until the peer's close frame, dropping messages when too many came that nobody takes."""
        receiver = self._receiver
        inbound = self._connection.inbound
        while inbound.stopped or not self._source.finished:
            if inbound.full:
                error = self._connection.closed_error()
                receiver.drop_unfinished(ConnectionClosedError(*error.args))
                inbound.discard()
            if receiver.waiting:
                await receiver.changed()
                continue
            await receiver.more_in_background()
        self.reach_end()

    def _end_sending(self) -> None:
        self._write_buffer.flush()
        self._write_buffer.finished = True
        if self._connection.role is Role.SERVER or self._connection.received is None:
            self._transport.write_eof()

    async def _end_stream(self, now: float, deadline: float, *, shield: bool) -> bool:
        transport, receiver = self._transport, self._receiver
        self._end_sending()
        failed = self._connection.received is None
        waiting = True
        while waiting:
            linger = min(deadline, now + LINGER)
            with anyio.CancelScope(deadline=linger, shield=shield) as scope:
                await receiver.end()
            if scope.cancelled_caught and linger == deadline:
                return False
            # A peer that has sent its close frame and has taken ours may forget to end TCP.
            waiting = scope.cancelled_caught and (failed or transport.unsent > 0)
            if waiting:
                now = anyio.current_time()
        with anyio.CancelScope(deadline=deadline, shield=shield) as scope:
            await transport.aclose()
        return not scope.cancelled_caught

    def _only_lingers(self) -> bool:
        """End our side; tell whether all that is left is to wait, for ``LINGER`` at most, and to close."""
        connection, transport = self._connection, self._transport
        if (
            connection.received is None
            or connection.state is not State.CLOSED
            or connection.inbound.stopped
            or self.timeout < LINGER
            or not transport.closes_at_once
        ):
            return False
        self._end_sending()
        return not transport.unsent

    async def _linger(self) -> None:
        """Wait a while for the end of TCP, whether or not this is cancelled."""
        source, receiver = self._source, self._receiver
        if source.eof or source.lost:
            return
        deadline = self._lingering.start(self._transport)
        try:
            await receiver.end()
        except BaseException:
            # A scope from the beginning would cost every connection what only a server that ends needs.
            with anyio.move_on_after(LINGER, shield=True):
                await receiver.end()
            raise
        finally:
            self._lingering.stop(deadline)

    def _let_go(self) -> None:
        """Break the circles between the parts of a connection that is over, so that no collector has to.

        To find the circles of a server's connections took a twentieth of what opening and closing them cost.
        """
        self._on_ended = self._on_closed = do_nothing
        self._transport.attach(NOBODY)
        del self._receiver

    @property
    def unfinished(self) -> bool:
        """Whether the connection is over, and nobody has seen to the stream, which is still there.

        A violation ends it as well. A peer that has half-closed may still read, or not: then a task would
        wait in ``send`` for ever.
        """
        connection = self._connection
        return (
            (connection.state is State.CLOSED or connection.inbound.failure is not None)
            and not self.in_progress
            and not (self._done or self._source.lost)
        )
