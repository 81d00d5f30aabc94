// Modal dialogs on <dialog>: the browser keeps the focus inside, closes on Escape and gives the focus back.

import { h } from "./dom.js";

/**
 * Opens a dialog; it is gone once it is closed.
 * @param {string} title
 * @param {Node[]} content
 * @param {HTMLButtonElement[]} buttons beside the one that closes
 * @returns {HTMLDialogElement}
 */
export function openDialog(title, content, buttons = [], close = "Cancel") {
  const dialog = h(
    "dialog",
    { "aria-labelledby": "dialog-title" },
    h("h2", { id: "dialog-title" }, title),
    h("div", { class: "dialog-body" }, ...content),
    h(
      "div",
      { class: "dialog-buttons" },
      h("button", { type: "button", class: "button", on: { click: () => dialog.close() } }, close),
      ...buttons,
    ),
  );
  dialog.addEventListener("close", () => dialog.remove());
  dialog.addEventListener("click", (event) => {
    if (event.target === dialog) dialog.close(); // the backdrop
  });
  document.body.append(dialog);
  dialog.showModal();
  return dialog;
}
