/**
 * Live contacts of a gateway: the last `welcome`, kept up to date by events. Invariant: after all events are applied, they equal
 * those of a fresh `welcome`. A contact that ends is removed.
 */

/** @import { AssignmentRole, CallbackMode, CallbackPhase, CallbackView, ContactState, ContactView, Event } from "./wire.d.ts" */
/** @import { EventsByType, MonitorMode } from "./wire.d.ts" */
/** @import { Facts } from "./agent_state.js" */

/**
 * Callback of a contact.
 * @typedef {object} Callback
 * @property {CallbackMode} mode
 * @property {CallbackPhase} phase
 * @property {number} attempts number of attempts begun
 * @property {number | null} scheduled_at_ms
 * @property {number | null} due_at_ms next deadline: the agreed time, the next attempt or the end of dialling
 * @property {string | null} outcome of the last completed attempt
 * @property {string | null} claimed_by process that has claimed the present call
 * @property {number | null} claimed_until_ms
 */

/**
 * Live contact as its gateway sees it.
 * @typedef {object} Contact
 * @property {string} contact_id
 * @property {ContactState} state
 * @property {string} channel
 * @property {string} queue_id
 * @property {Readonly<Record<string, number>>} skills
 * @property {number} priority_s
 * @property {number} priority_class
 * @property {Facts} attributes
 * @property {string | null} reference
 * @property {string | null} agent_id owner
 * @property {string | null} assignment_id of the owner
 * @property {Readonly<Record<string, AssignmentRole>>} other_participants agents in the conversation besides the owner
 * @property {boolean} parked
 * @property {Callback | null} callback
 * @property {Facts} customer_facts
 * @property {string | null} customer_id customer; null: not known
 * @property {Readonly<Record<string, Monitor>>} monitors supervisors in the conversation, and those to be connected (`wanted`)
 */

/**
 * @typedef {object} Monitor
 * @property {MonitorMode | null} mode in which the supervisor is in the conversation; null: not yet
 * @property {MonitorMode | null} wanted mode in which the gateway is to connect the supervisor now
 * @property {number | null} deadline_ms
 */

/** Live contacts by id. The contacts are immutable; an event replaces the one that it changes. */
export class Contacts {
  /** @type {Map<string, Contact>} */
  #byId = new Map();
  /** @type {ReadonlyMap<string, Contact> | null} */
  #snapshot = null;

  /** @param {readonly ContactView[]} views */
  load(views) {
    this.#byId = new Map(views.map((view) => [view.contact_id, contactFromView(view)]));
    this.#snapshot = null;
  }

  /** @param {string} contactId */
  get(contactId) {
    return this.#byId.get(contactId);
  }

  /** The contacts as they are now; the same map until one changes. */
  snapshot() {
    this.#snapshot ??= new Map(this.#byId);
    return this.#snapshot;
  }

  /** @param {Event} event */
  apply(event) {
    if (!("contact_id" in event)) return;
    const before = this.#byId.get(event.contact_id);
    const after = afterEvent(before, event);
    if (after === before) return;
    if (after === undefined) this.#byId.delete(event.contact_id);
    else this.#byId.set(event.contact_id, after);
    this.#snapshot = null;
  }
}

/**
 * Return a contact after an event; undefined: it is none of this gateway, or no longer.
 * @param {Contact | undefined} before
 * @param {Event} event
 * @returns {Contact | undefined}
 */
function afterEvent(before, event) {
  if (event.type === "contact.queued") return contactFromEvent(event, "queued");
  if (event.type === "contact.choosing") return contactFromEvent(event, "choosing");
  if (event.type === "contact.gateway_changed") return before === undefined ? fromOtherGateway(event) : undefined;
  if (before === undefined) return undefined;
  const callback = before.callback === null ? null : callbackAfter(before.callback, event);
  const contact = callback === before.callback ? before : { ...before, callback };
  return afterWaiting(contact, event);
}

/**
 * @param {Contact} contact
 * @param {Event} event
 * @returns {Contact | undefined}
 */
