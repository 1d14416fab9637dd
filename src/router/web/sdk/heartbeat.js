/** Heartbeat of a connection, judged by what was heard, and the router's clock. */

import { TIMER_MAX_MS } from "./reconnect.js";

/**
 * Heartbeat of one connection: a ping each `beatMs`, and a verdict half of that later.
 *
 * A connection lives if any frame was heard since the ping. Timers alone prove nothing: hidden tabs run them once a minute, and
 * after sleep a timer may fire before the frames that have arrived meanwhile are delivered. So a verdict that comes late is
 * given once more, after another ping.
 */
export class Heartbeat {
  #beatMs;
  #sendPing;
  #onLost;
  #now;
  /** @type {ReturnType<typeof setTimeout> | undefined} */
  #timer;
  #wasHeard = true;
  #isSecondChance = false;

  /**
   * @param {number} beatMs
   * @param {object} calls
   * @param {() => void} calls.sendPing
   * @param {() => void} calls.onLost
   * @param {() => number} [calls.now] milliseconds of a clock that does not jump
   */
  constructor(beatMs, { sendPing, onLost, now = () => performance.now() }) {
    this.#beatMs = beatMs;
    this.#sendPing = sendPing;
    this.#onLost = onLost;
    this.#now = now;
  }

  /** Send the first ping now. */
  start() {
    this.#beat();
  }

  /** A frame has arrived. */
  heard() {
    this.#wasHeard = true;
    this.#isSecondChance = false;
  }

  /** Send a ping at once, for example because the page is seen again. */
  beatNow() {
    this.stop();
    this.#beat();
  }

  /** End it. */
  stop() {
    clearTimeout(this.#timer);
  }

  #beat() {
    this.#wasHeard = false;
    this.#arm(this.#beatMs / 2, (lateMs) => this.#judge(lateMs));
    this.#sendPing();
  }

  /** @param {number} lateMs */
  #judge(lateMs) {
    if (this.#wasHeard) {
      this.#arm(this.#beatMs / 2, () => this.#beat());
    } else if (lateMs > this.#beatMs / 4 && !this.#isSecondChance) {
      this.#isSecondChance = true;
      this.#beat();
    } else {
      this.#onLost();
    }
  }

  /**
   * @param {number} delayMs
   * @param {(lateMs: number) => void} then
   */
  #arm(delayMs, then) {
    const dueMs = this.#now() + delayMs;
    this.#timer = setTimeout(() => then(this.#now() - dueMs), Math.min(delayMs, TIMER_MAX_MS));
  }
}

/** The router's clock, as the answers to pings tell it: that of the shortest round trip of the connection. */
export class RouterClock {
  #offsetMs = 0;
  #roundTripMs = Infinity;
  #now;

  /** @param {() => number} [now] this machine's clock, epoch milliseconds */
  constructor(now = Date.now) {
    this.#now = now;
  }

  /** Forget the round trips of an earlier connection: this machine may have slept, or its clock may have been set. */
  restart() {
    this.#roundTripMs = Infinity;
  }

  /**
   * Learn from an answer that arrives now.
   * @param {number} roundTripMs
   * @param {number} routerMs time of the router in the answer, epoch milliseconds
   */
  observe(roundTripMs, routerMs) {
    if (roundTripMs <= this.#roundTripMs) {
      this.#roundTripMs = roundTripMs;
      this.#offsetMs = routerMs + roundTripMs / 2 - this.#now();
    }
  }

  /** Return the router's time, epoch milliseconds. */
  now() {
    return this.#now() + this.#offsetMs;
  }
}
