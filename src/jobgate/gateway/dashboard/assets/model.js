// What the page knows: the jobs, asked for once a second, and the decisions, told by the event stream.

import { ApiError } from "./api.js";
import { Series } from "./series.js";

const POLL_MS = 1000;
/** Nobody looks: enough to keep the plots whole. */
const HIDDEN_POLL_MS = 5000;
const NODE_MS = 10_000;
const PAGE_SIZE = 500;
const SAMPLES = 900;
const ENTRIES = 1000;

/** The states of the connection with the gate. */
export const State = Object.freeze({ STARTING: "starting", LIVE: "live", LOST: "lost", LOCKED: "locked" });

/** One job: the API's last word and the samples. */
class Job {
  constructor(id) {
    this.id = id;
    this.series = new Series(SAMPLES);
  }

  take(at, view) {
    this.view = view;
    this.live = view.live;
    this.settings = view.settings;
    this.series.push(at, view.live);
  }

  /** Now, in bytes/s and connections held back. */
  get now() {
    return this.series.latest ?? { down: 0, up: 0, heldDown: 0, heldUp: 0 };
  }
}

/**
 * Emits `jobs` after each poll, `entries` when decisions came, `state` when the connection changed.
 * `entries` is oldest first; an entry is the decision line, with its close line as `closed`.
 */
export class Model extends EventTarget {
  jobs = new Map();
  totals = new Series(SAMPLES);
  entries = [];
  state = State.STARTING;
  error = "";
  at = 0;
  following = false;
  /** Lines of the log that were too many for this page. */
  lost = 0;
  /** What the gate says of itself. */
  node = { draining: false, mode: "enforce", version: "" };
  #api;
  #nodeDue = 0;
  #byId = new Map();
  #timer = 0;
  #stopFollowing = null;
  #seen = 0;

  constructor(api) {
    super();
    this.#api = api;
    api.addEventListener("refused", () => this.#become(State.LOCKED));
    api.addEventListener("token", () => this.start());
    document.addEventListener("visibilitychange", () => document.hidden || this.#again(0));
  }

  /** Begins, or begins anew. */
  start() {
    this.#stopFollowing?.();
    this.#stopFollowing = null;
    this.#nodeDue = 0;
    this.#become(State.STARTING);
    this.#again(0);
  }

  /** Asks now instead of within the second. */
  refresh() {
    this.#again(0);
  }

  #again(wait) {
    clearTimeout(this.#timer);
    this.#timer = setTimeout(() => this.#poll(), wait);
  }

  async #poll() {
    const began = performance.now();
    try {
      await this.#askNode();
      await this.#askJobs();
      this.#become(State.LIVE);
      this.#stopFollowing ??= this.#follow();
      this.dispatchEvent(new Event("jobs"));
    } catch (error) {
      if (!(error instanceof ApiError)) throw error;
      this.error = error.message;
      if (error.status !== 401) this.#become(State.LOST);
    }
    if (this.state === State.LOCKED) return;
    const every = document.hidden ? HIDDEN_POLL_MS : POLL_MS;
    const took = performance.now() - began;
    this.#again(Math.max(every - took, 4 * took)); // a slow gate is not asked more
  }

  /** The node is asked rarely: what it says seldom changes. */
  async #askNode() {
    if (performance.now() < this.#nodeDue) return;
    this.node = await this.#api.get("v1/node");
    this.#nodeDue = performance.now() + NODE_MS;
    this.dispatchEvent(new Event("state"));
  }

  async #askJobs() {
    const found = [];
    let after = "";
    let at = 0;
    do {
      const page = await this.#api.get(`v1/jobs?limit=${PAGE_SIZE}&after=${encodeURIComponent(after)}`);
      found.push(...page.jobs);
      after = page.next;
      at ||= page.at;
    } while (after);
    this.#takeJobs(at, found);
  }

  #takeJobs(at, views) {
    const jobs = new Map();
    for (const view of views) {
      const job = this.jobs.get(view.id) ?? new Job(view.id);
      job.take(at, view);
      jobs.set(view.id, job);
    }
    this.jobs = jobs;
    if (at > this.at && [...jobs.values()].some((job) => job.series.length))
      this.totals.append(sum(at, jobs));
    this.at = at;
  }

  #follow() {
    return this.#api.follow(
      "v1/events",
      (event) => this.#takeEvent(event),
      (open) => {
        this.following = open;
        this.dispatchEvent(new Event("state"));
      },
    );
  }

  #takeEvent({ type, data }) {
    if (type === "lost") this.lost += JSON.parse(data).lines;
    if (type !== "decision" && type !== "close") return;
    const line = JSON.parse(data);
    if (type === "decision") this.takeDecision(line);
    else this.#close(line);
    this.dispatchEvent(new Event("entries"));
  }

  /** Takes a decision line in; one that is known already changes nothing. */
  takeDecision(line) {
    if (this.#byId.has(line.id)) return;
    this.#seen += 1;
    const entry = { ...line, number: this.#seen, closed: null };
    this.#byId.set(line.id, entry);
    this.entries.push(entry);
    if (this.entries.length > ENTRIES) this.#byId.delete(this.entries.shift().id);
  }

  /** Takes lines of before in, at their place in time. */
  takePast(lines) {
    for (const line of lines.filter(({ event }) => event === "decision")) this.takeDecision(line);
    for (const line of lines.filter(({ event }) => event === "close")) this.#close(line);
    this.entries.sort((a, b) => (a.ts < b.ts ? -1 : a.ts > b.ts ? 1 : a.number - b.number));
  }

  #close(line) {
    const entry = this.#byId.get(line.id);
    if (entry) entry.closed = line;
  }

  #become(state) {
    if (state === State.LIVE) this.error = "";
    if (this.state === state) return;
    this.state = state;
    this.dispatchEvent(new Event("state"));
  }
}

/** All jobs together, as a sample: a job that ends takes its bytes along, so counters would not do. */
function sum(at, jobs) {
  const total = { at, down: 0, up: 0, heldDown: 0, heldUp: 0 };
  for (const { now } of jobs.values()) {
    for (const field of ["down", "up", "heldDown", "heldUp"]) total[field] += now[field];
  }
  return total;
}
