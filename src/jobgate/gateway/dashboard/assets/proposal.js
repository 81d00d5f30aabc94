// A refusal's remedy: shows the rule that would allow it and the change it makes; makes it if that is allowed.
// The gate itself proposes the entries and explains the decision, by the code that decides.

import { ApiError } from "./api.js";
import { h, icon, setAttribute, setText } from "./dom.js";
import { openDialog } from "./dialog.js";
import { authority } from "./format.js";
import { copy, say } from "./parts.js";
import { covers, domainsLine, isLifted, urlOf, whyNot, withEntry } from "./rules.js";

/**
 * The button beside a refusal; null where nothing was refused.
 * @param {{reason: string, host: string, port: number, kind: string, proposals: string[]|undefined}} refusal
 *   without `proposals` they are asked for
 */
export function proposeButton(context, jobId, refusal, size = "") {
  if (!refusal.reason || !refusal.host || (refusal.decision === "allow" && refusal.would !== "deny"))
    return null;
  const lifted = isLifted(refusal.reason) && refusal.proposals?.length !== 0;
  if (size === "small" && !lifted) return null;
  return h(
    "button",
    {
      type: "button",
      class: `button slim ${size}`,
      "aria-label": `${lifted ? "Propose a rule for" : "Explain"} ${authority(refusal.host, refusal.port)} in ${jobId}`,
      on: { click: () => propose(context, jobId, refusal) },
    },
    lifted ? [icon("plus"), "Allow…"] : "Why?",
  );
}

/** Opens the dialog. */
export async function propose(context, jobId, refusal) {
  const what = authority(refusal.host, refusal.port);
  try {
    const { view, entries, detail } = await ask(context.api, jobId, refusal);
    if (isLifted(refusal.reason) && entries.length) {
      new Proposal(context, view, entries).open(what, detail);
      return;
    }
    const refused = h("p", {}, `Refused to ${jobId} with `, h("code", {}, refusal.reason), ".");
    openDialog(what, [refused, h("p", {}, detail || whyNot(refusal.reason))], [], "Close");
  } catch (error) {
    if (!(error instanceof ApiError)) throw error;
    say(error.message, "bad");
  }
}

/** What the gate says of a refusal now: the job, the entries that would lift it, the reason in words. */
async function ask(api, jobId, { kind, host, port, reason, proposals }) {
  const path = `v1/jobs/${encodeURIComponent(jobId)}`;
  const [view, usage, answer] = await Promise.all([
    api.get(path),
    proposals ? null : api.get(`${path}/usage?top=1000`),
    api.hasToken ? api.post(`${path}/check`, { urls: [urlOf(kind, host, port)] }) : null, // a POST needs it
  ]);
  const rows = usage ? [...usage.refused, ...usage.overlooked] : [];
  const row = rows.find((one) => one.authority === authority(host, port) && one.reason === reason);
  return {
    view,
    entries: proposals ?? row?.proposals ?? [],
    detail: answer ? explain(answer.answers[0], reason) : "",
  };
}

/** What the gate says, in a sentence; the list may have changed since the refusal. */
function explain({ decision, would, rule, detail }, reason) {
  const passes = decision === "allow" && would !== "deny";
  return passes && isLifted(reason) ? `It is allowed by now, by ${rule}.` : detail;
}

/** Shows the smallest list that what the job did so far would have needed. */
export async function showLearned(context, jobId) {
  try {
    const { domains } = await context.api.get(`v1/jobs/${encodeURIComponent(jobId)}/learned`);
    const line = h("code", { class: "block", tabindex: 0 }, domainsLine(domains));
    const button = h(
      "button",
      { type: "button", class: "button primary", on: { click: () => copy(line.textContent, line) } },
      "Copy line",
    );
    openDialog(
      `Learned of ${jobId}`,
      [h("p", {}, "The smallest list of domains that what it did so far would have needed:"), line],
      [button],
      "Close",
    );
  } catch (error) {
    if (!(error instanceof ApiError)) throw error;
    say(error.message, "bad");
  }
}

class Proposal {
  constructor(context, view, entries) {
    this.context = context;
    this.view = view;
    this.entries = entries;
    this.entry = entries[0];
    this.line = h("code", { class: "block", tabindex: 0 });
    this.request = h("code", { class: "block", tabindex: 0 });
    this.problem = h("p", { class: "problem", role: "alert", hidden: true });
    this.apply = h(
      "button",
      { type: "button", class: "button primary", on: { click: () => this.#apply() } },
      "Apply",
    );
  }

  get #isFile() {
    return this.view.origin === "file";
  }

  get #isMember() {
    return this.view.origin === "member";
  }

  /** @param {string} detail why it was refused, in a sentence */
  open(what, detail) {
    const { id } = this.view;
    const mayApply = this.context.mayChange() && !this.#isFile && !this.#isMember;
    const note = this.#note();
    const copyLine = h(
      "button",
      { type: "button", class: "button", on: { click: () => copy(this.line.textContent, this.line) } },
      "Copy line",
    );
    this.dialog = openDialog(
      `Allow ${what} for ${id}`,
      [
        detail ? h("p", {}, detail) : null,
        this.#choice(),
        h("h3", {}, "In the configuration"),
        this.line,
        this.#isFile ? null : [h("h3", {}, "As a request"), this.request],
        note ? h("p", { class: "remark" }, note) : null,
        this.problem,
      ]
        .flat()
        .filter(Boolean),
      mayApply ? [copyLine, this.apply] : [copyLine],
    );
    this.#show();
  }

  #choice() {
    const options = this.entries.map((entry, index) =>
      h(
        "label",
        { class: "option" },
        h("input", {
          type: "radio",
          name: "entry",
          value: entry,
          checked: index === 0,
          on: { change: () => this.#choose(entry) },
        }),
        h("span", {}, h("code", {}, entry), h("small", {}, covers(entry))),
      ),
    );
    return h("fieldset", {}, h("legend", {}, "Add to its domains"), ...options);
  }

  #note() {
    if (this.#isFile)
      return "This job stands in the configuration file: put the line there, then run jobgate reload.";
    if (this.#isMember) return "This job is a member: change the job before its last dot.";
    if (!this.context.mayChange())
      return "This page only reads. Give it a control token to make the change from here.";
    return "";
  }

  #choose(entry) {
    this.entry = entry;
    this.#show();
  }

  #show() {
    const domains = withEntry(this.view.settings.domains ?? [], this.entry);
    setText(this.line, domainsLine(domains));
    setText(this.request, `PATCH /v1/jobs/${this.view.id}\n${JSON.stringify({ domains })}`);
  }

  /** Adds the entry to the list as it is now, not as it was when the dialog opened. */
  async #apply() {
    setAttribute(this.apply, "disabled", true);
    try {
      await this.context.changeDomains(this.view.id, (domains) => withEntry(domains, this.entry));
      this.dialog.close();
      say(`${this.entry} is now in the domains of ${this.view.id}.`, "good");
      this.context.model.refresh();
    } catch (error) {
      if (!(error instanceof ApiError)) throw error;
      setText(this.problem, error.message);
      setAttribute(this.problem, "hidden", false);
      setAttribute(this.apply, "disabled", false);
    }
  }
}
