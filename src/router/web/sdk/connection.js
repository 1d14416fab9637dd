/**
 * Reconnecting WebSocket connection: successive connections presented as one gap-free stream of frames.
 *
 * Theory of operation
 * -------------------
 *
 * One loop (`#run`) opens a connection, waits for its end, waits for the back-off and opens the next one. It ends only when this
 * side closes, when the router closes with a code that forbids to reconnect, or when the token cannot be renewed.
 *
 * Logging in. A page sees neither the status nor the headers of a refused upgrade. So each connection begins with a request for a
 * ticket, whose answer says whether the credential is good and when to come again; the ticket opens the socket. Where that gives
 * no answer, because the network is dead or the socket is refused all the same, the next attempt sends the token in `hello`.
 *
 * Resuming. The position is (`historyId`, `seq`): every event up to `seq` has been delivered or was not addressed to this client.
 * Each `hello` carries it. The router then either sends `resumed` and the missed events, or, if it no longer holds them, a new
 * `welcome` with the full state, which the reader gets in the stream. An event whose number is not greater than `seq` is a
 * duplicate and ignored. The connection counts as established after the last page of a welcome.
 *
 * Reading. Each frame is applied to the local state (`onFrame`) and appended to a bounded buffer. If the buffer is full, the
 * event is neither applied nor counted as received and the connection is given up; the next one is opened when half of the
 * buffer has been read, and resumes with that event.
 *
 * Commands. `request` sends a frame with an id of its own and waits for the `ok`, `pong` or `error` frame with that id. If the
 * connection is lost in between, the outcome is unknown; nothing is ever sent twice.
 *
 * Giving up a socket. A page cannot abort a TCP connection, and the closing handshake of a dead one takes long. A socket that is
 * given up is closed and not listened to any more.
 */

import { InvalidInput, NotConnected, OutcomeUnknown, PermanentlyClosed, RouterRefused } from "./errors.js";
import { FrameQueue } from "./frame_queue.js";
import { Heartbeat, RouterClock } from "./heartbeat.js";
import { ConnectionLost, fetchTicket, openSocket, SUBPROTOCOL } from "./opening.js";
import { Backoff, Gate, mayReconnect, refreshAfterMs, TIMER_MAX_MS, TokenSource } from "./reconnect.js";
import { EVENT_AUDIENCE, PERMANENT_CLOSE_CODES } from "./wire_tables.js";

/** @import { DeliveredFrame } from "./frame_queue.js" */
/** @import { ErrorFrame, EventFrame, OkFrame, PongFrame, ServerFrame, WelcomeFrame } from "./wire.d.ts" */

const COMMANDS_IN_FLIGHT_MAX = 1_000;
const CLOSE_TIMEOUT_MS = 2_000;
const HEARTBEAT_MS = 20_000;
// As many good tickets in a row whose sockets are refused are no accident.
const REFUSED_SOCKETS_TOLD = 3;

/** Close codes that the client itself refers to. */
export const CLOSE_CODES = Object.freeze({ NORMAL: 1000, INTERNAL_ERROR: 1011, TOKEN_EXPIRED: 4401 });

/** @typedef {"connecting" | "live" | "lost" | "closed"} Status */

/**
 * @typedef {object} Answer
 * @property {(frame: OkFrame | PongFrame) => void} resolve
 * @property {(error: Error) => void} reject
 * @property {number} sentMs
 */

/** Stream of frames of one client over any number of successive connections. */
export class Connection {
  /** @type {WelcomeFrame | null} */
  welcome = null;
  historyId = "";
  seq = 0;
  /** Number of connections so far. */
  connectionCount = 0;
  /** @type {Status} */
  status = "connecting";
  clock = new RouterClock();
  /** Frames that the application has not read. */
  queue;
  #url;
  #options;
  #onFrame;
  #onStatus;
  #tokens;
  #backoff;
  /** @type {WebSocket | null} */
  #socket = null;
  /** @type {Heartbeat | null} */
  #heartbeat = null;
  /** @type {ReturnType<typeof setTimeout> | undefined} */
  #refreshTimer;
  #live = new Gate();
  #wake = new Gate();
  /** @type {Map<string, Answer>} */
  #answers = new Map();
  #commandsInFlight = 0;
  #commandMayGo = new Gate();
  #frameNumber = 0;
  #pagesLeft = 0;
  /** @type {number | null} */
  #retryAfterMs = null;
  #tokenRejections = 0;
  #refusedSockets = 0;
  /** Whether the next attempt logs in by `hello`. */
  #isHelloNext = false;
  /** @type {Error | null} */
  #lastFailure = null;
  /** @type {Error | null} */
  #finalError = null;
  /** @type {Promise<void> | null} */
  #running = null;
  #stop = new AbortController();
  /** @type {((error: Error | null, code: number | null, reason: string) => void) | null} */
  #endOfSocket = null;

