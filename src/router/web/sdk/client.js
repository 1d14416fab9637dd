/** Common base of the clients: connect, close, read events, listen, and follow the state. */

import { CLOSE_CODES, Connection } from "./connection.js";
import { PermanentlyClosed, requireText } from "./errors.js";
import { fullOptions } from "./options.js";

/** @import { Status } from "./connection.js" */
/** @import { DeliveredFrame } from "./frame_queue.js" */
/** @import { Card, Event, EventFrame, EventsByType, OkFrame, PongFrame, RequestView, ServerFrame } from "./wire.d.ts" */
/** @import { CustomerFrame, DesktopFrame, GatewayFrame, SupervisorFrame } from "./wire.d.ts" */
/** @import { ReportGoalFrame, StatePageFrame, StatisticsFrame, StatsFrame, WelcomeFrame } from "./wire.d.ts" */

// A state is told at most so often; a hidden page is told at once, since its timers may run once a minute.
const NOTIFY_EACH_MS = 16;

/**
 * What a listener may be told of besides the types of events: each event (`event`), a state that was loaded again (`welcome`),
 * live counts of queues (`stats`), watched statistics, a card that has come or changed (with its contact), the request of a
 * customer, and the state of the connection.
 * @typedef {EventsByType & {event: Event, welcome: WelcomeFrame, stats: StatsFrame, statistics: StatisticsFrame,
 *   card: {contact_id: string, card: Card}, request: RequestView, status: Status}} Told
 */

/**
 * Guard of every command: a repeat with the same idempotency key changes nothing and gets the first answer.
 * @typedef {object} KeyGuard
 * @property {string} [idempotencyKey]
 */

/**
 * Guards of commands on contacts and agents. `ifMatch` is the `tag` of an earlier answer, or `*` for any: if the contact or the
 * agent has changed since, the command is refused with `precondition_failed`.
 * @typedef {KeyGuard & {ifMatch?: string}} Guard
 */

/**
 * What a report of a goal may say.
 * @typedef {Pick<ReportGoalFrame, "goal" | "outcome" | "ease" | "effort" | "satisfaction">} GoalReport
 */

/**
 * Frame of a client, whose id is given later.
 * @template T
 * @typedef {T extends {readonly id: string} ? Omit<T, "id"> : never} WithoutId
 */

/** @typedef {WithoutId<DesktopFrame | GatewayFrame | SupervisorFrame | CustomerFrame>} CommandFields */

/**
 * Copy of the state that a client may see.
 * @template S
 * @typedef {object} Mirror
 * @property {(frames: readonly (WelcomeFrame | StatePageFrame)[]) => void} load replace the state by that of a `welcome` and its
 *   pages
 * @property {(frame: ServerFrame) => void} apply follow any other frame
 * @property {() => S} snapshot the state; the same object as long as nothing has changed
 */

/**
 * Client of one of the router's sockets; use DesktopClient, GatewayClient, SupervisorClient or CustomerClient.
 * @template S
 */
export class Client {
  #connection;
  #mirror;
  /** @type {(WelcomeFrame | StatePageFrame)[]} */
  #loading = [];
  #pagesLeft = 0;
  /** @type {Map<string, Set<(what: any, frame?: any) => void>>} */
  #listeners = new Map();
  /** @type {Set<() => void>} */
  #subscribers = new Set();
  /** @type {S | null} */
  #told = null;
  #toldMs = 0;
  #isToTell = false;
  #stopWatching = () => undefined;

