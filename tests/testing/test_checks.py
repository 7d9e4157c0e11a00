"""The contract, on every kind of pair."""

import pytest

from anyws.testing import WebSocketPair, check_websocket_pair

pytestmark = pytest.mark.anyio


class Used(WebSocketPair):
    """A pair that has to let others run before it sends again."""

    async def __aenter__(self):
        client, server = await super().__aenter__()
        await client.send("x")
        assert await server.receive() == "x"
        return client, server


MAKERS = {
    "memory": WebSocketPair,
    "uncompressed": lambda: WebSocketPair(compression=None),
    "lockstep": WebSocketPair.lockstep,
    "byte by byte": lambda: WebSocketPair.byte_by_byte(compression=None),
    "checkpoint on each call": lambda: Used(checkpoint_interval=1),
}


@pytest.mark.parametrize("maker", MAKERS.values(), ids=MAKERS)
async def test_contract(maker):
    size = 300 if maker is MAKERS["byte by byte"] else 70000
    names = await check_websocket_pair(maker, size=size)
    assert "messages" in names
    assert len(names) > 10
