// The control token: asked for where the gate wants one, kept until the tab is closed.

import { h } from "./dom.js";
import { openDialog } from "./dialog.js";

/** A field for the token and what to do with it. */
function tokenForm(api, done) {
  const field = h("input", {
    type: "password",
    id: "token",
    autocomplete: "off",
    spellcheck: "false",
    required: true,
    "aria-describedby": "token-help",
  });
  const form = h(
    "form",
    { class: "token-form" },
    h("label", { for: "token" }, "Control token"),
    field,
    h(
      "p",
      { id: "token-help", class: "quiet" },
      "What stands in the gate's control_token_file. It stays in this tab, is sent as a header and is forgotten when the tab is closed.",
    ),
  );
  form.addEventListener("submit", (event) => {
    event.preventDefault();
    api.setToken(field.value.trim());
    done();
  });
  return { form, field };
}

/** The page instead of the content where the gate gives nothing away without a token. */
export class LockedView {
  title = "Token needed";

  constructor(api, hadToken) {
    const { form, field } = tokenForm(api, () => {});
    this.field = field;
    form.append(h("button", { class: "button primary" }, "Continue"));
    this.element = h(
      "section",
      { class: "locked card" },
      h("h1", {}, hadToken ? "This token is not accepted" : "This gate asks for its token"),
      form,
    );
  }

  update() {}

  updateEntries() {}
}

/** Opens the dialog that gives or forgets the token. */
export function openAccess(context) {
  if (context.api.hasToken) {
    const forget = h(
      "button",
      { type: "button", class: "button", on: { click: () => (dialog.close(), context.api.setToken("")) } },
      "Forget the token",
    );
    const dialog = openDialog(
      "Changes are allowed",
      [h("p", {}, "This tab has a control token: rules that you propose can be applied from here.")],
      [forget],
      "Close",
    );
    return;
  }
  const { form } = tokenForm(context.api, () => dialog.close());
  const use = h(
    "button",
    { type: "button", class: "button primary", on: { click: () => form.requestSubmit() } },
    "Use it",
  );
  const dialog = openDialog(
    "Allow changes",
    [h("p", {}, "Without a token this page only reads."), form],
    [use],
  );
}
