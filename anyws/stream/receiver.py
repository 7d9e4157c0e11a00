# cython: language_level=3, annotation_typing=False
"""How a task waits for the next message.

Theory of operation
-------------------
One task at a time waits, in a ``NextMessage``, or in ``more`` for the readers of messages that are still
arriving. On a transport that does not read by itself this task is the one that reads. A connection
whose application is elsewhere, or asks and is cancelled each time before it has read, must still see pings
and the close frame: the ticker starts ``read_in_background`` for it then, and whoever waits meanwhile
waits for the helper's next read and takes over after it. What comes goes to the ``TransportReceiver``.

``NextMessage`` does what ``more`` does without awaiting it: each coroutine in between costs time for every
message and memory for every idle connection.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NoReturn

from anyio import BusyResourceError, Event
from anyio.lowlevel import checkpoint

from anyws.core.message import Discard
from anyws.enums import DataType
from anyws.net._socket import SocketCore
from anyws.stream.operation import CREATED, Operation
from anyws.stream.reader import WebSocketReader

if TYPE_CHECKING:
    from collections.abc import Awaitable

    from anyws.core.connection import Connection
    from anyws.core.turns import Turns
    from anyws.net.transport import Transport
    from anyws.stream.closing import Closing
    from anyws.stream.transport_receiver import TransportReceiver
    from anyws.stream.write_buffer import WriteBuffer

__all__ = ["NextMessage", "Receiver", "next_message"]


class Receiver:
    """The receiving side of one open connection, as its tasks see it.

    Args:
        connection: what parses the bytes.
        source: what the transport gives its bytes to.
        transport: where bytes come from.
        write_buffer: what is flushed before waiting.
        turns: what counts the operations between two checkpoints.
        closing: what is told that the application has come to the end.
    """

    __slots__ = (
        "_asked",
        "_asked_before",
        "_background",
        "_changed",
        "_closing",
        "_connection",
        "_inbound",
        "_polled",
        "_socket",
        "_source",
        "_transport",
        "_turns",
        "_waiting",
        "_write_buffer",
        "attended",
        "messages_read",
    )

    def __init__(
        self,
        connection: Connection,
        source: TransportReceiver,
        transport: Transport,
        write_buffer: WriteBuffer,
        turns: Turns,
        closing: Closing,
    ) -> None:
        self._connection = connection
        self._inbound = connection.inbound
        self._source = source
        self._transport = transport
        #: The transport once more, if it is a plain socket.
        self._socket = transport if isinstance(transport, SocketCore) else None
        self._write_buffer = write_buffer
        self._turns = turns
        self._closing = closing
        self._waiting = False
        self._background = False
        self._changed: Event | None = None
        #: How often a task has begun to wait, and how often when the ticker last looked.
        self._asked = self._asked_before = 0
        #: Whether that was more than once.
        self._polled = False
        #: Whether a task of the application has read something since the ticker last looked.
        self.attended = True
        #: Messages that were given out as readers while they were still arriving.
        self.messages_read = 0

    @property
    def claimed(self) -> bool:
        """Whether a task of the application waits."""
        return self._waiting

    @property
    def waiting(self) -> bool:
        """Whether a task, or the helper, waits for bytes."""
        return self._waiting or self._background

    # Messages

    async def next_reader(self) -> WebSocketReader:
        """Wait for the next message to begin.

        If cancelled: nothing is lost.
        """
        inbound = self._inbound
        self._skip_abandoned()
        while (whole := inbound.take(self._turns)) is None:
            if inbound.messages:
                await self._let_others_run()
                continue
            message = inbound.message
            if message is not None and message.sink is None:
                reader = WebSocketReader(DataType(message.kind), self.more)
                message.attach(reader)
                self.messages_read += 1
                return reader
            await self.more(False)
            self._turns.renew()
        text = isinstance(whole, str)
        reader = WebSocketReader(DataType.TEXT if text else DataType.BINARY, self.more)
        reader.write_nowait(whole.encode() if isinstance(whole, str) else whole)
        reader.feed_eof()
        return reader

    def _skip_abandoned(self) -> None:
        """Drop the rest of a message whose reader was left; the reader says so from now on."""
        if self._waiting:
            raise BusyResourceError("receiving from")
        message = self._inbound.message
        if message is not None and isinstance(message.sink, WebSocketReader):
            self.drop_unfinished()

    def drop_unfinished(self, error: Exception | None = None) -> None:
        """Drop the message that is arriving; its reader, if there is one, says so from now on.

        Args:
            error: what the reader raises once it has given what had come; without one it gives nothing more.
        """
        message = self._inbound.message
        if message is not None:
            if isinstance(message.sink, WebSocketReader):
                if error is None:
                    message.sink.abandon()
                else:
                    message.sink.fail(error)
            message.attach(Discard())

    async def _let_others_run(self) -> None:
        self._write_buffer.flush()
        self._turns.renew()
        await checkpoint()

    def _raise_closed(self, iterating: bool) -> NoReturn:
        self._closing.reach_end()
        if iterating and self._connection.closed_ok():
            raise StopAsyncIteration
        raise self._connection.closed_error()

    # Bytes

    async def more(self, hungry: bool) -> None:
        """Wait until something has come.

        Args:
            hungry: whether the unfinished message is wanted whole, and so may grow beyond what a
                connection holds otherwise.

        Raises:
            ConnectionClosed: nothing can come any more.
            anyio.BusyResourceError: another task waits here.

        If cancelled: nothing is lost.
        """
        if self._source.finished and not self._inbound.stopped:
            self._raise_closed(False)
        awaitable = self._begin(hungry)
        try:
            await awaitable
        finally:
            self._end()
        self.attended = True

    def _begin(self, hungry: bool) -> Awaitable[Any]:
        """Claim the receiving side; return what to await, with ``_end`` after it in any case."""
        if self._waiting:
            raise BusyResourceError("receiving from")
        inbound = self._inbound
        self._waiting = True
        self._asked += 1
        inbound.hungry = hungry
        try:
            self._write_buffer.before_waiting()
            if inbound.stopped and not inbound.full:
                return self._resume()
            if self._source.finished:
                # Only now: the stream broke when something was sent.
                return checkpoint()
            if self._background:
                return self.changed()
            return self._receive_more()
        except BaseException:
            self._end()
            raise

    def _receive_more(self) -> Awaitable[None]:
        # The same, but a plain socket is asked without calls through Python in the compiled build.
        if self._socket is None:
            if self._transport.paused:
                self._transport.resume_reading()
            return self._transport.receive_more()
        if self._socket.paused:
            self._transport.resume_reading()
        return self._socket.receive_more()

    def _end(self) -> None:
        self._waiting = self._inbound.hungry = False
        if self._changed is not None:
            self.notify()

    async def end(self) -> None:
        """Wait until the peer has ended the stream, dropping what comes before."""
        source = self._source
        while not (source.eof or source.lost):
            self._transport.resume_reading()
            if self.waiting:
                await self.changed()
            else:
                await self._transport.receive_more()

    def unattended(self) -> bool:
        """Tell whether no task has read since the last call, nor waits; one that asks and leaves does not."""
        attended, self.attended = self.attended, False
        asked, self._asked_before = self._asked - self._asked_before, self._asked
        self._polled = asked > 1
        return not attended and (not self.waiting or (self._polled and not self._background))

    async def read_in_background(self) -> None:
        """Read for an application that is elsewhere, until it comes or the core is full.

        One that asks again and again and is cancelled each time, before it has read, is as good as elsewhere;
        but it gets its next message whole, as if it waited.
        """
        if self._background:
            return
        if self._waiting:
            self._background = True
            asked = self._asked
            try:
                # Who asks after this one waits along.
                while self._waiting and self._asked == asked:
                    await self.changed()
            finally:
                self._background = False
                self.notify()
            if not self.has_enough():
                await self.more_in_background(hungry=self._wants_message())
        while not (self.waiting or self.has_enough()):
            await self.more_in_background(hungry=self._wants_message())

    def has_enough(self) -> bool:
        """Tell whether nothing more can come, or may for now."""
        inbound = self._inbound
        finished = self._source.finished and not inbound.stopped
        return finished or (inbound.full and not self._wants_message())

    def _wants_message(self) -> bool:
        return self._polled and not self._inbound.messages

    async def more_in_background(self, *, hungry: bool = False) -> None:
        """Wait until something has come; only while nobody else waits.

        Unlike ``more`` this is no claim: a task that calls ``more`` meanwhile waits along, and takes
        over after this read.

        Args:
            hungry: as for ``more``.
        """
        inbound = self._inbound
        self._background = True
        inbound.hungry = hungry
        try:
            if inbound.stopped and not inbound.full:
                await self._resume()
            else:
                await self._receive_more()
        finally:
            self._background = inbound.hungry = False
            self.notify()

    def read_on(self) -> None:
        """Take up what was left when the core stopped, on a transport that reads by itself.

        Messages that have come are taken without waiting here, so nothing else may have noticed that there
        is room again.
        """
        if self.waiting:
            return
        if self._inbound.stopped:
            self._parse_rest()
        if not (self._source.full or self._source.finished):
            self._transport.resume_reading()

    async def _resume(self) -> None:
        self._parse_rest()
        await checkpoint()

    def _parse_rest(self) -> None:
        """Parse what was left when the core stopped."""
        self._inbound.resume()
        self._source.note_growth()
        self._source.answer_control_frames()
        self._write_buffer.flush()

    async def changed(self) -> None:
        """Wait until whoever reads has read something or stopped reading."""
        if self._changed is None:
            self._changed = Event()
        await self._changed.wait()

    def notify(self) -> None:
        """Wake whoever is in ``changed``."""
        if self._changed is not None:
            event, self._changed = self._changed, None
            event.set()


class NextMessage(Operation):
    """Waits for the next whole message.

    If cancelled: nothing is lost.

    Args:
        receiver: where to wait.
        iterating: whether a connection that was closed in good order raises ``StopAsyncIteration``.
    """

    __slots__ = ("_claims", "_iterating", "_receiver")

    __name__ = "WebSocket.receive"

    _receiver: Receiver
    _iterating: bool
    _claims: bool

    def proceed(self) -> Awaitable[Any] | None:
        """Take a message, or return what to wait for."""
        receiver = self._receiver
        inbound = receiver._inbound
        message = inbound.take(receiver._turns)
        if message is not None:
            self._result = message
            return None
        if inbound.messages:
            # So many were taken in a row that others must run first.
            return receiver._let_others_run()
        if inbound.message is not None:
            receiver._skip_abandoned()
        if receiver._source.finished and not inbound.stopped:
            receiver._raise_closed(self._iterating)
        awaitable = receiver._begin(True)
        self._claims = True
        return awaitable

    def settle(self, succeeded: bool) -> None:
        """Let others receive."""
        if self._claims:
            self._claims = False
            receiver = self._receiver
            receiver._end()
            if succeeded:
                # Not before: whoever asks and is cancelled at once, again and again, reads nothing.
                receiver.attended = True
                receiver._turns.renew()


def next_message(receiver: Receiver, iterating: bool) -> NextMessage:
    """Make a ``NextMessage``."""
    operation = NextMessage.__new__(NextMessage)
    operation._state = CREATED
    operation._awaited = operation._result = None
    operation._receiver = receiver
    operation._iterating = iterating
    operation._claims = False
    return operation
