// Runs one scenario of `stock_scenarios.mjs` with npm socket.io-client in Node and prints its report.
//
// usage: node stock_node.mjs SCENARIO URL [ARGUMENT ...]
import { io } from "socket.io-client";
import * as scenarios from "./stock_scenarios.mjs";

const [scenario, ...args] = process.argv.slice(2);
const report = await scenarios[scenario](io, ...args);
process.stdout.write(JSON.stringify(report), () => process.exit(0));
