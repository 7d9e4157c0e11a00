"""An echo in Starlette, served by an ASGI server; prints its port, then how each connection ended.

Usage: server_asgi.py uvicorn-websockets|uvicorn-websockets-sansio|uvicorn-wsproto|hypercorn|daphne|granian
"""

import asyncio
import socket
import sys

from starlette.applications import Starlette
from starlette.routing import WebSocketRoute
from starlette.websockets import WebSocketDisconnect

LARGEST = 2**25


async def echo(websocket):
    offered = websocket.scope["subprotocols"]
    await websocket.accept(subprotocol="chat" if "chat" in offered else None)
    try:
        while True:
            event = await websocket.receive()
            if event["type"] == "websocket.disconnect":
                print("closed", event.get("code"), event.get("reason") or "", flush=True)
                break
            text = event.get("text")
            if text is None:
                await websocket.send_bytes(event["bytes"])
            elif text.startswith("close "):
                _, code, reason = text.split(" ", 2)
                await websocket.close(int(code), reason)
                break
            else:
                await websocket.send_text(text)
    except WebSocketDisconnect as disconnect:
        print("closed", disconnect.code, disconnect.reason or "", flush=True)


async def refuse(websocket):
    await websocket.close()


application = Starlette(
    routes=[WebSocketRoute("/", echo), WebSocketRoute("/refused", refuse)],
)


def listening_socket():
    listener = socket.create_server(("127.0.0.1", 0))
    listener.setblocking(False)
    print("port", listener.getsockname()[1], flush=True)
    return listener


def uvicorn_server(engine):
    import uvicorn

    config = uvicorn.Config(
        application,
        ws=engine,
        ws_max_size=LARGEST,
        ws_ping_interval=0.2,
        ws_ping_timeout=20,
        lifespan="off",
        log_level="warning",
    )
    uvicorn.Server(config).run(sockets=[listening_socket()])


def hypercorn_server():
    import hypercorn.asyncio
    import hypercorn.config

    listener = listening_socket()
    config = hypercorn.config.Config()
    config.bind = [f"fd://{listener.detach()}"]
    config.websocket_max_message_size = LARGEST
    config.websocket_ping_interval = 0.2
    asyncio.run(hypercorn.asyncio.serve(application, config))


def daphne_server():
    import daphne.server

    listener = listening_socket()
    server = daphne.server.Server(
        application,
        endpoints=[f"fd:fileno={listener.detach()}"],
        ping_interval=1,
        ping_timeout=20,
        websocket_max_message_size=LARGEST,
        websocket_max_frame_size=LARGEST,
    )
    server.run()


def granian_server():
    import granian
    from granian.constants import Interfaces

    # It opens its own socket, in processes of its own, and cannot tell the port.
    with socket.create_server(("127.0.0.1", 0)) as probe:
        port = probe.getsockname()[1]
    print("port", port, flush=True)
    server = granian.Granian(
        f"{__file__}:application", "127.0.0.1", port, interface=Interfaces.ASGINL, log_access=False
    )
    server.serve()


if __name__ == "__main__":
    name = sys.argv[1]
    if name.startswith("uvicorn-"):
        uvicorn_server(name.removeprefix("uvicorn-"))
    else:
        {"hypercorn": hypercorn_server, "daphne": daphne_server, "granian": granian_server}[name]()
