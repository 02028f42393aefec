// Readings as the server sends them, for the tests of the page's modules.

export const START_MS = Date.parse("2025-10-09T08:00:00Z");

export function reading(secondsAfter = 0, values = {}) {
  const recordedAt = new Date(START_MS + secondsAfter * 1_000).toISOString();
  return {
    id: `r${secondsAfter}`, unitId: "harbour.fridge-01", deviceId: "tx-1", temperature: 4, humidity: null, battery: null,
    signalStrength: null, metrics: null, recordedAt, timestamp: recordedAt, source: "api", ...values,
  };
}
