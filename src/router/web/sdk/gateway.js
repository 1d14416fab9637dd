/** Client of a channel gateway: submits contacts and receives their events. */

import { id } from "./client.js";
import { ContactCommands } from "./contact_commands.js";
import { Contacts } from "./contact_state.js";
import { InvalidInput, NotConnected, OutcomeUnknown, RouterRefused } from "./errors.js";
import { UNAVAILABLE_CODES } from "./wire_tables.js";

/** @import { Guard } from "./client.js" */
/** @import { Contact } from "./contact_state.js" */
/** @import { ContactFields, OkFrame, ServerFrame, StatePageFrame, WelcomeFrame } from "./wire.d.ts" */

// Time before a submit is repeated, where the refusal names none.
const REPEAT_AFTER_MS = 500;
const KEY_BYTES = 16;

/**
 * What a gateway sees: its live contacts by id.
 * @typedef {{readonly contacts: ReadonlyMap<string, Contact>}} GatewayState
 */

class GatewayMirror {
  contacts = new Contacts();
  /** @type {GatewayState} */
  #snapshot = { contacts: this.contacts.snapshot() };

  /** @param {readonly (WelcomeFrame | StatePageFrame)[]} frames */
  load(frames) {
    this.contacts.load(frames.flatMap((frame) => frame.contacts ?? []));
  }

  /** @param {ServerFrame} frame */
  apply(frame) {
    if (frame.type === "event") this.contacts.apply(frame.event);
  }

  snapshot() {
    const contacts = this.contacts.snapshot();
    if (contacts !== this.#snapshot.contacts) this.#snapshot = { contacts };
    return this.#snapshot;
  }
}

/**
 * Client of one gateway; the subject of the token is its id. It receives the events of the contacts that it has submitted.
 * @extends {ContactCommands<GatewayState>}
 */
export class GatewayClient extends ContactCommands {
  #contacts;

  /** @param {import("./options.js").ClientOptions} options */
  constructor(options) {
    const mirror = new GatewayMirror();
    super("/v1/gateway", options, mirror);
    this.#contacts = mirror.contacts;
  }

  /**
   * Return a live contact; undefined: it has ended, or is another's. Cheaper than `state` where there are many.
   * @param {string} contactId
   * @returns {Contact | undefined}
   */
  contact(contactId) {
    return this.#contacts.get(contactId);
  }

  /**
   * Submit a contact; `subject` of the answer is its id.
   *
   * Every submit carries an idempotency key, made up if none is given. After OutcomeUnknown it is safe to submit again with the
   * key of the error; `retryUntilAcknowledged` does so by itself, over as many connections as necessary and while the router is
   * not available. A full queue or a rate that is exceeded is thrown.
   * @param {ContactFields} contact
   * @param {{idempotencyKey?: string, retryUntilAcknowledged?: boolean}} [options]
   * @returns {Promise<OkFrame>}
   */
  async submit(contact, { idempotencyKey = randomKey(), retryUntilAcknowledged = false } = {}) {
    if (typeof contact !== "object" || contact === null) throw new InvalidInput("contact", "must be an object with a channel");
    id("channel", contact.channel);
    while (true) {
      try {
        return await this.command({ type: "submit", contact, idempotency_key: idempotencyKey }, { idempotencyKey });
      } catch (error) {
        if (!retryUntilAcknowledged || !isTemporary(error)) throw error;
        // The first connection has failed for good: every repetition would fail at once.
        if (error instanceof NotConnected && this.status === "closed") throw error;
        // Such as `journal_unavailable` of a router that another one has replaced: it may have taken effect.
        if (error instanceof RouterRefused) await pause(error.frame.retry_after_ms ?? REPEAT_AFTER_MS);
      }
    }
  }

  /**
   * Report that the customer has left before being answered.
   * @param {string} contactId
   * @param {Guard} [guard]
   */
  async abandon(contactId, guard) {
    return this.command({ type: "abandon", ...id("contact_id", contactId) }, guard);
  }
}

/** @param {unknown} error */
function isTemporary(error) {
  if (error instanceof RouterRefused) return UNAVAILABLE_CODES.includes(error.code);
  return error instanceof OutcomeUnknown || error instanceof NotConnected;
}

/** @param {number} ms */
function pause(ms) {
  return new Promise((resolve) => setTimeout(resolve, ms));
}

/** Return an idempotency key that is used once. */
export function randomKey() {
  // Not randomUUID, which pages without TLS do not have.
  const bytes = crypto.getRandomValues(new Uint8Array(KEY_BYTES));
  return Array.from(bytes, (byte) => byte.toString(16).padStart(2, "0")).join("");
}
