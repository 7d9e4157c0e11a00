"""A chat: open http://127.0.0.1:8765/ in two windows. The tutorial builds it step by step.

python chat.py
"""

import json
import signal
from functools import partial

import anyio
from anyio.abc import TaskGroup, TaskStatus

import anyws

PAGE = """<!doctype html>
<meta charset="utf-8"><meta name="viewport" content="width=device-width">
<title>Chat</title>
<ul id="talk"></ul>
<form><input id="text" autofocus><button>Say</button></form>
<script>
  const socket = new WebSocket(location.href.replace("http", "ws") + "chat");
  socket.onopen = () => socket.send(JSON.stringify({name: prompt("Your name?")}));
  socket.onmessage = (event) => {
    const {name, text, notice} = JSON.parse(event.data);
    const line = document.createElement("li");
    line.textContent = notice ?? `${name}: ${text}`;
    document.getElementById("talk").append(line);
  };
  document.forms[0].onsubmit = (event) => {
    event.preventDefault();
    const input = document.getElementById("text");
    socket.send(JSON.stringify({text: input.value}));
    input.value = "";
  };
</script>
"""


class Room:
    """Passes on to everybody what one member says; who is too slow is sent away."""

    def __init__(self, task_group: TaskGroup) -> None:
        self.members: dict[anyws.WebSocket, str] = {}
        self.task_group = task_group

    def post(self, **content: str) -> None:
        """Send to everybody, without waiting for anybody."""
        for slow in anyws.broadcast(self.members, json.dumps(content)):
            self.members.pop(slow, None)
            self.task_group.start_soon(slow.close, 1008, "too slow")

    async def serve(self, client: anyws.WebSocket) -> None:
        """Take part with one connection, whose first message is a name."""
        name = None
        with anyio.move_on_after(10):
            name = read(await client.receive()).get("name")
        if not name:
            await client.close(1008, "what is your name?")
            return
        self.members[client] = name
        self.post(notice=f"{name} joined")
        try:
            async for message in client:
                if text := read(message).get("text"):
                    self.post(name=name, text=text)
        finally:
            self.members.pop(client, None)
            self.post(notice=f"{name} left")


def read(message: str | bytes) -> dict[str, str]:
    """Return the texts in a message; what is none, or no message of ours, is left out."""
    try:
        content = json.loads(message)
    except ValueError:
        return {}
    if not isinstance(content, dict):
        return {}
    return {key: value for key, value in content.items() if isinstance(value, str)}


def answer(request: anyws.Request) -> anyws.Response | None:
    """Answer a request for the page; the chat is at ``/chat``."""
    if request.path == "/":
        return anyws.Response(200, {"Content-Type": "text/html; charset=utf-8"}, PAGE)
    if request.path == "/chat":
        return None
    return anyws.Response(404, body="There is nothing here.\n")


async def serve_chat(
    port: int, *, task_status: TaskStatus[anyws.Server] = anyio.TASK_STATUS_IGNORED
) -> None:
    """Serve until cancelled, or until the server is closed."""
    async with anyio.create_task_group() as task_group:
        await anyws.serve(
            Room(task_group).serve,
            "127.0.0.1",
            port,
            process_request=answer,
            limits=anyws.Limits(message_size=4096),
            task_status=task_status,
        )


async def main() -> None:
    """Serve until Ctrl-C."""
    async with anyio.create_task_group() as task_group:
        server = await task_group.start(partial(serve_chat, 8765))
        print(f"http://127.0.0.1:{server.port}/")
        with anyio.open_signal_receiver(signal.SIGINT, signal.SIGTERM) as signals:
            async for _ in signals:
                break
        await server.aclose(grace=3)


if __name__ == "__main__":
    anyio.run(main)
