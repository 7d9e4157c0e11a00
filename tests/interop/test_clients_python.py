"""Python's other clients talk to our server: websocket-client, tornado, picows, httpx-ws, niquests."""

import asyncio
from functools import partial

import anyio
import pytest

pytestmark = pytest.mark.anyio

BIG = bytes(range(256)) * 2**12
LONG = "to be or not to be, " * 10_000
MESSAGES = ["grüße", bytes(range(256)), "", b"", LONG, BIG]
PIECES = "one two " + "three " * 1000
LATER = 15  # seconds after which a blocking client gives up
ON_ASYNCIO = pytest.mark.parametrize(
    "anyio_backend",
    [("asyncio", {"debug": True}), ("asyncio", {"use_uvloop": True})],
    ids=["asyncio", "uvloop"],
)


async def in_thread(function, *arguments):
    with anyio.fail_after(30):
        return await anyio.to_thread.run_sync(partial(function, *arguments), abandon_on_cancel=True)


# websocket-client: blocking, without compression


def websocket_client(module, url):
    socket = module.create_connection(url, timeout=LATER, skip_utf8_validation=False)
    binary = module.ABNF.OPCODE_BINARY
    for message in MESSAGES:
        if isinstance(message, str):
            socket.send(message)
        else:
            socket.send_binary(message)
        assert socket.recv() == message
    for number, piece in enumerate((b"one ", b"", b"two")):
        opcode = module.ABNF.OPCODE_CONT if number else binary
        socket.send_frame(module.ABNF.create_frame(piece, opcode, number == 2))
    assert socket.recv() == b"one two"
    socket.send("pieces please")
    assert socket.recv() == PIECES
    socket.ping(b"hello")
    assert socket.recv_data_frame(control_frame=True)[1].data == b"hello"
    socket.send("ping please")
    assert socket.recv() == "pong came"
    socket.close(3456, "bye ✓".encode())


def websocket_client_is_closed(module, url):
    socket = module.create_connection(url, timeout=LATER)
    socket.send("close please")
    opcode, data = socket.recv_data()
    assert opcode == module.ABNF.OPCODE_CLOSE
    socket.shutdown()
    return int.from_bytes(data[:2], "big"), data[2:].decode()


async def test_websocket_client(serve_visits, need_module):
    module = need_module("websocket")
    async with serve_visits() as visited:
        await in_thread(websocket_client, module, visited.url)
        visit = await visited.visit()
        assert visit.messages == [*MESSAGES, b"one two"]
        assert visit.extensions == ""
        assert visit.ponged
        assert visit.closed == (3456, "bye ✓")
        assert await in_thread(websocket_client_is_closed, module, visited.url) == (
            4001,
            "enough ✓",
        )
        assert (await visited.visit()).closed == (1000, "")
