"""Connected pairs: every way to make one, and leaving them."""

import anyio
import pytest

import anyws
from anyws.testing import FaultyStream, WebSocketPair, lockstep_pair, memory_pair

pytestmark = pytest.mark.anyio


@pytest.mark.parametrize(
    "maker", [WebSocketPair, WebSocketPair.lockstep, WebSocketPair.byte_by_byte]
)
async def test_messages_both_ways(maker):
    with anyio.fail_after(10):
        async with maker() as (client, server):
            await client.send("question")
            assert await server.receive() == "question"
            await server.send(b"answer")
            assert await client.receive() == b"answer"
    assert client.close_code == 1000
    assert server.close_code == 1000


async def test_options_for_one_and_for_both():
    pair = WebSocketPair(
        uri="ws://h/path?query",
        client={"subprotocols": ["b"], "headers": {"X": "1"}},
        server={"subprotocols": ["a", "b"]},
        compression=None,
    )
    async with pair as (client, server):
        assert client.subprotocol == server.subprotocol == "b"
        assert server.request.path == "/path"
        assert server.request.headers["x"] == "1"
        assert "Sec-WebSocket-Extensions" not in client.response.headers


async def test_the_exception_of_the_block_comes_out_as_it_went_in():
    error = LookupError("mine")
    with pytest.raises(LookupError) as caught:
        async with WebSocketPair():
            raise error
    assert caught.value is error


async def test_cancelled():
    with anyio.fail_after(5):
        with anyio.CancelScope() as scope:
            async with WebSocketPair.lockstep() as (client, server):
                scope.cancel()
                await client.receive()
        assert scope.cancelled_caught
        assert client.close_code == 1006
        assert server.close_code == 1006


async def test_cancelled_while_it_is_left():
    with anyio.fail_after(5):
        with anyio.CancelScope() as scope:
            async with WebSocketPair.lockstep() as (client, server):
                scope.cancel()
        assert scope.cancelled_caught
    assert client.state is server.state is anyws.State.CLOSED


async def test_a_handshake_that_fails():
    one, other = memory_pair()
    broken = FaultyStream(one, receive_limit=10, receive_fault="eof")
    with anyio.fail_after(5), pytest.raises(anyws.InvalidHandshake):
        async with WebSocketPair((broken, other)):
            pass


async def test_a_refused_request():
    def refuse(request):
        return anyws.Response(403)

    with anyio.fail_after(5), pytest.raises((anyws.HandshakeError, ExceptionGroup)) as caught:
        async with WebSocketPair(server={"process_request": refuse}):
            pass
    assert isinstance(caught.value, anyws.RejectedHandshake)


async def test_the_streams_are_closed():
    streams = lockstep_pair()
    async with WebSocketPair(streams) as (client, _):
        assert not client.writer.closed
    assert [stream.closed for stream in streams] == [True, True]


async def test_cancelled_at_each_step_of_opening():
    """Also when the client is open and the server is not: what was entered is left."""
    opened = 0

    async def run():
        nonlocal opened
        async with WebSocketPair() as (client, _):
            opened += 1
            await client.receive()

    for steps in range(1, 60):
        with anyio.fail_after(10):
            async with anyio.create_task_group() as tg:
                tg.start_soon(run)
                for _ in range(steps):
                    await anyio.lowlevel.checkpoint()
                tg.cancel_scope.cancel()
        if opened > 2:
            break
    assert opened
