"""The raw peer against itself."""

import anyio
import pytest

from anyws.testing import Frame, RawPeer, memory_pair

pytestmark = pytest.mark.anyio


async def test_both_sides_of_a_handshake():
    one, other = memory_pair()
    client, server = RawPeer(one), RawPeer(other)
    heads = []

    async def ask():
        heads.append(await client.request("X: 1", target="/a"))

    async with anyio.create_task_group() as tg:
        tg.start_soon(ask)
        request = await server.answer("Y: 2")
    assert request.startswith(b"GET /a HTTP/1.1\r\n")
    assert request.endswith(b"\r\nX: 1")
    # The sample of RFC 6455, section 1.3.
    assert b"Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=" in heads[0]
    assert heads[0].endswith(b"\r\nY: 2")


@pytest.mark.parametrize("size", [0, 125, 126, 65535, 65536])
@pytest.mark.parametrize("mask", [None, b"\x01\x02\x03\x04"])
async def test_frames(size, mask):
    one, other = memory_pair(2**18)
    payload = bytes(index % 251 for index in range(size))
    await RawPeer(one).send_frame(0x82, payload, mask=mask)
    frame = await RawPeer(other).receive_frame()
    assert frame == Frame(0x82, payload, mask is not None)
    assert (frame.opcode, frame.final) == (2, True)


async def test_the_sample_frames_of_the_rfc():
    assert RawPeer.frame(0x81, b"Hello") == bytes.fromhex("810548656c6c6f")
    masked = RawPeer.frame(0x81, b"Hello", mask=bytes.fromhex("37fa213d"))
    assert masked == bytes.fromhex("818537fa213d7f9f4d5158")


async def test_closes_and_the_end():
    one, other = memory_pair()
    peer = RawPeer(other)
    await RawPeer(one).send(b"\x88\x00" + b"\x88\x04\x03\xe8ok" + b"\x81\x00" + b"rest")
    assert await peer.receive_close() == (1005, "")
    assert await peer.receive_close() == (1000, "ok")
    with pytest.raises(AssertionError, match="close frame"):
        await peer.receive_close()
    with pytest.raises(AssertionError, match="rest"):
        await peer.receive_eof()
    await one.send_eof()
    assert await peer.receive_exactly(4) == b"rest"
    await peer.receive_eof()
    with pytest.raises(anyio.EndOfStream):
        await peer.receive_exactly(1)
