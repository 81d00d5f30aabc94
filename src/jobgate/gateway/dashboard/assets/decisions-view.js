// Every decision as it is made, with a filter that is part of the page's address.

import { h, icon, setAttribute, setText } from "./dom.js";
import { count } from "./format.js";
import { Feed, newest } from "./feed.js";
import { blank, Choice } from "./parts.js";

const MOST_ROWS = 250;

/** Whether an entry is of the outcome asked for. */
const SHOWN = {
  all: () => true,
  allowed: (entry) => entry.decision === "allow" && entry.would !== "deny",
  refused: (entry) => entry.decision === "deny",
  would: (entry) => entry.would === "deny",
};

/**
 * A test of entries: every word must be found in the job, the host, the method, the reason or the rule.
 * @param {string} words
 */
export function matcher(words) {
  const wanted = words.toLowerCase().split(/\s+/).filter(Boolean);
  return (entry) => {
    const text = [
      entry.job,
      `${entry.host ?? ""}:${entry.port ?? ""}`,
      entry.method,
      entry.reason,
      entry.rule,
      entry.client,
    ]
      .join(" ")
      .toLowerCase();
    return wanted.every((word) => text.includes(word));
  };
}

export class DecisionsView {
  title = "Decisions";

  constructor(context, query) {
    this.context = context;
    this.paused = null; // the number of the newest entry when the feed was paused
    this.filter = h("input", {
      type: "search",
      value: query.get("q") ?? "",
      placeholder: "Filter by job, host, reason, rule",
      "aria-label": "Filter decisions",
      data: { filter: "" },
      on: { input: () => this.#filtered() },
    });
    const shown = SHOWN[query.get("show")] ? query.get("show") : "all";
    this.shown = new Choice(
      "Outcome",
      [
        ["all", "All"],
        ["allowed", "Allowed"],
        ["refused", "Refused"],
        ["would", "Would refuse"],
      ],
      shown,
      () => this.#filtered(),
    );
    this.pause = h("button", {
      type: "button",
      class: "button",
      "aria-pressed": "false",
      data: { pause: "" },
      on: { click: () => this.togglePause() },
    });
    this.number = h("span", { class: "quiet" });
    this.feed = new Feed(context);
    this.none = blank(
      "Nothing to show",
      "Decisions appear here as they are made. They are kept while this page is open.",
    );
    this.element = h(
      "div",
      { class: "decisions-view" },
      h("div", { class: "page-head" }, h("h1", {}, "Decisions"), this.number),
      h("div", { class: "tools" }, this.shown.element, this.filter, this.pause),
      h("section", { class: "card wide", "aria-label": "Decisions" }, this.feed.element, this.none),
    );
    this.update();
  }

  #filtered() {
    if (this.element === undefined) return;
    const query = new URLSearchParams();
    if (this.filter.value.trim()) query.set("q", this.filter.value.trim());
    if (this.shown.value !== "all") query.set("show", this.shown.value);
    history.replaceState(null, "", `#/decisions${query.size ? `?${query}` : ""}`);
    this.update();
  }

  togglePause() {
    this.paused = this.paused === null ? (this.context.model.entries.at(-1)?.number ?? 0) : null;
    this.update();
  }

  update() {
    this.updateEntries();
  }

  updateEntries() {
    const { entries } = this.context.model;
    const matches = matcher(this.filter.value);
    const outcome = SHOWN[this.shown.value];
    const until = this.paused ?? Infinity;
    const found = newest(
      entries,
      MOST_ROWS,
      (entry) => entry.number <= until && outcome(entry) && matches(entry),
    );
    this.feed.update(found);
    this.feed.element.hidden = found.length === 0;
    this.none.hidden = found.length > 0;
    this.#updatePause(entries);
    const lost = this.context.model.lost
      ? `; ${count(this.context.model.lost)} lines came too fast for this page`
      : "";
    setText(
      this.number,
      entries.length ? `${count(found.length)} shown of the last ${count(entries.length)}${lost}` : "",
    );
  }

  #updatePause(entries) {
    const waiting = this.paused === null ? 0 : entries.filter((entry) => entry.number > this.paused).length;
    const text = this.paused === null ? "Pause" : `Resume (${count(waiting)} new)`;
    setAttribute(this.pause, "aria-pressed", String(this.paused !== null));
    if (this.pause.textContent !== text)
      this.pause.replaceChildren(icon(this.paused === null ? "pause" : "play"), text);
  }
}