function afterWaiting(contact, event) {
  switch (event.type) {
    case "contact.updated":
      return {
        ...contact,
        skills: event.skills ?? {},
        attributes: event.attributes ?? {},
        customer_facts: event.customer_facts ?? {},
        priority_s: event.priority_s ?? 0,
        priority_class: event.priority_class ?? 0,
      };
    case "contact.requeued":
      return { ...contact, ...NO_OWNER, state: "queued", queue_id: event.queue_id };
    case "contact.resumed": {
      const { queue_id, channel, reference = null } = event;
      return { ...contact, ...NO_OWNER, state: "queued", queue_id, channel, reference };
    }
    case "contact.channel_switched":
      return { ...contact, channel: event.channel, reference: event.reference ?? null };
    case "contact.monitor_requested":
    case "contact.monitor_joined":
    case "contact.monitor_failed":
    case "contact.monitor_left":
      return { ...contact, monitors: afterMonitor(contact.monitors, event) };
    case "contact.suspended":
      return { ...contact, ...NO_OWNER, state: "suspended", callback: null };
    case "callback.requested":
      return { ...contact, state: "queued", channel: event.channel, callback: freshCallback(event.mode) };
    case "callback.scheduled":
    case "callback.failed":
      return { ...contact, ...NO_OWNER, state: "callback_scheduled" };
    case "callback.dial_requested":
      return event.agent_id ? contact : { ...contact, ...NO_OWNER, state: "callback_scheduled" };
    case "callback.connected":
      return event.agent_id ? contact : { ...contact, state: "queued", queue_id: event.queue_id };
    case "contact.overflowed":
      return { ...contact, queue_id: event.queue_id };
    case "offer.made":
      return event.from_agent_id ? contact : { ...contact, state: "offered" };
    default:
      return afterConversation(contact, event);
  }
}

/**
 * @param {Contact} contact
 * @param {Event} event
 * @returns {Contact | undefined}
 */
function afterConversation(contact, event) {
  switch (event.type) {
    case "offer.accepted":
      if (event.role === "consult") return { ...contact, other_participants: others(event.members) };
      return owned(contact, event.agent_id, event.offer_id, event.members);
    case "contact.assigned":
      return owned(contact, event.agent_id, event.assignment_id, event.members);
    case "contact.handed_over": {
      const queue_id = event.queue_id ?? contact.queue_id;
      return { ...owned(contact, event.agent_id, event.assignment_id, event.members), queue_id };
    }
    case "participant.added":
    case "participant.joined":
    case "participant.left":
      return { ...contact, other_participants: others(event.members) };
    case "assignment.parked":
      return { ...contact, parked: true };
    case "assignment.unparked":
      return { ...contact, parked: false };
    case "contact.ended":
    case "contact.abandoned":
    case "contact.cancelled":
    case "contact.expired":
      return undefined;
    default:
      return contact;
  }
}

const NO_OWNER = Object.freeze({ agent_id: null, assignment_id: null, parked: false });

/**
 * A contact with a new owner, whose conversation is not parked.
 * @param {Contact} contact
 * @param {string} agent_id
 * @param {string} assignment_id
 * @param {Readonly<Record<string, AssignmentRole>> | null} [members]
 * @returns {Contact}
 */
function owned(contact, agent_id, assignment_id, members) {
  return { ...contact, state: "assigned", agent_id, assignment_id, parked: false, other_participants: others(members) };
}

/**
 * The agents of a conversation besides its owner.
 * @param {Readonly<Record<string, AssignmentRole>> | null} [members]
 */
function others(members) {
  return Object.fromEntries(Object.entries(members ?? {}).filter(([, role]) => role !== "owner"));
}

/**
 * @param {ContactView} view
 * @returns {Contact}
 */
function contactFromView(view) {
  const participants = (view.participants ?? []).map((one) => /** @type {const} */ ([one.agent_id, one.role]));
  const monitors = (view.monitors ?? []).map(({ supervisor_id, mode = null, wanted = null, deadline_ms = null }) => [
    supervisor_id,
    { mode, wanted, deadline_ms },
  ]);
  return {
    contact_id: view.contact_id,
    state: view.state,
    channel: view.channel,
    queue_id: view.queue_id,
    skills: view.skills ?? {},
    priority_s: view.priority_s,
    priority_class: view.priority_class,
    attributes: view.attributes ?? {},
    reference: view.reference ?? null,
    agent_id: view.agent_id ?? null,
    assignment_id: view.assignment_id ?? null,
    other_participants: Object.fromEntries(participants),
    parked: view.parked ?? false,
    callback: view.callback ? callbackFromView(view.callback) : null,
    customer_facts: view.customer_facts ?? {},
    customer_id: view.customer_id ?? null,
    monitors: Object.fromEntries(monitors),
  };
}

