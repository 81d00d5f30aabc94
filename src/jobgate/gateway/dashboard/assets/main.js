// Puts the page together: head, routes, theme, and what moves what.

import { LockedView, openAccess } from "./access.js";
import { Api, ApiError } from "./api.js";
import { DecisionsView } from "./decisions-view.js";
import { h, icon, setAttribute, setText } from "./dom.js";
import { clock } from "./format.js";
import { JobView } from "./job-view.js";
import { JobsView } from "./jobs-view.js";
import { Model, State } from "./model.js";
import { blank, iconButton, say } from "./parts.js";
import { Refusals } from "./refused.js";
import { RefusedView } from "./refused-view.js";
import { listenToKeys, openHelp } from "./shortcuts.js";

const THEMES = ["auto", "light", "dark"];
const PLACES = [
  ["#/", "Jobs"],
  ["#/decisions", "Decisions"],
  ["#/refused", "Refused"],
];

const api = new Api();
const model = new Model(api);
const refusals = new Refusals(api);
const context = { api, model, refusals, mayChange: () => api.hasToken, changeDomains, nextTheme };
const main = document.getElementById("main");
let view = null;
let lastLive = null;

/** Changes a job's domains by what they are at this moment; refused if somebody else is faster. */
async function changeDomains(id, change) {
  const path = `v1/jobs/${encodeURIComponent(id)}`;
  const { answer, tag } = await api.getTagged(path);
  await api.patch(path, { domains: change(answer.settings.domains ?? []) }, tag);
}

// --- the head ---------------------------------------------------------------------

const links = PLACES.map(([href, text]) => h("a", { href }, text));
const status = h("span", { class: "status", role: "status" });
const access = h("button", {
  type: "button",
  class: "button slim access",
  on: { click: () => openAccess(context) },
});
const theme = iconButton("theme", "Theme", () => nextTheme());
const banner = h("p", { class: "banner", role: "alert", hidden: true });
document.getElementById("head").append(
  h(
    "a",
    { class: "brand", href: "#/" },
    h("img", { src: "dashboard/icon.svg", alt: "", width: 22, height: 22 }),
    "jobgate",
  ),
  h("nav", { "aria-label": "Pages" }, ...links),
  status,
  access,
  theme,
  iconButton("help", "Keys", () => openHelp()),
);
document.getElementById("head").after(banner);

function nextTheme() {
  const current = document.documentElement.dataset.theme ?? "auto";
  showTheme(THEMES[(THEMES.indexOf(current) + 1) % THEMES.length]);
  say(`Theme: ${document.documentElement.dataset.theme ?? "as the system"}.`);
}

function showTheme(chosen) {
  if (chosen === "auto") {
    delete document.documentElement.dataset.theme;
    localStorage.removeItem("jobgate-theme");
  } else {
    document.documentElement.dataset.theme = chosen;
    localStorage.setItem("jobgate-theme", chosen);
  }
}

function updateAccess() {
  const text = api.hasToken ? "Changes allowed" : "Read-only";
  if (access.textContent !== text)
    access.replaceChildren(icon(api.hasToken ? "open" : "lock"), h("span", {}, text));
}

function updateStatus() {
  const [text, tone] = {
    [State.STARTING]: ["Connecting", "waiting"],
    [State.LIVE]: model.following ? ["Live", "live"] : ["Live, decisions interrupted", "waiting"],
    [State.LOST]: ["Reconnecting", "lost"],
    [State.LOCKED]: ["Locked", "waiting"],
  }[model.state];
  setText(status, text);
  setAttribute(status, "class", `status ${tone}`);
  const [notice, kind] = noticeNow();
  banner.hidden = !notice;
  setText(banner, notice);
  setAttribute(banner, "class", `banner ${kind}`);
  document.body.classList.toggle("stale", model.state === State.LOST);
  access.hidden = model.state === State.LOCKED;
}

/** What everybody should know: [text, tone]. */
function noticeNow() {
  if (model.state === State.LOST && lastLive)
    return [
      `${model.error} What you see is of ${clock(lastLive)}; it goes on by itself once the gate is back.`,
      "bad",
    ];
  if (model.state !== State.LIVE) return ["", ""];
  if (model.node.draining) return ["The gate is about to stop: it takes no new connections.", "note"];
  if (model.node.mode === "report")
    return ["The node is in report mode: what the lists refuse is logged and let through.", "note"];
  return ["", ""];
}

// --- the content --------------------------------------------------------------------

class WaitingView {
  title = "";

  constructor() {
    this.element = h("div", { class: "state" });
    this.update();
  }

  update() {
    const lost = model.state === State.LOST;
    const text = lost
      ? blank("The gate does not answer", model.error, " Trying again every second.")
      : blank("Connecting to the gate …");
    if (this.element.textContent !== text.textContent) this.element.replaceChildren(text);
  }

  updateEntries() {}
}

/** The view of an address: "#/jobs/train-42", "#/decisions?show=refused". */
function viewOf(hash) {
  const [path, query] = hash.replace(/^#/, "").split("?");
  const job = /^\/jobs\/([^/]+)$/.exec(path);
  if (job) return new JobView(context, decodeURIComponent(job[1]));
  if (path === "/decisions") return new DecisionsView(context, new URLSearchParams(query));
  if (path === "/refused") return new RefusedView(context);
  return new JobsView(context);
}

function show() {
  const wasView = view;
  if (model.state === State.LOCKED) view = new LockedView(api, api.hasToken);
  else if (!lastLive) view = view instanceof WaitingView ? view : new WaitingView();
  else view = viewOf(location.hash);
  if (view === wasView) return view.update();
  view.update();
  main.replaceChildren(view.element);
  view.field?.focus();
  document.title = view.title ? `${view.title} · jobgate` : "jobgate";
  const place = PLACES.findLast(([href]) => (location.hash || "#/").startsWith(href))?.[0];
  for (const link of links)
    setAttribute(link, "aria-current", link.getAttribute("href") === place ? "page" : null);
}

function askRefusals() {
  const all = [...model.jobs.values()];
  refusals.update(model.at, view.jobs ? view.jobs(all) : all);
}

let drawing = false;

/** Draws what the stream brought, at most once a frame. */
function soon() {
  if (drawing) return;
  drawing = true;
  requestAnimationFrame(() => {
    drawing = false;
    view.updateEntries();
  });
}

model.addEventListener("jobs", () => {
  const first = !lastLive;
  lastLive = Date.now();
  if (first) show();
  else view.update();
  askRefusals();
});
model.addEventListener("entries", soon);
model.addEventListener("state", () => {
  updateStatus();
  if (model.state === State.LOCKED) {
    lastLive = null;
    show();
  } else if (view instanceof LockedView || view instanceof WaitingView) show();
});
refusals.addEventListener("change", () => view.update());
api.addEventListener("token", updateAccess);
addEventListener("hashchange", () => {
  show();
  main.focus();
  askRefusals();
  scrollTo(0, 0);
});
addEventListener("unhandledrejection", (event) => {
  if (event.reason instanceof ApiError) event.preventDefault();
});
listenToKeys(context);
updateAccess();
updateStatus();
show();
model.start();
