// From a refusal to the rule that would allow it. Pure; the gate itself proposes the entries.

import { authority } from "./format.js";

/** The refusals that an entry in the job's own list can lift. */
const LIFTED = new Set(["not-listed", "port", "sni"]);

const WHY_NOT = {
  denied: "A deny entry refuses it. Deny beats allow: the entry itself would have to go.",
  address: "Its address is not public. Only the node's allow_addresses can lift that, never a job.",
  self: "It is jobgate itself, which no job may reach.",
  "not-tls": 'The tunnel did not begin with TLS. Only tls = "any" on the job would let it through.',
  quota: "The job has spent its quota.",
  expired: "The job has expired.",
  rate: "The job asked too often; nothing is wrong with the name.",
  connections: "The job holds too many connections; nothing is wrong with the name.",
};

/** Whether a rule may be proposed at all. */
export function isLifted(reason) {
  return LIFTED.has(reason);
}

/** Why no rule is proposed. */
export function whyNot(reason) {
  return WHY_NOT[reason] ?? "No entry in the job's domains would change this.";
}

/** What a client would ask for, as a URL; IPv6 in brackets. */
export function urlOf(kind, host, port) {
  return `${kind === "connect" ? "https" : "http"}://${authority(host, port)}/`;
}

/** What an entry covers, in words. */
export function covers(entry) {
  const [, host, port] = /^(\[.*\]|[^:]*|.*:.*:.*?)(?::(\d+))?$/.exec(entry);
  if (host.startsWith("."))
    return `${host.slice(1)} and every name below it${port ? `, on port ${port}` : ""}`;
  const isAddress = /^[0-9.]+$|:/.test(host);
  return `that ${isAddress ? "address" : "name"} only${port ? ", on that port" : ""}`;
}

/** The job's list with one entry more. */
export function withEntry(domains, entry) {
  return domains.includes(entry) ? domains : [...domains, entry];
}

/** The list as a line of the configuration file. */
export function domainsLine(domains) {
  return `domains = [${domains.map((entry) => JSON.stringify(entry)).join(", ")}]`;
}