  /**
   * @param {string} path of the socket
   * @param {import("./options.js").FullOptions} options
   * @param {object} calls
   * @param {(frame: ServerFrame) => void} calls.onFrame each frame that changes the local state, in order
   * @param {(status: Status) => void} calls.onStatus
   */
  constructor(path, options, { onFrame, onStatus }) {
    this.#options = options;
    this.#url = `${options.baseUrl.replace(/^http/, "ws")}${path}`;
    this.#onFrame = onFrame;
    this.#onStatus = onStatus;
    this.#tokens = new TokenSource(options.token);
    this.#backoff = new Backoff(options.backoffBaseMs, options.backoffMaxMs, options.random);
    this.queue = new FrameQueue(options.eventBufferMax);
  }

  /** Connect and wait for the initial state. Throws PermanentlyClosed or NotConnected. */
  async open() {
    if (this.#finalError !== null) throw this.#finalError;
    this.#running ??= this.#run();
    try {
      await this.#waitConnected();
    } catch (error) {
      await this.close();
      throw error;
    }
  }

  /** Close the connection and end the stream. May be called again. */
  async close() {
    const socket = this.#socket;
    const running = this.#running;
    this.#end(new PermanentlyClosed(CLOSE_CODES.NORMAL, "closed by this side"));
    const closed = socket === null || this.#running === null ? null : closedWithin(socket, CLOSE_TIMEOUT_MS);
    this.#stop.abort();
    socket?.close(CLOSE_CODES.NORMAL);
    this.#endOfSocket?.(null, CLOSE_CODES.NORMAL, "");
    await running;
    await closed;
  }

  /** Give up the present connection without a word, to test what follows; the next one resumes. */
  drop() {
    this.#giveUp(new ConnectionLost("dropped by this side"));
  }

  /** Try at once: skip the back-off, or ask the router for a sign of life. */
  nudge() {
    this.#wake.open();
    if (this.#live.isOpen) this.#heartbeat?.beatNow();
  }

  /** What has ended the connection for good; null: nothing yet. */
  get finalError() {
    return this.#finalError;
  }

  /** Whether commands can be sent at once. */
  get isConnected() {
    return this.#live.isOpen && this.#finalError === null;
  }

  // --- commands ---------------------------------------------------------------------------------------
  /**
   * Send a frame and wait for its answer. Throws RouterRefused, OutcomeUnknown, NotConnected or PermanentlyClosed.
   * @param {{type: string, idempotency_key?: string | null}} fields the frame without its id
   * @returns {Promise<OkFrame | PongFrame>}
   */
  async request(fields) {
    while (this.#commandsInFlight >= COMMANDS_IN_FLIGHT_MAX) {
      this.#commandMayGo.shut();
      await this.#commandMayGo.wait();
    }
    this.#commandsInFlight += 1;
    try {
      return await this.#exchange(await this.#connectedSocket(), fields);
    } finally {
      this.#commandsInFlight -= 1;
      this.#commandMayGo.open();
    }
  }

  /**
   * @param {WebSocket} socket
   * @param {{type: string, idempotency_key?: string | null}} fields
   * @returns {Promise<OkFrame | PongFrame>}
   */
  #exchange(socket, fields) {
    const id = String(++this.#frameNumber);
    // What cannot be encoded is thrown before anything waits for its answer.
    const text = JSON.stringify({ ...fields, id });
    const limitMs = this.#options.commandTimeoutMs;
    /** @type {ReturnType<typeof setTimeout> | undefined} */
    let timer;
    /** @type {Promise<OkFrame | PongFrame>} */
    const answer = new Promise((resolve, reject) => {
      timer = setTimeout(() => reject(new OutcomeUnknown(`no answer within ${limitMs} ms`, fields.idempotency_key)), limitMs);
      /** @param {Error} error */
      const fail = (error) => {
        const isLost = error instanceof OutcomeUnknown;
        reject(isLost ? new OutcomeUnknown(error.message, fields.idempotency_key) : error);
      };
      this.#answers.set(id, { resolve, reject: fail, sentMs: performance.now() });
    });
    const forget = () => {
      clearTimeout(timer);
      this.#answers.delete(id);
    };
    try {
      socket.send(text);
    } catch (error) {
      forget();
      throw error;
    }
    return answer.finally(forget);
  }

  /** Wait for a connection that is not closing: a frame passed to a closing one would never be sent. */
  async #connectedSocket() {
    while (true) {
      await this.#waitConnected();
      const socket = this.#socket;
      if (socket !== null && socket.readyState === socket.OPEN) return socket;
      this.#live.shut();
    }
  }

  async #waitConnected() {
    const limitMs = this.#options.connectTimeoutMs;
    const isLive = this.#finalError === null && (await this.#live.wait(limitMs));
    if (this.#finalError !== null) throw this.#finalError;
    if (!isLive) {
      const failure = this.#lastFailure;
      const reason = failure === null ? "no answer to the handshake" : `last attempt: ${failure.message}`;
      throw new NotConnected(`no connection within ${limitMs} ms; ${reason}`, { cause: failure });
    }
  }

  // --- connections --------------------------------------------------------------------------------------
  async #run() {
    while (this.#finalError === null) {
      const began = performance.now();
      let code = null;
      try {
        await this.queue.space.wait();
        if (this.#finalError !== null) return;
        code = await this.#runConnection();
      } catch (error) {
        this.#onFailure(error instanceof Error ? error : new Error(String(error)));
      } finally {
        this.#afterConnection();
      }
      if (this.#finalError !== null) return;
      this.#backoff.connectionLasted(performance.now() - began);
      const askedMs = this.#retryAfterMs ?? 0;
      this.#retryAfterMs = null;
      if (code !== null) this.#lastFailure = new ConnectionLost(`the router closed with ${code}`);
      this.#wake.shut();
      await this.#wake.wait(this.#backoff.nextDelayMs(askedMs));
    }
  }

  /** @param {Error} error */
  #onFailure(error) {
    if (error instanceof PermanentlyClosed) this.#end(error);
    else if (!(error instanceof ConnectionLost)) {
      // A token that is no text, or a frame that is none: a repetition would not help, and no caller must wait for ever.
      this.#end(new PermanentlyClosed(CLOSE_CODES.INTERNAL_ERROR, `${error.name}: ${error.message}`, { cause: error }));
    } else {
      this.#lastFailure = error;
      if (error.retryAfterMs !== null) this.#retryAfterMs = error.retryAfterMs;
      // Only a first attempt can fail for good: the certificate, the protocol or the host is wrong.
      if (error.cannotGetBetter && this.connectionCount === 0) this.#end(new NotConnected(error.message, { cause: error }));
    }
  }

  /** Open one connection and wait for its end; return its close code, or null if it was lost without one. */
  async #runConnection() {
    const token = await this.#orStopped(this.#freshToken());
    const isByHello = this.#options.login === "hello" || this.#isHelloNext;
    this.#isHelloNext = false;
    const protocols = [SUBPROTOCOL];
    if (!isByHello) protocols.push(`ticket.${await this.#ticket(token)}`);
    const socket = await this.#openedSocket(protocols);
    /** @type {Promise<{error: Error | null, code: number | null, reason: string}>} */
    const ended = new Promise((resolve) => {
      this.#endOfSocket = (error, code, reason) => resolve({ error, code, reason });
    });
    const login = isByHello ? { token } : {};
    const resume = this.historyId ? { resume: `${this.historyId}:${this.seq}` } : {};
    this.#listen(socket, token);
    socket.send(JSON.stringify({ type: "hello", ...login, ...resume }));
    const { error, code, reason } = await ended;
    if (error !== null) throw error;
    if (code === CLOSE_CODES.TOKEN_EXPIRED && !this.#tokens.isRenewable) throw new PermanentlyClosed(code, "the token has expired");
    if (code !== null && !mayReconnect(code, PERMANENT_CLOSE_CODES)) throw new PermanentlyClosed(code, reason);
    // A browser reports a connection that was lost as 1005 or 1006.
    return code === 1005 || code === 1006 ? null : code;
  }

  /**
   * Return a token. What its function throws counts as a lost connection, since the network that the router is behind may be down
   * for both; a `PermanentlyClosed` of its own, and a token that is no text, end the client.
   */
  async #freshToken() {
    try {
      return await this.#tokens.fetch();
    } catch (error) {
      if (error instanceof PermanentlyClosed || error instanceof InvalidInput) throw error;
      const reason = error instanceof Error ? error.message : String(error);
      throw new ConnectionLost(`the token function failed: ${reason}`, { cause: error });
    }
  }

