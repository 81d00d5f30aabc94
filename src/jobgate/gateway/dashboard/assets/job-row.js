// One job in the list of jobs.

import { h, setAttribute, setText } from "./dom.js";
import { count, limit, rate } from "./format.js";
import { stateBadges } from "./parts.js";
import { Spark } from "./plot.js";

/** Less than this is nobody held back. */
export const HELD_LEAST = 0.05;

/** How many connections of a job the rate holds back, on average over the last sample. */
export function held(job) {
  return job.now.heldDown + job.now.heldUp;
}

/** The row of one job. */
export class JobRow {
  constructor(job) {
    this.badges = h("span", { class: "badges" });
    this.labels = h("span", { class: "labels" });
    this.down = new Flow("down");
    this.up = new Flow("up");
    [this.connections, this.held, this.refused] = [0, 1, 2].map(() => h("td", { class: "number" }));
    this.link = h("a", { href: `#/jobs/${encodeURIComponent(job.id)}` }, job.id);
    const name = h(
      "th",
      { scope: "row" },
      h("span", { class: "job-name" }, this.link, this.badges),
      this.labels,
    );
    this.element = h(
      "tr",
      {},
      name,
      this.down.element,
      this.up.element,
      this.connections,
      this.held,
      this.refused,
    );
    this.element.addEventListener("click", (event) => {
      if (!event.target.closest("a, button") && getSelection().isCollapsed) this.link.click();
    });
    this.state = "";
  }

  update(job) {
    this.down.update(job, job.live.rate_down);
    this.up.update(job, job.live.rate_up);
    setText(this.connections, count(job.live.connections));
    setText(this.held, held(job) < HELD_LEAST ? "–" : held(job).toFixed(1));
    setText(this.refused, job.live.refused ? count(job.live.refused) : "–");
    setAttribute(this.held, "class", held(job) < HELD_LEAST ? "number none" : "number held-text");
    setAttribute(this.refused, "class", job.live.refused ? "number bad-text" : "number none");
    const state = JSON.stringify([job.view.state, job.settings.mode, job.settings.tls, job.settings.labels]);
    if (state === this.state) return;
    this.state = state;
    this.badges.replaceChildren(...stateBadges(job.view));
    setText(
      this.labels,
      Object.entries(job.settings.labels ?? {})
        .map(([key, value]) => `${key}=${value}`)
        .join("  "),
    );
    setAttribute(this.element, "class", job.view.state === "active" ? "" : "gone");
  }
}

/** One direction in a row: the plot, the rate now, the limit. */
class Flow {
  constructor(direction) {
    this.spark = new Spark(direction);
    this.now = h("span", { class: "flow-now" });
    this.limit = h("span", { class: "flow-limit" });
    this.direction = direction;
    this.element = h(
      "td",
      { class: `flow ${direction}` },
      h("div", {}, this.spark.element, h("span", { class: "flow-text" }, this.now, this.limit)),
    );
  }

  update(job, bound) {
    this.spark.update(job.series, bound);
    setText(this.now, rate(job.now[this.direction]));
    setText(this.limit, bound === null ? "unlimited" : `of ${limit(bound)}`);
  }
}
