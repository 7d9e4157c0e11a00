"""Opening handshakes over a transport, in both roles, each with its one time limit."""

from __future__ import annotations

import inspect
import logging
import sys
from typing import TYPE_CHECKING

import anyio

from anyws.core.connection import Connection
from anyws.core.handshake.client import ClientHandshake
from anyws.core.handshake.response import Response
from anyws.core.handshake.server import ServerHandshake, error_response
from anyws.core.handshake.uri import parse_uri
from anyws.enums import Role
from anyws.errors import HandshakeError, InvalidHandshake
from anyws.stream.lifetime import without_cancellations
from anyws.stream.options import ConnectionOptions, deflate_setting
from anyws.stream.ticker import Ticker
from anyws.stream.websocket import WebSocket

if TYPE_CHECKING:
    import re
    import ssl
    from collections.abc import Awaitable, Callable, Sequence

    from anyws.core.deflate import Deflate
    from anyws.core.handshake.headers import HeadersLike
    from anyws.core.handshake.request import Request
    from anyws.core.handshake.server import SelectSubprotocol
    from anyws.core.handshake.upgrade import Acceptance
    from anyws.net.network import TaskStarter
    from anyws.net.transport import Transport
    from anyws.stream.budget import ByteBudget
    from anyws.stream.deadlines import Deadlines

    ProcessRequest = Callable[[Request], Response | Awaitable[Response | None] | None]

__all__ = ["ClientOpening", "Refused", "ServerOpening"]

_logger = logging.getLogger("anyws.server")
#: Seconds that a refused client has to end its side of the stream.
_REFUSAL_LINGER = 2.0


class ClientOpening:
    """Does the client's half of an opening handshake."""

    def __init__(
        self,
        uri: str,
        options: ConnectionOptions,
        *,
        headers: HeadersLike,
        origin: str | None,
        subprotocols: Sequence[str],
        compression: str | Deflate | None,
        open_timeout: float | None,
    ) -> None:
        self.uri = parse_uri(uri)
        self._options = options
        self._deflate = deflate_setting(compression)
        self._handshake = ClientHandshake(
            self.uri,
            headers=headers,
            origin=origin,
            subprotocols=subprotocols,
            compression=self._deflate,
            limits=options.limits,
            user_agent="anyws",
        )
        self._open_timeout = open_timeout

    async def open(
        self, dial: Callable[[TaskStarter], Awaitable[Transport]], task_group: TaskStarter
    ) -> WebSocket:
        """Open a connection on the transport that ``dial`` makes, which is closed if that fails."""
        transport: Transport | None = None
        scope = anyio.move_on_after(self._open_timeout)
        try:
            with scope:
                transport = await dial(task_group)
                return await self._shake_hands(transport, task_group)
        except BaseException as error:
            if transport is not None:
                transport.abort()
            if isinstance(error, Exception):
                error.add_note(f"while connecting to {self.uri}{_advice(error)}")
            raise
        if transport is not None:
            transport.abort()
        if self._handshake.answered:
            # Only the end of a refusal did not come: what it says is more than that it came too late.
            self._handshake.receive_eof()
        raise TimeoutError(
            f"the connection to {self.uri} was not open within {self._open_timeout} seconds"
            " (open_timeout)"
        )

    async def _shake_hands(self, transport: Transport, task_group: TaskStarter) -> WebSocket:
        handshake = self._handshake
        try:
            acceptance = await self._accepted(transport)
        except anyio.BrokenResourceError as error:
            reason = "the connection was lost before the server had answered"
            raise InvalidHandshake(reason) from error
        connection = Connection(Role.CLIENT, self._options.limits, acceptance.deflate)
        return WebSocket(
            connection,
            transport,
            Ticker(task_group, self._options),
            self._options,
            request=handshake.request,
            response=acceptance.response,
            uri=str(self.uri),
            subprotocol=acceptance.subprotocol,
            received=handshake.leftover,
        )

    async def _accepted(self, transport: Transport) -> Acceptance:
        handshake = self._handshake
        await transport.send(handshake.data)
        acceptance = None
        while acceptance is None:
            try:
                data = await transport.receive()
            except anyio.EndOfStream:
                acceptance = handshake.receive_eof()
            except anyio.BrokenResourceError:
                # A server that refuses a request often does not read all of it, and so resets the connection.
                if not handshake.answered:
                    raise
                acceptance = handshake.receive_eof()
            else:
                acceptance = handshake.receive_data(data)
        return acceptance


def _advice(error: Exception) -> str:
    """Return what to do about ``error``, where the error itself does not say it."""
    # It takes long to import; where nobody has, no error is one of its.
    ssl = sys.modules.get("ssl")
    if ssl is None:
        return ""
    if isinstance(error, ssl.SSLCertVerificationError):
        return (
            "; for a certificate of a private authority give connect"
            " ssl_context=ssl.create_default_context(cafile=...)"
        )
    if isinstance(error, ssl.SSLError) and error.reason == "WRONG_VERSION_NUMBER":
        return "; the server does not speak TLS on this port, is it ws:// instead of wss://?"
    return ""


class Refused(HandshakeError):
    """The request was answered with plain HTTP; nothing is left to do."""


