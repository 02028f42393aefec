// Prints what an organization's units measure, as it arrives:  TOKEN=... node watch.mjs http://127.0.0.1:8080
import { io } from "socket.io-client";

const socket = io(process.argv[2], { auth: { token: process.env.TOKEN } });

socket.on("connection:ack", ({ socketId }) => console.log("connected as", socketId));
socket.on("connect_error", (error) => console.error("refused:", error.message, error.data ?? ""));
socket.on("sensor:readings:batch", ({ unitId, readings }) => {
  for (const reading of readings) console.log(unitId, reading.recordedAt, reading.temperature);
});
