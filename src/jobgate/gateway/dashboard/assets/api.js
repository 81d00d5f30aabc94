// The control API as the page uses it. The token goes into a header of each request, never into a cookie
// or an address: no other page can make this one's browser spend it.

import { EventParser } from "./sse.js";

const TOKEN_KEY = "jobgate-token";
const DEADLINE_MS = 10_000;
/** The stream says something every 15 s; silence for three times that is a dead connection. */
const SILENCE_MS = 45_000;
const FIRST_RETRY_MS = 1000;
const LAST_RETRY_MS = 15_000;

/** An answer that is not a success, or none at all (`status` 0). */
export class ApiError extends Error {
  constructor(status, message) {
    super(message);
    this.status = status;
  }
}

/** Emits `token` when the token changed and `refused` when a request needed one that it did not have. */
export class Api extends EventTarget {
  #token = sessionStorage.getItem(TOKEN_KEY) ?? "";

  get hasToken() {
    return this.#token !== "";
  }

  /** Uses a token until the tab is closed; "" forgets it. */
  setToken(token) {
    this.#token = token;
    if (token) sessionStorage.setItem(TOKEN_KEY, token);
    else sessionStorage.removeItem(TOKEN_KEY);
    this.dispatchEvent(new Event("token"));
  }

  /**
   * Asks for a resource.
   * @returns {Promise<*>} the JSON of the answer
   * @throws {ApiError}
   */
  async get(path) {
    return (await this.getTagged(path)).answer;
  }

  /** Asks for a resource and for the tag of its state, to change that state and no other. */
  async getTagged(path) {
    return this.#json("GET", path, {});
  }

  /**
   * Changes some keys of a resource (RFC 7396).
   * @param {string|null} tag of the state that the change was made for
   * @throws {ApiError} 412: it is in another state by now
   */
  async patch(path, changes, tag) {
    const headers = { "Content-Type": "application/merge-patch+json" };
    if (tag) headers["If-Match"] = tag;
    return (await this.#json("PATCH", path, headers, JSON.stringify(changes))).answer;
  }

  /**
   * Follows an event stream, through every interruption, until told to stop.
   * @param {string} path
   * @param {function({type: string, data: string})} onEvent
   * @param {function(boolean)} onState whether the stream is open
   * @returns {function()} stops
   */
  follow(path, onEvent, onState) {
    const stop = new AbortController();
    this.#follow(path, onEvent, onState, stop.signal);
    return () => stop.abort();
  }

  async #follow(path, onEvent, onState, stopped) {
    let wait = FIRST_RETRY_MS;
    while (!stopped.aborted) {
      try {
        await this.#stream(
          path,
          onEvent,
          () => {
            wait = FIRST_RETRY_MS;
            onState(true);
          },
          stopped,
        );
      } catch (error) {
        if (!(error instanceof ApiError)) throw error;
      }
      if (stopped.aborted) return;
      onState(false);
      await new Promise((resolve) => setTimeout(resolve, wait * (0.75 + Math.random() / 2)));
      wait = Math.min(2 * wait, LAST_RETRY_MS);
    }
  }

  async #stream(path, onEvent, onOpen, stopped) {
    const silence = new AbortController();
    let timer = setTimeout(() => silence.abort(), SILENCE_MS);
    try {
      const signal = AbortSignal.any([stopped, silence.signal]);
      const response = await this.#fetch("GET", path, { Accept: "text/event-stream" }, undefined, signal);
      onOpen();
      const reader = response.body.pipeThrough(new TextDecoderStream()).getReader();
      const parser = new EventParser();
      for (;;) {
        const { done, value } = await this.#read(reader);
        if (done) return;
        clearTimeout(timer);
        timer = setTimeout(() => silence.abort(), SILENCE_MS);
        for (const event of parser.feed(value)) onEvent(event);
      }
    } finally {
      clearTimeout(timer);
    }
  }

  /** Asks a question that does not fit into an address. */
  async post(path, question) {
    const headers = { "Content-Type": "application/json" };
    return (await this.#json("POST", path, headers, JSON.stringify(question))).answer;
  }

  async #json(method, path, headers, body) {
    const response = await this.#fetch(method, path, headers, body, AbortSignal.timeout(DEADLINE_MS));
    const answer = await response.json().catch(() => null);
    if (answer === null) throw new ApiError(response.status, "The answer is not JSON.");
    return { answer, tag: response.headers.get("ETag") };
  }

  async #read(reader) {
    try {
      return await reader.read();
    } catch (error) {
      throw new ApiError(0, String(error.message));
    }
  }

  async #fetch(method, path, headers, body, signal) {
    if (this.#token) headers.Authorization = `Bearer ${this.#token}`;
    let response;
    try {
      response = await fetch(path, { method, headers, body, signal, cache: "no-store", redirect: "error" });
    } catch (error) {
      throw new ApiError(
        0,
        error.name === "TimeoutError" ? "The gate did not answer in time." : "The gate does not answer.",
      );
    }
    if (response.ok) return response;
    const problem = await response.json().catch(() => ({}));
    if (response.status === 401) this.dispatchEvent(new Event("refused"));
    throw new ApiError(response.status, describe(problem) || `The gate answered ${response.status}.`);
  }
}

/** The sentence of a problem document (RFC 9457). */
function describe(problem) {
  const parts = Array.isArray(problem.problems)
    ? problem.problems.map((one) => (one.key ? `${one.key}: ${one.message}` : String(one.message ?? one)))
    : [];
  return parts.length ? parts.join("\n") : String(problem.detail ?? problem.title ?? "");
}
