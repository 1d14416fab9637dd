// Tables of the router's protocol. Generated from src/router/protocol by docs/generate_wire_types.py.

/** By type of event: fields that name one agent who receives it, and fields that name several. */
/** @type {Readonly<Record<string, readonly [readonly string[], readonly string[]]>>} */
export const EVENT_AUDIENCE = {
  "contact.queued": [[], []],
  "contact.choosing": [[], []],
  "request.token_changed": [[], []],
  "request.presence_changed": [[], []],
  "contact.updated": [["agent_id"], ["members", "offered_to"]],
  "contact.requeued": [["agent_id"], []],
  "contact.suspended": [["agent_id"], []],
  "contact.resumed": [["agent_id"], []],
  "contact.resume_due": [[], []],
  "contact.channel_failed": [["agent_id"], ["members"]],
  "contact.channel_requested": [["agent_id"], ["members"]],
  "contact.channel_switched": [["agent_id"], ["members", "offered_to"]],
  "contact.gateway_changed": [[], []],
  "contact.overflowed": [[], []],
  "contact.preferred_agent_expired": [[], []],
  "contact.step_entered": [[], []],
  "contact.assigned": [["agent_id", "from_agent_id"], ["members"]],
  "contact.abandoned": [[], []],
  "contact.cancelled": [[], []],
  "contact.expired": [[], []],
  "contact.ended": [["agent_id"], []],
  "offer.made": [["agent_id", "from_agent_id"], []],
  "offer.accepted": [["agent_id", "from_agent_id"], ["members"]],
  "offer.declined": [["agent_id", "from_agent_id"], []],
  "offer.expired": [["agent_id", "from_agent_id"], []],
  "offer.rescinded": [["agent_id", "from_agent_id"], []],
  "participant.added": [["agent_id"], ["members"]],
  "participant.joined": [["agent_id"], ["members"]],
  "participant.left": [["agent_id"], ["members"]],
  "contact.handed_over": [["agent_id", "from_agent_id"], ["members"]],
  "assignment.held": [["agent_id"], []],
  "assignment.resumed": [["agent_id"], []],
  "assignment.parked": [["agent_id"], []],
  "assignment.unparked": [["agent_id"], []],
  "assignment.wrap_up_started": [["agent_id"], []],
  "assignment.wrap_up_extended": [["agent_id"], []],
  "assignment.completed": [["agent_id"], []],
  "assignment.disposition_recorded": [["agent_id"], []],
  "callback.requested": [[], []],
  "callback.scheduled": [[], []],
  "callback.dial_requested": [["agent_id"], ["members", "offered_to"]],
  "callback.claimed": [[], []],
  "callback.connected": [["agent_id"], ["members", "offered_to"]],
  "callback.failed": [["agent_id"], []],
  "agent.updated": [["agent_id"], []],
  "agent.removed": [["agent_id"], []],
  "agent.state_changed": [["agent_id"], []],
  "agent.next_state_set": [["agent_id"], []],
  "agent.channels_set": [["agent_id"], []],
  "agent.desktop_connected": [["agent_id"], []],
  "agent.desktop_lost": [["agent_id"], []],
  "queue.opened": [[], []],
  "queue.closed": [[], []],
  "policy.published": [[], []],
  "workspace.created": [[], []],
  "workspace.removed": [[], []],
  "policy.scheduled": [[], []],
  "policy.schedule_cancelled": [[], []],
  "policy.schedule_refused": [[], []],
  "workspace.day_started": [[], []],
  "policy.shadow_set": [[], []],
  "policy.shadow_cleared": [[], []],
  "idempotency_key.recorded": [[], []],
};

/** Close codes below 4500 that forbid to reconnect, besides those that no router sends. */
export const PERMANENT_CLOSE_CODES = Object.freeze([1002, 1003, 1007, 1009]);

/** Codes of problems of a router that is not available now. */
export const UNAVAILABLE_CODES = Object.freeze(["answer_timeout", "busy", "context_unavailable", "event_not_reached", "journal_unavailable", "not_ready", "records_unavailable", "stopping"]);

/** Types of the router's frames. */
export const SERVER_FRAME_TYPES = Object.freeze(["card", "card_changed", "error", "event", "ok", "pong", "reconnect", "resumed", "state", "state_page", "statistics", "stats", "welcome"]);
