// Stock npm socket.io-client, driven by JSON lines. One process carries any number of clients.
//
// In, one command a line:   {"do": "connect", "client", "url", "options"}
//                           {"do": "emit", "client", "args", "ack": null | id}    {"do": "disconnect", "client"}
// Out, one occurrence a line, each with "client" and "atMs" (epoch):
//   connect {id, transport} · connect_error {message, data} · disconnect {reason} · event {name, args} · ack {id, args}
//   · upgrade {transport} · reconnect_attempt
//
// With "asks": [event, ...] the client emits these at each connect, as a dashboard does; each answer is an ack with the
// event as its id.
import { createInterface } from "node:readline";
import { io } from "socket.io-client";

const sockets = new Map();

function tell(client, is, more = {}) {
  process.stdout.write(`${JSON.stringify({ client, is, atMs: Date.now(), ...more })}\n`);
}

function connect({ client, url, options, asks = [] }) {
  const socket = io(url, { forceNew: true, ...options });
  sockets.set(client, socket);
  socket.on("connect", () => {
    const engine = socket.io.engine;
    tell(client, "connect", { id: socket.id, transport: engine.transport.name });
    engine.on("upgrade", (transport) => tell(client, "upgrade", { transport: transport.name }));
    for (const event of asks) emit({ client, args: [event], ack: event });
  });
  socket.on("connect_error", (error) => tell(client, "connect_error", { message: error.message, data: error.data ?? null }));
  socket.on("disconnect", (reason) => tell(client, "disconnect", { reason }));
  socket.io.on("reconnect_attempt", () => tell(client, "reconnect_attempt"));
  socket.onAny((name, ...args) => tell(client, "event", { name, args }));
}

function emit({ client, args, ack }) {
  const socket = sockets.get(client);
  if (ack === null) socket.emit(...args);
  else socket.emit(...args, (...answer) => tell(client, "ack", { id: ack, args: answer }));
}

const commands = {
  connect,
  emit,
  disconnect: ({ client }) => sockets.get(client).disconnect(),
};

const lines = createInterface({ input: process.stdin });
lines.on("line", (line) => {
  const command = JSON.parse(line);
  commands[command.do](command);
});
lines.on("close", () => process.exit(0));
