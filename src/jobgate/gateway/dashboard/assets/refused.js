// What was refused most, over all jobs or of one: asked for again only where a job's count has moved.

import { ApiError } from "./api.js";
import { h, keyed, setText } from "./dom.js";
import { count } from "./format.js";
import { badge, blank } from "./parts.js";
import { proposeButton } from "./proposal.js";

/** Jobs whose refusals are fetched for the whole node: those with the most. */
const MOST_JOBS = 20;
/** At most so often per job. */
const EVERY_S = 3;

/** The refusals of several jobs. Emits `change`. */
export class Refusals extends EventTarget {
  #api;
  #of = new Map(); // job id -> {at, seen, rows}

  constructor(api) {
    super();
    this.#api = api;
  }

  /** All rows, most frequent first. */
  get rows() {
    return [...this.#of.values()]
      .flatMap(({ rows }) => rows)
      .sort((a, b) => b.count - a.count || (a.key < b.key ? -1 : 1));
  }

  /**
   * Asks for what has changed.
   * @param {Job[]} jobs all of them, or one
   */
  async update(at, jobs) {
    const busiest = jobs
      .filter(({ live }) => seen(live))
      .sort((a, b) => seen(b.live) - seen(a.live))
      .slice(0, MOST_JOBS);
    const ids = new Set(busiest.map(({ id }) => id));
    for (const id of this.#of.keys()) if (!ids.has(id)) this.#of.delete(id);
    const due = busiest.filter(({ id, live }) => {
      const known = this.#of.get(id);
      return !known || (known.seen !== seen(live) && at - known.at >= EVERY_S);
    });
    await Promise.all(due.map((job) => this.#ask(at, job)));
    if (due.length) this.dispatchEvent(new Event("change"));
  }

  async #ask(at, { id, live }) {
    const known = this.#of.get(id) ?? { rows: [] };
    this.#of.set(id, { ...known, at, seen: seen(live) });
    try {
      const usage = await this.#api.get(`v1/jobs/${encodeURIComponent(id)}/usage`);
      const rows = [...rowsOf(id, usage.refused, ""), ...rowsOf(id, usage.overlooked, "deny")];
      this.#of.set(id, { at, seen: seen(live), rows, usage });
    } catch (error) {
      if (!(error instanceof ApiError)) throw error; // the poll tells of the connection; a job may be gone
      this.#of.set(id, { ...known, at, seen: -1 });
    }
  }

  /** The last usage of a job, or null. */
  usage(id) {
    return this.#of.get(id)?.usage ?? null;
  }
}

/** @param {string} would "deny" for what only would have been refused */
function rowsOf(id, rows, would) {
  return rows.map((row) => ({
    ...row,
    job: id,
    would,
    key: [id, row.authority, row.reason, row.kind, would].join(" "),
  }));
}

/** A number that moves whenever the job's refusals do. */
function seen(live) {
  return live.requests + live.refused;
}

/** A list of refusals with a button each. */
export class RefusedList {
  constructor(context, { showJob = true, most = 8 } = {}) {
    this.context = context;
    this.showJob = showJob;
    this.most = most;
    this.list = h("ul", { class: "refused" });
    this.empty = blank(
      "Nothing refused",
      "Requests outside a job's domains will be listed here, with the rule that would allow them.",
    );
    this.more = h("p", { class: "quiet" });
    this.element = h("div", {}, this.list, this.empty, this.more);
  }

  update(rows) {
    keyed(
      this.list,
      rows.slice(0, this.most),
      (row) => row.key,
      (row) => this.#row(row),
    );
    this.empty.hidden = rows.length > 0;
    this.more.hidden = rows.length <= this.most;
    setText(this.more, `and ${count(rows.length - this.most)} more`);
  }

  #row(row) {
    const number = h("span", { class: "times" });
    const [host, port] = split(row.authority);
    const element = h(
      "li",
      {},
      h(
        "div",
        { class: "refused-what" },
        h("span", { class: "host" }, row.authority),
        h(
          "span",
          { class: "refused-why" },
          badge(row.would ? `would refuse: ${row.reason}` : row.reason, row.would ? "note" : "bad"),
          this.showJob ? h("a", { href: `#/jobs/${encodeURIComponent(row.job)}` }, row.job) : null,
        ),
      ),
      number,
      proposeButton(this.context, row.job, { ...row, host, port, decision: row.would ? "allow" : "deny" }),
    );
    return { element, update: (now) => setText(number, `${count(now.count)}×`) };
  }
}

/** "host:port" as [host, port], the brackets of IPv6 taken off. */
function split(text) {
  const colon = text.lastIndexOf(":");
  return [text.slice(0, colon).replace(/^\[|\]$/g, ""), Number(text.slice(colon + 1))];
}
