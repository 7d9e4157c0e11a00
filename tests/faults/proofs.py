"""What must hold when an operation was cancelled: the connection is as good as new, or it failed and says so."""

import pytest

import anyws


def leftovers(websocket):
    """Name what is still held in a connection that nobody uses."""
    lock, receiver = websocket.writer._lock, websocket._receiver
    held = {
        "the send lock": lock.locked,
        "the owner of the send lock": lock.owner,
        "who waits for the send lock": lock._waiters,
        "the claim to receive": receiver.claimed,
        "hunger": websocket._inbound.hungry,
        "pings": websocket._pings._waiting,
        "bytes": websocket.buffered,
    }
    return [name for name, value in held.items() if value]


async def prove_open(websocket, peer):
    """Check that a connection is as good as new, and close it; return the messages from before."""
    assert websocket.state is anyws.State.OPEN
    probes = ["probe " * 30, bytes(range(100)), "probe " * 30]
    for probe in probes:
        await websocket.writer.send(probe, compress=True)
    await peer.until(
        lambda judge: judge.messages[-3:] == probes and peer.answered == len(judge.controls)
    )
    await peer.send_message("answer " * 30)
    assert await websocket.receive() == "answer " * 30
    assert leftovers(websocket) == []
    await websocket.close()
    await peer.until_ended()
    judge = peer.judge
    assert (judge.close_code, judge.unfinished, judge.data) == (1000, False, b"")
    assert websocket.statistics().messages_sent == len(judge.messages)
    return judge.messages[:-3]


async def prove_failed(websocket, peer, code):
    """Check that a connection failed with ``code`` in the middle of a message, and says so."""
    with pytest.raises(anyws.ConnectionClosedError) as caught:
        await websocket.send("late")
    assert caught.value.cause is anyws.CloseCause.MESSAGE_ABANDONED
    await websocket.aclose()
    await peer.until_ended()
    judge = peer.judge
    assert (judge.close_code, judge.unfinished, judge.data) == (code, True, b"")
    return judge.messages
