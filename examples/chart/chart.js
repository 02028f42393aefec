// A live chart of one unit:  /examples/chart/#server=http://127.0.0.1:8080&unit=fridge-7&token=...
import { io } from "/node_modules/socket.io-client/dist/socket.io.esm.min.js";
import uPlot from "/node_modules/uplot/dist/uPlot.esm.js";

const { server, unit, token } = Object.fromEntries(new URLSearchParams(location.hash.slice(1)));
const state = document.getElementById("state");
document.getElementById("unit").textContent = unit;

const times = [];
const temperatures = [];
const chart = new uPlot(
  { width: 800, height: 300, series: [{}, { label: "deg C", stroke: "steelblue", width: 2 }] },
  [times, temperatures],
  document.getElementById("chart"),
);

function add(readings) {
  for (const { recordedAt, temperature } of readings) {
    const time = Date.parse(recordedAt) / 1000;
    if (time <= times.at(-1)) continue; // already there, as after a reconnect
    times.push(time);
    temperatures.push(temperature);
  }
  chart.setData([times, temperatures]);
  state.textContent = `${times.length} points, the last one ${temperatures.at(-1)} deg C`;
}

// "units": only what we subscribe to, not the whole organization.
const socket = io(server, { auth: { token, stream: "units" } });

socket.on("connect", async () => {
  state.textContent = "connected, waiting for a reading";
  await socket.emitWithAck("subscribe:unit", unit);
  const latest = await socket.emitWithAck("get:latest", unit);
  if (latest) add([latest]);
});
socket.on("disconnect", () => (state.textContent = "disconnected, trying again"));
socket.on("connect_error", (error) => (state.textContent = `refused: ${error.message}`));
socket.on("sensor:readings:batch", ({ readings }) => add(readings));
