"""TLS over any byte stream, for the loops and streams that do not bring their own."""

from __future__ import annotations

from typing import TYPE_CHECKING

from anyio.streams.tls import TLSStream

if TYPE_CHECKING:
    import ssl

    from anyio.abc import ByteStream

__all__ = ["wrap_tls"]


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
        anyio.BrokenResourceError: the stream ended during the handshake.

    If cancelled: the stream is left in the middle of the handshake, good for closing only.
    """
    return await TLSStream.wrap(
        stream,
        server_side=server_side,
        hostname=server_hostname,
        ssl_context=ssl_context,
        standard_compatible=True,
    )
