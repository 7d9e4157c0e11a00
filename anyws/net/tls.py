"""TLS over any byte stream, for the loops and streams that do not bring their own."""

from __future__ import annotations

import errno
import ssl
from typing import TYPE_CHECKING

import anyio
from anyio.streams.tls import TLSStream

if TYPE_CHECKING:
    from anyio.abc import ByteStream

__all__ = ["context_or_default", "wrap_tls"]


def context_or_default(ssl_context: ssl.SSLContext | bool) -> ssl.SSLContext:
    """Return ``ssl_context``, or for True one that checks against the system's authorities."""
    if isinstance(ssl_context, ssl.SSLContext):
        return ssl_context
    return ssl.create_default_context()


async def wrap_tls(
    stream: ByteStream,
    ssl_context: ssl.SSLContext,
    *,
    server_side: bool,
    server_hostname: str | None = None,
) -> ByteStream:
    """Do the TLS handshake on ``stream`` and return the stream inside.

    Args:
        stream: the stream to secure; on an error it is the caller's to close.
        ssl_context: certificates and checks.
        server_side: which side we are.
        server_hostname: the name that the server's certificate must carry.

    Raises:
        ssl.SSLError: the handshake or the certificate failed.
        ConnectionResetError: the stream ended during the handshake, as asyncio calls it.

    If cancelled: the stream is left in the middle of the handshake, good for closing only.
    """
    try:
        return await TLSStream.wrap(
            stream,
            server_side=server_side,
            hostname=server_hostname,
            ssl_context=ssl_context,
            standard_compatible=True,
        )
    except (anyio.BrokenResourceError, anyio.EndOfStream) as error:
        reason = "the connection was lost during the TLS handshake"
        raise ConnectionResetError(errno.ECONNRESET, reason) from error
