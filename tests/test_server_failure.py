"""What ends a whole server beside its scope; what ends one connection is in test_server.py."""

from functools import partial

import anyio
import pytest

import anyws

pytestmark = pytest.mark.anyio


class Stop(BaseException):
    """Like ``SystemExit``, with which asyncio would end the whole loop."""


async def test_what_is_no_exception_ends_the_server_and_comes_out_of_it_alone():
    """As for every other task: only ``Exception`` is a handler's own affair."""
    codes = []
    stop = anyio.Event()

    async def handler(client):
        if client.request.path == "/stop":
            await stop.wait()
            raise Stop
        async for _ in client:
            pass

    async def visit(port, path, *, task_status):
        async with anyws.connect(f"ws://127.0.0.1:{port}{path}") as ws:
            await ws.ping()
            task_status.started()
            with pytest.raises(anyws.ConnectionClosed) as caught:
                await ws.receive()
            codes.append(caught.value.code)

    async def serve(*, task_status):
        with pytest.raises(Stop):
            await anyws.serve(handler, "127.0.0.1", task_status=task_status)

    with anyio.fail_after(10):
        async with anyio.create_task_group() as tg:
            server = await tg.start(serve)
            await tg.start(partial(visit, server.port, "/"))
            await tg.start(partial(visit, server.port, "/stop"))
            stop.set()
    assert codes == [1001, 1001]
