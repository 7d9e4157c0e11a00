// A client on Node with the package undici: talks to the server at the address given, prints what it saw.

import {createRequire} from "node:module";
import {strict as assert} from "node:assert";
import {subscribe} from "node:diagnostics_channel";
import path from "node:path";

const require = createRequire(path.join(process.env.ANYWS_NODE_MODULES, "client_undici.mjs"));
const {WebSocket, ping} = require("undici");

const BYTES = Buffer.from(Array.from({length: 256}, (_, i) => i));
const LONG = "to be or not to be, ".repeat(10_000);
const PIECES = "one two " + "three ".repeat(1000);
const MESSAGES = ["grüße", BYTES, "", Buffer.alloc(0), LONG, Buffer.concat(Array(4096).fill(BYTES))];

const once = (socket, name) =>
  new Promise((resolve, reject) => {
    socket.addEventListener(name, resolve, {once: true});
    socket.addEventListener("error", reject, {once: true});
  });

async function connect() {
  const socket = new WebSocket(process.argv[2]);
  socket.binaryType = "arraybuffer";
  await once(socket, "open");
  return socket;
}

async function ask(socket, message) {
  socket.send(message);
  const {data} = await once(socket, "message");
  return typeof data === "string" ? data : Buffer.from(data);
}

async function closed(socket) {
  const event = await once(socket, "close");
  return [event.code, event.reason];
}

const saw = {};
const socket = await connect();
saw.extensions = socket.extensions;
for (const message of MESSAGES) {
  assert.deepEqual(await ask(socket, message), message);
}
assert.equal(await ask(socket, "pieces please"), PIECES);
const pong = new Promise((resolve) => subscribe("undici:websocket:pong", resolve));
ping(socket, Buffer.from("hello"));
assert.equal((await pong).payload.toString(), "hello");
assert.equal(await ask(socket, "ping please"), "pong came");
socket.close(3456, "bye ✓");
saw.answer = await closed(socket);

const other = await connect();
other.send("close please");
saw.closed = await closed(other);
console.log(JSON.stringify(saw));
