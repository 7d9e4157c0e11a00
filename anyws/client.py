"""Connecting to a server."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

from anyws.core.turns import CHECKPOINT_INTERVAL
from anyws.limits import Limits
from anyws.net.network import current_network
from anyws.net.stream import StreamTransport
from anyws.stream.lifetime import ConnectionLifetime
from anyws.stream.opening import ClientOpening
from anyws.stream.options import ConnectionOptions
from anyws.stream.websocket import WebSocket

if TYPE_CHECKING:
    import ssl
    from collections.abc import Sequence
    from os import PathLike

    from anyio.abc import ByteStream

    from anyws.core.deflate import Deflate
    from anyws.core.handshake.headers import HeadersLike
    from anyws.net.network import TaskStarter
    from anyws.net.transport import Transport
    from anyws.proxy import Proxy

__all__ = ["Client", "client_over", "connect"]

#: The original name of ``WebSocket``.
Client = WebSocket


def connect(
    uri: str,
    *,
    headers: HeadersLike = (),
    origin: str | None = None,
    subprotocols: Sequence[str] = (),
    compression: str | Deflate | None = "deflate",
    limits: Limits | None = None,
    ping_interval: float | None = 20.0,
    ping_timeout: float | None = 20.0,
    open_timeout: float | None = 10.0,
    close_timeout: float = 10.0,
    ssl_context: ssl.SSLContext | None = None,
    unix_path: str | PathLike[str] | None = None,
    proxy: str | None = None,
    checkpoint_interval: int = CHECKPOINT_INTERVAL,
) -> ConnectionLifetime:
    """Connect to a WebSocket server: ``async with connect("ws://...") as websocket``.

    Args:
        uri: a ``ws://`` or ``wss://`` address (RFC 6455, section 3); a user name and password in it are
            sent as basic authentication.
        headers: further header lines of the request, as a mapping or as pairs.
        origin: the ``Origin`` header, which browsers send.
        subprotocols: names to offer, the preferred first.
        compression: ``"deflate"``, ``None``, or a ``Deflate`` with its settings.
        limits: the bounds to keep; ``Limits()`` if ``None``.
        ping_interval: seconds of silence after which a ping is sent; ``None`` for never.
        ping_timeout: seconds that the server has to answer it; ``None`` for ever.
        open_timeout: seconds for everything until the connection is open; ``None`` for ever.
        close_timeout: seconds that closing may take.
        ssl_context: for ``wss``; by default certificates are checked with the system's authorities.
        unix_path: the path of a UNIX socket to connect to, instead of the address in ``uri``.
        proxy: ``SCHEME://[USER:PASSWORD@]HOST[:PORT]`` of a proxy to go through: ``http``, ``https`` (TLS
            up to the proxy), ``socks4`` and ``socks5``, or ``socks4a`` and ``socks5h`` where the proxy
            looks up the host. SOCKS needs the extra ``proxy``. The system's settings are not looked at.
        checkpoint_interval: operations that found work ready between two checkpoints; 128 unless set.

    Returns:
        An async context manager that gives a ``WebSocket``; it can be entered once.

    Raises:
        InvalidURI, ValueError: an argument is wrong; raised by the call itself.
        ImportError: ``proxy`` speaks SOCKS, and python-socks is not installed; raised by the call itself.
        OSError: the connection could not be made, or the proxy refused to.
        TimeoutError: it was not open in time.
        RejectedHandshake: the server answered with another status than 101.
        InvalidHandshake: the server's answer breaks a rule of RFC 6455, section 4, or the proxy's
            is malformed.

    If cancelled while it opens: nothing is left behind. For the end of the block see ``ConnectionLifetime``.
    """
    options = _options(limits, ping_interval, ping_timeout, close_timeout, checkpoint_interval)
    opening = ClientOpening(
        uri,
        options,
        headers=headers,
        origin=origin,
        subprotocols=subprotocols,
        compression=compression,
        open_timeout=open_timeout,
    )
    if ssl_context is not None and not opening.uri.secure:
        raise ValueError("ssl_context is for wss:// addresses")
    if proxy is not None and unix_path is not None:
        raise ValueError("give either proxy or unix_path")
    tunnel = None if proxy is None else _proxy(proxy, options.limits)

    async def dial(task_group: TaskStarter) -> Transport:
        network = current_network(task_group)
        context = (ssl_context or True) if opening.uri.secure else None
        hostname = opening.uri.host if opening.uri.secure else None
        if tunnel is not None:
            return await tunnel.connect_tcp(
                network,
                task_group,
                opening.uri.host,
                opening.uri.port,
                ssl_context=context,
                server_hostname=hostname,
            )
        if unix_path is not None:
            return await network.connect_unix(
                unix_path, ssl_context=context, server_hostname=hostname
            )
        return await network.connect_tcp(
            opening.uri.host, opening.uri.port, ssl_context=context, server_hostname=hostname
        )

    return ConnectionLifetime(partial(opening.open, dial))


def client_over(
    stream: ByteStream,
    uri: str,
    *,
    headers: HeadersLike = (),
    origin: str | None = None,
    subprotocols: Sequence[str] = (),
    compression: str | Deflate | None = "deflate",
    limits: Limits | None = None,
    ping_interval: float | None = 20.0,
    ping_timeout: float | None = 20.0,
    open_timeout: float | None = 10.0,
    close_timeout: float = 10.0,
    checkpoint_interval: int = CHECKPOINT_INTERVAL,
) -> ConnectionLifetime:
    """Open a client's connection on any byte stream: TLS, a memory pair, a proxy's tunnel.

    Args:
        stream: an open stream, which the connection owns from now on.
        uri: what to ask for; its scheme and address only go into the request.
        headers: see ``connect``, as for the other arguments.

    Returns:
        An async context manager that gives a ``WebSocket``.

    Raises:
        InvalidURI, ValueError: an argument is wrong; raised by the call itself.
        TimeoutError: the connection was not open in time.
        RejectedHandshake: the server answered with another status than 101.
        InvalidHandshake: the server's answer breaks a rule of RFC 6455, section 4.

    If cancelled while it opens: the stream is closed. For the end of the block see ``ConnectionLifetime``.
    """
    options = _options(limits, ping_interval, ping_timeout, close_timeout, checkpoint_interval)
    opening = ClientOpening(
        uri,
        options,
        headers=headers,
        origin=origin,
        subprotocols=subprotocols,
        compression=compression,
        open_timeout=open_timeout,
    )

    async def wrap(task_group: TaskStarter) -> Transport:
        return StreamTransport(stream, task_group)

    return ConnectionLifetime(partial(opening.open, wrap))


def _proxy(address: str, limits: Limits) -> Proxy:
    from anyws.proxy import Proxy  # noqa: PLC0415 - it imports TLS and what speaks SOCKS

    return Proxy(address, limits)


def _options(
    limits: Limits | None,
    ping_interval: float | None,
    ping_timeout: float | None,
    close_timeout: float,
    checkpoint_interval: int,
) -> ConnectionOptions:
    return ConnectionOptions(
        limits=limits or Limits(),
        ping_interval=ping_interval,
        ping_timeout=ping_timeout,
        close_timeout=close_timeout,
        checkpoint_interval=checkpoint_interval,
    )
