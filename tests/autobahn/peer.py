"""The echo that Autobahn|Testsuite talks to: a server, or a client that runs its cases.

``python peer.py server LOOP`` prints its port and echoes until it gets SIGTERM;
``python peer.py client LOOP URL AGENT`` runs every case of the fuzzing server at ``URL``.
"""

import contextlib
import signal
import sys
from functools import partial

import anyio

import anyws

LIMITS = anyws.Limits(message_size=2**25)
OPTIONS = {"limits": LIMITS, "ping_interval": None}


async def echo(websocket):
    with contextlib.suppress(anyws.ConnectionClosed):
        async for message in websocket:
            await websocket.send(message)


async def serve():
    async with anyio.create_task_group() as task_group:
        server = await task_group.start(partial(anyws.serve, echo, "127.0.0.1", 0, **OPTIONS))
        print(server.port, flush=True)
        with anyio.open_signal_receiver(signal.SIGTERM) as signals:
            async for _ in signals:
                task_group.cancel_scope.cancel()


async def run_cases(url, agent):
    async with anyws.connect(f"{url}/getCaseCount") as websocket:
        count = int(await websocket.receive())
    for case in range(1, count + 1):
        async with anyws.connect(
            f"{url}/runCase?case={case}&agent={agent}", **OPTIONS
        ) as websocket:
            await echo(websocket)
    async with anyws.connect(f"{url}/updateReports?agent={agent}") as websocket:
        await echo(websocket)


def main(role, loop, *arguments):
    backend = "trio" if loop == "trio" else "asyncio"
    options = {"use_uvloop": True} if loop == "uvloop" else {}
    run = serve if role == "server" else partial(run_cases, *arguments)
    anyio.run(run, backend=backend, backend_options=options)


if __name__ == "__main__":
    main(*sys.argv[1:])
