"""The contract of a connection as a function that puts any implementation through it."""

from __future__ import annotations

import inspect
from functools import partial
from typing import TYPE_CHECKING, Any

import anyio

from anyws.errors import ConnectionClosed, ConnectionClosedOK

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable
    from contextlib import AbstractAsyncContextManager

    from anyws.stream.websocket import WebSocket

    Maker = Callable[[], AbstractAsyncContextManager[tuple[WebSocket, WebSocket]]]

__all__ = ["check_websocket_pair"]


async def check_websocket_pair(maker: Maker, *, size: int = 70000) -> list[str]:
    """Put a pair of connections through the contract, each way round.

    Args:
        maker: returns a new async context manager that gives two connected ``WebSocket`` objects.
        size: bytes of the largest message.

    Returns:
        The names of the checks that were made.

    Raises:
        AssertionError: the contract is broken.
    """
    names = []
    checks = [partial(_check_messages, size=size), *_CHECKS]
    for check in checks:
        for swap in (False, True):
            with anyio.fail_after(30):
                async with maker() as (client, server):
                    await (check(server, client) if swap else check(client, server))
        function = check.func if isinstance(check, partial) else check
        names.append(function.__name__.removeprefix("_check_"))
    return names


async def _raises(error: type[BaseException], call: Awaitable[Any]) -> Any:
    try:
        result = await call
    except error as raised:
        return raised
    raise AssertionError(f"expected {error.__name__}, got {result!r}")


async def _check_messages(one: WebSocket, other: WebSocket, size: int) -> None:
    """Every kind of message arrives as what it was."""
    messages = ("", b"", "text", b"binary", "\U0001f40d" * (size // 4), bytes(size))
    for message in messages:
        async with anyio.create_task_group() as tg:
            tg.start_soon(one.send, message)
            received = await other.receive()
        assert received == message
        assert type(received) is type(message)


async def _check_bytes_like(one: WebSocket, other: WebSocket) -> None:
    """Bytes-like objects are sent as binary, as they are at that moment."""
    data = bytearray(b"before")
    await one.send(data)
    data[:] = b"after!"
    await one.send(memoryview(b"view"))
    assert await other.receive() == b"before"
    assert await other.receive() == b"view"


async def _check_wrong_type(one: WebSocket, other: WebSocket) -> None:
    """What is no message is refused before a byte moves."""
    for wrong in (None, 1, ["a"], {"a": 1}):
        await _raises(TypeError, one.send(wrong))  # type: ignore[arg-type]
    await one.send("fine")
    assert await other.receive() == "fine"


async def _check_fragments(one: WebSocket, other: WebSocket) -> None:
    """Pieces make one message; a piece of another kind is refused and spoils nothing."""
    async with one.writer.fragment() as stream:
        await stream.send("Hello ")
        await _raises(TypeError, stream.send(b"bytes"))
        await stream.send("World!")
    assert await other.receive() == "Hello World!"
    async with one.writer.fragment() as stream:
        await stream.send(b"a")
        await stream.send(b"b", final=True)
    assert await other.receive() == b"ab"
    async with one.writer.fragment() as stream:
        pass
    await one.writer.feed([b"x" * 3000, b"y"])
    assert await other.receive() == b"x" * 3000 + b"y"


async def _check_concurrent_senders(one: WebSocket, other: WebSocket) -> None:
    """Every message arrives whole, and each task's messages in their order."""

    async def send(name: int) -> None:
        for number in range(10):
            await one.send(f"{name} {number}")

    received: dict[str, list[int]] = {}
    async with anyio.create_task_group() as tg:
        for name in range(5):
            tg.start_soon(send, name)
        for _ in range(50):
            message = await other.receive()
            assert isinstance(message, str)
            sender, number = message.split()
            received.setdefault(sender, []).append(int(number))
    assert all(numbers == list(range(10)) for numbers in received.values())


async def _check_cancelled_receive(one: WebSocket, other: WebSocket) -> None:
    """A cancelled receive loses nothing."""
    with anyio.CancelScope() as scope:
        scope.cancel()
        await other.receive()
    await one.send("kept")
    assert await other.receive() == "kept"


async def _check_cancelled_send(one: WebSocket, other: WebSocket) -> None:
    """A cancelled send was not admitted, or is delivered whole; the connection goes on."""
    with anyio.CancelScope() as scope:
        scope.cancel()
        await one.send("maybe")
    await one.send("sure")
    first = await other.receive()
    assert first in ("maybe", "sure")
    if first == "maybe":
        assert await other.receive() == "sure"


async def _check_two_receivers(one: WebSocket, other: WebSocket) -> None:
    """A second receiver is told so, and the first is unharmed."""
    received = []

    async def receive() -> None:
        received.append(await other.receive())

    async with anyio.create_task_group() as tg:
        tg.start_soon(receive)
        await anyio.wait_all_tasks_blocked()
        await _raises(anyio.BusyResourceError, other.receive())
        await one.send("first")
    assert received == ["first"]


async def _check_ping(one: WebSocket, other: WebSocket) -> None:
    """A ping is answered while the peer receives; a payload that is too long is refused."""
    async with anyio.create_task_group() as tg:
        tg.start_soon(_until_closed, other)
        tg.start_soon(_until_closed, one)
        assert await one.ping() >= 0
        assert one.latency is not None
        await _raises(ValueError, one.writer.ping(bytes(126)))
        await _raises(ValueError, one.writer.pong(3, b"four"))
        await one.close()


async def _until_closed(websocket: WebSocket) -> None:
    async for _ in websocket:
        pass
    await websocket.aclose()


async def _check_close(one: WebSocket, other: WebSocket) -> None:
    """Messages come before the close; code and reason are seen; every later call says the same."""
    await one.send("last")
    async with anyio.create_task_group() as tg:
        tg.start_soon(one.close, 1000, "done")
        assert await other.receive() == "last"
        closed = await _raises(ConnectionClosedOK, other.receive())
        assert (closed.code, closed.reason) == (1000, "done")
        await other.aclose()
    for websocket in (one, other):
        assert websocket.writer.closed
        await _raises(ConnectionClosed, websocket.send("late"))
        await _raises(ConnectionClosed, websocket.receive())
        await websocket.close()
    assert isinstance(closed, anyio.EndOfStream)


async def _check_error_code(one: WebSocket, other: WebSocket) -> None:
    """A code that is no good end is an error for both."""
    async with anyio.create_task_group() as tg:
        tg.start_soon(one.close, 3999, "")
        closed = await _raises(anyio.BrokenResourceError, other.receive())
        assert closed.code == 3999
        await other.aclose()
    assert not isinstance(closed, anyio.EndOfStream)


async def _check_bad_close(one: WebSocket, other: WebSocket) -> None:
    """A code that may not be sent is refused, and the connection goes on."""
    for code in (0, 999, 1004, 1005, 1006, 1015, 2999, 5000):
        await _raises(ValueError, one.close(code, "x"))
    await _raises(ValueError, one.close(1000, "x" * 124))
    await one.send("open")
    assert await other.receive() == "open"


_CHECKS = [
    check
    for name, check in list(globals().items())
    if name.startswith("_check_")
    and inspect.iscoroutinefunction(check)
    and check is not _check_messages
]