  /**
   * @template T
   * @param {Promise<T>} promise
   * @returns {Promise<T>}
   */
  #orStopped(promise) {
    return new Promise((resolve, reject) => {
      const onStop = () => reject(new ConnectionLost("closed by this side"));
      this.#stop.signal.addEventListener("abort", onStop, { once: true });
      promise.then(resolve, reject).finally(() => this.#stop.signal.removeEventListener("abort", onStop));
    });
  }

  /** @param {string} token */
  async #ticket(token) {
    try {
      const ticket = await fetchTicket(this.#options, token, this.#stop.signal);
      this.#tokenRejections = 0;
      return ticket;
    } catch (error) {
      // A token from a provider may have expired on its way: one more attempt.
      const isRejected = error instanceof PermanentlyClosed && error.code === 401 && this.#tokens.isRenewable;
      this.#isHelloNext = error instanceof ConnectionLost && error.isTimeout;
      if (!isRejected) throw error;
      this.#tokenRejections += 1;
      throw this.#tokenRejections < 2 ? new ConnectionLost(error.message) : error;
    }
  }

  /** @param {string[]} protocols */
  async #openedSocket(protocols) {
    try {
      const socket = await openSocket(this.#url, protocols, this.#options, this.#stop.signal);
      this.#refusedSockets = 0;
      return socket;
    } catch (error) {
      if (!(error instanceof ConnectionLost)) throw error;
      // A socket that is refused although the ticket was good gives no reason; after a login by `hello` the close code does.
      this.#refusedSockets += 1;
      this.#isHelloNext = protocols.length > 1;
      const isTold = this.#refusedSockets >= REFUSED_SOCKETS_TOLD && this.#options.login === "ticket";
      const hint = "; the ticket was good: is the origin of this page in `server.allowed_origins` of the router?";
      throw isTold ? new ConnectionLost(error.message + hint) : error;
    }
  }

