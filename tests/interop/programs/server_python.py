"""An echo on a Python server with an interface of its own; prints its port, then how connections ended.

Usage: server_python.py tornado|picows|picows-websockets
"""

import asyncio
import socket
import sys

LARGEST = 2**25


def listening_socket():
    listener = socket.create_server(("127.0.0.1", 0))
    listener.setblocking(False)
    print("port", listener.getsockname()[1], flush=True)
    return listener


async def tornado_server():
    import tornado.httpserver
    import tornado.web
    import tornado.websocket

    class Echo(tornado.websocket.WebSocketHandler):
        def get_compression_options(self):
            return {"compression_level": 6, "mem_level": 5}

        def select_subprotocol(self, subprotocols):
            return "chat" if "chat" in subprotocols else None

        async def on_message(self, message):
            if message == "ping":
                self.ping(b"are you there")
            elif isinstance(message, str) and message.startswith("close "):
                _, code, reason = message.split(" ", 2)
                self.close(int(code), reason)
            else:
                await self.write_message(message, binary=isinstance(message, bytes))

        def on_pong(self, data):
            self.write_message(f"pong {data.decode()}")

        def on_close(self):
            print("closed", self.close_code, self.close_reason or "", flush=True)

    class Refused(tornado.web.RequestHandler):
        def get(self):
            raise tornado.web.HTTPError(403)

    application = tornado.web.Application(
        [("/", Echo), ("/refused", Refused)], websocket_max_message_size=LARGEST
    )
    tornado.httpserver.HTTPServer(application).add_sockets([listening_socket()])
    await asyncio.Event().wait()


async def picows_server():
    """The echo of frames: a fragment of a message is answered by a fragment."""
    import picows

    class Echo(picows.WSListener):
        def on_ws_connected(self, transport):
            self.ended = False

        def on_ws_frame(self, transport, frame):
            payload = frame.get_payload_as_bytes()
            if frame.msg_type == picows.WSMsgType.PING:
                transport.send_pong(payload)
            elif frame.msg_type == picows.WSMsgType.PONG:
                transport.send(picows.WSMsgType.TEXT, b"pong " + payload)
            elif frame.msg_type == picows.WSMsgType.CLOSE:
                code, reason = int(frame.get_close_code()), frame.get_close_reason() or ""
                print("closed", code, reason, flush=True)
                transport.send_close(code, reason.encode())
                transport.disconnect()
            elif payload == b"ping":
                transport.send_ping(b"are you there")
            elif payload.startswith(b"close "):
                _, code, reason = payload.split(b" ", 2)
                transport.send_close(int(code), reason)
            else:
                transport.send(frame.msg_type, payload, frame.fin)

    def listen(request):
        if request.path == b"/refused":
            refusal = picows.WSUpgradeResponse.create_error_response(403, b"not you")
            return picows.WSUpgradeResponseWithListener(refusal, None)
        offered = request.headers.get("Sec-WebSocket-Protocol", "").split(", ")
        headers = {"Sec-WebSocket-Protocol": "chat"} if "chat" in offered else None
        return picows.WSUpgradeResponseWithListener(
            picows.WSUpgradeResponse.create_101_response(headers), Echo()
        )

    server = await picows.ws_create_server(
        listen, sock=listening_socket(), max_frame_size=LARGEST, enable_auto_pong=False
    )
    await server.serve_forever()


async def picows_websockets_server():
    """Its other interface, which is that of the package websockets."""
    import http

    from picows.websockets import ConnectionClosed, serve

    async def echo(connection):
        try:
            async for message in connection:
                if message == "ping":
                    await (await connection.ping(b"are you there"))
                    await connection.send("pong are you there")
                elif message == "fragments":
                    await connection.send(["one ", "", "tw", "o ", "three"])
                elif isinstance(message, str) and message.startswith("close "):
                    _, code, reason = message.split(" ", 2)
                    await connection.close(int(code), reason)
                else:
                    await connection.send(message)
        except ConnectionClosed:
            pass
        print("closed", connection.close_code, connection.close_reason or "", flush=True)

    def refuse(connection, request):
        if request.path == "/refused":
            return connection.respond(http.HTTPStatus.FORBIDDEN, "not you")
        return None

    async with serve(
        echo,
        sock=listening_socket(),
        max_size=LARGEST,
        subprotocols=["chat"],
        process_request=refuse,
    ) as server:
        await server.serve_forever()


if __name__ == "__main__":
    servers = {
        "tornado": tornado_server,
        "picows": picows_server,
        "picows-websockets": picows_websockets_server,
    }
    asyncio.run(servers[sys.argv[1]]())
