"""TLS over any transport, the same on every loop."""

from __future__ import annotations

import errno
import logging
import ssl
from typing import TYPE_CHECKING, Any

import anyio
from anyio.streams.tls import TLSAttribute

from anyws.net._tls_core import TlsCore
from anyws.net.transport import Transport

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Mapping

__all__ = ["TlsTransport", "accept_tls", "context_or_default", "start_tls"]

_logger = logging.getLogger("anyws.server")


def context_or_default(ssl_context: ssl.SSLContext | bool) -> ssl.SSLContext:
    """Return ``ssl_context``, or for True one that checks against the system's authorities."""
    if isinstance(ssl_context, ssl.SSLContext):
        return ssl_context
    return ssl.create_default_context()


class TlsTransport(TlsCore, Transport):  # type: ignore[override]
    """What goes encrypted over another transport, which is owned from now on.

    Nothing can be written before ``shake_hands`` has returned. The arguments are those of ``TlsCore``.
    """

    def __init__(
        self,
        transport: Transport,
        context: ssl.SSLContext,
        *,
        server_side: bool,
        server_hostname: str | None,
    ) -> None:
        TlsCore.__init__(
            self, transport, context, server_side=server_side, server_hostname=server_hostname
        )
        Transport.__init__(self)
        self.reads_by_itself = transport.reads_by_itself
        self._incoming.write(transport.attach(self))

    async def shake_hands(self) -> None:
        """Do the TLS handshake.

        Raises:
            ssl.SSLError: the handshake or the certificate failed.
            ConnectionResetError: the stream ended during the handshake.

        If cancelled: the transport is good for aborting only.
        """
        while True:
            try:
                self._ssl_object.do_handshake()
            except ssl.SSLWantReadError:
                self._flush()
            except ssl.SSLError:
                # It may have something to tell the peer.
                self._flush()
                raise
            else:
                break
            if self._eof or self._lost:
                reason = "the connection was lost during the TLS handshake"
                raise ConnectionResetError(errno.ECONNRESET, reason) from self._error
            await self._below.receive_more()
        self._flush()
        self._established = True
        self._decrypt()

    def set_high_water(self, size: int) -> None:
        self._below.set_high_water(size)

    def receive_more(self) -> Awaitable[None]:
        return self._below.receive_more()

    def pause_reading(self) -> None:
        self._below.pause_reading()

    def resume_reading(self) -> None:
        self._below.resume_reading()

    def write_eof(self, last: bytes = b"") -> None:
        if last:
            self.write(last)
        self._below.write_eof(self._take_farewell())

    def call_soon(self, callback: Callable[[], object]) -> None:
        self._below.call_soon(callback)

    async def drain(self) -> None:
        while self._unencrypted:
            if self._drained is None:
                self._drained = anyio.Event()
            await self._drained.wait()
        await self._below.drain()

    async def aclose(self) -> None:
        """Send what was written and the end of TLS, then close; if cancelled, drop the connection at once."""
        farewell = self._take_farewell()
        if farewell:
            self._below.write(farewell)
        await self._below.aclose()

    def abort(self) -> None:
        self._below.abort()

    @property
    def extra_attributes(self) -> Mapping[Any, Callable[[], Any]]:
        ssl_object = self._ssl_object
        return {
            **self._below.extra_attributes,
            TLSAttribute.alpn_protocol: ssl_object.selected_alpn_protocol,
            TLSAttribute.channel_binding_tls_unique: ssl_object.get_channel_binding,
            TLSAttribute.cipher: ssl_object.cipher,
            TLSAttribute.peer_certificate: ssl_object.getpeercert,
            TLSAttribute.peer_certificate_binary: lambda: ssl_object.getpeercert(True),
            TLSAttribute.server_side: lambda: ssl_object.server_side,
            TLSAttribute.shared_ciphers: lambda: (
                ssl_object.shared_ciphers() if ssl_object.server_side else None
            ),
            TLSAttribute.standard_compatible: lambda: True,
            TLSAttribute.ssl_object: lambda: ssl_object,
            TLSAttribute.tls_version: ssl_object.version,
        }


async def start_tls(
    transport: Transport,
    context: ssl.SSLContext,
    *,
    server_side: bool = False,
    server_hostname: str | None = None,
) -> Transport:
    """Do the TLS handshake over ``transport`` and return what goes encrypted over it.

    Args:
        transport: the transport below, which is owned from now on, and dropped if the handshake fails.
        context: certificates and checks.
        server_side: which side we are.
        server_hostname: the name that the server's certificate must carry.

    Raises:
        ssl.SSLError: the handshake or the certificate failed.
        ConnectionResetError: the stream ended during the handshake.
        ValueError: ``context`` checks names, and there is none to check.

    If cancelled: the connection is dropped.
    """
    try:
        secured = TlsTransport(
            transport, context, server_side=server_side, server_hostname=server_hostname
        )
        await secured.shake_hands()
    except BaseException:
        transport.abort()
        raise
    return secured


async def accept_tls(
    transport: Transport, context: ssl.SSLContext, timeout: float
) -> Transport | None:
    """Do a server's half of a TLS handshake; ``None`` if that failed, which the log tells.

    Args:
        transport: as for ``start_tls``.
        context: the server's certificate.
        timeout: seconds that the handshake may take.
    """
    try:
        with anyio.fail_after(timeout):
            return await start_tls(transport, context, server_side=True)
    except (OSError, TimeoutError) as error:
        _logger.debug("TLS handshake failed: %r", error)
        return None