  /**
   * @param {string} path of the socket
   * @param {import("./options.js").ClientOptions} options
   * @param {Mirror<S>} mirror
   */
  constructor(path, options, mirror) {
    const full = fullOptions(options);
    this.#mirror = mirror;
    this.#connection = new Connection(path, full, {
      onFrame: (frame) => this.#onFrame(frame),
      onStatus: (status) => this.#emit("status", status),
    });
    if (full.signal?.aborted) void this.close();
    else full.signal?.addEventListener("abort", () => void this.close(), { once: true });
  }

  /** Connect and wait for the initial state; the client reconnects by itself. Throws PermanentlyClosed or NotConnected. */
  async open() {
    this.#stopWatching();
    this.#stopWatching = watchPage(() => this.nudge());
    try {
      await this.#connection.open();
    } catch (error) {
      this.#stopWatching();
      throw error;
    }
    return this;
  }

  /** Close the connection and end the iteration. May be called again. */
  async close() {
    this.#stopWatching();
    await this.#connection.close();
  }

  /** Try at once: skip the back-off, or ask the router for a sign of life. Pages do so by themselves when they are seen again. */
  nudge() {
    this.#connection.nudge();
  }

  /** Give up the present connection without a word, to test what follows. */
  drop() {
    this.#connection.drop();
  }

  /** The router's clock, epoch milliseconds: compare deadlines with it, since the clock of this machine may be wrong. */
  now() {
    return this.#connection.clock.now();
  }

  /** `connecting`, `live`, `lost` or `closed`. */
  get status() {
    return this.#connection.status;
  }

  /** Whether commands can be sent at once. */
  get isConnected() {
    return this.#connection.isConnected;
  }

  /** Number of connections so far; 1 means that the connection was never lost. */
  get connectionCount() {
    return this.#connection.connectionCount;
  }

  /** Id of the history, and the number of the event up to which this client has received all that it may see. */
  get position() {
    return { historyId: this.#connection.historyId, seq: this.#connection.seq };
  }

  /** Last full state that the router has sent, with what only it knows. Throws PermanentlyClosed before `open`. */
  get welcome() {
    if (this.#connection.welcome === null) throw new PermanentlyClosed(CLOSE_CODES.NORMAL, "not connected yet");
    return this.#connection.welcome;
  }

  /** The state as of the last frame. It is never changed in place. */
  get state() {
    return this.#mirror.snapshot();
  }

  /**
   * Throw what has closed the connection; nothing, if it is open or this side has closed it.
   * @protected
   */
  throwIfLost() {
    const error = this.#connection.finalError;
    const isOwn = error instanceof PermanentlyClosed && error.code === CLOSE_CODES.NORMAL;
    if (error !== null && !isOwn) throw error;
  }

  // --- React's useSyncExternalStore --------------------------------------------------------------------------
  /** Return the state; the same object as long as nothing has changed. Bound, to be passed on as it is. */
  getSnapshot = () => this.#mirror.snapshot();

  /**
   * Call a function after the state has changed, at most once a frame. Returns a function that ends it. Bound, to be passed on.
   * @param {() => void} listener
   */
  subscribe = (listener) => {
    this.#subscribers.add(listener);
    return () => void this.#subscribers.delete(listener);
  };

  // --- events ------------------------------------------------------------------------------------------------
  /**
   * Call a function with each event of a type, or another thing of `Told`, as soon as it has arrived and is part of the state.
   * Returns a function that ends it.
   * @template {keyof Told} K
   * @param {K} type
   * @param {(what: Told[K], frame?: K extends keyof EventsByType | "event" ? EventFrame : undefined) => void} listener
   * @param {{signal?: AbortSignal}} [options]
   */
  on(type, listener, { signal } = {}) {
    const listeners = this.#listeners.get(type) ?? new Set();
    this.#listeners.set(type, listeners.add(listener));
    const stop = () => void listeners.delete(listener);
    signal?.addEventListener("abort", stop, { once: true });
    return stop;
  }

  /**
   * Iterate over the frames, without gaps across reconnects. A `welcome` in between means that more events were missed than the
   * router keeps: the state was loaded again. Ends when this side closes; throws PermanentlyClosed when the router closes for
   * good. One reader at a time.
   * @returns {AsyncGenerator<DeliveredFrame, void, void>}
   */
  [Symbol.asyncIterator]() {
    return this.#connection.queue.read();
  }

  /**
   * Iterate over the events alone, without their numbers and times.
   * @returns {AsyncGenerator<Event, void, void>}
   */
  async *events() {
    for await (const frame of this.#connection.queue.read()) {
      if (frame.type === "event") yield frame.event;
    }
  }

  // --- commands ----------------------------------------------------------------------------------------------
  /** Ask for a sign of life; the answer has the number of the last event that was sent, and the router's time. */
  async ping() {
    return /** @type {PongFrame} */ (await this.#connection.request({ type: "ping" }));
  }

  /**
   * Send a command and wait until it is carried out and durable. Throws RouterRefused, OutcomeUnknown, NotConnected or
   * PermanentlyClosed.
   * @protected
   * @param {CommandFields} fields the frame without its id
   * @param {Guard} [guard]
   * @returns {Promise<OkFrame>}
   */
  async command(fields, guard = {}) {
    const frame = { ...fields, idempotency_key: guard.idempotencyKey, if_match: guard.ifMatch };
    return /** @type {OkFrame} */ (await this.#connection.request(frame));
  }

  /**
   * Name the goal of a contact, report its outcome or give its scores, also after its end; `state` of the answer is the outcome
   * then. What is left out stays; null takes it back. For agents, gateways and supervisors.
   * @protected
   * @param {string} contactId
   * @param {GoalReport} report
   * @param {Guard} [guard]
   */
  async sendGoal(contactId, { goal, outcome, ease, effort, satisfaction }, guard) {
    const fields = { goal, outcome, ease, effort, satisfaction };
    return this.command({ type: "report_goal", ...id("contact_id", contactId), ...fields }, guard);
  }

  /** @param {ServerFrame} frame */
  #onFrame(frame) {
    if (frame.type === "welcome" || frame.type === "state_page") {
      // Pages are loaded together: nothing sees half of a state.
      if (frame.type === "welcome") {
        this.#loading = [];
        this.#pagesLeft = 1 + (frame.state_page_count ?? 0);
      }
      this.#loading.push(frame);
      this.#pagesLeft -= 1;
      if (this.#pagesLeft > 0) return;
      this.#mirror.load(this.#loading);
      const [welcome] = this.#loading;
      this.#loading = [];
      this.#emit("welcome", welcome);
    } else {
      this.#mirror.apply(frame);
      if (frame.type === "event") {
        this.#emit("event", frame.event, frame);
        this.#emit(frame.event.type, frame.event, frame);
      } else if (frame.type === "state") this.#emit("request", frame.request);
      else if (frame.type === "card" || frame.type === "card_changed") this.#emitCard(frame.contact_id);
      else if (frame.type === "stats" || frame.type === "statistics") this.#emit(frame.type, frame);
    }
    this.#tellSubscribers();
  }

  /** @param {string} contactId */
  #emitCard(contactId) {
    const state = /** @type {{cards?: ReadonlyMap<string, Card>}} */ (this.#mirror.snapshot());
    const card = state.cards?.get(contactId);
    if (card !== undefined) this.#emit("card", { contact_id: contactId, card });
  }

  /**
   * @param {string} type
   * @param {unknown} what
   * @param {unknown} [frame]
   */
  #emit(type, what, frame) {
    for (const listener of [...(this.#listeners.get(type) ?? [])]) call(() => listener(what, frame));
  }

  #tellSubscribers() {
    if (this.#isToTell || this.#subscribers.size === 0) return;
    this.#isToTell = true;
    const waitMs = this.#toldMs + NOTIFY_EACH_MS - performance.now();
    const tell = () => {
      this.#isToTell = false;
      this.#toldMs = performance.now();
      const snapshot = this.#mirror.snapshot();
      if (snapshot === this.#told) return;
      this.#told = snapshot;
      for (const subscriber of [...this.#subscribers]) call(subscriber);
    };
    if (waitMs <= 0 || globalThis.document?.hidden) queueMicrotask(tell);
    else setTimeout(tell, waitMs);
  }
}

/**
 * Call a function of the application. What it throws is reported as any uncaught error, and does not disturb the connection.
 * @param {() => void} listener
 */
function call(listener) {
  try {
    listener();
  } catch (error) {
    queueMicrotask(() => {
      throw error;
    });
  }
}

/**
 * Call a function whenever a page is online or seen again; nothing where there is no page. Returns a function that ends it.
 * @param {() => void} listener
 */
function watchPage(listener) {
  if (typeof globalThis.document === "undefined") return () => undefined;
  const ifVisible = () => {
    if (!document.hidden) listener();
  };
  globalThis.addEventListener("online", listener);
  globalThis.addEventListener("pageshow", listener);
  document.addEventListener("visibilitychange", ifVisible);
  return () => {
    globalThis.removeEventListener("online", listener);
    globalThis.removeEventListener("pageshow", listener);
    document.removeEventListener("visibilitychange", ifVisible);
    return undefined;
  };
}

/**
 * Return one field of a frame with a checked id.
 * @template {string} K
 * @template {string} V
 * @param {K} field
 * @param {V} value
 * @returns {Record<K, V>}
 */
export function id(field, value) {
  return /** @type {Record<K, V>} */ ({ [field]: requireText(field, value) });
}
