"""The chat room: who is there, and what reaches whom.

Messages are JSON texts with a ``type``. From the page come ``hello`` (name), ``say`` (text) and ``ping``
(anything in ``id``). The room sends ``welcome``, ``message``, ``notice``, ``pong`` and ``rtt``.
"""

from __future__ import annotations

import json
import time
from collections import deque
from typing import TYPE_CHECKING, Any

import anyio

from anyws.errors import ConnectionClosed

if TYPE_CHECKING:
    from anyws.stream.reader import WebSocketReader
    from anyws.stream.websocket import WebSocket

__all__ = ["ChatRoom"]

#: Bytes of one message from a page: the demo's ``Limits`` set no bound, since files pass through.
_MESSAGE_LIMIT = 8192
_TEXT_LIMIT = 2000
_NAME_LIMIT = 32
_HISTORY = 50
#: Messages that a page may be behind before it is sent away.
_OUTBOX = 1024
_PING_INTERVAL = 1.0


class _Refused(Exception):
    """The page broke the room's rules; holds the close code and the reason."""

    def __init__(self, code: int, reason: str) -> None:
        super().__init__(reason)
        self.code = code
        self.reason = reason


class _Member:
    """One page in the room, with what is still to be sent to it."""

    def __init__(self, websocket: WebSocket, name: str) -> None:
        self.websocket = websocket
        self.name = name
        self.scope = anyio.CancelScope()
        self.lagging = False
        self._outbox: deque[str] = deque()
        self._posted = anyio.Event()

    def post(self, text: str) -> None:
        """Queue ``text``; a page that is too far behind is sent away, nobody waits for it."""
        if len(self._outbox) == _OUTBOX:
            self.lagging = True
            self.scope.cancel()
            return
        self._outbox.append(text)
        self._posted.set()

    async def deliver(self) -> None:
        """Send what is queued, until the connection closes."""
        try:
            while True:
                await self._posted.wait()
                self._posted = anyio.Event()
                while self._outbox:
                    await self.websocket.send(self._outbox.popleft())
        except ConnectionClosed:
            self.scope.cancel()

    async def measure(self) -> None:
        """Tell the page how long its pings take, as the server sees it."""
        try:
            while True:
                seconds = await self.websocket.ping()
                self.post(_encode("rtt", ms=round(seconds * 1000, 3)))
                await anyio.sleep(_PING_INTERVAL)
        except ConnectionClosed:
            self.scope.cancel()


class ChatRoom:
    """Passes on to everybody what one member says."""

    def __init__(self) -> None:
        self._members: set[_Member] = set()
        self._history: deque[str] = deque(maxlen=_HISTORY)

    async def serve(self, websocket: WebSocket) -> None:
        """Take part with one connection, until it closes."""
        readers = aiter(websocket.readers())
        try:
            try:
                first = await _read(await anext(readers))
            except StopAsyncIteration:
                return
            if first.get("type") != "hello":
                raise _Refused(1008, "say hello first")
            await self._take_part(_Member(websocket, self._free_name(first.get("name"))))
        except _Refused as refusal:
            await websocket.close(refusal.code, refusal.reason)

    async def _take_part(self, member: _Member) -> None:
        refusal: _Refused | None = None
        self._enter(member)
        try:
            # The task group is inside the scope, and no exception leaves it: see ``deliver``.
            with member.scope:
                async with anyio.create_task_group() as task_group:
                    task_group.start_soon(member.deliver)
                    task_group.start_soon(member.measure)
                    try:
                        async for reader in member.websocket.readers():
                            self._handle(member, await _read(reader))
                    except _Refused as error:
                        refusal = error
                    except ConnectionClosed:
                        pass
                    task_group.cancel_scope.cancel()
        finally:
            self._leave(member)
        if refusal is not None:
            raise refusal
        if member.lagging:
            raise _Refused(1008, "too slow to keep up")

    def _handle(self, member: _Member, message: dict[str, Any]) -> None:
        match message:
            case {"type": "ping"}:
                member.post(_encode("pong", id=message.get("id")))
            case {"type": "say", "text": str(text)} if text.strip():
                said = {"text": text.strip()[:_TEXT_LIMIT], "name": member.name}
                self._broadcast("message", keep=True, **said)
            case {"type": "say"}:
                pass
            case {"type": "hello"}:
                self._rename(member, message.get("name"))
            case _:
                raise _Refused(1008, "this type of message is not known here")

    def _enter(self, member: _Member) -> None:
        self._broadcast("notice", event="joined", name=member.name, people=self._names(member))
        self._members.add(member)
        history = [json.loads(text) for text in self._history]
        member.post(_encode("welcome", name=member.name, people=self._names(), history=history))

    def _leave(self, member: _Member) -> None:
        self._members.discard(member)
        self._broadcast("notice", event="left", name=member.name, people=self._names())

    def _rename(self, member: _Member, wish: Any) -> None:
        before, member.name = member.name, ""
        member.name = self._free_name(wish)
        if member.name != before:
            people = self._names()
            self._broadcast("notice", event="renamed", name=before, to=member.name, people=people)

    def _broadcast(self, kind: str, *, keep: bool = False, **content: Any) -> None:
        text = _encode(kind, time=time.time(), **content)
        if keep:
            self._history.append(text)
        for member in self._members:
            member.post(text)

    def _names(self, *more: _Member) -> list[str]:
        return sorted(member.name for member in (*self._members, *more))

    def _free_name(self, wish: Any) -> str:
        """Return the name asked for, with a number behind it when somebody has it already."""
        wanted = " ".join(wish.split())[:_NAME_LIMIT].strip() if isinstance(wish, str) else ""
        wanted = wanted or "Guest"
        taken = {member.name for member in self._members}
        name, number = wanted, 1
        while name in taken:
            number += 1
            name = f"{wanted} {number}"
        return name


async def _read(reader: WebSocketReader) -> dict[str, Any]:
    """Return the message, of which no more than the limit is ever held."""
    memory = bytearray(_MESSAGE_LIMIT + 1)
    size = await reader.read_into(memory, len(memory))
    if size > _MESSAGE_LIMIT:
        raise _Refused(1009, f"a message has at most {_MESSAGE_LIMIT} bytes here")
    try:
        message = json.loads(memory[:size])
    except ValueError:
        raise _Refused(1007, "this is not JSON") from None
    if not isinstance(message, dict):
        raise _Refused(1008, "a message is an object here")
    return message


def _encode(kind: str, **content: Any) -> str:
    return json.dumps({"type": kind, **content}, ensure_ascii=False, separators=(",", ":"))
