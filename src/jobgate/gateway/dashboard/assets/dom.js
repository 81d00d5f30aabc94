// Makes elements. Text goes in as text nodes only: nothing that a job says can become markup.

const SVG = "http://www.w3.org/2000/svg";

/**
 * An HTML element.
 * @param {string} tag
 * @param {Object} props `class`, `on` (event handlers), `data` (data-*), else attributes;
 *   true is an empty attribute, false, null and undefined none.
 * @param {...(Node|string|number|null|Array)} children strings become text nodes
 */
export function h(tag, props = {}, ...children) {
  const element = document.createElement(tag);
  apply(element, props);
  element.append(...nodes(children));
  return element;
}

/** An SVG element; the same arguments. */
export function s(tag, props = {}, ...children) {
  const element = document.createElementNS(SVG, tag);
  apply(element, props);
  element.append(...nodes(children));
  return element;
}

function apply(element, props) {
  for (const [name, value] of Object.entries(props)) {
    if (name === "on")
      for (const [type, handler] of Object.entries(value)) element.addEventListener(type, handler);
    else if (name === "data") Object.assign(element.dataset, value);
    else setAttribute(element, name, value);
  }
}

function nodes(children) {
  return children.flat(Infinity).filter((child) => child !== null && child !== undefined && child !== false);
}

/** Sets or removes an attribute, only where it changes. Handlers and styles are no attributes here. */
export function setAttribute(element, name, value) {
  if (name.startsWith("on") || name === "style") throw new Error(`not by attribute: ${name}`);
  if (value === false || value === null || value === undefined) element.removeAttribute(name);
  else {
    const text = value === true ? "" : String(value);
    if (element.getAttribute(name) !== text) element.setAttribute(name, text);
  }
}

/** Replaces the text of an element, only where it changes: a selection in it survives. */
export function setText(element, value) {
  const text = String(value);
  if (element.textContent !== text) element.textContent = text;
}

/**
 * Makes the children of `parent` those of `items`, in their order; elements are kept by key, so that
 * focus, selection and scroll position stay where they are.
 * @param {Element} parent holds nothing else
 * @param {Array} items
 * @param {function(*): string} keyOf
 * @param {function(*): {element: Element, update: function(*)}} create
 */
export function keyed(parent, items, keyOf, create) {
  const old = parent.__rows ?? new Map();
  const rows = new Map();
  let place = parent.firstChild;
  for (const item of items) {
    const key = keyOf(item);
    const row = old.get(key) ?? create(item);
    rows.set(key, row);
    row.update(item);
    if (row.element === place) place = place.nextSibling;
    else parent.insertBefore(row.element, place);
  }
  for (const [key, row] of old) if (rows.get(key) !== row) row.element.remove();
  parent.__rows = rows;
}

const ICONS = {
  down: "M8 3v10M4 9l4 4 4-4",
  up: "M8 13V3M4 7l4-4 4 4",
  lock: "M4 7.5h8v6H4zM5.5 7.5V5a2.5 2.5 0 0 1 5 0v2.5",
  open: "M4 7.5h8v6H4zM5.5 7.5V5a2.5 2.5 0 0 1 4.7-1.2",
  theme: "M8 2.5a5.5 5.5 0 1 0 0 11zM8 2.5a5.5 5.5 0 0 1 0 11",
  help: "M5.8 6.2a2.2 2.2 0 1 1 3.3 1.9c-.7.4-1.1.8-1.1 1.6M8 12.3v.2",
  pause: "M5.5 3.5v9M10.5 3.5v9",
  play: "M5 3.5l7 4.5-7 4.5z",
  plus: "M8 3.5v9M3.5 8h9",
  back: "M9.5 3.5L5 8l4.5 4.5",
};

/** A small drawing beside a text that says the same. */
export function icon(name) {
  return s(
    "svg",
    { class: "icon", viewBox: "0 0 16 16", "aria-hidden": "true" },
    s("path", { d: ICONS[name] }),
  );
}
