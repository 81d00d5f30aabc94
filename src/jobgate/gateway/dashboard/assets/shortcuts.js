// Keys. They can be switched off, since some people's software types for them (WCAG 2.1.4).

import { h } from "./dom.js";
import { openDialog } from "./dialog.js";

const OFF_KEY = "jobgate-keys-off";
const CHORD_MS = 1500;

const HELP = [
  ["/", "filter"],
  ["g j", "jobs"],
  ["g d", "decisions"],
  ["g r", "refused"],
  ["↓ ↑", "next and previous job in the list"],
  ["Enter", "open"],
  ["p", "pause and resume the decisions"],
  ["t", "theme"],
  ["?", "this help"],
];

const PLACES = { j: "#/", d: "#/decisions", r: "#/refused" };

/** Listens from now on. */
export function listenToKeys(context) {
  let chord = 0;
  document.addEventListener("keydown", (event) => {
    if (event.altKey || event.ctrlKey || event.metaKey || document.querySelector("dialog[open]")) return;
    const typing = event.target.closest?.("input, textarea, select");
    if (typing) {
      if (event.key === "Escape") leave(typing);
      return;
    }
    if (event.key === "ArrowDown" || event.key === "ArrowUp") {
      if (moveInList(event.key === "ArrowDown" ? 1 : -1)) event.preventDefault();
      return;
    }
    if (localStorage.getItem(OFF_KEY)) return;
    const inChord = event.timeStamp - chord < CHORD_MS;
    chord = event.key === "g" ? event.timeStamp : -Infinity;
    if (press(context, event.key, inChord)) event.preventDefault();
  });
}

/** Does what a key stands for; false if nothing. */
function press(context, key, inChord) {
  if (inChord && PLACES[key]) {
    location.hash = PLACES[key];
    return true;
  }
  const action = {
    "/": () => document.querySelector("[data-filter]")?.focus(),
    p: () => document.querySelector("[data-pause]")?.click(),
    t: () => context.nextTheme(),
    "?": () => openHelp(),
  }[key];
  action?.();
  return Boolean(action);
}

function leave(field) {
  if (field.value) {
    field.value = "";
    field.dispatchEvent(new Event("input", { bubbles: true }));
  } else field.blur();
}

/** Moves the focus among the jobs; false if it is somewhere that arrows belong to. */
function moveInList(step) {
  const links = [...document.querySelectorAll("table.jobs th a")];
  const index = links.indexOf(document.activeElement);
  if (!links.length || (index < 0 && document.activeElement !== document.body)) return false;
  links[Math.min(links.length - 1, Math.max(0, index + step))].focus();
  return true;
}

/** Shows the keys, with a switch for those of one letter. */
export function openHelp() {
  const toggle = h("input", {
    type: "checkbox",
    checked: !localStorage.getItem(OFF_KEY),
    on: {
      change: (event) =>
        event.target.checked ? localStorage.removeItem(OFF_KEY) : localStorage.setItem(OFF_KEY, "yes"),
    },
  });
  const rows = HELP.map(([keys, text]) =>
    h(
      "div",
      {},
      h("dt", {}, ...keys.split(" ").flatMap((key) => [h("kbd", {}, key), " "])),
      h("dd", {}, text),
    ),
  );
  openDialog(
    "Keys",
    [
      h("dl", { class: "keys" }, ...rows),
      h("label", { class: "option" }, toggle, h("span", {}, "Keys of one letter are on")),
    ],
    [],
    "Close",
  );
}
