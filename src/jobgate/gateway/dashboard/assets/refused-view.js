// Everything that was refused, most frequent first, each with its remedy.

import { h } from "./dom.js";
import { RefusedList } from "./refused.js";

export class RefusedView {
  title = "Refused";

  constructor(context) {
    this.context = context;
    this.list = new RefusedList(context, { most: 200 });
    this.element = h(
      "div",
      { class: "refused-view" },
      h(
        "div",
        { class: "page-head" },
        h("h1", {}, "Refused"),
        h(
          "p",
          { class: "quiet" },
          "Counted since each job was added; the twenty jobs with the most requests.",
        ),
      ),
      h("section", { class: "card wide", "aria-label": "Refused" }, this.list.element),
    );
  }

  update() {
    this.list.update(this.context.refusals.rows);
  }

  updateEntries() {}
}