/**
 * @param {EventsByType["contact.queued" | "contact.choosing" | "contact.gateway_changed"]} event
 * @param {ContactState} state
 * @returns {Contact}
 */
function contactFromEvent(event, state) {
  return {
    contact_id: event.contact_id,
    state,
    channel: event.channel,
    queue_id: event.queue_id,
    skills: event.skills ?? {},
    priority_s: event.priority_s ?? 0,
    priority_class: event.priority_class ?? 0,
    attributes: event.attributes ?? {},
    reference: event.reference ?? null,
    ...NO_OWNER,
    other_participants: {},
    callback: null,
    customer_facts: event.customer_facts ?? {},
    customer_id: event.customer_id ?? null,
    monitors: {},
  };
}

/**
 * @param {Readonly<Record<string, Monitor>>} before
 * @param {EventsByType["contact.monitor_requested" | "contact.monitor_joined"
 *   | "contact.monitor_failed" | "contact.monitor_left"]} event
 * @returns {Readonly<Record<string, Monitor>>}
 */
function afterMonitor(before, event) {
  const { [event.supervisor_id]: _, ...others } = before;
  const { wanted, deadline_ms } = { wanted: null, deadline_ms: null };
  switch (event.type) {
    case "contact.monitor_requested": {
      const asked = { mode: event.present_mode ?? null, wanted: event.mode, deadline_ms: event.deadline_ms };
      return { ...others, [event.supervisor_id]: asked };
    }
    case "contact.monitor_joined":
      return { ...others, [event.supervisor_id]: { mode: event.mode, wanted, deadline_ms } };
    case "contact.monitor_failed":
      return event.present_mode ? { ...others, [event.supervisor_id]: { mode: event.present_mode, wanted, deadline_ms } } : others;
    default:
      return others;
  }
}

/**
 * @param {EventsByType["contact.gateway_changed"]} event
 * @returns {Contact}
 */
function fromOtherGateway(event) {
  const agent_id = event.owner_agent_id ?? null;
  return {
    ...contactFromEvent(event, agent_id === null ? "queued" : "assigned"),
    agent_id,
    assignment_id: event.assignment_id ?? null,
    other_participants: others(event.participants),
  };
}

/**
 * @param {CallbackView} view
 * @returns {Callback}
 */
function callbackFromView(view) {
  return {
    mode: view.mode,
    phase: view.phase,
    attempts: view.attempts,
    scheduled_at_ms: view.scheduled_at_ms,
    due_at_ms: view.due_at_ms,
    outcome: view.outcome,
    claimed_by: view.claimed_by ?? null,
    claimed_until_ms: view.claimed_until_ms ?? null,
  };
}

/**
 * @param {CallbackMode} mode
 * @returns {Callback}
 */
function freshCallback(mode) {
  const nothing = { scheduled_at_ms: null, due_at_ms: null, outcome: null, claimed_by: null, claimed_until_ms: null };
  return { mode, phase: "waiting", attempts: 0, ...nothing };
}

/**
 * Return a callback after an event of its contact. In another phase no call is claimed yet.
 * @param {Callback} callback
 * @param {Event} event
 * @returns {Callback}
 */
function callbackAfter(callback, event) {
  const unclaimed = { ...callback, claimed_by: null, claimed_until_ms: null };
  switch (event.type) {
    case "callback.scheduled":
      return { ...unclaimed, phase: "scheduled", due_at_ms: event.due_at_ms, scheduled_at_ms: event.due_at_ms };
    case "callback.dial_requested":
      return { ...unclaimed, phase: "dialling", due_at_ms: event.deadline_ms, attempts: event.attempt };
    case "callback.claimed":
      return { ...callback, claimed_by: event.claimed_by, claimed_until_ms: event.until_ms };
    case "callback.connected":
      return { ...unclaimed, phase: "connected", due_at_ms: null, outcome: event.outcome ?? "connected" };
    case "callback.failed":
      return { ...unclaimed, phase: "retry", due_at_ms: event.due_at_ms ?? null, outcome: event.outcome };
    case "contact.requeued":
    case "contact.resumed":
      return callback.phase === "connected" ? callback : { ...unclaimed, phase: "waiting", due_at_ms: null };
    case "contact.assigned":
      if (callback.phase !== "scheduled" && callback.phase !== "retry") return callback;
      return { ...unclaimed, phase: "waiting", due_at_ms: null };
    default:
      return callback;
  }
}
