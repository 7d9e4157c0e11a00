"""A strict peer: it holds every byte that the library sends against RFC 6455 and RFC 7692, and answers.

Written without any code of the library, which is what is judged.
"""

import struct
import zlib
from contextlib import suppress

import anyio
import anyio.lowlevel

CONTINUATION, TEXT, BINARY, CLOSE, PING, PONG = 0, 1, 2, 8, 9, 10
ENDED = (anyio.EndOfStream, anyio.BrokenResourceError, anyio.ClosedResourceError, OSError)


def masked(payload, mask):
    """Return ``payload`` masked, or unmasked."""
    repeated = (mask * (len(payload) // 4 + 1))[: len(payload)]
    mixed = int.from_bytes(payload, "big") ^ int.from_bytes(repeated, "big")
    return mixed.to_bytes(len(payload), "big")


class Judge:
    """Takes what one side sends.

    Attributes:
        messages: the whole messages, inflated; ``str`` for text.
        controls: opcode and payload of each ping and pong.
        close_code: the code of the close frame, ``None`` before it.
        unfinished: whether a message has begun and not ended.
        data: the bytes of a frame that is not whole yet.
    """

    def __init__(self, *, masks, deflate):
        self.masks = masks
        self.inflater = zlib.decompressobj(-15) if deflate else None
        self.messages = []
        self.controls = []
        self.close_code = None
        self.unfinished = False
        self.data = bytearray()

    def take(self, data):
        self.data += data
        while (frame := self._cut()) is not None:
            assert self.close_code is None, f"a frame after the close frame: {frame}"
            self._frame(*frame)

    def _cut(self):
        """Remove and return the first frame, if it is whole."""
        data = self.data
        if len(data) < 2:
            return None
        assert bool(data[1] & 0x80) == self.masks, "masked in the wrong direction"
        length, start = data[1] & 0x7F, 2
        if length > 125:
            start = 4 if length == 126 else 10
            if len(data) < start:
                return None
            (length,) = struct.unpack(">H" if length == 126 else ">Q", data[2:start])
            assert length > (125 if start == 4 else 65535), "not the shortest form of a length"
        mask = bytes(data[start : start + 4]) if self.masks else b""
        start += len(mask)
        if len(data) < start + length:
            return None
        first, payload = data[0], masked(bytes(data[start : start + length]), mask)
        del data[: start + length]
        return first, payload

    def _frame(self, first, payload):
        opcode, final = first & 0x0F, bool(first & 0x80)
        if opcode >= CLOSE:
            assert opcode in (CLOSE, PING, PONG), f"opcode {opcode}"
            assert first & 0xF0 == 0x80, "a control frame in fragments, or with reserved bits"
            assert len(payload) < 126, "a control frame of more than 125 bytes"
            if opcode == CLOSE:
                self.close_code = int.from_bytes(payload[:2], "big") or 1005
            else:
                self.controls.append((opcode, payload))
            return
        assert opcode in (CONTINUATION, TEXT, BINARY), f"opcode {opcode}"
        assert self.unfinished == (opcode == CONTINUATION), "a message inside another one"
        assert not first & 0x30, "reserved bits"
        if opcode:
            self._opcode, self._deflated, self._payload = opcode, bool(first & 0x40), b""
            assert self.inflater or not self._deflated, "compressed, though that was not agreed on"
        else:
            assert not first & 0x40, "RSV1 after a message's first frame"
        self._payload += payload
        self.unfinished = not final
        if final:
            self.messages.append(self._message())

    def _message(self):
        payload = self._payload
        if self._deflated:
            payload = self.inflater.decompress(payload + b"\0\0\xff\xff")
            assert not self.inflater.unused_data, "bytes after the end of a compressed message"
        return payload.decode() if self._opcode == TEXT else payload


class Peer:
    """The other side of a connection: judges what comes, answers pings and the close frame.

    Args:
        stream: the open byte stream, its opening handshake done.
        client: whether it is the client.
        deflate: whether permessage-deflate was agreed on.

    Attributes:
        ended: whether the stream has ended.
        answered: how many of the pings and pongs that came were seen to.
    """

    def __init__(self, stream, *, client, deflate):
        self.judge = Judge(masks=not client, deflate=deflate)
        self.ended = False
        self.answered = 0
        self._stream = stream
        self._client = client
        self._deflater = zlib.compressobj(wbits=-15) if deflate else None
        self._changed = anyio.Event()
        self._sending = anyio.Lock()

    async def run(self, received=b""):
        """Read to the end of the stream."""
        judge = self.judge
        with suppress(*ENDED):
            while True:
                judge.take(received)
                for opcode, payload in judge.controls[self.answered :]:
                    if opcode == PING:
                        await self.send_frame(0x80 | PONG, payload)
                    self.answered += 1
                self._notify()
                if judge.close_code is not None:
                    break
                received = await self._stream.receive()
            await self._end()
        self.ended = True
        self._notify()
        with anyio.CancelScope(shield=True), suppress(*ENDED):
            # Some task may still be sending.
            await anyio.aclose_forcefully(self._stream)

    async def _end(self):
        """Answer the close frame, and end the stream; a server does it first (RFC 6455, 7.1.1)."""
        await self.send_frame(0x80 | CLOSE, self.judge.close_code.to_bytes(2, "big"))
        if not self._client:
            try:
                await self._stream.send_eof()
            except (NotImplementedError, RuntimeError, AttributeError):
                # TLS cannot; the others are what anyio raises on uvloop when the stream is gone.
                await self._stream.aclose()
        while True:
            self.judge.take(await self._stream.receive())

    async def send_frame(self, first, payload=b""):
        """Send one frame; nothing when the stream is gone."""
        mask = b"\x01\x02\x03\x04" if self._client else b""
        length = len(payload)
        head = bytes((first, min(length, 126) | (0x80 if mask else 0)))
        head += b"" if length < 126 else struct.pack(">H", length)
        data = head + mask + masked(payload, mask)
        with suppress(*ENDED):
            async with self._sending:
                # In two parts, so that who receives waits in the middle of a frame.
                await self._stream.send(data[: len(data) // 2])
                await anyio.lowlevel.checkpoint()
                await self._stream.send(data[len(data) // 2 :])

    async def send_message(self, message, *, fragments=1):
        """Send one message, compressed where that was agreed on."""
        first = TEXT if isinstance(message, str) else BINARY
        payload = message.encode() if isinstance(message, str) else message
        if self._deflater is not None:
            first |= 0x40
            payload = self._deflater.compress(payload) + self._deflater.flush(zlib.Z_SYNC_FLUSH)
            payload = payload[:-4]
        size = len(payload) // fragments + 1
        pieces = [payload[start : start + size] for start in range(0, len(payload), size)] or [b""]
        for piece in pieces[:-1]:
            await self.send_frame(first, piece)
            first = CONTINUATION
        await self.send_frame(0x80 | first, pieces[-1])

    async def until(self, condition):
        """Wait until ``condition(judge)`` holds, or the stream has ended."""
        while not (condition(self.judge) or self.ended):
            await self._changed.wait()
        assert condition(self.judge), "the stream ended before that"

    async def until_ended(self):
        """Wait for the end of the stream."""
        while not self.ended:
            await self._changed.wait()

    def _notify(self):
        event, self._changed = self._changed, anyio.Event()
        event.set()
