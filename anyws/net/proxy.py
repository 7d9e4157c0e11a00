"""Tunnels through HTTP and SOCKS proxies, which python-socks asks for.

Imported only when a proxy is named, since python-socks is an extra.
"""

from __future__ import annotations

import math
import ssl
from typing import TYPE_CHECKING

import anyio

try:
    from python_socks import ProxyError
    from python_socks.async_.anyio.v2 import Proxy as Tunnel
except ImportError as error:
    raise ImportError("proxy= needs python-socks: pip install 'anyws[proxy]'") from error

from anyws.net.stream import StreamTransport
from anyws.net.tls import context_or_default, wrap_tls

if TYPE_CHECKING:
    from anyio.abc import ByteStream, TaskGroup

    from anyws.net.transport import Transport

__all__ = ["Proxy"]

#: What python-socks calls each kind, and whether the proxy looks up the host; as curl has it.
_SCHEMES = {
    "http": ("http", True),
    "https": ("http", True),
    "socks4": ("socks4", False),
    "socks4a": ("socks4", True),
    "socks5": ("socks5", False),
    "socks5h": ("socks5", True),
}


class Proxy:
    """Connects by way of a proxy.

    Args:
        address: ``SCHEME://[USER:PASSWORD@]HOST:PORT``.

    Raises:
        ValueError: ``address`` is not that of a proxy.
    """

    def __init__(self, address: str) -> None:
        scheme, _, rest = address.partition("://")
        # Never with the address, which may hold a password.
        problem = f"a proxy is SCHEME://[USER:PASSWORD@]HOST:PORT with {', '.join(_SCHEMES)}"
        if scheme.lower() not in _SCHEMES:
            raise ValueError(problem)
        kind, remote_lookup = _SCHEMES[scheme.lower()]
        context = ssl.create_default_context() if scheme.lower() == "https" else None
        try:
            self._tunnel = Tunnel.from_url(
                f"{kind}://{rest}", rdns=remote_lookup, proxy_ssl=context
            )
        except ValueError:
            raise ValueError(problem) from None

    async def connect_tcp(
        self,
        host: str,
        port: int,
        task_group: TaskGroup,
        *,
        ssl_context: ssl.SSLContext | bool | None = None,
        server_hostname: str | None = None,
    ) -> Transport:
        """Have the proxy connect to ``host``; the arguments are those of ``Network.connect_tcp``.

        Args:
            host: the name or address that the proxy is asked for.
            port: the port.
            task_group: where the transport's task runs.
            ssl_context: does TLS with the host, inside the tunnel.
            server_hostname: the name that the host's certificate must carry.

        Raises:
            OSError: the proxy cannot be reached, or it refuses.

        If cancelled: nothing stays open.
        """
        try:
            # The time limit is the caller's.
            tunnel = await self._tunnel.connect(host, port, timeout=math.inf)
        except ProxyError as error:
            raise ConnectionRefusedError(f"the proxy did not connect: {error}") from error
        except (anyio.BrokenResourceError, anyio.EndOfStream) as error:
            raise ConnectionResetError("the proxy closed the connection") from error
        stream: ByteStream = tunnel.anyio_stream
        if ssl_context is not None:
            try:
                stream = await wrap_tls(
                    stream,
                    context_or_default(ssl_context),
                    server_side=False,
                    server_hostname=server_hostname,
                )
            except BaseException:
                await anyio.aclose_forcefully(stream)
                raise
        return StreamTransport(stream, task_group)
