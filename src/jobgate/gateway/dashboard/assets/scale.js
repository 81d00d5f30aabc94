// Where things stand in a plot. Pure.

/** How much of the plot's height is left above the limit. */
const ABOVE_LIMIT = 1.14;
const ABOVE_PEAK = 1.18;
/** Bytes/s at the top of a plot without traffic and limit: 100 kbit/s. */
const LEAST = 12_500;

/**
 * Bytes/s at the top of a plot.
 * @param {number|null} limit null: none
 * @param {number} peak
 * @param {boolean} fit to the traffic, whatever the limit
 */
export function top(limit, peak, fit) {
  if (limit === null || fit) return Math.max(LEAST, ABOVE_PEAK * peak);
  return Math.max(ABOVE_LIMIT * limit, Math.min(1.05 * peak, 1.5 * limit));
}

/** Two to five round values between 0 and `highest` bytes/s, in whole units of bits; none on the limit's line. */
export function ticks(highest, bound) {
  const bits = 8 * highest;
  const rough = bits / 4;
  const magnitude = 10 ** Math.floor(Math.log10(rough));
  const step = [1, 2, 2.5, 5, 10].find((factor) => factor * magnitude >= rough) * magnitude;
  const found = [];
  for (let value = step; value < bits * 0.98; value += step) found.push(value / 8);
  return found.filter((value) => bound === null || Math.abs(value - bound) > 0.08 * highest);
}

/** A value that stands for longer than this many seconds is drawn as a step, not as a slope. */
const STEP_S = 2.5;

/**
 * The `d` of a line through points, and of the area below it. A value is the mean since the point before.
 * @param {[number, number][]} points
 * @param {function(number): number} x
 * @param {function(number): number} y
 */
export function paths(points, x, y) {
  if (!points.length) return { line: "", area: "" };
  const dot = (at, value) => `${x(at).toFixed(1)} ${y(value).toFixed(1)}`;
  const dots = points.flatMap(([at, value], index) => {
    const before = points[index - 1]?.[0] ?? at;
    return at - before > STEP_S ? [dot(before, value), dot(at, value)] : [dot(at, value)];
  });
  const line = `M${dots.join("L")}`;
  const first = x(points[0][0]).toFixed(1);
  const last = x(points.at(-1)[0]).toFixed(1);
  return { line, area: `${line}L${last} ${y(0).toFixed(1)}L${first} ${y(0).toFixed(1)}Z` };
}

/** The index of the point that is nearest in time. */
export function nearest(points, at) {
  let best = -1;
  let distance = Infinity;
  points.forEach(([time], index) => {
    if (Math.abs(time - at) < distance) {
      distance = Math.abs(time - at);
      best = index;
    }
  });
  return best;
}
