/** Client of a customer: shows one request and takes the choice. */

import { Client, id } from "./client.js";
import { Gate } from "./reconnect.js";

/** @import { AnswerFrame, OkFrame, RequestView, ServerFrame, TimeWindow } from "./wire.d.ts" */

/**
 * The request as the router has shown it last; null before the client is open.
 * @typedef {{readonly request: RequestView | null}} CustomerState
 */

class CustomerMirror {
  /** @type {CustomerState} */
  #snapshot = { request: null };

  load() {}

  /** @param {ServerFrame} frame */
  apply(frame) {
    if (frame.type === "state") this.#snapshot = { request: frame.request };
  }

  snapshot() {
    return this.#snapshot;
  }
}

/**
 * Socket of one customer, with the token of their request. Every frame of the router is the whole request as it is now, so after
 * a lost connection the next frame is all that was missed. Closing it does not end the request.
 * @extends {Client<CustomerState>}
 */
export class CustomerClient extends Client {
  /** @param {import("./options.js").ClientOptions} options */
  constructor(options) {
    // The token of a request buys no ticket, and only the newest state of it matters.
    super("/v1/customer", { ...options, login: "hello", deliverEvents: false }, new CustomerMirror());
  }

  /** The request as the router has shown it last; null before the client is open. */
  get request() {
    return this.state.request;
  }

  /**
   * Iterate over the request as it is and as it changes, until it has ended or this side closes. Only the newest is kept for a
   * reader who is slow. Throws PermanentlyClosed when the router closes for good.
   * @returns {AsyncGenerator<RequestView, void, void>}
   */
  async *states() {
    const hasNews = new Gate();
    const stop = new AbortController();
    const onNews = () => hasNews.open();
    this.on("request", onNews, { signal: stop.signal });
    this.on("status", onNews, { signal: stop.signal });
    /** @type {RequestView | null} */
    let told = null;
    try {
      while (true) {
        hasNews.shut();
        const request = this.request;
        if (request !== null && request !== told) {
          told = request;
          yield request;
          if (request.outcome) return;
        } else if (this.status === "closed") return this.throwIfLost();
        else await hasNews.wait();
      }
    } finally {
      stop.abort();
    }
  }

  // --- what a customer does; each throws RouterRefused, OutcomeUnknown, NotConnected or PermanentlyClosed ------------------
  /**
   * Choose an option.
   * @param {string} option
   * @param {{window?: TimeWindow}} [options] `window`: one of those of the option
   */
  async choose(option, { window } = {}) {
    return this.command({ type: "choose", ...id("option", option), window });
  }

  /**
   * Answer whether it was done and how easy it was; again to correct it. What is left out stays; null takes it back.
   * @param {Pick<AnswerFrame, "outcome" | "ease" | "effort" | "satisfaction">} report
   */
  async answer({ outcome, ease, effort, satisfaction }) {
    return this.command({ type: "answer", outcome, ease, effort, satisfaction });
  }

  /** Leave: the choice, the wait, the callback or the conversation ends. */
  async cancel() {
    return this.command({ type: "cancel_request" });
  }

  /** Stop for now, and resume later. */
  async suspend() {
    return this.command({ type: "suspend_request" });
  }

  /**
   * Resume a suspended request, on another channel or the same.
   * @param {{channel?: string}} [options]
   */
  async resume({ channel } = {}) {
    return this.command({ type: "resume_request", channel });
  }

  /**
   * Go on on another of the `channels` of the request; on the present one: give up a switch in progress.
   * @param {string} channel
   * @returns {Promise<OkFrame>}
   */
  async switchChannel(channel) {
    return this.command({ type: "switch_request_channel", ...id("channel", channel) });
  }
}