class ServerOpening:
    """Does the server's half of opening handshakes, all with the same settings."""

    def __init__(
        self,
        options: ConnectionOptions,
        *,
        subprotocols: Sequence[str],
        select_subprotocol: SelectSubprotocol | None,
        compression: str | Deflate | None,
        origins: Sequence[str | re.Pattern[str] | None] | None,
        process_request: ProcessRequest | None,
        open_timeout: float | None,
        ssl_context: ssl.SSLContext | None = None,
        budget: ByteBudget | None = None,
    ) -> None:
        self.options = options
        self.budget = budget
        self.open_timeout = open_timeout
        #: What keeps ``open_timeout`` where ``abort`` ends a transport at once; elsewhere a scope does.
        self.deadlines: Deadlines | None = None
        self.ssl_context = ssl_context
        self._subprotocols = tuple(subprotocols)
        self._select_subprotocol = select_subprotocol
        self._deflate = deflate_setting(compression)
        self._origins = None if origins is None else tuple(origins)
        self._process_request = process_request

    async def open(self, transport: Transport, ticker: Ticker) -> WebSocket:
        """Open a connection on ``transport``, which is closed if that fails.

        Raises:
            Refused: the request was answered otherwise.
            TimeoutError: the request did not come in time.
            anyio.BrokenResourceError: the client went away.
        """
        handshake = ServerHandshake(
            limits=self.options.limits,
            subprotocols=self._subprotocols,
            select_subprotocol=self._select_subprotocol,
            compression=self._deflate,
            origins=self._origins,
            secure=self.ssl_context is not None,
        )
        reason = ""
        outcome: Response | Acceptance | None
        try:
            outcome = await self._decide_in_time(transport, handshake)
        except InvalidHandshake as error:
            outcome, reason = error_response(error), f": {error}"
        except anyio.EndOfStream:
            transport.abort()
            raise anyio.BrokenResourceError("the client went away without a request") from None
        except anyio.get_cancelled_exc_class():
            with anyio.CancelScope(shield=True):
                response = Response(503, body="The server is shutting down.\n")
                await self._answer(transport, handshake.reject(response))
            raise
        except BaseException:
            transport.abort()
            raise
        if outcome is None:
            transport.abort()
            raise TimeoutError(
                f"the request was not there within {self.open_timeout} seconds (open_timeout)"
            )
        if isinstance(outcome, Response):
            await self._answer(transport, _serialized(handshake, outcome))
            raise Refused(f"the request was answered {outcome.status}{reason}")
        transport.write(outcome.data)
        return WebSocket(
            Connection(Role.SERVER, self.options.limits, outcome.deflate),
            transport,
            ticker,
            self.options,
            request=handshake.request,
            response=outcome.response,
            subprotocol=outcome.subprotocol,
            received=handshake.leftover,
            budget=self.budget,
        )

    async def turn_away(self, transport: Transport, *, linger: bool) -> None:
        """Answer 503 to a client that may not have asked yet.

        Args:
            linger: whether to wait for the client's end, so that no reset overtakes the answer.
        """
        response = Response(503, body="The server has no room for another connection.\n")
        await self._answer(transport, response.serialize(), linger=linger)

    async def _decide_in_time(
        self, transport: Transport, handshake: ServerHandshake
    ) -> Response | Acceptance | None:
        """Receive the request; return what to answer, ``None`` when it did not come in time."""
        deadlines = self.deadlines
        if deadlines is None or self._process_request is not None:
            with anyio.move_on_after(self.open_timeout):
                return await self._decide(transport, handshake)
            return None
        deadline = deadlines.start(transport)
        try:
            return await self._decide(transport, handshake)
        except anyio.BrokenResourceError:
            if deadline.passed:
                return None
            raise
        finally:
            deadlines.stop(deadline)

    async def _decide(
        self, transport: Transport, handshake: ServerHandshake
    ) -> Response | Acceptance:
        """Receive the request; return what to answer."""
        request: Request | None = None
        while request is None:
            request = handshake.receive_data(await transport.receive())
        response = await self._ask_user(request)
        if response is not None:
            return response
        handshake.check_upgrade(request)
        return _accept(handshake, request)

    async def _ask_user(self, request: Request) -> Response | None:
        if self._process_request is None:
            return None
        try:
            response = self._process_request(request)
            if inspect.isawaitable(response):
                response = await response
            if response is not None and not isinstance(response, Response):
                raise TypeError(f"process_request must return a Response or None, not {response!r}")
        except BaseException as error:
            failure = without_cancellations(error)
            if not isinstance(failure, Exception):
                raise
            _logger.exception("process_request failed for %r", request.target, exc_info=failure)
            return _failed()
        return response

    async def _answer(self, transport: Transport, data: bytes, *, linger: bool = True) -> None:
        """Send a plain HTTP answer, then end the stream without a reset that could overtake it."""
        transport.write(data)
        try:
            with anyio.move_on_after(self.options.close_timeout) as scope:
                await transport.drain()
                transport.write_eof()
                if linger:
                    with anyio.move_on_after(_REFUSAL_LINGER):
                        await _until_end(transport)
                await transport.aclose()
        except BaseException:
            transport.abort()
            raise
        if scope.cancelled_caught:
            transport.abort()


def _failed() -> Response:
    """What a client is told when a function of the user's failed; the log knows more."""
    return Response(500, body="The server failed to answer this request.\n")


def _accept(handshake: ServerHandshake, request: Request) -> Response | Acceptance:
    """Agree to the upgrade; ``select_subprotocol`` may fail in that."""
    try:
        return handshake.accept(request)
    except InvalidHandshake:
        raise
    except Exception:
        _logger.exception("select_subprotocol failed")
        return _failed()


def _serialized(handshake: ServerHandshake, response: Response) -> bytes:
    """Return the bytes of an answer, which may be one that ``process_request`` must not give."""
    try:
        return handshake.reject(response)
    except Exception:
        _logger.exception("process_request returned what cannot be sent")
        return handshake.reject(_failed())


async def _until_end(transport: Transport) -> None:
    """Drop what a refused client still sends: bytes after its request mean nothing here."""
    try:
        while True:
            await transport.receive()
    except (anyio.EndOfStream, anyio.BrokenResourceError):
        pass
