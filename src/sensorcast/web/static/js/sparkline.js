// A small curve without axes: the shape of the last 15 minutes.

const LEAST_SPAN = 1; // of the value axis: less than this is noise, and is drawn flat
const MARGIN = 3;

/** Give the curve as runs of points, broken where more than `longestGap` steps are missing. Pure. */
export function runsOf(values, longestGap, width, height) {
  const known = values.filter((value) => !Number.isNaN(value));
  if (known.length === 0) return [];
  const low = Math.min(...known);
  const high = Math.max(...known);
  const span = Math.max(LEAST_SPAN, high - low);
  const bottom = (low + high) / 2 - span / 2;
  const x = (index) => MARGIN + (index / (values.length - 1)) * (width - 2 * MARGIN);
  const y = (value) => height - MARGIN - ((value - bottom) / span) * (height - 2 * MARGIN);
  const runs = [];
  let last = Number.NEGATIVE_INFINITY;
  values.forEach((value, index) => {
    if (Number.isNaN(value)) return;
    if (index - last > longestGap) runs.push([]);
    runs.at(-1).push([x(index), y(value)]);
    last = index;
  });
  return runs;
}

/** Draw runs on a canvas, with a dot at the newest point. */
export function draw(canvas, runs, colour, ratio) {
  const context = canvas.getContext("2d");
  context.setTransform(ratio, 0, 0, ratio, 0, 0);
  context.clearRect(0, 0, canvas.width, canvas.height);
  context.strokeStyle = colour;
  context.fillStyle = colour;
  context.lineWidth = 1.5;
  context.lineJoin = "round";
  context.beginPath();
  for (const run of runs) {
    run.forEach(([x, y], index) => (index ? context.lineTo(x, y) : context.moveTo(x, y)));
    if (run.length === 1) context.rect(run[0][0] - 0.5, run[0][1] - 0.5, 1, 1);
  }
  context.stroke();
  const end = runs.at(-1)?.at(-1);
  if (!end) return;
  context.beginPath();
  context.arc(end[0], end[1], 2, 0, 2 * Math.PI);
  context.fill();
}
