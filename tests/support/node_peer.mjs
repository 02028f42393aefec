// A Node Socket.IO server with the stock Redis adapter, and a stock Redis emitter, driven by JSON lines.
//
// Argument: the address of Redis. The first line out is {"port"}; a client is put into the rooms of its auth.rooms.
// In, one command a line: {"do": "server" | "emitter", "rooms", "except", "event", "args"}
import { createServer } from "node:http";
import { createInterface } from "node:readline";
import redisAdapter from "@socket.io/redis-adapter";
import { Emitter } from "@socket.io/redis-emitter";
import { createClient } from "redis";
import { Server } from "socket.io";

const publisher = createClient({ url: process.argv[2] });
const subscriber = publisher.duplicate();
for (const client of [publisher, subscriber]) client.on("error", (error) => console.error(error.message));
await Promise.all([publisher.connect(), subscriber.connect()]);

const server = createServer();
const io = new Server(server, { adapter: redisAdapter.createAdapter(publisher, subscriber) });
io.on("connection", (socket) => {
  socket.join(socket.handshake.auth.rooms ?? []);
  socket.emit("joined");
});
const emitter = new Emitter(publisher);

const senders = { server: io, emitter };
const lines = createInterface({ input: process.stdin });
lines.on("line", (line) => {
  const { do: sender, rooms, except, event, args } = JSON.parse(line);
  let target = senders[sender].except(except ?? []);
  if (rooms.length) target = target.to(rooms);
  target.emit(event, ...args);
});
lines.on("close", () => process.exit(0));
server.listen(0, "127.0.0.1", () => console.log(JSON.stringify({ port: server.address().port })));
