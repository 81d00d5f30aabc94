// Small parts that several views share.

import { h, icon, setAttribute, setText } from "./dom.js";
import { rateParts } from "./format.js";

const STATES = {
  active: ["Active", "good"],
  expired: ["Expired", "quiet"],
  quota: ["Quota spent", "bad"],
  refused: ["Not served", "bad"],
};

/** A word with a colour; the word says it all. */
export function badge(text, tone) {
  return h("span", { class: `badge ${tone}` }, text);
}

/** The state of a job, unless it is the usual one. */
export function stateBadges(view) {
  const found = [];
  if (view.state !== "active") found.push(badge(...(STATES[view.state] ?? [view.state, "quiet"])));
  if (view.settings.mode === "report") found.push(badge("Report only", "note"));
  if (view.settings.tls === "any") found.push(badge("TLS unchecked", "note"));
  return found;
}

/** What a decision came to: [word, tone]. */
export function outcome(entry) {
  if (entry.would === "deny") return ["Would refuse", "note"];
  return entry.decision === "allow" ? ["Allowed", "good"] : ["Refused", "bad"];
}

/** A page's or a card's state instead of its content: nothing there, or something wrong. */
export function blank(title, ...text) {
  return h(
    "div",
    { class: "blank" },
    h("p", { class: "blank-title" }, title),
    text.length ? h("p", {}, ...text) : null,
  );
}

/** A number with its unit set small. */
export class Quantity {
  constructor() {
    this.number = h("span", { class: "number" });
    this.unit = h("span", { class: "unit" });
    this.element = h("span", { class: "quantity" }, this.number, " ", this.unit);
  }

  set(number, unit = "") {
    setText(this.number, number);
    setText(this.unit, unit);
  }

  setRate(bytesPerS) {
    this.set(...rateParts(bytesPerS));
  }
}

/** A button with a drawing; `label` is what a screen reader says and what a pointer shows. */
export function iconButton(name, label, onClick, props = {}) {
  return h(
    "button",
    {
      type: "button",
      class: "icon-button",
      "aria-label": label,
      title: label,
      ...props,
      on: { click: onClick },
    },
    icon(name),
  );
}

/** One of several: a row of buttons, of which one is pressed. */
export class Choice {
  /**
   * @param {string} label
   * @param {[string, string][]} options [value, text]
   * @param {function(string)} onChange
   */
  constructor(label, options, value, onChange) {
    this.value = value;
    this.buttons = options.map(([key, text]) =>
      h(
        "button",
        { type: "button", data: { value: key }, on: { click: () => this.set(key, onChange) } },
        text,
      ),
    );
    this.element = h("div", { class: "choice", role: "group", "aria-label": label }, ...this.buttons);
    this.set(value, () => {});
  }

  set(value, onChange) {
    this.value = value;
    for (const button of this.buttons)
      setAttribute(button, "aria-pressed", String(button.dataset.value === value));
    onChange(value);
  }
}

/** Says something to those who hear the page, and shows it for a moment to those who see it. */
export function say(text, tone = "note") {
  document.getElementById("said").textContent = text;
  document.querySelector(".toast")?.remove();
  const toast = h("p", { class: `toast ${tone}`, "aria-hidden": "true" }, text);
  document.body.append(toast);
  setTimeout(() => toast.remove(), 6000);
}

/** Copies text; where the browser does not let us, the text is selected instead. */
export async function copy(text, element) {
  try {
    await navigator.clipboard.writeText(text);
    say("Copied.");
  } catch {
    getSelection().selectAllChildren(element);
    say("Selected: press Ctrl+C to copy.");
  }
}
