// An echo on Node with the package ws; prints its port, then how each connection ended.

import {createRequire} from "node:module";
import {createServer} from "node:http";
import path from "node:path";

const require = createRequire(path.join(process.env.ANYWS_NODE_MODULES, "server_ws.mjs"));
const {WebSocketServer} = require("ws");

const options = {
  noServer: true,
  maxPayload: 2 ** 25,
  perMessageDeflate: {threshold: 256},
  handleProtocols: (offered) => (offered.has("chat") ? "chat" : false),
};
const echo = new WebSocketServer(options);

echo.on("connection", (socket) => {
  socket.on("message", (data, isBinary) => {
    const text = isBinary ? "" : data.toString();
    if (text === "ping") {
      socket.ping("are you there");
    } else if (text === "fragments") {
      for (const piece of ["one ", "", "tw", "o "]) socket.send(piece, {fin: false});
      socket.send("three", {fin: true});
    } else if (text.startsWith("close ")) {
      const [, code, reason] = /^close (\d+) (.*)$/.exec(text);
      socket.close(Number(code), reason);
    } else {
      socket.send(data, {binary: isBinary});
    }
  });
  socket.on("pong", (data) => socket.send(`pong ${data}`));
  socket.on("close", (code, reason) => console.log(`closed ${code} ${reason}`));
});

const server = createServer();
server.on("upgrade", (request, socket, head) => {
  if (request.url === "/refused") {
    socket.end("HTTP/1.1 403 Forbidden\r\nConnection: close\r\nContent-Length: 7\r\n\r\nnot you");
  } else {
    echo.handleUpgrade(request, socket, head, (accepted) => echo.emit("connection", accepted));
  }
});
server.listen(0, "127.0.0.1", () => console.log(`port ${server.address().port}`));
