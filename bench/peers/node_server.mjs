// Socket.IO on Node, as one would write it: each unit's batch is emitted to its organization's room, once a second.
//
//   node node_server.mjs PORT ORGANIZATIONS CONNECTIONS UNITS
//
// The organization comes from the CONNECT auth. Emits begin once all CONNECTIONS are there. `seq` of a batch is the start
// of its flush in microseconds since 1970, so that the load client's records tell how long each delivery took.
import { createServer } from "node:http";
import { Server } from "socket.io";

const [port, organizations, connections, units] = process.argv.slice(2).map(Number);
const FIRST_FLUSH_AFTER_MS = 3000;

const http = createServer();
const io = new Server(http, { perMessageDeflate: false });
let joined = 0;

io.use((socket, next) => (socket.handshake.auth.token ? next() : next(new Error("no token"))));
io.on("connection", (socket) => {
  socket.join(`org:${socket.handshake.auth.organizationId}`);
  socket.emit("connection:ack", { socketId: socket.id, timestamp: new Date().toISOString() });
  joined += 1;
  if (joined === connections && units > 0) setTimeout(() => setInterval(flush, 1000), FIRST_FLUSH_AFTER_MS - 1000);
});

function batch(organization, unit, recordedAt, seq) {
  return {
    unitId: `unit-${unit}`,
    readings: [
      {
        id: `0192f3a0-${1000 + organization}-7000-8000-00000000${1000 + unit}`,
        deviceId: "probe-1",
        temperature: 4.25,
        humidity: 61.5,
        battery: 88,
        signalStrength: -71,
        metrics: null,
        recordedAt,
        timestamp: recordedAt,
        source: "api",
      },
    ],
    count: 1,
    seq,
  };
}

function flush() {
  const startedUs = Math.round((performance.timeOrigin + performance.now()) * 1000);
  const recordedAt = new Date(startedUs / 1000).toISOString().replace("Z", "000Z");
  for (let organization = 0; organization < organizations; organization += 1) {
    for (let unit = 0; unit < units; unit += 1) {
      io.to(`org:org-${organization}`).emit("sensor:readings:batch", batch(organization, unit, recordedAt, startedUs));
    }
  }
}

http.listen(port, "127.0.0.1");
