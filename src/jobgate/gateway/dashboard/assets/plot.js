// The plots: SVG, drawn anew each second, coloured by the style sheet.

import { h, s, setAttribute, setText } from "./dom.js";
import { limit as limitText, rate, seconds } from "./format.js";
import { nearest, paths, ticks, top } from "./scale.js";

const SPARK = { width: 120, height: 30, seconds: 120 };
const PLOT = { height: 208, left: 4, right: 4, top: 10, bottom: 34 };
const HELD_HEIGHT = 7;
const NAMES = { down: "Download", up: "Upload" };

/** A small plot of one direction for a row: the last two minutes, the limit as a line. */
export class Spark {
  /** @param {"down"|"up"} direction */
  constructor(direction) {
    this.direction = direction;
    this.area = s("path", { class: "area" });
    this.line = s("path", { class: "line" });
    this.limit = s("path", { class: "limit" });
    this.element = s(
      "svg",
      {
        class: `spark ${direction}`,
        viewBox: `0 0 ${SPARK.width} ${SPARK.height}`,
        preserveAspectRatio: "none",
        role: "img",
      },
      this.area,
      this.limit,
      this.line,
    );
  }

  /** @param {number|null} limit bytes/s; undefined: none is drawn and none spoken of */
  update(series, limit) {
    const latest = series.latest;
    const since = (latest?.at ?? 0) - SPARK.seconds;
    const points = series.points(this.direction, since);
    const highest = top(
      limit ?? null,
      points.reduce((peak, [, value]) => Math.max(peak, value), 0),
      false,
    );
    const x = (at) => ((at - since) / SPARK.seconds) * SPARK.width;
    const y = (value) => SPARK.height - 1 - (Math.min(value, highest) / highest) * (SPARK.height - 2);
    const { line, area } = paths(points, x, y);
    setAttribute(this.line, "d", line);
    setAttribute(this.area, "d", area);
    setAttribute(
      this.limit,
      "d",
      typeof limit === "number" ? `M0 ${y(limit).toFixed(1)}H${SPARK.width}` : "",
    );
    const of = limit === undefined ? "" : `, limit ${limitText(limit)}`;
    setAttribute(
      this.element,
      "aria-label",
      `${NAMES[this.direction]} of two minutes, now ${rate(latest?.[this.direction] ?? 0)}${of}`,
    );
  }
}

/** The large plot of one direction on a job's page. */
export class Plot {
  #series = null;
  #limit = null;
  #span = 120;
  #fit = false;
  #width = 600;
  #pointer = null;

  constructor(direction) {
    this.direction = direction;
    this.held = direction === "down" ? "heldDown" : "heldUp";
    this.grid = s("g", { class: "grid" });
    this.heldBack = s("g", { class: "held" });
    this.area = s("path", { class: "area" });
    this.line = s("path", { class: "line" });
    this.limitLine = s("path", { class: "limit" });
    this.limitText = s("text", { class: "limit-text", "text-anchor": "end" });
    this.cross = s("path", { class: "cross" });
    this.dot = s("circle", { class: "dot", r: 3.5 });
    this.labels = s("g");
    this.svg = s("svg", { role: "img", tabindex: 0 }, this.grid, this.heldBack, this.area, this.limitLine);
    this.svg.append(this.line, this.labels, this.limitText, this.cross, this.dot);
    this.readout = h("p", { class: "readout" });
    this.element = h("div", { class: `plot ${direction}` }, this.svg, this.readout);
    this.#listen();
  }

