// The first page: the node in five numbers, the jobs with their plots, what was refused, the last decisions.

import { h, icon, keyed, setAttribute, setText } from "./dom.js";
import { count } from "./format.js";
import { Feed, newest } from "./feed.js";
import { held, HELD_LEAST, JobRow } from "./job-row.js";
import { blank, Quantity } from "./parts.js";
import { Spark } from "./plot.js";
import { RefusedList } from "./refused.js";

const FIRST_ROWS = 50;
const LAST_DECISIONS = 8;
/** Rates are sorted by their mean over this long, so that rows do not jump. */
const SORT_S = 30;

const COLUMNS = [
  { key: "id", text: "Job", of: (job) => job.id },
  { key: "down", text: "Download", of: (job) => -job.series.summary("down", job.now.at - SORT_S).mean },
  { key: "up", text: "Upload", of: (job) => -job.series.summary("up", job.now.at - SORT_S).mean },
  { key: "connections", text: "Connections", of: (job) => -job.live.connections, number: true },
  {
    key: "held",
    text: "Held back",
    of: (job) => -held(job),
    number: true,
    title: "Connections that wait for the rate, mean of the last seconds",
  },
  { key: "refused", text: "Refused", of: (job) => -job.live.refused, number: true },
];

class Tile {
  constructor(name, tone, direction) {
    this.quantity = new Quantity();
    this.note = h("span", { class: "tile-note" });
    this.spark = direction ? new Spark(direction) : null;
    const label = h("h2", {}, direction ? icon(direction) : null, name);
    this.element = h(
      "div",
      { class: `tile ${tone}` },
      label,
      this.quantity.element,
      this.note,
      this.spark?.element,
    );
  }
}

export class JobsView {
  title = "Jobs";

  constructor(context) {
    this.context = context;
    this.sort = COLUMNS[0];
    this.words = "";
    this.all = false;
    this.tiles = {
      down: new Tile("Download", "down", "down"),
      up: new Tile("Upload", "up", "up"),
      connections: new Tile("Connections", ""),
      held: new Tile("Held back", "held"),
      refused: new Tile("Refused", "bad"),
    };
    this.refused = new RefusedList(context);
    this.feed = new Feed(context, { caption: "Last decisions" });
    this.noFeed = blank("No decisions yet", "What jobs ask for from now on appears here at once.");
    this.element = h(
      "div",
      { class: "jobs-view" },
      h("h1", { class: "unseen" }, "Jobs"),
      h(
        "section",
        { class: "tiles", "aria-label": "The node now" },
        ...Object.values(this.tiles).map((tile) => tile.element),
      ),
      this.#table(),
      h(
        "section",
        { class: "card side", "aria-labelledby": "refused-head" },
        h(
          "div",
          { class: "card-head" },
          h("h2", { id: "refused-head" }, "Most refused"),
          h("a", { href: "#/refused" }, "All refused"),
        ),
        this.refused.element,
      ),
      h(
        "section",
        { class: "card main", "aria-labelledby": "last-head" },
        h(
          "div",
          { class: "card-head" },
          h("h2", { id: "last-head" }, "Last decisions"),
          h("a", { href: "#/decisions" }, "All decisions"),
        ),
        this.feed.element,
        this.noFeed,
      ),
    );
  }

