/**
 * Reconnect policy: the delay before the next attempt, and the access token to use for it.
 *
 * Delays follow exponential back-off with full jitter, so that clients that were disconnected together do not reconnect together.
 */

import { InvalidInput } from "./errors.js";

// A connection that lasted this long resets the back-off: the next outage starts with the shortest delay.
const STABLE_CONNECTION_MS = 5_000;
const REFRESH_SHARE = 0.8;
const REFRESH_MIN_MS = 500;

/** The longest delay of a timer; a longer one would fire at once. */
export const TIMER_MAX_MS = 2 ** 31 - 1;

/**
 * Exponential back-off with full jitter. The delay of the n-th attempt (from 0) since the last stable connection is
 * `random(0, min(maxMs, baseMs × 2ⁿ))`.
 */
export class Backoff {
  #attempts = 0;
  #baseMs;
  #maxMs;
  #random;

  /**
   * @param {number} baseMs
   * @param {number} maxMs
   * @param {() => number} random random numbers from 0 to 1, replaced in tests
   */
  constructor(baseMs, maxMs, random) {
    this.#baseMs = baseMs;
    this.#maxMs = maxMs;
    this.#random = random;
  }

  /**
   * Return the delay before the next attempt, and count the attempt. The random delay is added to the one that was asked for.
   * @param {number} [retryAfterMs] delay that the router asked for (`Retry-After`)
   */
  nextDelayMs(retryAfterMs = 0) {
    const longest = Math.min(this.#maxMs, this.#baseMs * 2 ** Math.min(this.#attempts, 30));
    this.#attempts += 1;
    return retryAfterMs + this.#random() * longest;
  }

  /**
   * Reset the back-off if the connection that has just ended lasted long enough.
   * @param {number} durationMs
   */
  connectionLasted(durationMs) {
    if (durationMs >= STABLE_CONNECTION_MS) this.reset();
  }

  /** Begin with the shortest delay again. */
  reset() {
    this.#attempts = 0;
  }
}

/**
 * A token, or a function that returns a fresh one, at once or later.
 * @typedef {string | (() => string | Promise<string>)} Token
 */

/** Source of tokens: a fixed one, or a function called before each connection and before the present token expires. */
export class TokenSource {
  #token;

  /** @param {Token} token */
  constructor(token) {
    if (typeof token !== "function" && (typeof token !== "string" || !token)) {
      throw new InvalidInput("token", "must be a text, or a function that returns one");
    }
    this.#token = token;
  }

  /** Whether the source can deliver a fresh token. */
  get isRenewable() {
    return typeof this.#token === "function";
  }

  /** Return a valid token. */
  async fetch() {
    const token = typeof this.#token === "function" ? await this.#token() : this.#token;
    if (typeof token !== "string" || !token) throw new InvalidInput("token", "must be a function that returns a text");
    return token;
  }
}

/**
 * Return the milliseconds from the fetch of a token to the fetch of the next one; null if the token has no `iat` and `exp`.
 *
 * The life is computed from the token's own claims and not from this machine's clock, which may be wrong. The signature is not
 * verified: only the router has to trust the token.
 * @param {string} token
 * @returns {number | null}
 */
export function refreshAfterMs(token) {
  try {
    const body = token.split(".")[1].replaceAll("-", "+").replaceAll("_", "/");
    const claims = JSON.parse(atob(body));
    if (!Number.isFinite(claims.exp) || !Number.isFinite(claims.iat)) return null;
    // Both claims are whole seconds, so the true life may be shorter by one second.
    return Math.max(REFRESH_MIN_MS, (claims.exp - claims.iat - 1) * 1000 * REFRESH_SHARE);
  } catch {
    return null;
  }
}

// Every other code of 4500 and more forbids it too; those below 1000 stand for a lost connection.
const PERMANENT_FROM = 4500;

/**
 * Return whether to reconnect after a close code; null: the connection was lost without one.
 * @param {number | null} code
 * @param {readonly number[]} permanentCodes
 */
export function mayReconnect(code, permanentCodes) {
  if (code === null || code < 1000) return true;
  return code < PERMANENT_FROM && !permanentCodes.includes(code);
}

/** A gate that is open or shut; callers wait until it opens. */
export class Gate {
  #isOpen = false;
  /** @type {Set<() => void>} */
  #waiting = new Set();

  /** Whether it is open. */
  get isOpen() {
    return this.#isOpen;
  }

  /** Open it, and let everyone who waits go on. */
  open() {
    this.#isOpen = true;
    const waiting = [...this.#waiting];
    this.#waiting.clear();
    for (const goOn of waiting) goOn();
  }

  /** Shut it. */
  shut() {
    this.#isOpen = false;
  }

  /**
   * Wait until it is open, at most for a time; return whether it has opened.
   * @param {number} [timeoutMs] none: for ever
   * @returns {Promise<boolean>}
   */
  wait(timeoutMs) {
    if (this.#isOpen) return Promise.resolve(true);
    return new Promise((resolve) => {
      /** @type {ReturnType<typeof setTimeout> | undefined} */
      let timer;
      const goOn = () => {
        clearTimeout(timer);
        resolve(true);
      };
      this.#waiting.add(goOn);
      if (timeoutMs !== undefined) {
        timer = setTimeout(() => {
          this.#waiting.delete(goOn);
          resolve(false);
        }, Math.min(timeoutMs, TIMER_MAX_MS));
      }
    });
  }
}
