// The reference for the conformance tests: the server of `examples/conformance_server.py`, on npm socket.io.
//
// usage: node reference_server.mjs PORT [PING_INTERVAL_MS] [PING_TIMEOUT_MS]
// It listens on 127.0.0.1 and ::1 and keeps no state besides its connections.
import { createServer } from "node:http";
import { Server as EngineServer } from "engine.io";
import { Server as SocketServer } from "socket.io";

const [port, pingInterval = 300, pingTimeout = 200] = process.argv.slice(2).map(Number);
const limits = { pingInterval, pingTimeout, maxHttpBufferSize: 1_000_000 };

const httpServer = createServer();

const engine = new EngineServer(limits);
engine.attach(httpServer, { path: "/engine.io", destroyUpgrade: false });
engine.on("connection", (connection) => {
  connection.on("data", (message) => connection.send(message));
});

const io = new SocketServer(httpServer, { ...limits, connectTimeout: 1000, destroyUpgrade: false });
io.on("connection", (socket) => {
  socket.emit("auth", socket.handshake.auth);
  socket.on("message", (...args) => socket.emit("message-back", ...args));
  socket.on("message-with-ack", (...args) => {
    const acknowledge = args.pop();
    // A stock listener crashes the process when the client asked for no acknowledgement.
    if (typeof acknowledge === "function") acknowledge(...args);
  });
});
io.of("/custom").on("connection", (socket) => socket.emit("auth", socket.handshake.auth));

httpServer.listen(port, "::");