  #table() {
    this.filter = h("input", {
      type: "search",
      placeholder: "Filter by id or label",
      "aria-label": "Filter jobs",
      data: { filter: "" },
      on: { input: () => this.#filtered() },
    });
    this.number = h("span", { class: "quiet" });
    this.heads = COLUMNS.map((column) =>
      h(
        "th",
        { scope: "col", class: column.number ? "number" : "" },
        h(
          "button",
          { type: "button", title: column.title, on: { click: () => this.#sortBy(column) } },
          column.text,
        ),
      ),
    );
    this.body = h("tbody");
    this.more = h("button", { type: "button", class: "button", on: { click: () => this.#showAll() } });
    this.none = h("div");
    return h(
      "section",
      { class: "card main", "aria-labelledby": "jobs-head" },
      h("div", { class: "card-head" }, h("h2", { id: "jobs-head" }, "Jobs"), this.number, this.filter),
      h(
        "table",
        { class: "jobs" },
        h("caption", { class: "unseen" }, "Jobs with their rates"),
        h("thead", {}, h("tr", {}, ...this.heads)),
        this.body,
      ),
      this.none,
      h("p", { class: "more" }, this.more),
    );
  }

  #sortBy(column) {
    this.sort = column;
    this.update();
  }

  #filtered() {
    this.words = this.filter.value.trim().toLowerCase();
    this.update();
  }

  #showAll() {
    this.all = true;
    this.update();
  }

  update() {
    const jobs = [...this.context.model.jobs.values()];
    this.#updateTiles(jobs);
    this.#updateTable(jobs);
    this.updateEntries();
    this.refused.update(this.context.refusals.rows);
  }

  /** The part that the event stream moves. */
  updateEntries() {
    const entries = newest(this.context.model.entries, LAST_DECISIONS);
    this.feed.update(entries);
    this.feed.element.hidden = entries.length === 0;
    this.noFeed.hidden = entries.length > 0;
  }

  #updateTiles(jobs) {
    const { down, up, connections, held: heldTile, refused } = this.tiles;
    const now = this.context.model.totals.latest ?? { down: 0, up: 0, heldDown: 0, heldUp: 0 };
    for (const tile of [down, up]) {
      tile.quantity.setRate(now[tile.spark.direction]);
      tile.spark.update(this.context.model.totals, undefined);
    }
    const busy = jobs.filter((job) => job.live.connections > 0).length;
    connections.quantity.set(count(jobs.reduce((sum, job) => sum + job.live.connections, 0)));
    setText(connections.note, jobs.length ? `in ${busy} of ${count(jobs.length)} jobs` : "");
    const slowed = jobs.filter((job) => held(job) >= HELD_LEAST).length;
    heldTile.quantity.set((now.heldDown + now.heldUp).toFixed(1));
    setText(
      heldTile.note,
      slowed
        ? `connections wait, in ${slowed === 1 ? "one job" : `${count(slowed)} jobs`}`
        : "no connection waits for its rate",
    );
    refused.quantity.set(count(jobs.reduce((sum, job) => sum + job.live.refused, 0)));
    setText(refused.note, `of ${count(jobs.reduce((sum, job) => sum + job.live.requests, 0))} requests`);
  }

  #updateTable(jobs) {
    const found = sorted(
      jobs.filter((job) => this.#matches(job)),
      this.sort.of,
    );
    const shown = this.all ? found : found.slice(0, FIRST_ROWS);
    keyed(
      this.body,
      shown,
      (job) => job.id,
      (job) => new JobRow(job),
    );
    COLUMNS.forEach((column, index) => {
      const direction = column.key === "id" ? "ascending" : "descending";
      setAttribute(this.heads[index], "aria-sort", column === this.sort ? direction : null);
    });
    setText(this.number, this.words ? `${count(found.length)} of ${count(jobs.length)}` : count(jobs.length));
    this.more.parentNode.hidden = shown.length === found.length;
    setText(this.more, `Show all ${count(found.length)}`);
    this.#updateNone(jobs, found);
  }

  #updateNone(jobs, found) {
    const kind = found.length ? "" : jobs.length ? "filtered" : "none";
    this.body.parentNode.hidden = kind !== "";
    if (this.none.dataset.kind === kind) return;
    this.none.dataset.kind = kind;
    this.none.replaceChildren();
    if (kind === "filtered")
      this.none.append(blank("No job matches", "Clear the filter to see all of them."));
    if (kind === "none")
      this.none.append(
        blank(
          "No jobs",
          "Add one with ",
          h("code", {}, "jobgate jobs add JOB --domain .example.com"),
          ". It appears here at once.",
        ),
      );
  }

  #matches(job) {
    if (!this.words) return true;
    const labels = Object.entries(job.settings.labels ?? {}).map(([key, value]) => `${key}=${value}`);
    const text = [job.id, ...labels].join(" ").toLowerCase();
    return this.words.split(/\s+/).every((word) => text.includes(word));
  }
}

/** By a key that is worked out once per job, then by id. */
function sorted(jobs, keyOf) {
  const keys = jobs.map((job) => [keyOf(job), job]);
  return keys
    .sort(([a, one], [b, other]) => compare(a, b) || compare(one.id, other.id))
    .map(([, job]) => job);
}

function compare(a, b) {
  return a < b ? -1 : a > b ? 1 : 0;
}