  #listen() {
    new ResizeObserver(([entry]) => {
      this.#width = Math.max(200, entry.contentRect.width);
      this.draw();
    }).observe(this.element);
    const point = (position) => {
      this.#pointer = position;
      this.draw();
    };
    this.svg.addEventListener("pointermove", (event) => point(event.offsetX / this.#width));
    this.svg.addEventListener("pointerleave", () => point(null));
    this.svg.addEventListener("blur", () => point(null));
    this.svg.addEventListener("keydown", (event) => {
      const step = { ArrowLeft: -1, ArrowRight: 1 }[event.key];
      if (!step) return;
      event.preventDefault();
      point(Math.min(1, Math.max(0, (this.#pointer ?? 1) + step / this.#span)));
    });
  }

  /**
   * @param {Series} series
   * @param {number|null} limit bytes/s, null: none
   * @param {number} span seconds shown
   * @param {boolean} fit scale to the traffic instead of the limit
   */
  update(series, limit, span, fit) {
    this.#series = series;
    this.#limit = limit;
    this.#span = span;
    this.#fit = fit;
    this.draw();
  }

  /** Draws what was given last. */
  draw() {
    if (this.#series === null) return;
    const width = this.#width;
    const now = this.#series.latest?.at ?? 0;
    const since = now - this.#span;
    const points = this.#series.points(this.direction, since);
    const peak = points.reduce((most, [, value]) => Math.max(most, value), 0);
    const highest = top(this.#limit, peak, this.#fit);
    const foot = PLOT.height - PLOT.bottom;
    const x = (at) => PLOT.left + ((at - since) / this.#span) * (width - PLOT.left - PLOT.right);
    const y = (value) => foot - (Math.min(value, highest) / highest) * (foot - PLOT.top);
    setAttribute(this.svg, "viewBox", `0 0 ${width} ${PLOT.height}`);
    this.#drawGrid(highest, y, foot);
    this.#drawHeld(since, x, foot);
    const { line, area } = paths(points, x, y);
    setAttribute(this.line, "d", line);
    setAttribute(this.area, "d", area);
    this.#drawLimit(highest, y);
    this.#drawPointer(points, since, x, y, foot);
    const of = this.#limit === null ? "no limit" : `limit ${limitText(this.#limit)}`;
    setAttribute(
      this.svg,
      "aria-label",
      `${NAMES[this.direction]} of ${seconds(this.#span)}: now ${rate(points.at(-1)?.[1] ?? 0)}, peak ${rate(peak)}, ${of}`,
    );
  }

  #drawGrid(highest, y, foot) {
    const { left, right } = PLOT;
    const values = ticks(highest, this.#limit);
    const across = (height, props = {}) =>
      s("path", { ...props, d: `M${left} ${height}H${this.#width - right}` });
    this.grid.replaceChildren(...values.map((value) => across(y(value))), across(foot, { class: "base" }));
    const ago = (span) => `−${seconds(span).replace(/ 0 s$/, "")}`;
    const bottom = PLOT.height - 4;
    const text = (x, height, anchor, content) => s("text", { x, y: height, "text-anchor": anchor }, content);
    this.labels.replaceChildren(
      ...values.map((value) => text(left + 2, y(value) - 4, "start", limitText(value))),
      text(left + 2, bottom, "start", ago(this.#span)),
      text(this.#width / 2, bottom, "middle", ago(this.#span / 2)),
      text(this.#width - right - 2, bottom, "end", "now"),
    );
  }

  /** The band below the plot: where connections stood held back by the rate, and how many. */
  #drawHeld(since, x, foot) {
    const points = this.#series.points(this.held, since);
    const bars = points.slice(1).flatMap(([at, value], index) => {
      if (value < 0.01) return [];
      const from = x(points[index][0]);
      return [
        s("rect", {
          x: from,
          y: foot + 4,
          width: x(at) - from,
          height: HELD_HEIGHT,
          "fill-opacity": Math.min(1, 0.25 + value / 4),
        }),
      ];
    });
    const track = s("rect", {
      class: "track",
      x: PLOT.left,
      y: foot + 4,
      width: this.#width - PLOT.left - PLOT.right,
      height: HELD_HEIGHT,
    });
    this.heldBack.replaceChildren(track, ...bars);
  }

  #drawLimit(highest, y) {
    const shown = this.#limit !== null && this.#limit <= highest;
    setAttribute(
      this.limitLine,
      "d",
      shown ? `M${PLOT.left} ${y(this.#limit)}H${this.#width - PLOT.right}` : "",
    );
    setAttribute(this.limitText, "x", this.#width - PLOT.right - 2);
    setAttribute(this.limitText, "y", shown ? y(this.#limit) - 5 : -9);
    setText(this.limitText, this.#limit === null ? "" : `limit ${limitText(this.#limit)}`);
  }

  #drawPointer(points, since, x, y, foot) {
    const index = this.#pointer === null ? -1 : nearest(points, since + this.#pointer * this.#span);
    const found = points[index];
    setAttribute(this.cross, "d", found ? `M${x(found[0])} ${PLOT.top}V${foot}` : "");
    setAttribute(this.dot, "cx", found ? x(found[0]) : -9);
    setAttribute(this.dot, "cy", found ? y(found[1]) : -9);
    setAttribute(this.readout, "hidden", !found);
    if (!found) return;
    const held = this.#series.points(this.held, found[0])[0]?.[1] ?? 0;
    const ago = points.at(-1)[0] - found[0];
    setText(
      this.readout,
      `${rate(found[1])} · ${ago < 0.5 ? "now" : `${seconds(ago)} ago`}${held >= 0.01 ? ` · ${held.toFixed(1)} held back` : ""}`,
    );
  }
}
