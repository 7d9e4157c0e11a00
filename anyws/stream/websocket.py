"""An open connection, in either role."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Any, NamedTuple

from anyio.abc import ObjectStream

from anyws.core.turns import Turns
from anyws.enums import State
from anyws.errors import CloseCause
from anyws.stream.closing import Closing
from anyws.stream.frame_log import log_frames
from anyws.stream.keepalive import Keepalive, Pings
from anyws.stream.lock import SendLock
from anyws.stream.message_stream import MessageIterator, MessageStream
from anyws.stream.peer import peer_address
from anyws.stream.readers import Readers
from anyws.stream.receiver import Receiver
from anyws.stream.transport_receiver import TransportReceiver
from anyws.stream.write_buffer import WriteBuffer
from anyws.stream.writer import WebSocketWriter

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Coroutine, Mapping

    from anyws.core.connection import Connection
    from anyws.core.handshake.request import Request
    from anyws.core.handshake.response import Response
    from anyws.net.network import TaskStarter
    from anyws.net.transport import Transport
    from anyws.stream.budget import ByteBudget
    from anyws.stream.options import ConnectionOptions
    from anyws.stream.ticker import Ticker

__all__ = ["Statistics", "WebSocket"]

_logger = logging.getLogger("anyws.stream")


class Statistics(NamedTuple):
    """What went over a connection so far.

    Attributes:
        messages_sent: messages that were sent whole; one in fragments counts with its last.
        messages_received: messages that the application has taken.
        bytes_sent: bytes on the wire, frame headers included.
        bytes_received: the same, of what came.
    """

    messages_sent: int
    messages_received: int
    bytes_sent: int
    bytes_received: int


class WebSocket(MessageStream, ObjectStream["str | bytes"]):
    """An open WebSocket connection: an ``anyio.abc.ObjectStream`` of ``str`` and ``bytes``.

    ``connect``, ``serve``, ``accept`` and ``client_over`` make it. One task may receive at a time, any
    number may send. It belongs to the loop that made it: from another thread call it
    through ``anyio.from_thread``.

    Attributes:
        writer: the sending side, with all that can be sent.
        request: the opening handshake's request.
        response: the opening handshake's response.
        subprotocol: the subprotocol that was agreed on, or ``None``.
    """

    # Other attributes can be set as well; but the dictionary for them takes memory.
    __slots__ = (
        "_closing",
        "_connection",
        "_inbound",
        "_keepalive",
        "_messages_seen",
        "_pings",
        "_source",
        "_ticker",
        "_transport",
        "request",
        "response",
        "subprotocol",
    )

    def __init__(
        self,
        connection: Connection,
        transport: Transport,
        ticker: Ticker,
        options: ConnectionOptions,
        *,
        request: Request,
        response: Response,
        uri: str | None = None,
        subprotocol: str | None = None,
        received: bytes = b"",
        budget: ByteBudget | None = None,
    ) -> None:
        self.request = request
        self.response = response
        self.subprotocol = subprotocol
        # Now, since a socket that was closed has no address.
        connection.peer = peer_address(transport)
        connection.target = request.target if uri is None else uri
        self._connection = connection
        self._inbound = connection.inbound
        turns = Turns(options.checkpoint_interval)
        transport, frame_log = log_frames(transport, connection)
        self._transport = transport
        self._ticker = ticker
        self._pings = Pings()
        self._keepalive = Keepalive(options.ping_interval, options.ping_timeout)
        self._closing = Closing(
            connection,
            transport,
            options.close_timeout,
            ticker.lingering,
            self._pings.wake,
            self._closed,
        )
        lock = SendLock()
        write_buffer = WriteBuffer(connection, transport, lock, turns, budget)
        self._source = TransportReceiver(
            connection, transport, write_buffer, self._pings.received, budget
        )
        super().__init__(
            Receiver(connection, self._source, transport, write_buffer, turns, self._closing),
            write_buffer,
            WebSocketWriter(connection, transport, write_buffer, lock, turns, self._closing.fail),
        )
        self._closing.attach(self._source, self._receiver, write_buffer)
        self._messages_seen = 0
        transport.set_high_water(connection.limits.send_buffer)
        received += transport.attach(self._source)
        if frame_log is not None:
            frame_log.received(received)
        if received:
            self._source.feed(received)
        # Not sooner: what came before the stream was lost counts, a close frame above all.
        self._source.when_lost(self._lost)
        ticker.add(self)
        if _logger.isEnabledFor(logging.DEBUG):
            _logger.debug("%s is open", connection.name())

    # Receiving; ``receive`` is the base class's

    def __aiter__(self) -> AsyncIterator[str | bytes]:  # type: ignore[override]
        """Iterate over the messages; ends when the connection is closed in good order.

        Raises:
            ConnectionClosedError: it ended otherwise.
            anyio.BusyResourceError: another task is receiving.

        If cancelled: no message is lost.
        """
        return MessageIterator(self._receiver)

    def readers(self) -> Readers:
        """Iterate over the messages as streams, each as soon as it begins.

        A reader that is left before its end is skipped: the rest of its message is dropped when the
        next one is asked for, here or by ``receive``. Ends when the connection is closed in good order.

        Returns:
            An async iterator of ``WebSocketReader``.

        Raises:
            ConnectionClosedError: the connection ended otherwise; raised by the iteration.
            anyio.BusyResourceError: another task is receiving.

        If cancelled while it waits for the next message: nothing is lost.
        """
        return Readers(self._receiver)

    # Sending; ``send`` is the base class's

    async def send_eof(self) -> None:
        """Send a close frame with code 1000, and stay open for receiving until the peer has answered it.

        Returns when the close frame is in the write buffer; nothing happens when one was sent before.

        Raises:
            ConnectionClosed: the connection ended while what was sent before was still waiting.

        If cancelled: the close frame was sent or not.
        """
        await self.writer.flush()
        if self._connection.state is State.OPEN:
            self._closing.fail(1000, "", CloseCause.CLOSED_BY_US, "")

    async def ping(self) -> float:
        """Send a ping and wait for its pong (RFC 6455, section 5.5.2).

        The pong is seen whether or not a task receives, as long as what nobody takes is less than
        ``Limits.receive_buffer`` bytes: beyond that nothing more is read.

        Returns:
            The seconds in between.

        Raises:
            ConnectionClosed: the connection ended before the pong came.

        If cancelled: the ping was sent or not; a pong that comes later is ignored.
        """
        payload, ping = self._pings.add()
        try:
            await self.writer.ping(payload)
            self._read_for_absent_application(self._ticker.task_group)
            await ping.answered.wait()
        except BaseException:
            self._pings.forget(payload)
            raise
        if ping.seconds is None:
            raise self._connection.closed_error()
        return ping.seconds

    # Closing

    async def close(self, code: int = 1000, reason: str = "") -> None:
        """Close the connection; returns when it is closed, within ``close_timeout``.

        This does the closing handshake (RFC 6455, section 7). What was sent before is delivered
        first. Messages that arrived before stay for ``receive``, and later ones as well until what is
        held is more than ``Limits.receive_buffer``; those behind are dropped.

        Args:
            code: 1000 to 1003, 1007 to 1014, or 3000 to 4999.
            reason: at most 123 bytes of UTF-8.

        Raises:
            ValueError: the code or the reason may not be sent; nothing has happened then.

        If cancelled: the connection is dropped at once.
        """
        await self._closing.close(code, reason)

    async def aclose(self) -> None:
        """Close the connection with code 1000, within ``close_timeout``; see ``close``.

        If cancelled, or called in a cancelled scope: the connection is dropped at once.
        """
        await self._closing.close(1000)

    def close_for(
        self, cause: CloseCause, code: int, *, shield: bool = False
    ) -> Coroutine[Any, Any, None]:
        """Close the connection for a reason of the server's own; see ``Closing.close``."""
        return self._closing.close(code, "", cause, shield=shield)

    def make_room(self, detail: str) -> None:
        """Give up what is held, for the sake of the server's other connections."""
        self._closing.make_room(detail)

    def drop(self, cause: CloseCause) -> None:
        """Drop the connection at once, without a closing handshake."""
        self._closing.drop(cause)

    def _lost(self) -> None:
        self._closing.reach_end()
        self._receiver.notify()

    def _closed(self) -> None:
        if self._ticker.discard(self) and _logger.isEnabledFor(logging.DEBUG):
            _logger.debug("%s", self._connection.closed_error())
        self._pings.wake()
        self._receiver.notify()

    # Facts

    @property
    def state(self) -> State:
        """Where the connection stands."""
        return self._connection.state

    @property
    def close_code(self) -> int | None:
        """The close code of the peer, 1006 when the connection was lost, ``None`` while it is open."""
        if self._connection.state is not State.CLOSED:
            return None
        return self._connection.closed_error().code

    @property
    def close_reason(self) -> str | None:
        """The reason in the peer's close frame, ``None`` while the connection is open."""
        if self._connection.state is not State.CLOSED:
            return None
        return self._connection.closed_error().reason

    @property
    def latency(self) -> float | None:
        """Seconds that the last ping took to be answered, ``None`` before the first."""
        return self._pings.latency

    @property
    def remote_address(self) -> Any:
        """The peer's address, as host and port or as a path; ``None`` where the stream has none.

        It stays when the connection is closed.
        """
        return self._connection.peer

    @property
    def buffered(self) -> int:
        """Bytes held now, those received and not yet taken and those queued to send."""
        return self._source.held() + self._write_buffer.held()

    def statistics(self) -> Statistics:
        """Return what went over the connection so far."""
        return Statistics(
            self._write_buffer.messages_sent,
            self._inbound.messages_taken + self._receiver.messages_read,
            self._write_buffer.written,
            self._source.bytes_received,
        )

    @property
    def extra_attributes(self) -> Mapping[Any, Callable[[], Any]]:
        """The typed attributes of the stream below."""
        return self._transport.extra_attributes

    def __repr__(self) -> str:
        connection = self._connection
        return f"<anyws.WebSocket {connection.role.value}, {connection.name()}, {connection.state.value}>"

    # What the ticker calls

    def tick(self, now: float, elapsed: float, task_group: TaskStarter) -> None:
        """Look after what no task is looking after: silence, and a busy or absent application."""
        receiver, inbound, closing = self._receiver, self._inbound, self._closing
        source = self._source
        if source.heard:
            source.heard = False
            self._keepalive.heard()
        elif source.full and not receiver.waiting:
            self._keepalive.stand_still(elapsed)
        elif elapsed > 2 * self._ticker.length:
            self._keepalive.held_up(elapsed)
        self._connection.outbound.rest(elapsed)
        if inbound.pings:
            source.answer_control_frames()
        seen, self._messages_seen = self._messages_seen, inbound.messages_taken
        if receiver.unattended():
            if not source.finished or (inbound.stopped and not inbound.full):
                self._read_for_absent_application(task_group)
            elif seen == inbound.messages_taken:
                closing.reach_end()
                if closing.unfinished:
                    task_group.start_soon(closing.close, 1000)
        dead = self._keepalive.tick(
            now, self._connection, self._transport, self._write_buffer, self._pings
        )
        if dead and not closing.in_progress:
            reason = "keepalive ping timeout"
            closing.fail(1011, reason, CloseCause.PING_TIMEOUT, "")
            closing.drop(CloseCause.PING_TIMEOUT)

    def _read_for_absent_application(self, task_group: TaskStarter) -> None:
        """Let control frames be seen though no task receives."""
        if self._transport.reads_by_itself:
            self._receiver.read_on()
        elif not self._receiver.has_enough():
            task_group.start_soon(self._receiver.read_in_background)
