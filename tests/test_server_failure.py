"""What ends a whole server beside its scope; what ends one connection is in test_server.py."""

import logging
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


@pytest.mark.parametrize("also", [None, LookupError], ids=["alone", "with another"])
async def test_the_end_of_a_connection_in_a_task_of_its_handler_is_no_error(caplog, also):
    """A handler with a task group meets it wrapped in a group; what else is in there is an error."""
    waiting = anyio.Event()

    async def receive(client):
        await client.receive()

    async def fail():
        try:
            await anyio.sleep_forever()
        finally:
            if also is not None:
                raise also

    async def handler(client):
        async with anyio.create_task_group() as outer, anyio.create_task_group() as inner:
            inner.start_soon(receive, client)
            outer.start_soon(fail)
            waiting.set()

    async with anyio.create_task_group() as tg:
        server = await tg.start(anyws.serve, handler, "127.0.0.1")
        async with anyws.connect(f"ws://127.0.0.1:{server.port}") as ws:
            await waiting.wait()
            await ws.close(4000)
        await server.aclose()
    records = [record for record in caplog.records if record.levelno >= logging.WARNING]
    assert len(records) == (0 if also is None else 1)
