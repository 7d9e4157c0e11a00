"""The client's side of a tunnel through an HTTP proxy (RFC 9110, section 9.3.6)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from anyws.core.handshake.headers import Headers
from anyws.core.handshake.http import ResponseReader
from anyws.core.handshake.request import Request

if TYPE_CHECKING:
    from anyws.core.handshake.response import Response
    from anyws.core.handshake.uri import ProxyURI
    from anyws.limits import Limits

__all__ = ["TunnelHandshake"]


class TunnelHandshake:
    """Makes one CONNECT request and reads its answer.

    Args:
        host: what to connect to, a name in ASCII or an IP address without brackets.
        port: the port there.
        proxy: whom to ask; credentials in its address are for it alone.
        limits: the bounds of the answer.
    """

    #: The bytes to send.
    data: bytes

    def __init__(self, host: str, port: int, proxy: ProxyURI, limits: Limits) -> None:
        name = host.partition("%")[0]
        target = f"[{name}]:{port}" if ":" in name else f"{name}:{port}"
        headers = [("Host", target)]
        if proxy.authorization is not None:
            headers.append(("Proxy-Authorization", proxy.authorization))
        self.data = Request("CONNECT", target, Headers(headers)).serialize()
        self._reader = ResponseReader(limits, connect=True)

    @property
    def leftover(self) -> bytes:
        """What came after the answer; the proxy has nothing to say there, and the host not yet."""
        return self._reader.leftover

    def receive_data(self, data: bytes) -> Response | None:
        """Take what has arrived; return the answer once its head is complete: a tunnel if it is 2xx.

        Raises:
            InvalidHandshake: it is no answer of HTTP, or too big.
        """
        response = self._reader.receive_data(data)
        if response is None and self._reader.answered:
            # Nobody is shown what else a proxy has to say to a refusal.
            return self._reader.receive_eof()
        return response
