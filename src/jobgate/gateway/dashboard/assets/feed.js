// The decisions, newest first, as a table that grows at its head.

import { h, keyed, setText } from "./dom.js";
import { authority, bytes, clock, seconds } from "./format.js";
import { badge, outcome } from "./parts.js";
import { proposeButton } from "./proposal.js";

/** Why it was refused, or by which entry it passed. */
function because(entry) {
  return entry.reason ?? entry.rule ?? "";
}

/** How it ended: bytes and time, or the reason if that says more. */
export function ending({ closed, decision }) {
  if (closed === null) return decision === "allow" ? "open" : "";
  if (closed.bytes_up + closed.bytes_down === 0 && closed.reason !== "done")
    return decision === "allow" ? closed.reason : "";
  const end = closed.reason === "done" ? "" : ` · ${closed.reason}`;
  return `${bytes(closed.bytes_down)} ↓ ${bytes(closed.bytes_up)} ↑ · ${seconds(closed.duration_s)}${end}`;
}

function row(entry, context, showJob) {
  const [word, tone] = outcome(entry);
  const end = h("td", { class: "end" });
  const element = h(
    "tr",
    { class: tone },
    h("td", { class: "time" }, h("time", { datetime: entry.ts, title: entry.ts }, clock(entry.ts))),
    h("td", { class: "word" }, badge(word, tone)),
    showJob
      ? h("td", { class: "job" }, h("a", { href: `#/jobs/${encodeURIComponent(entry.job)}` }, entry.job))
      : null,
    h(
      "td",
      { class: "what" },
      h("span", { class: "method" }, entry.method ?? "–"),
      " ",
      h("span", { class: "host" }, authority(entry.host, entry.port)),
    ),
    h("td", { class: "why" }, because(entry), proposeButton(context, entry.job, entry, "small")),
    end,
  );
  return { element, update: (now) => setText(end, ending(now)) };
}

/** The table; `update` draws the entries that it is given. */
export class Feed {
  constructor(context, { showJob = true, caption = "Decisions" } = {}) {
    this.body = h("tbody");
    this.context = context;
    this.showJob = showJob;
    const heads = ["Time", "Outcome", ...(showJob ? ["Job"] : []), "Request", "Reason or rule", "End"];
    this.element = h(
      "table",
      { class: "feed" },
      h("caption", { class: "unseen" }, caption),
      h(
        "thead",
        {},
        h(
          "tr",
          {},
          ...heads.map((text) => h("th", { scope: "col", class: text === "End" ? "end" : "" }, text)),
        ),
      ),
      this.body,
    );
  }

  /** @param {Array} entries newest first */
  update(entries) {
    keyed(
      this.body,
      entries,
      (entry) => entry.id,
      (entry) => row(entry, this.context, this.showJob),
    );
  }
}

/**
 * The newest entries that pass a test, newest first.
 * @param {Array} entries oldest first
 */
export function newest(entries, most, test = () => true) {
  const found = [];
  for (let index = entries.length - 1; index >= 0 && found.length < most; index -= 1) {
    if (test(entries[index])) found.push(entries[index]);
  }
  return found;
}
