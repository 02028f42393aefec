// What a stock socket.io-client with default options does and gets, in Node and in a browser alike.
//
// Each scenario takes the client library's `io` and an address, and returns a plain report; the Python tests judge it.

const DEADLINE_MS = 30_000;

/** The arguments of the next `name` on an emitter. */
function next(emitter, name) {
  return new Promise((resolve, reject) => {
    const timer = setTimeout(() => reject(new Error(`no ${name} within ${DEADLINE_MS} ms`)), DEADLINE_MS);
    emitter.once(name, (...args) => {
      clearTimeout(timer);
      resolve(args);
    });
  });
}

const bytes = (value) => [...new Uint8Array(value)];

function echoed(socket, ...args) {
  const answer = next(socket, "message-back");
  socket.emit("message", ...args);
  return answer;
}

/** Transport, events, binary, acknowledgements and namespaces on the conformance server. */
export async function conformance(io, url) {
  const report = {};
  const socket = io(url, { forceNew: true, auth: { token: "stock" } });
  const auth = next(socket, "auth");
  const upgraded = new Promise((resolve) => {
    socket.io.once("open", () => {
      report.firstTransport = socket.io.engine.transport.name;
      resolve(next(socket.io.engine, "upgrade"));
    });
  });
  await next(socket, "connect");
  report.auth = await auth;

  report.early = await echoed(socket, "while polling or upgrading");
  await upgraded;
  report.lastTransport = socket.io.engine.transport.name;

  report.text = await echoed(socket, 1, "é€🌡️", { deep: [null, true, { x: 1.5 }] });
  const [mixed, last] = await echoed(socket, { a: [new Uint8Array([1, 2, 3])] }, new Uint8Array([4]).buffer);
  report.binary = [bytes(mixed.a[0]), bytes(last)];
  const large = new Uint8Array(300_000).map((_, index) => index % 251);
  const [largeBack] = await echoed(socket, large);
  report.largeIsEqual = bytes(largeBack).every((value, index) => value === large[index]);
  report.largeLength = largeBack.byteLength;

  report.ack = await socket.timeout(DEADLINE_MS).emitWithAck("message-with-ack", { x: "é" });
  report.binaryAck = bytes(await socket.timeout(DEADLINE_MS).emitWithAck("message-with-ack", new Uint8Array([9, 8])));

  const custom = socket.io.socket("/custom", { auth: { token: "custom" } });
  report.customAuth = await next(custom, "auth");
  report.sharesConnection = custom.io === socket.io && custom.id !== socket.id;
  const [refused] = await next(socket.io.socket("/random"), "connect_error");
  report.refused = refused.message;

  socket.disconnect();
  report.customSurvives = custom.connected;
  const [again] = [next(socket, "connect"), socket.connect()];
  await again;
  report.reconnected = await echoed(socket, "again");
  socket.disconnect();
  custom.disconnect();
  return report;
}

/** The same, kept to one transport. */
export async function single(io, url, transport) {
  const socket = io(url, { forceNew: true, transports: [transport] });
  await next(socket, "connect");
  const [text, blob] = await echoed(socket, "é", new Uint8Array([1, 2, 3]));
  const ack = await socket.timeout(DEADLINE_MS).emitWithAck("message-with-ack", "x");
  const report = { text, blob: bytes(blob), ack, transport: socket.io.engine.transport.name };
  socket.disconnect();
  return report;
}

/** What a client is told that may not connect. */
export async function refused(io, url, transport) {
  const socket = io(url, { forceNew: true, transports: [transport], reconnection: false });
  const [error] = await next(socket, "connect_error");
  return { refused: error.message };
}

/** What an application built on the library offers: calls to the client, refusals, rooms, kicks. */
export async function library(io, url) {
  const report = {};
  const socket = io(url, { forceNew: true });
  socket.on("question", (question, answer) => answer("answer to", question));
  await next(socket, "connect");
  report.answered = await socket.timeout(DEADLINE_MS).emitWithAck("ask", "q");
  const called = await socket.timeout(DEADLINE_MS).emitWithAck("ask", new Uint8Array([7]));
  report.binaryAnswered = [called[0], bytes(called[1])];
  report.unanswered = await socket.timeout(DEADLINE_MS).emitWithAck("ask-in-vain");

  const [refusal] = await next(socket.io.socket("/guarded", { auth: { token: "wrong" } }), "connect_error");
  report.refusal = { message: refusal.message, data: refusal.data };
  const guest = io(url, { forceNew: true });
  await next(guest, "connect");
  const guarded = guest.io.socket("/guarded", { auth: { token: "right" } });
  await next(guarded, "connect");
  report.admitted = guarded.connected;

  await socket.timeout(DEADLINE_MS).emitWithAck("join", "kitchen");
  await guest.timeout(DEADLINE_MS).emitWithAck("join", "kitchen");
  const heard = [];
  socket.on("heard", (text) => heard.push(`socket ${text}`));
  guest.on("heard", (text) => heard.push(`guest ${text}`));
  await guest.timeout(DEADLINE_MS).emitWithAck("shout", "to all", "kitchen", []);
  await guest.timeout(DEADLINE_MS).emitWithAck("shout", "to others", "kitchen", [guest.id]);
  await guest.timeout(DEADLINE_MS).emitWithAck("leave", "kitchen");
  await guest.timeout(DEADLINE_MS).emitWithAck("shout", "to the rest", "kitchen", []);
  await guest.timeout(DEADLINE_MS).emitWithAck("shout", "to one", socket.id, []);
  await socket.timeout(DEADLINE_MS).emitWithAck("ask", "flush");
  report.heard = heard.sort();

  const gone = next(guest, "disconnect");
  guest.emit("kick");
  report.kicked = (await gone)[0];
  report.guardedSurvivesKick = guarded.connected;
  const closed = next(socket, "disconnect");
  socket.emit("kick-out");
  report.kickedOut = (await closed)[0];
  guarded.disconnect();
  return report;
}
