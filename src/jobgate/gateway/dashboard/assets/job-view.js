// One job's page: plots against its limits, what it used, what it was refused, its policy, its decisions.

import { ApiError } from "./api.js";
import { h, icon, keyed, setAttribute, setText } from "./dom.js";
import { bytes, count, counted, limit, percent, rate, seconds } from "./format.js";
import { Feed, newest } from "./feed.js";
import { blank, Choice, Quantity, stateBadges } from "./parts.js";
import { Plot } from "./plot.js";
import { policyRows } from "./policy.js";
import { showLearned } from "./proposal.js";
import { RefusedList } from "./refused.js";

const ENTRIES = 25;
const HOSTS = 10;
const DIRECTIONS = ["down", "up"];
const NAMES = { down: "Download", up: "Upload" };

/** A plot with its heading: the rate now, the mean and the peak, how long the rate held it back. */
class PlotCard {
  constructor(direction) {
    this.direction = direction;
    this.quantity = new Quantity();
    this.facts = h("span");
    this.held = h("span", {
      class: "held-text",
      title: "Time that connections waited for the rate, added up; the band below the plot shows when",
    });
    this.plot = new Plot(direction);
    this.element = h(
      "section",
      { class: `card plot-card ${direction}`, "aria-label": NAMES[direction] },
      h(
        "div",
        { class: "plot-head" },
        h("h2", {}, icon(direction), NAMES[direction]),
        this.quantity.element,
        h("p", { class: "plot-facts" }, this.facts, this.held),
      ),
      this.plot.element,
    );
  }

  update(job, span, fit) {
    const { direction } = this;
    const bound = job.live[`rate_${direction}`];
    const now = job.now[direction];
    const { mean, peak } = job.series.summary(direction, job.now.at - span);
    this.quantity.setRate(now);
    const of = bound === null ? "unlimited" : `${percent(now / bound)} of ${limit(bound)}`;
    setText(this.facts, `${of} · mean ${rate(mean)} · peak ${rate(peak)} · `);
    setText(this.held, `held back ${seconds(job.live[`wait_${direction}_s`])} in all`);
    this.plot.update(job.series, bound, span, fit);
  }
}

/** Name and value, one under the other. */
class Fact {
  constructor(name) {
    this.value = h("dd");
    this.element = h("div", {}, h("dt", {}, name), this.value);
  }

  set(text) {
    setText(this.value, text);
  }
}

export class JobView {
  constructor(context, id) {
    this.context = context;
    this.id = id;
    this.title = id;
    this.badges = h("span", { class: "badges" });
    this.origin = h("p", { class: "quiet" });
    this.problem = h("p", { class: "problem", hidden: true });
    this.learn = h(
      "button",
      { type: "button", class: "button slim", hidden: true, on: { click: () => showLearned(context, id) } },
      "Learned policy…",
    );
    this.plots = DIRECTIONS.map((direction) => new PlotCard(direction));
    this.facts = {
      connections: new Fact("Connections"),
      requests: new Fact("Requests"),
      refused: new Fact("Refused"),
      down: new Fact("Downloaded"),
      up: new Fact("Uploaded"),
      since: new Fact("Since"),
    };
    this.span = new Choice(
      "Time shown",
      [
        ["120", "2 min"],
        ["300", "5 min"],
        ["900", "15 min"],
      ],
      "120",
      () => this.update(),
    );
    this.fit = new Choice(
      "Scale",
      [
        ["limit", "To the limit"],
        ["fit", "To the traffic"],
      ],
      "limit",
      () => this.update(),
    );
    this.refused = new RefusedList(context, { showJob: false, most: HOSTS });
    this.reached = h("tbody");
    this.policy = h("dl", { class: "policy" });
    this.policyText = "";
    this.feed = new Feed(context, { showJob: false, caption: `Decisions of ${id}` });
    this.noFeed = blank("No decisions yet", "What this job asks for appears here at once.");
    this.missing = blank("No such job", `There is no job called ${id} (any more).`);
    this.content = this.#content();
    this.element = h("div", { class: "job-view" }, this.#head(), this.content, this.missing);
    this.#askDecisions();
  }

  #head() {
    return h(
      "div",
      { class: "page-head" },
      h("a", { class: "back", href: "#/" }, icon("back"), "Jobs"),
      h("h1", {}, this.id, " ", this.badges),
      this.origin,
      this.problem,
      this.learn,
    );
  }

