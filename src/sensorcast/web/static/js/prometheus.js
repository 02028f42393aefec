// Reads the Prometheus text format of /metrics. Pure.

const LINE = /^([a-zA-Z_:][a-zA-Z0-9_:]*)(?:\{(.*)\})? (\S+)$/;
const LABEL = /([a-zA-Z_][a-zA-Z0-9_]*)="((?:[^"\\]|\\.)*)"/g;

/** Give every sample as `{name, labels, value}`. */
export function parsed(text) {
  const samples = [];
  for (const line of text.split("\n")) {
    const found = line.startsWith("#") ? null : LINE.exec(line);
    if (!found || Number.isNaN(Number(found[3]))) continue;
    const labels = Object.fromEntries([...(found[2] ?? "").matchAll(LABEL)].map(([, name, value]) => [name, value]));
    samples.push({ name: found[1], labels, value: Number(found[3]) });
  }
  return samples;
}

/** Add up the samples of a name, those whose labels agree with `labels`. */
export function total(samples, name, labels = {}) {
  const fits = (sample) => sample.name === name && Object.entries(labels).every(([key, value]) => sample.labels[key] === value);
  return samples.filter(fits).reduce((sum, { value }) => sum + value, 0);
}

/** Give how fast a counter grew between two scrapes, per second; null when it cannot be said. */
export function rate(before, after, name, labels = {}) {
  const seconds = (after.atMs - before.atMs) / 1_000;
  const grown = total(after.samples, name, labels) - total(before.samples, name, labels);
  return seconds > 0 && grown >= 0 ? grown / seconds : null;
}

/** Give the mean of what a histogram saw between two scrapes; null when it saw nothing. */
export function mean(before, after, name) {
  const seen = total(after.samples, `${name}_count`) - total(before.samples, `${name}_count`);
  const sum = total(after.samples, `${name}_sum`) - total(before.samples, `${name}_sum`);
  return seen > 0 && sum >= 0 ? sum / seen : null;
}
