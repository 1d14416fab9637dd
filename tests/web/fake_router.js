/** A router in this process: sockets and tickets that a test answers by hand. */

import { Client } from "../../src/router/web/sdk/client.js";

export const WELCOME = {
  type: "welcome",
  role: "agent",
  workspace: "default",
  history_id: "g",
  epoch: 1,
  seq: 10,
  at_ms: 0,
  heartbeat_s: 20,
  session_id: "s",
  agent: { agent_id: "ada", state: "ready", presence: "attached", units: 100, units_used: 0, available_channels: [] },
};

/** Options with which a client tries again at once. */
export const FAST = { token: "t", baseUrl: "http://router.test", backoffBaseMs: 1, backoffMaxMs: 2, commandTimeoutMs: 200 };

/** @param {number} seq */
export function heldEvent(seq) {
  const event = { type: "assignment.held", assignment_id: "a", contact_id: "c", agent_id: "ada" };
  return { type: "event", seq, at_ms: 0, event };
}

/** The router's side of a socket. */
export class ServerSide {
  /** @type {any[]} */
  #received = [];
  /** @type {((frame: any) => void)[]} */
  #waiting = [];
  /** @param {FakeSocket} socket */
  constructor(socket) {
    this.socket = socket;
    this.protocols = socket.protocols;
  }

  /** @param {string} data */
  take(data) {
    const frame = JSON.parse(data);
    if (frame.type === "ping") return this.send({ type: "pong", id: frame.id, at_ms: 0, seq: 0 });
    const next = this.#waiting.shift();
    if (next) next(frame);
    else this.#received.push(frame);
  }

  /** The next frame of the client that is no ping. */
  receive() {
    return this.#received.length ? Promise.resolve(this.#received.shift()) : new Promise((go) => this.#waiting.push(go));
  }

  /** @param {unknown} frame */
  send(frame) {
    this.socket.onmessage?.({ data: typeof frame === "string" ? frame : JSON.stringify(frame) });
  }

  /** Receive `hello` and send a welcome. */
  async welcome(changes = {}) {
    const hello = await this.receive();
    this.send({ ...WELCOME, ...changes });
    return hello;
  }

  /**
   * @param {number} code
   * @param {string} reason
   */
  close(code = 1006, reason = "") {
    this.socket.readyState = 3;
    this.socket.onclose?.({ code, reason });
  }
}

class FakeSocket {
  OPEN = 1;
  readyState = 0;
  /** @type {((event: any) => void) | null} */
  onopen = null;
  /** @type {((event: any) => void) | null} */
  onmessage = null;
  /** @type {((event: any) => void) | null} */
  onclose = null;
  /** @type {((event: any) => void) | null} */
  onerror = null;
  /** @type {ServerSide | null} */
  server = null;
  wasClosed = false;

  /**
   * @param {string} url
   * @param {string[]} protocols
   */
  constructor(url, protocols) {
    this.url = url;
    this.protocols = protocols;
  }

  /** @param {string} data */
  send(data) {
    queueMicrotask(() => this.server?.take(data));
  }

  close() {
    this.wasClosed = true;
    this.readyState = 3;
    for (const listener of this.#closeListeners) listener();
  }

  /** @type {(() => void)[]} */
  #closeListeners = [];

  /**
   * @param {string} _type
   * @param {() => void} listener
   */
  addEventListener(_type, listener) {
    this.#closeListeners.push(listener);
  }
}

/** A router whose connections a test takes one after the other. */
export class FakeRouter {
  /** Statuses of the next tickets; when there are none, tickets are issued. */
  /** @type {{status: number, headers?: Record<string, string>}[]} */
  refusals = [];
  /** Number of sockets that are refused before one is opened. */
  refusedSockets = 0;
  /** @type {string[]} */
  tokens = [];
  /** @type {ServerSide[]} */
  #connections = [];
  /** @type {((side: ServerSide) => void)[]} */
  #waiting = [];

  /** What a client gets as options. */
  get options() {
    const router = this;
    class Socket extends FakeSocket {
      /**
       * @param {string} url
       * @param {string[]} protocols
       */
      constructor(url, protocols) {
        super(url, protocols);
        queueMicrotask(() => router.#open(this));
      }
    }
    /**
     * @param {string} _url
     * @param {{headers: Record<string, string>}} init
     */
    const fetch = async (_url, init) => {
      router.tokens.push(init.headers.Authorization);
      const refusal = router.refusals.shift();
      if (refusal) return new Response('{"code": "some_code", "title": "Some text"}', refusal);
      return new Response('{"ticket": "secret"}', { status: 200 });
    };
    return { ...FAST, WebSocket: /** @type {any} */ (Socket), fetch: /** @type {any} */ (fetch) };
  }

  /** @param {FakeSocket} socket */
  #open(socket) {
    if (this.refusedSockets > 0) {
      this.refusedSockets -= 1;
      socket.onerror?.({});
      return;
    }
    socket.readyState = 1;
    const side = new ServerSide(socket);
    socket.server = side;
    socket.onopen?.({});
    const next = this.#waiting.shift();
    if (next) next(side);
    else this.#connections.push(side);
  }

  /** The next connection. */
  connection() {
    const side = this.#connections.shift();
    return side ? Promise.resolve(side) : /** @type {Promise<ServerSide>} */ (new Promise((go) => this.#waiting.push(go)));
  }
}

/**
 * Open a client and welcome it; return the router's side.
 * @param {Client<any>} client
 * @param {FakeRouter} router
 */
export async function opened(client, router, changes = {}) {
  const opening = client.open();
  const side = await router.connection();
  await side.welcome(changes);
  await opening;
  return side;
}
