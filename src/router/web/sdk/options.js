/** Options of the clients: defaults, limits and their checks. */

import { InvalidInput } from "./errors.js";
import { TIMER_MAX_MS } from "./reconnect.js";

/**
 * Options of a client. Only `baseUrl` and `token` are needed.
 * @typedef {object} ClientOptions
 * @property {string} baseUrl `http://host:port` or `https://host:port` of the router; the socket is opened at the same place
 * @property {import("./reconnect.js").Token} token bearer token, or a (sync or async) function that returns a fresh one
 * @property {"ticket" | "hello"} [login] how the credential gets to the socket: exchanged for a ticket before each connection
 *   (the default, which tells a refusal from a lost connection), or as it is in the first frame
 * @property {number} [connectTimeoutMs] longest wait for a connection, when the client is opened and for a command; 30,000
 * @property {number} [commandTimeoutMs] longest wait for the answer to a command, after which the outcome is unknown; 30,000
 * @property {number} [eventBufferMax] frames that the application has not read; beyond it the connection is closed until half are
 *   read; 10,000
 * @property {boolean} [deliverEvents] whether the application iterates over the client; false: events only update the state and
 *   call the listeners, and are not buffered; true
 * @property {number} [backoffBaseMs] upper bound of the first reconnect delay, which doubles with each attempt; 1,000
 * @property {number} [backoffMaxMs] upper bound of every reconnect delay; 30,000
 * @property {AbortSignal} [signal] closes the client
 * @property {typeof WebSocket} [WebSocket] constructor of sockets; that of the browser or of Node
 * @property {typeof fetch} [fetch] function for HTTP requests; that of the browser or of Node
 * @property {() => number} [random] random numbers from 0 to 1 for the delays; `Math.random`
 */

/**
 * Options with their defaults filled in.
 * @typedef {Required<Omit<ClientOptions, "signal">> & {signal: AbortSignal | null}} FullOptions
 */

/** @type {Readonly<Record<string, readonly [number, number]>>} */
const RANGES = {
  connectTimeoutMs: [1, TIMER_MAX_MS],
  commandTimeoutMs: [1, TIMER_MAX_MS],
  eventBufferMax: [2, 10_000_000],
  backoffBaseMs: [0, TIMER_MAX_MS],
  backoffMaxMs: [0, TIMER_MAX_MS],
};

/**
 * Return the options with their defaults. Throws InvalidInput with the name of the option and its limits.
 * @param {ClientOptions} given
 * @returns {FullOptions}
 */
export function fullOptions(given) {
  if (typeof given !== "object" || given === null) throw new InvalidInput("options", "must be an object with baseUrl and token");
  const options = {
    login: /** @type {const} */ ("ticket"),
    connectTimeoutMs: 30_000,
    commandTimeoutMs: 30_000,
    eventBufferMax: 10_000,
    deliverEvents: true,
    backoffBaseMs: 1_000,
    backoffMaxMs: 30_000,
    signal: null,
    WebSocket: globalThis.WebSocket,
    // A browser refuses the function without its object.
    fetch: globalThis.fetch?.bind(globalThis),
    random: Math.random,
    ...withoutUndefined(given),
  };
  options.baseUrl = checkedUrl(given.baseUrl);
  for (const [name, [min, max]] of Object.entries(RANGES)) {
    const value = /** @type {Record<string, unknown>} */ (options)[name];
    if (typeof value !== "number" || !(value >= min && value <= max)) {
      throw new InvalidInput(name, `must be a number from ${min} to ${max}`);
    }
  }
  if (options.login !== "ticket" && options.login !== "hello") throw new InvalidInput("login", "must be `ticket` or `hello`");
  if (typeof options.WebSocket !== "function") {
    throw new InvalidInput("WebSocket", "must be given where there is none, as in Node.js before 22");
  }
  if (typeof options.fetch !== "function") throw new InvalidInput("fetch", "must be given where there is none");
  return options;
}

/**
 * Return the address of a router without a slash at its end. Throws InvalidInput.
 * @param {string} text
 */
export function checkedUrl(text) {
  let url;
  try {
    url = new URL(text);
  } catch {
    url = null;
  }
  if (url === null || !["http:", "https:"].includes(url.protocol) || url.username || url.password || url.search || url.hash) {
    throw new InvalidInput("baseUrl", "must be http://host:port or https://host:port, without credentials, query and fragment");
  }
  return url.href.replace(/\/+$/, "");
}

/**
 * @template {object} T
 * @param {T} fields
 * @returns {T}
 */
export function withoutUndefined(fields) {
  return /** @type {T} */ (Object.fromEntries(Object.entries(fields).filter(([, value]) => value !== undefined)));
}
