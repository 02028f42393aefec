// Types of sensorcast's Socket.IO events, for stock socket.io-client:
//
//   import { io, type Socket } from "socket.io-client";
//   import type { ClientToServerEvents, ServerToClientEvents } from "./sensorcast";
//   const socket: Socket<ServerToClientEvents, ClientToServerEvents> = io(url, { auth: { token } });
//
// Every sensorcast server offers this file at /static/sensorcast.d.ts.

/** What was measured by one device of one unit at one moment. A value that was not measured is null. */
export interface Measured {
  /** UUID, the same however often the reading was sent. */
  id: string;
  deviceId: string | null;
  /** Degrees Celsius. */
  temperature: number | null;
  /** % relative humidity. */
  humidity: number | null;
  /** %. */
  battery: number | null;
  /** dBm. */
  signalStrength: number | null;
  /** Further measurements by name. */
  metrics: Record<string, number> | null;
  /** UTC, `YYYY-MM-DDTHH:MM:SS.ffffffZ`. */
  recordedAt: string;
  /** Equals `recordedAt`. */
  timestamp: string;
  /** How it came in: `api`, `mqtt`, `import`, ... */
  source: string;
}

/** A reading within a batch, whose unit is named once for all. */
export interface BatchReading extends Measured {
  /** Only there, and then true, when a newer reading of the unit came before this one. */
  late?: true;
}

/** A reading on its own. */
export interface UnitReading extends Measured {
  unitId: string;
  siteId: string | null;
}

/** Everything that came in for one unit since the last flush, sorted by `recordedAt`. */
export interface SensorReadingsBatch {
  unitId: string;
  readings: BatchReading[];
  count: number;
  /** Grows from batch to batch, also over restarts. */
  seq: number;
}

export interface ServerToClientEvents {
  /** Once after each connect, also after a reconnect. */
  "connection:ack": (message: { socketId: string; timestamp: string }) => void;
  /** The token ends in a minute: answer with `auth:refresh`, or the connection ends with it. */
  "auth:expiring": (message: { exp: number }) => void;
  "sensor:readings:batch": (batch: SensorReadingsBatch) => void;
  /**
   * From now on the stream may have holes. "slow": this client does not read fast enough and gets only the newest batch
   * of each unit. "bus": the server cannot hear all others of its cluster. There may be more reasons one day.
   */
  "stream:degraded": (message: { since: string; reason: "slow" | "bus" }) => void;
  /** It is whole again; what was missed in between is in the history. */
  "stream:restored": (message: { since: string; until: string }) => void;
}

/** At which rate to follow: at most so many batches of a unit a second, of all readings or only the latest. */
export interface Rate {
  maxRateHz?: number;
  mode?: "all" | "latest";
}

export type Subscribed =
  | { ok: true; rateHz?: number; mode?: "all" | "latest" }
  | { ok: false; error: { code: string; message: string } };

type Subscribe = (id: string, ...rest: [answer?: (answer: Subscribed) => void] | [rate: Rate, answer?: (answer: Subscribed) => void]) => void;
type Unsubscribe = (id: string, answer?: (answer: Subscribed) => void) => void;

export type Refreshed = { ok: true; exp: number } | { ok: false; error: { code: string; message: string } };

export interface ClientToServerEvents {
  /** Go on with a new token of the same user. */
  "auth:refresh": (message: { token: string }, answer?: (answer: Refreshed) => void) => void;
  /** The newest reading of a unit; null for one never seen. */
  "get:latest": (unitId: string, answer: (reading: UnitReading | null) => void) => void;
  "get:latest:all": (answer: (readings: UnitReading[]) => void) => void;
  /** The server's clock, in milliseconds since 1970. */
  ping: (answer: (epochMs: number) => void) => void;
  "subscribe:unit": Subscribe;
  "subscribe:site": Subscribe;
  "subscribe:organization": Subscribe;
  "unsubscribe:unit": Unsubscribe;
  "unsubscribe:site": Unsubscribe;
  "unsubscribe:organization": Unsubscribe;
}

/** What `io(url, { auth })` takes. */
export interface Auth extends Rate {
  token: string;
  /** Picks one organization of a token for several. */
  organizationId?: string;
  /** `units`: follow only what is subscribed to, instead of the whole organization. */
  stream?: "units";
}
