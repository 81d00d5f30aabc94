// What was measured of one job, second by second: a ring of samples. Pure.

const FIELDS = ["at", "down", "up", "heldDown", "heldUp"];
const WIDTH = FIELDS.length;

/**
 * Samples of one job. Counters come in; rates are kept: bytes per second, and how many connections the
 * rate held back on average.
 */
export class Series {
  #values;
  #start = 0;
  #length = 0;
  #last = null;

  /** @param {number} capacity samples kept */
  constructor(capacity) {
    this.#values = new Float64Array(capacity * WIDTH);
  }

  get length() {
    return this.#length;
  }

  /** The newest sample, or null. */
  get latest() {
    return this.#length ? this.sample(this.#length - 1) : null;
  }

  /**
   * Takes the counters as they stand at a time.
   * @param {number} at seconds, of any clock
   * @param {{bytes_down: number, bytes_up: number, wait_down_s: number, wait_up_s: number}} totals
   */
  push(at, totals) {
    const last = this.#last;
    if (last && at <= last.at) return;
    this.#last = { at, ...totals };
    // Counters that went back belong to another job of the same id: no rate can be told.
    if (!last || totals.bytes_down < last.bytes_down || totals.bytes_up < last.bytes_up) return;
    const span = at - last.at;
    this.append({
      at,
      down: (totals.bytes_down - last.bytes_down) / span,
      up: (totals.bytes_up - last.bytes_up) / span,
      heldDown: Math.max(0, totals.wait_down_s - last.wait_down_s) / span,
      heldUp: Math.max(0, totals.wait_up_s - last.wait_up_s) / span,
    });
  }

  /** Takes a sample in; the oldest gives way. */
  append(sample) {
    const capacity = this.#values.length / WIDTH;
    if (this.#length === capacity) this.#start = (this.#start + 1) % capacity;
    else this.#length += 1;
    this.#values.set(
      FIELDS.map((field) => sample[field]),
      this.#base(this.#length - 1),
    );
  }

  /** The sample at an index, 0 the oldest. */
  sample(index) {
    const base = this.#base(index);
    return Object.fromEntries(FIELDS.map((field, offset) => [field, this.#values[base + offset]]));
  }

  /** [time, value] pairs of one field not older than `since`, oldest first. */
  points(field, since) {
    const offset = FIELDS.indexOf(field);
    const found = [];
    for (let index = this.#length - 1; index >= 0; index -= 1) {
      const base = this.#base(index);
      if (!(this.#values[base] >= since)) break;
      found.push([this.#values[base], this.#values[base + offset]]);
    }
    return found.reverse();
  }

  /** Mean and peak of one field not older than `since`. */
  summary(field, since) {
    const values = this.points(field, since).map(([, value]) => value);
    if (!values.length) return { mean: 0, peak: 0 };
    return { mean: values.reduce((sum, value) => sum + value, 0) / values.length, peak: Math.max(...values) };
  }

  #base(index) {
    return ((this.#start + index) % (this.#values.length / WIDTH)) * WIDTH;
  }
}