  /**
   * @param {WebSocket} socket
   * @param {string} token
   */
  #listen(socket, token) {
    if (socket.readyState !== socket.OPEN) throw new ConnectionLost("the connection was lost");
    this.#socket = socket;
    this.connectionCount += 1;
    this.#pagesLeft = 0;
    socket.onmessage = ({ data }) => {
      if (socket !== this.#socket) return;
      try {
        this.#heartbeat?.heard();
        this.#receive(data, token);
      } catch (error) {
        this.#giveUp(error instanceof Error ? error : new Error(String(error)));
      }
    };
    socket.onclose = ({ code, reason }) => {
      if (socket === this.#socket) this.#endOfSocket?.(null, code, reason);
    };
  }

  /** @param {Error} error */
  #giveUp(error) {
    const socket = this.#socket;
    if (socket === null) return;
    this.#socket = null;
    socket.onmessage = socket.onclose = null;
    socket.close();
    this.#endOfSocket?.(error, null, "");
  }

  #afterConnection() {
    this.#live.shut();
    this.#socket = null;
    this.#heartbeat?.stop();
    this.#heartbeat = null;
    clearTimeout(this.#refreshTimer);
    for (const answer of this.#answers.values()) answer.reject(new OutcomeUnknown("the connection was lost"));
    if (this.#finalError === null && this.connectionCount > 0) this.#setStatus("lost");
  }

  /** @param {Error} error */
  #end(error) {
    if (this.#finalError !== null) return;
    this.#finalError = error;
    this.#live.open();
    this.#wake.open();
    this.queue.end(error);
    this.#setStatus("closed");
  }

  /** @param {Status} status */
  #setStatus(status) {
    if (status === this.status) return;
    this.status = status;
    this.#onStatus(status);
  }

  // --- frames ---------------------------------------------------------------------------------------------
  /**
   * @param {unknown} data
   * @param {string} token
   */
  #receive(data, token) {
    const frame = /** @type {ServerFrame} */ (JSON.parse(/** @type {string} */ (data)));
    if (typeof frame?.type !== "string") throw new TypeError("what the router sent is no frame");
    switch (frame.type) {
      case "event":
        return this.#onEvent(frame);
      case "ok":
      case "pong":
      case "error":
        return this.#onAnswer(frame);
      case "welcome":
        this.#pagesLeft = frame.state_page_count ?? 0;
        this.#onFrame(frame);
        this.welcome = frame;
        if (this.#pagesLeft === 0) this.#onStateComplete(frame, token);
        return undefined;
      case "state_page":
        this.#pagesLeft -= 1;
        this.#onFrame(frame);
        if (this.#pagesLeft === 0 && this.welcome !== null) this.#onStateComplete(this.welcome, token);
        return undefined;
      case "resumed":
        this.#onFrame(frame);
        return this.#onLive(frame.heartbeat_s * 1000, token);
      case "state":
        this.#deliver(frame);
        return this.#live.isOpen ? undefined : this.#onLive(HEARTBEAT_MS, null);
      case "stats":
        this.#deliver(frame);
        return undefined;
      case "card":
      case "card_changed":
      case "statistics":
      case "scope":
        return this.#onFrame(frame);
      case "reconnect":
        this.#retryAfterMs = 0;
        return undefined;
      default:
        return undefined; // A frame of a newer router.
    }
  }

  /** @param {EventFrame} frame */
  #onEvent(frame) {
    if (frame.seq <= this.seq) return;
    if (Object.hasOwn(EVENT_AUDIENCE, frame.event.type)) {
      if (this.#options.deliverEvents && !this.queue.push(frame)) {
        // The event is not counted as received, so the next connection resumes with it.
        this.queue.space.shut();
        const advice = "read the events, or set deliverEvents to false";
        return this.#giveUp(new ConnectionLost(`the buffer of unread events is full: ${advice}`));
      }
      this.#onFrame(frame);
    }
    this.seq = frame.seq;
  }

  /**
   * A frame that replaces earlier ones: a reader who is late may miss it.
   * @param {DeliveredFrame} frame
   */
  #deliver(frame) {
    this.#onFrame(frame);
    if (this.#options.deliverEvents) this.queue.push(frame);
  }

  /**
   * @param {WelcomeFrame} welcome
   * @param {string} token
   */
  #onStateComplete(welcome, token) {
    if (this.historyId && this.#options.deliverEvents) this.queue.push(welcome, true);
    this.historyId = welcome.history_id;
    this.seq = welcome.seq;
    this.#onLive(welcome.heartbeat_s * 1000, token);
  }

  /**
   * @param {number} heartbeatMs
   * @param {string | null} token what is to be refreshed on the connection; null: nothing
   */
  #onLive(heartbeatMs, token) {
    this.clock.restart();
    this.#live.open();
    this.#setStatus("live");
    this.#heartbeat = new Heartbeat(heartbeatMs, {
      sendPing: () => void this.#background({ type: "ping" }),
      onLost: () => {
        // The connections that are kept open for requests are dead as well; a socket is always a new one.
        this.#isHelloNext = true;
        this.#giveUp(new ConnectionLost("the router was silent"));
      },
    });
    this.#heartbeat.start();
    if (this.#tokens.isRenewable && token !== null) this.#scheduleRefresh(token);
  }

  /** @param {OkFrame | PongFrame | ErrorFrame} frame */
  #onAnswer(frame) {
    if (frame.type === "error" && frame.code === "rate_limited") this.#retryAfterMs = frame.retry_after_ms ?? 0;
    const answer = frame.id === undefined || frame.id === null ? undefined : this.#answers.get(frame.id);
    if (frame.type === "pong") {
      this.seq = Math.max(this.seq, frame.seq ?? 0);
      if (answer !== undefined) this.clock.observe(performance.now() - answer.sentMs, frame.at_ms);
    }
    if (answer === undefined) return;
    if (frame.type === "error") answer.reject(new RouterRefused(frame));
    else answer.resolve(frame);
  }

  /**
   * Send a frame of the connection itself; a refusal is no matter, and a loss is noticed elsewhere.
   * @param {{type: string, token?: string}} fields
   */
  async #background(fields) {
    const socket = this.#socket;
    if (socket === null || socket.readyState !== socket.OPEN) return;
    try {
      await this.#exchange(socket, fields);
    } catch {
      // See above.
    }
  }

  /** @param {string} token */
  #scheduleRefresh(token) {
    const afterMs = refreshAfterMs(token);
    if (afterMs === null) return;
    const socket = this.#socket;
    const backoff = new Backoff(this.#options.backoffBaseMs, this.#options.backoffMaxMs, this.#options.random);
    const refresh = async () => {
      try {
        const fresh = await this.#freshToken();
        if (socket !== this.#socket) return;
        void this.#background({ type: "refresh", token: fresh });
        this.#scheduleRefresh(fresh);
      } catch (error) {
        if (socket !== this.#socket) return;
        // The present token is good for a while; once it is not, the router closes and the next connection asks again.
        if (error instanceof ConnectionLost) this.#refreshTimer = setTimeout(refresh, backoff.nextDelayMs());
        else this.#giveUp(error instanceof Error ? error : new Error(String(error)));
      }
    };
    this.#refreshTimer = setTimeout(refresh, Math.min(afterMs, TIMER_MAX_MS));
  }
}

/**
 * @param {WebSocket} socket
 * @param {number} limitMs
 */
async function closedWithin(socket, limitMs) {
  const closed = new Gate();
  socket.addEventListener("close", () => closed.open());
  await closed.wait(limitMs);
}
