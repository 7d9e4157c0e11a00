"""Serving connections."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Any

import anyio

from anyws.core.connection import peer_name
from anyws.core.turns import CHECKPOINT_INTERVAL
from anyws.enums import State
from anyws.errors import CloseCause, ConnectionClosed
from anyws.limits import Limits, check_bound
from anyws.net.listening import bind, identify_socket, unlink_socket
from anyws.net.network import current_network
from anyws.net.stream import StreamTransport
from anyws.stream.budget import ByteBudget
from anyws.stream.deadlines import Deadlines
from anyws.stream.helpers import sole_exception
from anyws.stream.lifetime import ConnectionLifetime, without_cancellations
from anyws.stream.opening import Refused, ServerOpening
from anyws.stream.options import ConnectionOptions, check_handler
from anyws.stream.peer import peer_address
from anyws.stream.ticker import Ticker

if TYPE_CHECKING:
    import re
    import ssl
    from collections.abc import Awaitable, Callable, Sequence
    from os import PathLike
    from socket import socket

    from anyio.abc import ByteStream, TaskGroup, TaskStatus

    from anyws.core.deflate import Deflate
    from anyws.core.handshake.server import SelectSubprotocol
    from anyws.net.network import Listening, TaskStarter
    from anyws.net.transport import Transport
    from anyws.stream.opening import ProcessRequest
    from anyws.stream.websocket import WebSocket

    Handler = Callable[[WebSocket], Awaitable[Any]]

__all__ = ["Server", "accept", "serve"]

_logger = logging.getLogger("anyws.server")
#: Clients over ``max_connections`` that are given time to read why; later ones are cut off.
_TURNED_AWAY_AT_ONCE = 64


class Server:
    """A running server; what ``serve`` gives to ``task_status``."""

    def __init__(
        self,
        handler: Handler,
        accepting: ServerOpening,
        sockets: Sequence[socket],
        task_group: TaskGroup,
        max_connections: int | None,
    ) -> None:
        self._handler = handler
        self._accepting = accepting
        self._sockets = tuple(sockets)
        self._addresses = [sock.getsockname() for sock in sockets]
        #: The files of UNIX sockets, which a server that follows may replace.
        self._files = {
            address: identify_socket(address)
            for address in self._addresses
            if isinstance(address, str)
        }
        self._task_group = task_group
        self._ticker = Ticker(task_group, accepting.options)
        if accepting.open_timeout is not None:
            accepting.deadlines = Deadlines(task_group, accepting.open_timeout)
        self._listening: Listening | None = None
        self._closing = False
        self._clients: set[WebSocket] = set()
        self._max_connections = max_connections
        self._connections = 0
        self._turned_away = 0
        self._serving = 0
        self._stopping: anyio.Event = anyio.Event()
        self._idle: anyio.Event | None = None

    @property
    def sockets(self) -> tuple[socket, ...]:
        """The listening sockets."""
        return self._sockets

    @property
    def port(self) -> int:
        """The TCP port of the first socket.

        Raises:
            ValueError: the server listens on a UNIX socket.
        """
        address = self._addresses[0]
        if not isinstance(address, tuple):
            raise ValueError(f"the server listens on a UNIX socket, {address!r}")  # noqa: TRY004
        port: int = address[1]
        return port

    @property
    def clients(self) -> frozenset[WebSocket]:
        """The connections that are open now."""
        return frozenset(self._clients)

    async def aclose(self, grace: float | None = None) -> None:
        """Stop serving: accept no more, close every client with 1001, wait for the handlers.

        What is still in the opening handshake is not waited for, nor is an answer of
        ``process_request`` that is still being sent.

        Args:
            grace: seconds that handlers have to end, ``close_timeout`` if ``None``; after that
                they are cancelled.

        If cancelled: the handlers are cancelled at once.
        """
        if grace is None:
            grace = self._accepting.options.close_timeout
        self._closing = True
        self._stop_listening()
        try:
            for client in self.clients:
                self._close_for_shutdown(client)
            with anyio.move_on_after(grace):
                while self._serving:
                    if self._idle is None:
                        self._idle = anyio.Event()
                    await self._idle.wait()
        finally:
            self._stopping.set()

    def _close_for_shutdown(self, websocket: WebSocket) -> None:
        self._task_group.start_soon(websocket.close_for, CloseCause.GOING_AWAY, 1001)

    async def run(self, task_status: TaskStatus[Server]) -> None:
        """Accept connections until ``aclose`` was called.

        Args:
            task_status: is given the server once it listens.
        """
        try:
            await self._listen()
            task_status.started(self)
            await self._stopping.wait()
        finally:
            self._stop_listening()

    async def _listen(self) -> None:
        budget = self._accepting.budget
        if budget is not None:
            budget.connections = self._clients
            self._task_group.start_soon(budget.run, self._task_group)
        network = current_network(self._task_group)
        self._listening = await network.listen(
            self._sockets,
            self._serve_client,
            ssl_context=self._accepting.ssl_context,
            handshake_timeout=self._accepting.open_timeout or 60.0,
        )

    def _stop_listening(self) -> None:
        listening, self._listening = self._listening, None
        if listening is not None:
            listening.close()
        while self._files:
            unlink_socket(*self._files.popitem())

    async def _serve_client(self, transport: Transport) -> None:
        if self._max_connections is not None and self._connections >= self._max_connections:
            await self._turn_away(transport)
            return
        websocket: WebSocket | None = None
        self._connections += 1
        try:
            websocket = await self._open(transport)
            if websocket is None:
                return
            self._begin(websocket)
            try:
                # Called from here, since each coroutine in between is memory of an idle connection.
                await self._handler(websocket)
            except BaseException as error:
                failure = without_cancellations(error)
                cause, code = _verdict(websocket, failure)
                await websocket.close_for(cause, code, shield=True)
                if not isinstance(failure, Exception):
                    raise
            else:
                await websocket.close_for(CloseCause.CLOSED_BY_US, 1000, shield=True)
        finally:
            self._connections -= 1
            if websocket is not None:
                self._end(websocket)

    def _begin(self, websocket: WebSocket) -> None:
        # Only now, so that ``aclose`` does not wait for clients that never ask for anything.
        self._serving += 1
        self._clients.add(websocket)
        if self._closing:
            # ``aclose`` told the others before this one was open.
            self._close_for_shutdown(websocket)
        if self._accepting.budget is not None:
            # What came with the request was received before this one was among the connections.
            self._accepting.budget.grow(websocket.buffered)

    def _end(self, websocket: WebSocket) -> None:
        self._clients.discard(websocket)
        self._serving -= 1
        if not self._serving and self._idle is not None:
            idle, self._idle = self._idle, None
            idle.set()

    async def _turn_away(self, transport: Transport) -> None:
        self._turned_away += 1
        try:
            linger = self._turned_away <= _TURNED_AWAY_AT_ONCE
            await self._accepting.turn_away(transport, linger=linger)
        except (OSError, anyio.BrokenResourceError) as error:
            _logger.debug("a client over max_connections is gone: %r", error)
        finally:
            self._turned_away -= 1

    async def _open(self, transport: Transport) -> WebSocket | None:
        # Now, since a transport that was closed has no address.
        peer = peer_address(transport) if _logger.isEnabledFor(logging.DEBUG) else None
        try:
            return await self._accepting.open(transport, self._ticker)
        except (Refused, TimeoutError, OSError, anyio.BrokenResourceError) as error:
            _logger.debug("no connection%s: %s", peer_name(peer), str(error) or repr(error))
            return None


def _verdict(websocket: WebSocket, error: BaseException) -> tuple[CloseCause, int]:
    """Return why a connection is closed whose handler ended with ``error``, and its close code."""
    # While this connection is open, it is another one whose end the handler met.
    if websocket.state is not State.OPEN and _only_says_closed(error):
        _logger.debug("the handler of %r ended: %s", websocket, error)
        return CloseCause.CLOSED_BY_US, 1000
    if isinstance(error, Exception):
        _logger.error("the handler of %r failed", websocket, exc_info=error)
        return CloseCause.HANDLER_FAILED, 1011
    return CloseCause.GOING_AWAY, 1001


def _only_says_closed(error: BaseException | None) -> bool:
    """Tell whether a handler, or all the tasks of its task group, met the end of a connection."""
    if isinstance(error, BaseExceptionGroup):
        return error.split(ConnectionClosed)[1] is None
    return isinstance(error, ConnectionClosed)


async def serve(
    handler: Handler,
    host: str | None = None,
    port: int = 0,
    *,
    unix_path: str | PathLike[str] | None = None,
    subprotocols: Sequence[str] = (),
    select_subprotocol: SelectSubprotocol | None = None,
    compression: str | Deflate | None = "deflate",
    origins: Sequence[str | re.Pattern[str] | None] | None = None,
    process_request: ProcessRequest | None = None,
    limits: Limits | None = None,
    max_connections: int | None = None,
    max_buffer_size: int | None = None,
    ping_interval: float | None = 20.0,
    ping_timeout: float | None = 20.0,
    open_timeout: float | None = 10.0,
    close_timeout: float = 10.0,
    ssl_context: ssl.SSLContext | None = None,
    checkpoint_interval: int = CHECKPOINT_INTERVAL,
    task_status: TaskStatus[Server] = anyio.TASK_STATUS_IGNORED,
) -> None:
    """Serve WebSocket connections until cancelled, or until ``Server.aclose`` is called.

    Each connection has its ``handler`` in a task of its own. When a handler returns, its connection is
    closed with 1000; when it raises, the exception is logged, the connection is closed with 1011, and
    the others go on.

    Args:
        handler: an async function that takes a ``WebSocket``.
        host: the address to listen on; ``None`` for all.
        port: the TCP port; 0 for any that is free.
        unix_path: listen on a UNIX socket with this path instead.
        subprotocols: names that are spoken here, the preferred first. The first that the client
            offers is taken; with none in common the connection is opened without.
        select_subprotocol: chooses instead: takes the request and the names offered.
        compression: ``"deflate"``, ``None``, or a ``Deflate`` with its settings.
        origins: what a request's ``Origin`` may be: strings, compiled patterns, ``"*"`` for all, ``None``
            for requests without one. By default an origin that is there must match ``Host``, so
            that pages of other sites cannot use their visitors' cookies here.
        process_request: takes each request before the upgrade, sync or async; what it returns is
            sent as a plain HTTP answer, ``None`` goes on with the upgrade.
        limits: the bounds to keep for each connection; ``Limits()`` if ``None``.
        max_connections: connections at a time, those in their opening handshake included (but not in
            that of TLS); ``None`` for no bound. A client too many is answered 503 and closed.
        max_buffer_size: bytes that all open connections together may hold, received and not yet
            taken or queued to send; ``None`` for no bound. When they hold more, those that hold
            most are closed with 1013, what they hold is dropped, and the others go on.
        ping_interval: seconds of silence after which a ping is sent; ``None`` for never.
        ping_timeout: seconds that the client has to answer it; ``None`` for ever.
        open_timeout: seconds for the opening handshake; ``None`` for ever.
        close_timeout: seconds that closing may take.
        ssl_context: serve ``wss`` with these certificates.
        checkpoint_interval: operations that found work ready between two checkpoints; 128 unless set.
        task_status: for ``await task_group.start(serve, ...)``, which gives the ``Server``.

    Raises:
        OSError: the address cannot be listened on.
        TypeError, ValueError: an argument is wrong.

    If cancelled: every client gets a close frame with 1001 and has ``close_timeout`` to answer.
    """
    check_handler(handler)
    if max_connections is not None:
        check_bound("max_connections", max_connections)
    if max_buffer_size is not None:
        check_bound("max_buffer_size", max_buffer_size)
    options = ConnectionOptions(
        limits=limits or Limits(),
        ping_interval=ping_interval,
        ping_timeout=ping_timeout,
        close_timeout=close_timeout,
        checkpoint_interval=checkpoint_interval,
    )
    accepting = ServerOpening(
        options,
        subprotocols=subprotocols,
        select_subprotocol=select_subprotocol,
        compression=compression,
        origins=origins,
        process_request=process_request,
        open_timeout=open_timeout,
        ssl_context=ssl_context,
        budget=None if max_buffer_size is None else ByteBudget(max_buffer_size),
    )
    sockets = await bind(host, port, unix_path)
    failure: BaseException | None = None
    try:
        async with anyio.create_task_group() as task_group:
            server = Server(handler, accepting, sockets, task_group, max_connections)
            await server.run(task_status)
            task_group.cancel_scope.cancel()
    except BaseExceptionGroup as group:
        failure = sole_exception(group)
    finally:
        for sock in sockets:
            sock.close()
    if failure is not None:
        raise failure


def accept(
    stream: ByteStream,
    *,
    subprotocols: Sequence[str] = (),
    select_subprotocol: SelectSubprotocol | None = None,
    compression: str | Deflate | None = "deflate",
    origins: Sequence[str | re.Pattern[str] | None] | None = None,
    process_request: ProcessRequest | None = None,
    limits: Limits | None = None,
    ping_interval: float | None = 20.0,
    ping_timeout: float | None = 20.0,
    open_timeout: float | None = 10.0,
    close_timeout: float = 10.0,
    checkpoint_interval: int = CHECKPOINT_INTERVAL,
) -> ConnectionLifetime:
    """Open a server's connection on any byte stream: ``async with accept(stream) as websocket``.

    Args:
        stream: an open stream, which the connection owns from now on.
        subprotocols: see ``serve``, as for the other arguments.

    Returns:
        An async context manager that gives a ``WebSocket``.

    Raises:
        TypeError, ValueError: an argument is wrong; raised by the call itself.
        HandshakeError: the request was refused, or answered by ``process_request``.
        TimeoutError: the request did not come in time.
        anyio.BrokenResourceError: the client went away.

    If cancelled while it opens: the client is answered 503 and the stream is closed. For the end of the
    block see ``ConnectionLifetime``.
    """
    options = ConnectionOptions(
        limits=limits or Limits(),
        ping_interval=ping_interval,
        ping_timeout=ping_timeout,
        close_timeout=close_timeout,
        checkpoint_interval=checkpoint_interval,
    )
    accepting = ServerOpening(
        options,
        subprotocols=subprotocols,
        select_subprotocol=select_subprotocol,
        compression=compression,
        origins=origins,
        process_request=process_request,
        open_timeout=open_timeout,
    )

    async def open_connection(task_group: TaskStarter) -> WebSocket:
        transport = StreamTransport(stream, task_group)
        return await accepting.open(transport, Ticker(task_group, options))

    return ConnectionLifetime(open_connection)
