/** Opening of a connection: the ticket and the socket. */

import { PermanentlyClosed } from "./errors.js";

/** Subprotocol of the client: frames as JSON. */
export const SUBPROTOCOL = "router.v1+json";
const TICKET_PATH = "/v1/ws-ticket";
// A connection that was kept open for requests may be dead: another one is tried soon.
const TICKET_TIMEOUT_MS = 5_000;
// HTTP statuses after which another attempt would fail in the same way.
const PERMANENT_STATUSES = [400, 401, 403, 404, 405, 426];
// What Node tells of a first attempt that would fail again; a browser tells nothing.
const CANNOT_GET_BETTER = new Set([
  "ENOTFOUND",
  "CERT_HAS_EXPIRED",
  "DEPTH_ZERO_SELF_SIGNED_CERT",
  "SELF_SIGNED_CERT_IN_CHAIN",
  "UNABLE_TO_GET_ISSUER_CERT_LOCALLY",
  "UNABLE_TO_VERIFY_LEAF_SIGNATURE",
  "ERR_TLS_CERT_ALTNAME_INVALID",
  "ERR_SSL_WRONG_VERSION_NUMBER",
  "ERR_SSL_PACKET_LENGTH_TOO_LONG",
]);

/** A connection that was lost or not made, after which the next one is tried. */
export class ConnectionLost extends Error {
  /** @type {number | null} */
  retryAfterMs = null;
  /** Whether nothing has answered in time. */
  isTimeout = false;
  /** Whether a first attempt would fail again. */
  cannotGetBetter = false;
}

/**
 * Exchange the token for a ticket, which opens one socket. Throws PermanentlyClosed with the status, or ConnectionLost.
 * @param {import("./options.js").FullOptions} options
 * @param {string} token
 * @param {AbortSignal} stop
 * @returns {Promise<string>}
 */
export async function fetchTicket(options, token, stop) {
  let response, text;
  try {
    response = await options.fetch(options.baseUrl + TICKET_PATH, {
      method: "POST",
      // Node would use the connection again, for the socket too, though it may be dead by then; browsers ignore the header.
      headers: { Authorization: `Bearer ${token}`, Connection: "close" },
      cache: "no-store",
      credentials: "omit",
      redirect: "error",
      signal: AbortSignal.any([stop, AbortSignal.timeout(Math.min(options.connectTimeoutMs, TICKET_TIMEOUT_MS))]),
    });
    text = await response.text();
  } catch (error) {
    throw describeFailure(error);
  }
  if (!response.ok) throw refusal(response.status, text, response.headers.get("Retry-After"));
  try {
    return String(JSON.parse(text).ticket);
  } catch {
    throw new ConnectionLost("no router answers at this address: the answer is no ticket");
  }
}

/**
 * Return the error for an HTTP status.
 * @param {number} status
 * @param {string} text body of the answer
 * @param {string | null} retryAfter
 */
function refusal(status, text, retryAfter) {
  let problem;
  try {
    problem = JSON.parse(text);
  } catch {
    problem = null;
  }
  const detail = problem?.code ? `: ${problem.code}: ${problem.detail || problem.title}` : "";
  const message = `the router answered with status ${status}${detail}`;
  if (PERMANENT_STATUSES.includes(status)) return new PermanentlyClosed(status, message);
  const lost = new ConnectionLost(message);
  const seconds = Number(retryAfter ?? NaN);
  if (seconds >= 0) lost.retryAfterMs = seconds * 1000;
  return lost;
}

/**
 * @param {unknown} error
 * @returns {ConnectionLost}
 */
function describeFailure(error) {
  const failure = error instanceof Error ? error : new Error(String(error));
  const cause = /** @type {{code?: unknown, message?: unknown} | undefined} */ (failure.cause);
  const text = failure.name === "TimeoutError" ? "no answer" : `${failure.message}${cause?.message ? ` (${cause.message})` : ""}`;
  const lost = new ConnectionLost(text, { cause: failure });
  lost.isTimeout = failure.name === "TimeoutError";
  lost.cannotGetBetter = typeof cause?.code === "string" && CANNOT_GET_BETTER.has(cause.code);
  return lost;
}

/**
 * Open a socket and return it. Throws ConnectionLost.
 * @param {string} url
 * @param {string[]} protocols
 * @param {import("./options.js").FullOptions} options
 * @param {AbortSignal} stop
 * @returns {Promise<WebSocket>}
 */
export function openSocket(url, protocols, options, stop) {
  return new Promise((resolve, reject) => {
    if (stop.aborted) return reject(new ConnectionLost("closed by this side"));
    const socket = new options.WebSocket(url, protocols);
    /** @param {string} [reason] */
    const settle = (reason) => {
      clearTimeout(timer);
      stop.removeEventListener("abort", onStop);
      socket.onopen = socket.onerror = socket.onclose = null;
      if (reason === undefined) return resolve(socket);
      socket.onerror = () => undefined;
      socket.close();
      return reject(new ConnectionLost(reason));
    };
    const onStop = () => settle("closed by this side");
    const timer = setTimeout(() => settle("no answer to the handshake"), options.connectTimeoutMs);
    stop.addEventListener("abort", onStop);
    socket.onopen = () => settle();
    socket.onerror = () => settle("the socket was refused, or the connection was lost");
    socket.onclose = () => settle("the socket was refused, or the connection was lost");
    return undefined;
  });
}