  #content() {
    const card = (name, title, ...inside) =>
      h(
        "section",
        { class: `card ${name}`, "aria-label": title },
        h("div", { class: "card-head" }, h("h2", {}, title)),
        ...inside,
      );
    const reached = h(
      "table",
      { class: "reached" },
      h("caption", { class: "unseen" }, "Hosts by bytes"),
      h(
        "thead",
        {},
        h(
          "tr",
          {},
          ...["Host", "Requests", "Down", "Up"].map((text, index) =>
            h("th", { scope: "col", class: index ? "number" : "" }, text),
          ),
        ),
      ),
      this.reached,
    );
    this.noReached = blank("Nothing reached yet");
    return h(
      "div",
      { class: "job-grid" },
      h("dl", { class: "facts" }, ...Object.values(this.facts).map((fact) => fact.element)),
      h("div", { class: "plot-tools" }, this.span.element, this.fit.element),
      ...this.plots.map((plot) => plot.element),
      card("half", "Refused", this.refused.element),
      card("half", "Reached", reached, this.noReached),
      card("wide", "Policy", this.policy),
      this.#decisions(),
    );
  }

  #decisions() {
    return h(
      "section",
      { class: "card wide", "aria-label": "Decisions" },
      h(
        "div",
        { class: "card-head" },
        h("h2", {}, "Decisions"),
        h("a", { href: `#/decisions?q=${encodeURIComponent(this.id)}` }, "All of this job"),
      ),
      this.feed.element,
      this.noFeed,
    );
  }

  /** What was decided before the page was opened. */
  async #askDecisions() {
    try {
      const { decisions } = await this.context.api.get(`v1/jobs/${encodeURIComponent(this.id)}/decisions`);
      this.context.model.takePast(decisions);
      this.updateEntries();
    } catch (error) {
      if (!(error instanceof ApiError)) throw error; // the poll says what is wrong
    }
  }

  update() {
    if (this.content === undefined) return; // a choice was set while the page was made
    const job = this.context.model.jobs.get(this.id);
    this.content.hidden = !job;
    this.missing.hidden = Boolean(job);
    if (!job) return;
    for (const plot of this.plots) plot.update(job, Number(this.span.value), this.fit.value === "fit");
    this.#updateHead(job);
    this.#updateFacts(job);
    this.#updatePolicy(job);
    this.refused.update(this.context.refusals.rows.filter((row) => row.job === this.id));
    this.#updateReached(this.context.refusals.usage(this.id)?.reached ?? []);
    this.updateEntries();
  }

  /** The jobs whose refusals this page shows. */
  jobs(all) {
    return all.filter((job) => job.id === this.id);
  }

  updateEntries() {
    const entries = newest(this.context.model.entries, ENTRIES, (entry) => entry.job === this.id);
    this.feed.update(entries);
    this.feed.element.hidden = entries.length === 0;
    this.noFeed.hidden = entries.length > 0;
  }

  #updateHead(job) {
    const from = {
      file: "from the configuration file",
      member: "a member, made by its use",
      api: "added by the API",
    }[job.view.origin];
    const labels = Object.entries(job.settings.labels ?? {}).map(([key, value]) => `${key}=${value}`);
    setText(this.problem, job.view.problem ?? "");
    this.problem.hidden = !job.view.problem;
    this.learn.hidden = job.settings.mode !== "report";
    setText(
      this.origin,
      [job.view.listen ? `listens on ${job.view.listen}` : "no listener of its own", from, ...labels].join(
        " · ",
      ),
    );
    const badges = stateBadges(job.view);
    if (this.badges.textContent !== badges.map((one) => one.textContent).join(""))
      this.badges.replaceChildren(...badges);
  }

  #updateFacts({ live, settings, view }) {
    const of = (used, most) =>
      most ? `${bytes(used)} of ${bytes(most)} (${percent(used / most)})` : bytes(used);
    this.facts.connections.set(
      settings.max_connections
        ? `${count(live.connections)} of ${count(settings.max_connections)}`
        : count(live.connections),
    );
    this.facts.requests.set(count(live.requests));
    this.facts.refused.set(count(live.refused));
    this.facts.down.set(of(live.bytes_down, settings.max_bytes_down));
    this.facts.up.set(of(live.bytes_up, settings.max_bytes_up));
    this.facts.since.set(new Date(view.created_at).toLocaleString());
  }

  #updatePolicy(job) {
    const text = JSON.stringify(job.settings);
    if (text === this.policyText) return;
    this.policyText = text;
    this.policy.replaceChildren(
      ...policyRows(job.settings).map(([name, values]) =>
        h("div", {}, h("dt", {}, name), h("dd", {}, ...values.map((value) => h("code", {}, value)))),
      ),
    );
  }

  #updateReached(hosts) {
    this.noReached.hidden = hosts.length > 0;
    this.reached.parentNode.hidden = hosts.length === 0;
    keyed(
      this.reached,
      hosts.slice(0, HOSTS),
      (host) => host.authority,
      (host) => {
        const cells = [0, 1, 2].map(() => h("td", { class: "number" }));
        const element = h("tr", {}, h("th", { scope: "row", class: "host" }, host.authority), ...cells);
        return {
          element,
          update: (now) =>
            [count(now.requests), bytes(now.bytes_down), bytes(now.bytes_up)].forEach((text, index) =>
              setText(cells[index], text),
            ),
        };
      },
    );
  }
}
