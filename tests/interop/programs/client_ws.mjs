// A client on Node with the package ws: talks to the server at the address given, prints what it saw.

import {createRequire} from "node:module";
import {strict as assert} from "node:assert";
import {once} from "node:events";
import path from "node:path";

const require = createRequire(path.join(process.env.ANYWS_NODE_MODULES, "client_ws.mjs"));
const WebSocket = require("ws");

const BYTES = Buffer.from(Array.from({length: 256}, (_, i) => i));
const LONG = "to be or not to be, ".repeat(10_000);
const PIECES = "one two " + "three ".repeat(1000);
const MESSAGES = ["grüße", BYTES, "", Buffer.alloc(0), LONG, Buffer.concat(Array(4096).fill(BYTES))];

const [url, compressed] = process.argv.slice(2);

async function connect() {
  const options = {perMessageDeflate: compressed === "compressed" && {threshold: 0}};
  const socket = new WebSocket(url, options);
  await once(socket, "open");
  return socket;
}

async function ask(socket, message) {
  socket.send(message);
  return answer(socket);
}

async function answer(socket) {
  const [data, isBinary] = await once(socket, "message");
  return isBinary ? data : data.toString();
}

async function closed(socket) {
  const [code, reason] = await once(socket, "close");
  return [code, reason.toString()];
}

const saw = {};
const socket = await connect();
saw.extensions = socket.extensions;
for (const message of MESSAGES) {
  assert.deepEqual(await ask(socket, message), message);
}
for (const piece of ["one ", "", "two"]) socket.send(piece, {fin: piece === "two"});
assert.equal(await answer(socket), "one two");
assert.equal(await ask(socket, "pieces please"), PIECES);
socket.ping("hello");
const [pong] = await once(socket, "pong");
assert.equal(pong.toString(), "hello");
assert.equal(await ask(socket, "ping please"), "pong came");
socket.close(3456, "bye ✓");
saw.answer = await closed(socket);

const other = await connect();
other.send("close please");
saw.closed = await closed(other);
console.log(JSON.stringify(saw));
