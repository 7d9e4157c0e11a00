"""A peer that speaks bytes, for what no WebSocket library would send."""

from __future__ import annotations

import base64
import hashlib
from typing import TYPE_CHECKING, NamedTuple

import anyio

from anyws.enums import Opcode

if TYPE_CHECKING:
    from anyio.abc import ByteStream

__all__ = ["Frame", "RawPeer"]

_GUID = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11"


class Frame(NamedTuple):
    """A frame as it was on the wire, unmasked.

    Attributes:
        first: the first byte: FIN, reserved bits and opcode.
        payload: the payload, unmasked.
        masked: whether it was masked.
    """

    first: int
    payload: bytes
    masked: bool

    @property
    def opcode(self) -> int:
        """The opcode."""
        return self.first & 0x0F

    @property
    def final(self) -> bool:
        """Whether FIN is set."""
        return bool(self.first & 0x80)


def _masked(payload: bytes, mask: bytes) -> bytes:
    """Return ``payload`` masked; not with the library's own function, which is under test."""
    repeated = (mask * (len(payload) // 4 + 1))[: len(payload)]
    mixed = int.from_bytes(payload, "big") ^ int.from_bytes(repeated, "big")
    return mixed.to_bytes(len(payload), "big")


class RawPeer:
    """The other side of a connection, byte by byte; written without any code of the library.

    Each method that receives raises ``anyio.EndOfStream`` when the stream ends before what it waits for.

    If cancelled: ``receive_exactly`` loses nothing; the others may have taken a part of what they wait for.

    Args:
        stream: an open byte stream, which is the caller's to close.
    """

    def __init__(self, stream: ByteStream) -> None:
        self.stream = stream
        self._data = bytearray()

    async def request(self, *lines: str, target: str = "/") -> bytes:
        """Ask for a connection as a client.

        Args:
            *lines: further header lines.
            target: the path to ask for.

        Returns:
            The answer's head, without the empty line that ends it.
        """
        head = [
            f"GET {target} HTTP/1.1",
            "Host: memory",
            "Upgrade: websocket",
            "Connection: Upgrade",
            "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==",
            "Sec-WebSocket-Version: 13",
            *lines,
        ]
        await self.stream.send(("\r\n".join(head) + "\r\n\r\n").encode())
        return await self._head()

    async def answer(self, *lines: str) -> bytes:
        """Accept a client's request, whatever it asks for.

        Args:
            *lines: further header lines of the answer.

        Returns:
            The request's head, without the empty line that ends it.
        """
        request = await self._head()
        key = next(
            line.partition(b":")[2].strip()
            for line in request.split(b"\r\n")
            if line.lower().startswith(b"sec-websocket-key:")
        )
        accept = base64.b64encode(hashlib.sha1(key + _GUID, usedforsecurity=False).digest())
        head = [
            "HTTP/1.1 101 Switching Protocols",
            "Upgrade: websocket",
            "Connection: Upgrade",
            f"Sec-WebSocket-Accept: {accept.decode()}",
            *lines,
        ]
        await self.stream.send(("\r\n".join(head) + "\r\n\r\n").encode())
        return request

    async def _head(self) -> bytes:
        while b"\r\n\r\n" not in self._data:
            self._data += await self.stream.receive()
        head, _, rest = bytes(self._data).partition(b"\r\n\r\n")
        self._data = bytearray(rest)
        return head

    async def send(self, data: bytes) -> None:
        """Send bytes as they are."""
        await self.stream.send(data)

    async def send_frame(
        self, first: int, payload: bytes = b"", *, mask: bytes | None = None
    ) -> None:
        """Send a frame, right or wrong.

        Args:
            first: the first byte: FIN, reserved bits and opcode, such as ``0x81`` for a whole text.
            payload: at most 2**63 - 1 bytes.
            mask: 4 bytes to mask it with, as a client must.
        """
        await self.send(self.frame(first, payload, mask=mask))

    @staticmethod
    def frame(first: int, payload: bytes = b"", *, mask: bytes | None = None) -> bytes:
        """Return a frame as bytes."""
        bit = 0 if mask is None else 0x80
        length = len(payload)
        if length < 126:
            head = bytes((first, bit | length))
        elif length < 65536:
            head = bytes((first, bit | 126)) + length.to_bytes(2, "big")
        else:
            head = bytes((first, bit | 127)) + length.to_bytes(8, "big")
        if mask is None:
            return head + payload
        return head + mask + _masked(payload, mask)

    async def receive_exactly(self, count: int) -> bytes:
        """Return ``count`` bytes."""
        while len(self._data) < count:
            self._data += await self.stream.receive()
        data = bytes(self._data[:count])
        del self._data[:count]
        return data

    async def receive_frame(self) -> Frame:
        """Return the next frame."""
        first, second = await self.receive_exactly(2)
        length = second & 0x7F
        if length > 125:
            length = int.from_bytes(await self.receive_exactly(2 if length == 126 else 8), "big")
        masked = bool(second & 0x80)
        mask = await self.receive_exactly(4) if masked else b"\0\0\0\0"
        payload = await self.receive_exactly(length)
        if masked:
            payload = _masked(payload, mask)
        return Frame(first, payload, masked)

    async def receive_close(self) -> tuple[int, str]:
        """Return code and reason of the next frame; without a code it is 1005.

        Raises:
            AssertionError: it is not a close frame.
        """
        frame = await self.receive_frame()
        if frame.opcode != Opcode.CLOSE:
            raise AssertionError(f"expected a close frame, got {frame!r}")
        if not frame.payload:
            return 1005, ""
        return int.from_bytes(frame.payload[:2], "big"), frame.payload[2:].decode()

    async def receive_eof(self) -> None:
        """Wait for the end of the stream.

        Raises:
            AssertionError: another byte came before it.
        """
        try:
            data = bytes(self._data) or await self.stream.receive()
        except anyio.EndOfStream:
            return
        raise AssertionError(f"expected the end of the stream, got {data!r}")
