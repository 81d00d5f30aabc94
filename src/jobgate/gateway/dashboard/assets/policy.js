// A job's document as rows of a page. Pure.

import { bytes, limit, seconds } from "./format.js";

const rateText = (value) => (typeof value === "number" ? limit(value) : String(value));

/** Key, its name on the page, its values as text; in this order. */
const KEYS = [
  ["domains", "Domains", (value) => value],
  ["deny", "Deny", (value) => value],
  ["rate_down", "Download rate", (value) => [rateText(value)]],
  ["rate_up", "Upload rate", (value) => [rateText(value)]],
  ["burst", "Burst", (value) => [bytes(value)]],
  ["max_bytes_down", "Download quota", (value) => [bytes(value)]],
  ["max_bytes_up", "Upload quota", (value) => [bytes(value)]],
  ["max_duration_s", "Duration", (value) => [seconds(value)]],
  ["expires", "Expires", (value) => [value]],
  ["tls", "TLS", (value) => [value]],
  ["mode", "Mode", (value) => [value]],
  ["clients", "Clients", (value) => value],
  ["max_connections", "Connections", (value) => [String(value)]],
];

/**
 * The rows that say something.
 * @returns {[string, string[]][]}
 */
export function policyRows(settings) {
  return KEYS.flatMap(([key, name, texts]) => {
    const value = settings[key];
    if (value === undefined || value === null || value === "" || value === 0) return [];
    const shown = texts(value).map(String);
    return shown.length ? [[name, shown]] : [];
  });
}
