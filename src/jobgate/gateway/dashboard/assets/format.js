// Numbers as people read them. Pure.

const BYTES = ["B", "kB", "MB", "GB", "TB", "PB"];
const BITS = ["bit/s", "kbit/s", "Mbit/s", "Gbit/s", "Tbit/s"];

/** Three digits and a decimal unit. */
function scaled(value, units) {
  let index = 0;
  // 999.5 would be written as 1000.
  while (value >= 999.5 && index < units.length - 1) {
    value /= 1000;
    index += 1;
  }
  const digits = index === 0 || value >= 99.95 ? 0 : value >= 9.995 ? 1 : 2;
  return [value.toFixed(digits), units[index]];
}

/** Bytes per second as ["9.84", "Mbit/s"]: the number and its unit, which are set apart on the page. */
export function rateParts(bytesPerS) {
  return scaled(bytesPerS * 8, BITS);
}

/** Bytes per second: "9.84 Mbit/s". */
export function rate(bytesPerS) {
  return rateParts(bytesPerS).join(" ");
}

/** A limit: "10 Mbit/s" without needless zeros; null is "unlimited". */
export function limit(bytesPerS) {
  if (bytesPerS === null) return "unlimited";
  const [value, unit] = rateParts(bytesPerS);
  return `${Number(value)} ${unit}`;
}

/** Bytes: "1.23 MB". */
export function bytes(count) {
  return scaled(count, BYTES).join(" ");
}

/** A count with thin spaces between the thousands. */
export function count(value) {
  return String(Math.round(value)).replace(/\B(?=(\d{3})+$)/g, "\u2009");
}

/** Seconds: "0.4 s", "75 s", "5 min 3 s", "2 h 5 min". */
export function seconds(value) {
  if (value < 9.95) return `${value.toFixed(1)} s`;
  if (value < 120) return `${Math.round(value)} s`;
  const whole = Math.round(value);
  if (whole < 7200) return `${Math.floor(whole / 60)} min ${whole % 60} s`;
  const minutes = Math.round(whole / 60);
  if (minutes < 2880) return `${Math.floor(minutes / 60)} h ${minutes % 60} min`;
  const hours = Math.round(minutes / 60);
  return `${Math.floor(hours / 24)} d ${hours % 24} h`;
}

/** A share of one as "0 %" to "100 %"; what is there is never "0 %". */
export function percent(share) {
  return share > 0 && share < 0.01 ? "<\u00a01\u00a0%" : `${Math.round(100 * share)}\u00a0%`;
}

/** A timestamp of the log as the hour here: "14:25:07". */
export function clock(timestamp) {
  const date = new Date(timestamp);
  if (Number.isNaN(date.getTime())) return "–";
  return [date.getHours(), date.getMinutes(), date.getSeconds()]
    .map((n) => String(n).padStart(2, "0"))
    .join(":");
}

/** Host and port as one word; IPv6 in brackets. */
export function authority(host, port) {
  if (host === null || host === undefined) return "–";
  return host.includes(":") ? `[${host}]:${port}` : `${host}:${port}`;
}

/** "1 request", "2 requests". */
export function counted(number, noun) {
  return `${count(number)} ${number === 1 ? noun : `${noun}s`}`;
}
