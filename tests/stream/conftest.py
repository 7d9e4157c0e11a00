"""One side of the library, and opposite it a peer that speaks bytes."""

from contextlib import asynccontextmanager

import anyio
import pytest

from anyws.client import client_over
from anyws.server import accept
from anyws.testing import RawPeer, memory_pair

REQUEST = (
    b"GET / HTTP/1.1\r\nHost: memory\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
    b"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n"
)
DEFLATE = b"Sec-WebSocket-Extensions: permessage-deflate\r\n"


class RawClient(RawPeer):
    """A client byte by byte: what it sends is masked."""

    async def send_frame(self, first, payload=b"", *, mask=b"mask"):
        await super().send_frame(first, payload, mask=mask)

    async def send_close(self, code=1000):
        await self.send_frame(0x88, code.to_bytes(2, "big"))


@pytest.fixture
def raw_client():
    """Give a context manager: a server's ``WebSocket`` and a ``RawClient`` opposite it.

    ``capacity`` bytes fit into each direction of the stream once the handshake is over. When
    the block is left, the client closes its end first, so that nobody waits for it.
    """

    @asynccontextmanager
    async def opened(*, capacity=65536, deflate=False, wrap=None, **options):
        ours, theirs = memory_pair()
        peer = RawClient(theirs)
        stream = ours if wrap is None else wrap(ours)
        await peer.send(REQUEST + (DEFLATE if deflate else b"") + b"\r\n")
        with anyio.fail_after(20):
            async with accept(stream, **options) as websocket:
                head = await peer._head()
                assert (b"permessage-deflate" in head) == deflate
                ours._outgoing.capacity = ours._incoming.capacity = capacity
                try:
                    yield websocket, peer
                finally:
                    await theirs.aclose()

    return opened


@pytest.fixture
def raw_server():
    """Give a context manager: a client's ``WebSocket`` and a ``RawPeer`` opposite it."""

    @asynccontextmanager
    async def opened(**options):
        ours, theirs = memory_pair()
        peer = RawPeer(theirs)
        with anyio.fail_after(20):
            async with anyio.create_task_group() as tg:
                tg.start_soon(peer.answer)
                async with client_over(ours, "ws://memory/", **options) as websocket:
                    try:
                        yield websocket, peer
                    finally:
                        await theirs.aclose()

    return opened
