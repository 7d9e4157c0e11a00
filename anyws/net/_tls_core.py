# cython: language_level=3, annotation_typing=False
"""TLS between a connection and the transport of its socket, by OpenSSL in memory.

Theory of operation
-------------------
An ``ssl.SSLObject`` encrypts and decrypts between two buffers in memory and never waits. To the transport
below, ``TlsCore`` is the receiver: what comes is put into ``_incoming`` and decrypted at once, into
the buffer of whoever receives above. To the connection it is the transport: what is written is encrypted
at once and given to the transport below, which keeps what the kernel does not take. So nothing is held
here, back-pressure is that of the transport below, and no cancellation can cut a record in two.

One thing is held nevertheless: a server of TLS 1.2 may ask for another handshake in the middle, and nothing
can be encrypted until it is over. What is written meanwhile waits in ``_unencrypted``.

``TlsCore`` is what runs for every message. It is compiled, and so cannot inherit from ``Transport``;
``anyws.net.tls.TlsTransport`` inherits from both.
"""

from __future__ import annotations

from ssl import MemoryBIO, SSLError, SSLWantReadError
from typing import TYPE_CHECKING, Any

from anyws.net.receiver import Receiver

if TYPE_CHECKING:
    from collections.abc import Sequence
    from ssl import SSLContext

    from anyio import Event

    from anyws.net.transport import Transport

__all__ = ["TlsCore"]

#: Below this many bytes several pieces are joined, so that they share records, of 16 KiB each.
_JOIN_BELOW = 131072
#: Bytes that are encrypted or decrypted before they are passed on: so many stay in the processor's cache.
_AT_ONCE = 65536
#: So many pieces of that size leave together: each system call may wake the peer.
_PIECES = 4


