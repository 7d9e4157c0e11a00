"""The opening handshake over a stream, where it can get stuck; what it decides is in tests/core/handshake."""

import anyio
import pytest

import anyws
from anyws.testing import memory_pair

pytestmark = pytest.mark.anyio

GET = b"GET / HTTP/1.1\r\nHost: memory\r\n\r\n"


@pytest.mark.parametrize("size", [10, 2**20])
async def test_a_refused_client_that_reads_nothing_is_dropped(size):
    """Whether the answer fits into the send buffer or waits for room there."""
    ours, theirs = memory_pair(capacity=len(GET))
    await theirs.send(GET)

    def refuse(request):
        return anyws.Response(403, body=b"x" * size)

    opened = anyws.accept(ours, process_request=refuse, close_timeout=0.02)
    with anyio.fail_after(5), pytest.raises(anyws.HandshakeError, match="403"):
        async with opened:
            pytest.fail("it was opened")
    assert ours.closed
    assert (await theirs.receive()).startswith(b"HTTP/1.1 403 Forbidden\r\n")
