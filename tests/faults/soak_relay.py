"""A TCP relay between clients and a server, which does to a connection what its plan says.

The plan is found by the target of the request that passes through, so both ends use plain TCP and know nothing.
"""

import socket
from contextlib import suppress
from functools import partial

import anyio
from anyio.abc import SocketAttribute, SocketStream

#: What happens to the bytes of a connection.
HARMLESS = ("nothing", "byte by byte", "pieces", "stall")
HARMFUL = ("cut", "reset", "half-close")
#: Found by nothing but the keepalive.
SILENT = ("vanish",)
#: What happens once, after some bytes.
_ONCE = ("stall", *HARMFUL, *SILENT)
GONE = (anyio.BrokenResourceError, anyio.ClosedResourceError, anyio.EndOfStream, OSError)


class Relay:
    """Passes bytes on, and does harm.

    Args:
        port: of the server.
        plans: gives ``(action, session, after, from_client)`` for a request's target: what to do, with what
            randomness and patience, after how many bytes of which direction.
    """

    def __init__(self, port, plans):
        self._port = port
        self._plans = plans

    async def serve(self, *, task_status):
        """Serve until cancelled; gives the port."""
        with socket.create_server(("0.0.0.0", 0), backlog=1000) as listener:
            listener.setblocking(False)
            async with anyio.create_task_group() as tg:
                task_status.started(listener.getsockname()[1])
                while True:
                    await anyio.wait_readable(listener)
                    # All that are there: one in each round of a busy loop would be too few.
                    with suppress(BlockingIOError):
                        while True:
                            client, _ = listener.accept()
                            tg.start_soon(self._accepted, client)

    async def _accepted(self, client):
        await self._client(await SocketStream.from_socket(client))

    async def _client(self, client):
        async with client:
            with suppress(*GONE):
                data = b""
                while b"\r\n" not in data:
                    data += await client.receive()
                plan = self._plans(data.split()[1].decode())
                if plan is None:
                    # The client has given up meanwhile.
                    return
                plan[1].stages.append("asked")
                host = client.extra(SocketAttribute.local_address)[0].replace("127.1", "127.2", 1)
                async with await anyio.connect_tcp(host, self._port) as server:
                    plan[1].stages.append("connected")
                    async with anyio.create_task_group() as tg:
                        end = partial(self._end, tg.cancel_scope, client, server)
                        tg.start_soon(self._pass, data, client, server, plan, True, end)
                        tg.start_soon(self._pass, b"", server, client, plan, False, end)

    @staticmethod
    async def _end(scope, client, server, reset):
        for stream in (client, server):
            if reset:
                # uvloop has no socket any more when the peer was faster.
                with suppress(*GONE, AttributeError, ValueError):
                    stream.extra(SocketAttribute.raw_socket).setsockopt(1, 13, b"\1\0\0\0\0\0\0\0")
        scope.cancel()

    async def _pass(self, data, source, target, plan, from_client, end):
        action, session, after, where = plan
        random = session.random
        here = where == from_client
        passed = 0
        try:
            while True:
                if not data:
                    data = await source.receive(2**16)
                if here and action in _ONCE and passed + len(data) > after:
                    await self._forward(target, data[: after - passed], "nothing", random)
                    data, passed = data[after - passed :], after
                    if action in ("cut", "reset"):
                        await end(action == "reset")
                        return
                    if action == "vanish":
                        await anyio.sleep_forever()
                    elif action == "half-close":
                        break
                    elif action == "stall":
                        await anyio.sleep(random.uniform(0, session.stall))
                        action = "nothing"
                await self._forward(target, data, action, random)
                passed += len(data)
                data = b""
        except anyio.EndOfStream:
            pass
        except GONE:
            await end(True)
            return
        # The latter is uvloop's word for a stream that was closed in the meantime.
        with suppress(*GONE, RuntimeError):
            await target.send_eof()

    @staticmethod
    async def _forward(target, data, action, random):
        if action == "byte by byte":
            # Not all of it: a round of the loop for each byte would take longer than the keepalive waits.
            for byte in data[:20]:
                await target.send(bytes((byte,)))
            data = data[20:]
        elif action == "pieces":
            while data:
                size = random.choice((1, 2, 7, 100, 1460, 20000))
                await target.send(data[:size])
                data = data[size:]
        if data:
            await target.send(data)
