"""JSON-RPC 2.0 over a connection, in both directions at once: each side can call the other.

python jsonrpc.py               a server and a client, in one program
"""

import inspect
import itertools
import json
import logging
from collections.abc import Callable
from typing import Any

import anyio
from anyio.abc import TaskGroup, TaskStatus

import anyws

PARSE_ERROR, INVALID_REQUEST, METHOD_NOT_FOUND, INVALID_PARAMS = -32700, -32600, -32601, -32602
INTERNAL_ERROR, BUSY = -32603, -32000
#: Calls that one side performs for the other at a time.
MAX_CALLS = 100

_logger = logging.getLogger(__name__)


class RpcError(Exception):
    """What the other side answered instead of a result; a method may raise it too."""

    def __init__(self, code: int, message: str, data: Any = None) -> None:
        super().__init__(code, message, data)
        self.code, self.message, self.data = code, message, data


class Rpc:
    """One side of a connection; ``run`` has to run while it is used.

    Args:
        websocket: the connection.
        methods: what the other side may call, by name; functions, async or not.
    """

    def __init__(self, websocket: anyws.WebSocket, methods: dict[str, Callable[..., Any]]) -> None:
        self.websocket = websocket
        self.methods = methods
        self._numbers = itertools.count(1)
        self._answers: dict[Any, tuple[anyio.Event, dict[str, Any]]] = {}
        self._performing = 0

    async def call(self, method: str, *args: Any, **keywords: Any) -> Any:
        """Call a method of the other side and return its result; give arguments one way only."""
        number = next(self._numbers)
        event, answer = self._answers[number] = anyio.Event(), {}
        try:
            await self._send(id=number, method=method, params=keywords or args)
            await event.wait()
        finally:
            del self._answers[number]
        if "error" in answer:
            error = answer["error"]
            raise RpcError(error["code"], error["message"], error.get("data"))
        if "result" not in answer:
            # The reason why no answer will come.
            raise anyio.BrokenResourceError
        return answer["result"]

    async def notify(self, method: str, *args: Any, **keywords: Any) -> None:
        """Call a method of the other side without waiting for anything."""
        await self._send(method=method, params=keywords or args)

    async def run(self, *, task_status: TaskStatus[None] = anyio.TASK_STATUS_IGNORED) -> None:
        """Receive until the connection closes; every call runs in a task of its own."""
        task_status.started()
        try:
            async with anyio.create_task_group() as task_group:
                async for message in self.websocket:
                    await self._take(message, task_group)
                task_group.cancel_scope.cancel()
        finally:
            for event, _ in self._answers.values():
                event.set()

    async def _take(self, message: str | bytes, task_group: TaskGroup) -> None:
        try:
            content = json.loads(message)
        except ValueError:
            await self._send(id=None, error={"code": PARSE_ERROR, "message": "Parse error"})
            return
        if isinstance(content, dict) and "method" not in content:
            if waiting := self._answers.get(content.get("id")):
                waiting[1].update(content)
                waiting[0].set()
            return
        if self._performing == MAX_CALLS:
            # To stop receiving instead would stop the answers that some of them wait for.
            number = content.get("id") if isinstance(content, dict) else None
            await self._send(id=number, error={"code": BUSY, "message": "Too many calls"})
            return
        self._performing += 1
        task_group.start_soon(self._answer, content)

    async def _answer(self, content: Any) -> None:
        try:
            if isinstance(content, list) and content:
                answers = [await self._perform(request) for request in content]
                answer: Any = [answer for answer in answers if answer is not None]
            else:
                answer = await self._perform(content)
            if answer:
                await self.websocket.send(json.dumps(answer))
        except anyws.ConnectionClosed:
            pass
        finally:
            self._performing -= 1

    async def _perform(self, request: Any) -> dict[str, Any] | None:
        """Call a method and return the answer, ``None`` for a notification."""
        try:
            if not isinstance(request, dict) or request.get("jsonrpc") != "2.0":
                raise RpcError(INVALID_REQUEST, "Invalid Request")
            result = await self._invoke(request.get("method"), request.get("params", []))
            outcome = {"result": result}
        except RpcError as error:
            outcome = {"error": {"code": error.code, "message": error.message}}
            if error.data is not None:
                outcome["error"]["data"] = error.data
        if isinstance(request, dict) and "id" not in request and "jsonrpc" in request:
            return None
        number = request.get("id") if isinstance(request, dict) else None
        return {"jsonrpc": "2.0", "id": number, **outcome}

    async def _invoke(self, name: Any, params: Any) -> Any:
        method = self.methods.get(name) if isinstance(name, str) else None
        if method is None:
            raise RpcError(METHOD_NOT_FOUND, "Method not found")
        if not isinstance(params, (list, dict)):
            raise RpcError(INVALID_PARAMS, "Invalid params")
        args, keywords = ([], params) if isinstance(params, dict) else (params, {})
        try:
            inspect.signature(method).bind(*args, **keywords)
        except TypeError as error:
            raise RpcError(INVALID_PARAMS, "Invalid params", str(error)) from None
        try:
            result = method(*args, **keywords)
            return await result if inspect.isawaitable(result) else result
        except RpcError:
            raise
        except Exception as error:
            _logger.exception("%s failed", name)
            raise RpcError(INTERNAL_ERROR, "Internal error") from error

    async def _send(self, **content: Any) -> None:
        await self.websocket.send(json.dumps({"jsonrpc": "2.0", **content}))


def add(one: float, other: float) -> float:
    """Add two numbers."""
    return one + other


async def serve_methods(client: anyws.WebSocket) -> None:
    """Let a client call ``add``."""
    await Rpc(client, {"add": add}).run()


async def main() -> None:
    """Call a method over a connection."""
    async with anyio.create_task_group() as task_group:
        server = await task_group.start(anyws.serve, serve_methods, "127.0.0.1")
        async with anyws.connect(f"ws://127.0.0.1:{server.port}") as websocket:
            rpc = Rpc(websocket, {})
            await task_group.start(rpc.run)
            print(await rpc.call("add", 2, 3))
            try:
                await rpc.call("divide", 2, 3)
            except RpcError as error:
                print(error.message)
        await server.aclose()


if __name__ == "__main__":
    anyio.run(main)
