// The page: connects, and keeps one table row per unit. All text from outside goes in as text, never as markup.

import { io } from "../vendor/socket.io.esm.min.js";
import { forgetToken, keepToken, takeToken } from "./session.js";

const connection = document.getElementById("connection");
const login = document.getElementById("login");
const problem = document.getElementById("problem");
const fleet = document.getElementById("fleet");
const body = fleet.querySelector("tbody");
const rows = new Map();

function cell(value, digits, unit) {
  return value === null || value === undefined ? "–" : `${value.toFixed(digits)} ${unit}`;
}

function rowOf(unitId) {
  const known = rows.get(unitId);
  if (known) return known;
  const row = document.createElement("tr");
  for (let index = 0; index < 6; index += 1) row.append(document.createElement("td"));
  row.cells[0].textContent = unitId;
  const after = [...rows.keys()].filter((other) => other > unitId).sort()[0];
  body.insertBefore(row, after === undefined ? null : rows.get(after));
  rows.set(unitId, row);
  return row;
}

function show(unitId, reading) {
  const row = rowOf(unitId);
  if (row.dataset.recordedAt > reading.recordedAt) return;
  row.dataset.recordedAt = reading.recordedAt;
  const texts = [
    cell(reading.temperature, 1, "°C"),
    cell(reading.humidity, 1, "%"),
    cell(reading.battery, 0, "%"),
    cell(reading.signalStrength, 0, "dBm"),
    new Date(reading.recordedAt).toLocaleTimeString(),
  ];
  texts.forEach((text, index) => { row.cells[index + 1].textContent = text; });
}

function connect(token) {
  login.hidden = true;
  fleet.hidden = false;
  const socket = io({ auth: { token }, transports: ["websocket"] });
  socket.on("connect", () => {
    connection.textContent = "live";
    socket.emit("get:latest:all", (readings) => readings.forEach((reading) => show(reading.unitId, reading)));
  });
  socket.on("disconnect", () => { connection.textContent = "reconnecting"; });
  socket.on("connect_error", (error) => {
    if (socket.active) {
      connection.textContent = "reconnecting";
      return;
    }
    forgetToken(sessionStorage);
    ask(error.message);
  });
  socket.on("sensor:readings:batch", ({ unitId, readings }) => show(unitId, readings.at(-1)));
}

function ask(reason) {
  connection.textContent = "not connected";
  problem.textContent = reason;
  fleet.hidden = true;
  login.hidden = false;
}

login.addEventListener("submit", (event) => {
  event.preventDefault();
  const token = login.elements.token.value.trim();
  keepToken(sessionStorage, token);
  connect(token);
});

const token = takeToken(location, history, sessionStorage);
if (token) connect(token);
else ask("");
