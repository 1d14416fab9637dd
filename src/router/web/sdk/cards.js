/**
 * Cards of contacts, as the clients of desktops and supervisors keep them.
 *
 * A card comes with an offer, or in a `card` frame of its own; `card_changed` frames replace parts of it. A card is kept until
 * the contact has left the agent; a supervisor has the cards that they watch until the contact is over, or the connection is a
 * new one.
 */

/** @import { Card, CardChangedFrame, ServerFrame } from "./wire.d.ts" */

const LEAVES_AGENT = new Set(["offer.declined", "offer.expired", "offer.rescinded", "assignment.completed"]);
const IS_OVER = new Set(["contact.ended", "contact.abandoned", "contact.cancelled", "contact.expired"]);

/** The cards of one agent, or those that a supervisor watches. */
export class Cards {
  /** @type {ReadonlyMap<string, Card>} by contact id; replaced when one has changed */
  byContact = new Map();
  #isWatched;
  #leaving;

  /** @param {{isWatched?: boolean}} [options] `isWatched`: they are the cards of contacts that a supervisor watches */
  constructor({ isWatched = false } = {}) {
    this.#isWatched = isWatched;
    this.#leaving = isWatched ? IS_OVER : LEAVES_AGENT;
  }

  /**
   * Drop a card that is not wanted any more.
   * @param {string} contactId
   */
  forget(contactId) {
    this.#keep((id) => id !== contactId);
  }

  /**
   * Follow a frame of the router; return the contact whose card has come or changed apart from an offer, or null.
   * @param {ServerFrame} frame
   * @returns {string | null}
   */
  apply(frame) {
    switch (frame.type) {
      case "welcome": {
        const work = [...(frame.agent?.offers ?? []), ...(frame.agent?.assignments ?? [])];
        const kept = new Set(work.map((one) => one.contact_id));
        this.#keep((id) => kept.has(id));
        return null;
      }
      case "resumed":
        if (this.#isWatched) this.#keep(() => false);
        return null;
      case "event":
        if (frame.event.type === "offer.made" && frame.card) this.#set(frame.event.contact_id, frame.card);
        else if (this.#leaving.has(frame.event.type) && "contact_id" in frame.event) this.forget(frame.event.contact_id);
        return null;
      case "card":
        this.#set(frame.contact_id, frame.card);
        return frame.contact_id;
      case "card_changed":
        return this.#change(frame);
      default:
        return null;
    }
  }

  /** @param {CardChangedFrame} frame */
  #change(frame) {
    const before = this.byContact.get(frame.contact_id);
    if (before === undefined) return null;
    const parts = /** @type {Record<string, unknown>} */ ({ ...frame });
    const changed = /** @type {Record<string, unknown>} */ ({ ...before, version: frame.version, status: frame.status });
    for (const name of frame.parts) {
      // A part that is named and absent is empty now.
      if (parts[name] === undefined) delete changed[name];
      else changed[name] = parts[name];
    }
    this.#set(frame.contact_id, /** @type {Card} */ (/** @type {unknown} */ (changed)));
    return frame.contact_id;
  }

  /**
   * @param {string} contactId
   * @param {Card} card
   */
  #set(contactId, card) {
    this.byContact = new Map(this.byContact).set(contactId, card);
  }

  /** @param {(contactId: string) => boolean} isKept */
  #keep(isKept) {
    const kept = [...this.byContact].filter(([id]) => isKept(id));
    if (kept.length < this.byContact.size) this.byContact = new Map(kept);
  }
}