class TlsCore(Receiver):
    """Encrypts and decrypts what goes over a transport.

    Args:
        transport: the transport below, which is owned from now on.
        context: certificates and checks.
        server_side: which side we are.
        server_hostname: the name that the server's certificate must carry.
    """

    __slots__ = (
        "_below",
        "_drained",
        "_end_told",
        "_eof",
        "_eof_sent",
        "_error",
        "_established",
        "_farewell",
        "_incoming",
        "_lost",
        "_outgoing",
        "_read",
        "_receiver",
        "_ssl_object",
        "_unencrypted",
    )

    def __init__(
        self,
        transport: Transport,
        context: SSLContext,
        *,
        server_side: bool,
        server_hostname: str | None,
    ) -> None:
        self._below = transport
        self._incoming = MemoryBIO()
        self._outgoing = MemoryBIO()
        self._ssl_object = context.wrap_bio(
            self._incoming, self._outgoing, server_side, server_hostname
        )
        # What it returns depends on its arguments, and its declared type says nothing of this form.
        self._read: Any = self._ssl_object.read
        self._receiver: Receiver
        self._unencrypted: list[bytes] = []
        self._drained: Event | None = None
        self._established = False
        #: The end of the stream below has come, and the peer's end of TLS.
        self._eof = False
        self._farewell = False
        self._end_told = False
        self._eof_sent = False
        self._lost = False
        self._error: Exception | None = None

    # What the transport below calls

    @property
    def full(self) -> bool:
        """Whether enough was received for now."""
        return self._receiver.full

    def get_buffer(self, sizehint: int) -> memoryview:
        """Return where the next encrypted bytes go."""
        # They are moved on before anything is decrypted, so the same place serves for both.
        return self._receiver.get_buffer(sizehint)

    def buffer_updated(self, count: int) -> bool:
        """Decrypt the bytes that have come; return whether who waits should look."""
        if self._farewell:
            # They mean nothing, and nobody would take them out of OpenSSL's memory.
            return False
        view = self._receiver.get_buffer(-1)
        self._incoming.write(view if count == len(view) else view[:count])
        return self._decrypt() if self._established else True

    def eof_received(self) -> None:
        """Note the end of the stream, which says the same with the peer's farewell and without.

        Whether a message or the connection came to its end is told by frames.
        """
        self._eof = True
        if self._established:
            self._tell_end()

    def _tell_end(self) -> None:
        if not self._end_told:
            self._end_told = True
            self._receiver.eof_received()

    def connection_lost(self, error: Exception | None) -> None:
        """Note that the stream is gone."""
        self._lost = True
        self._unencrypted.clear()
        self._wake()
        self._receiver.connection_lost(self._error or error)

    def _decrypt(self) -> bool:
        """Give all that has come whole to the receiver; return whether who waits should look."""
        receiver = self._receiver
        new = False
        more = not self._farewell
        while more and not self._lost:
            view = receiver.get_buffer(-1)
            size = len(view)
            filled = 0
            try:
                while more and filled < size:
                    count = self._read(size - filled, view[filled:] if filled else view)
                    filled += count
                    self._farewell = not count
                    # To read until there is nothing would do, but costs an exception each time. What was
                    # decrypted stays behind only where there was no room for all of a record.
                    more = bool(
                        count
                        and (
                            self._incoming.pending
                            or (filled == size and self._ssl_object.pending())
                        )
                    )
            except SSLWantReadError:
                more = False
            except SSLError as error:
                self._error = error
                more = False
            if filled:
                new = receiver.buffer_updated(filled) or new
        if self._outgoing.pending:
            self._flush()
        if self._error is not None:
            self._below.abort()
            return True
        if self._farewell or self._eof:
            self._tell_end()
            return True
        if self._unencrypted:
            self._encrypt_held()
        return new

    # What the connection calls

    @property
    def clogged(self) -> bool:
        """Whether more than the high-water mark waits to be sent."""
        return bool(self._unencrypted) or self._below.clogged

    @property
    def paused(self) -> bool:
        """Whether nothing is received until ``resume_reading``."""
        return self._below.paused

    @property
    def unsent(self) -> int:
        """Bytes that were written and that the stream below has not taken yet."""
        unsent: int = self._below.unsent
        return unsent + sum(map(len, self._unencrypted)) if self._unencrypted else unsent

    def write(self, data: bytes) -> None:
        """Encrypt ``data`` and pass it on."""
        if self._lost or self._eof_sent or not data:
            return
        if self._unencrypted:
            self._unencrypted.append(data)
        elif len(data) <= _AT_ONCE:
            if self._encrypt(data):
                self._flush()
        else:
            self._encrypt_in_pieces(memoryview(data))

    def writelines(self, chunks: Sequence[bytes]) -> None:
        """Encrypt several pieces and pass them on."""
        if sum(map(len, chunks)) < _JOIN_BELOW:
            self.write(b"".join(chunks))
        else:
            for chunk in chunks:
                self.write(chunk)

    def _encrypt_in_pieces(self, view: memoryview) -> None:
        pieces: list[bytes] = []
        for start in range(0, len(view), _AT_ONCE):
            if self._encrypt(view[start : start + _AT_ONCE]):
                # OpenSSL keeps the memory for the most that ever was there, as long as the connection lives.
                pieces.append(self._outgoing.read())
                if len(pieces) == _PIECES:
                    self._below.writelines(pieces)
                    pieces = []
        if pieces:
            self._below.writelines(pieces)

    def _encrypt(self, data: bytes | memoryview) -> bool:
        """Encrypt ``data``; return whether it is there to be passed on."""
        if self._unencrypted:
            self._unencrypted.append(bytes(data))
            return False
        try:
            self._ssl_object.write(data)
        except SSLWantReadError:
            self._unencrypted.append(bytes(data))
        except SSLError as error:
            self._error = error
            self._below.abort()
        else:
            return True
        return False

    def _encrypt_held(self) -> None:
        """Encrypt what was written during another handshake, if that is over."""
        held, self._unencrypted = self._unencrypted, []
        for data in held:
            if self._encrypt(data):
                self._flush()
        if not self._unencrypted:
            self._wake()

    def _wake(self) -> None:
        if self._drained is not None:
            event, self._drained = self._drained, None
            event.set()

    def _flush(self) -> None:
        """Pass on what was encrypted."""
        self._below.write(self._outgoing.read())

    def _take_farewell(self) -> bytes:
        """Return the end of the stream, encrypted; nothing can be written after it."""
        if self._eof_sent or self._lost:
            return b""
        self._eof_sent = True
        if not self._established:
            return b""
        try:
            self._ssl_object.unwrap()
        except SSLError:
            # It waits for the peer's farewell, which nobody needs.
            pass
        return self._outgoing.read()
