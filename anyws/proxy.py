"""Connecting by way of a proxy: HTTP's CONNECT is spoken here, SOCKS by python-socks.

Imported only when a proxy is named.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import anyio

from anyws.core.handshake.tunnel import TunnelHandshake
from anyws.core.handshake.uri import parse_proxy_uri
from anyws.errors import InvalidHandshake
from anyws.net.stream import StreamTransport
from anyws.net.tls import context_or_default, start_tls

try:
    import python_socks
    import python_socks.async_.anyio.v2 as socks
except ImportError:
    socks = None  # type: ignore[assignment]

if TYPE_CHECKING:
    import ssl

    from anyio.abc import ByteStream

    from anyws.limits import Limits
    from anyws.net.network import Network, TaskStarter
    from anyws.net.transport import Transport

__all__ = ["Proxy"]

#: The protocol of each scheme, and whether the proxy looks up the host; as curl has it.
_SOCKS = {
    "socks4": ("SOCKS4", False),
    "socks4a": ("SOCKS4", True),
    "socks5": ("SOCKS5", False),
    "socks5h": ("SOCKS5", True),
}


class Proxy:
    """One proxy.

    Args:
        address: ``SCHEME://[USER:PASSWORD@]HOST[:PORT]``.
        limits: the bounds of what an HTTP proxy answers.

    Raises:
        InvalidURI: ``address`` is not that of a proxy.
        ImportError: it is that of a SOCKS proxy, and python-socks is not installed.
    """

    def __init__(self, address: str, limits: Limits) -> None:
        self._uri = parse_proxy_uri(address)
        self._limits = limits
        if self._uri.scheme in _SOCKS and socks is None:
            raise ImportError("a SOCKS proxy needs python-socks: pip install 'anyws[proxy]'")

    async def connect_tcp(
        self,
        network: Network,
        task_group: TaskStarter,
        host: str,
        port: int,
        *,
        ssl_context: ssl.SSLContext | bool | None = None,
        server_hostname: str | None = None,
    ) -> Transport:
        """Have the proxy connect to ``host``; the arguments are those of ``Network.connect_tcp``.

        Args:
            network: connects to the proxy.
            task_group: where a task of the transport runs.
            host: the name or address to connect to.
            port: the port there.
            ssl_context: does TLS with the host, inside the tunnel.
            server_hostname: the name that the host's certificate must carry.

        Raises:
            OSError: the proxy cannot be reached, it refuses, or it hangs up.
            InvalidHandshake: the answer of an HTTP proxy is malformed.

        If cancelled: nothing stays open.
        """
        if self._uri.scheme in _SOCKS:
            transport: Transport = StreamTransport(await self._open_socks(host, port), task_group)
        else:
            transport = await self._open_http(network, host, port)
        if ssl_context is None:
            return transport
        context = context_or_default(ssl_context)
        return await start_tls(transport, context, server_hostname=server_hostname)

    async def _open_http(self, network: Network, host: str, port: int) -> Transport:
        uri = self._uri
        secure = True if uri.scheme == "https" else None
        transport = await network.connect_tcp(
            uri.host, uri.port, ssl_context=secure, server_hostname=uri.host if secure else None
        )
        try:
            await self._shake_hands(transport, host, port)
        except (anyio.EndOfStream, anyio.BrokenResourceError) as error:
            transport.abort()
            raise ConnectionResetError("the proxy closed the connection") from error
        except BaseException:
            transport.abort()
            raise
        return transport

    async def _shake_hands(self, transport: Transport, host: str, port: int) -> None:
        handshake = TunnelHandshake(host, port, self._uri, self._limits)
        await transport.send(handshake.data)
        response = None
        while response is None:
            data = await transport.receive()
            try:
                response = handshake.receive_data(data)
            except InvalidHandshake as error:
                raise InvalidHandshake(f"the proxy's answer is malformed: {error}") from error
        if not 200 <= response.status < 300:
            raise ConnectionRefusedError(
                f"the proxy answered {response.status} {response.reason!r} instead of connecting"
            )
        if handshake.leftover:
            raise ConnectionAbortedError("the proxy sent more than its answer")

    async def _open_socks(self, host: str, port: int) -> ByteStream:
        uri = self._uri
        protocol, looks_up = _SOCKS[uri.scheme]
        proxy = socks.Proxy(
            python_socks.ProxyType[protocol],
            uri.host,
            uri.port,
            uri.username,
            uri.password,
            rdns=looks_up,
        )
        try:
            # The time limit is the caller's.
            tunnel = await proxy.connect(host, port, timeout=math.inf)
        except python_socks.ProxyError as error:
            raise ConnectionRefusedError(f"the proxy did not connect: {error}") from error
        except (anyio.BrokenResourceError, anyio.EndOfStream) as error:
            raise ConnectionResetError("the proxy closed the connection") from error
        stream: ByteStream = tunnel.anyio_stream
        return stream
