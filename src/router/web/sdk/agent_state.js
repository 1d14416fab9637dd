/**
 * State of an agent: the last `welcome`, kept up to date by events. Invariant: after all events are applied, it equals one built
 * from a fresh `welcome`. Values that the router derives from its policy are in the `welcome` and not here.
 *
 * Everything is immutable: an event makes a new agent, which shares with the old one what has not changed.
 */

/** @import { AgentState, AgentView, AssignmentRole, AssignmentState, AssignmentView, CallbackPhase } from "./wire.d.ts" */
/** @import { Event, EventsByType, MonitorMode, OfferView, PendingOfferView, Presence } from "./wire.d.ts" */

/** @typedef {Readonly<Record<string, boolean | number | string>>} Facts */

/**
 * Pending offer of an agent.
 * @typedef {object} Offer
 * @property {string} offer_id
 * @property {string} contact_id
 * @property {string} channel
 * @property {string} queue_id
 * @property {number} deadline_ms
 * @property {number} waited_ms
 * @property {string} reason
 * @property {Facts} attributes
 * @property {string | null} reference
 * @property {string | null} from_agent_id
 * @property {AssignmentRole} role
 * @property {CallbackPhase | null} callback_phase
 */

/**
 * Transfer or consult that the other agent has not answered yet.
 * @typedef {object} PendingOffer
 * @property {string} offer_id
 * @property {string} agent_id
 * @property {string} kind `transfer` or `consult`
 * @property {number} made_at_ms
 * @property {number} deadline_ms
 * @property {string | null} to_queue_id
 */

/**
 * Assignment of an agent that is not completed.
 * @typedef {object} Assignment
 * @property {string} assignment_id
 * @property {string} contact_id
 * @property {AssignmentState} state
 * @property {string} channel
 * @property {string} queue_id
 * @property {number} started_at_ms
 * @property {number | null} wrap_up_deadline_ms
 * @property {Facts} attributes
 * @property {string | null} reference
 * @property {AssignmentRole} role
 * @property {Readonly<Record<string, AssignmentRole>>} members participants by agent id; empty: the owner is alone, or this agent
 *   has left
 * @property {number | null} parked_until_ms
 * @property {number | null} wrap_up_started_at_ms
 * @property {boolean} held_for_consult
 * @property {string | null} held_channel channel on which the gateway connects the customer now
 * @property {string | null} passes_to agent who gets the customer there and owns the contact then; null: this one
 * @property {PendingOffer | null} pending_offer what this agent, the owner, has asked for and that is not answered yet
 * @property {CallbackPhase | null} callback_phase
 * @property {Readonly<Record<string, MonitorMode>>} monitors supervisors in the conversation, as far as the policy shows them
 */

/**
 * Agent with pending offers and open assignments.
 * @typedef {object} Agent
 * @property {string} agent_id
 * @property {AgentState} state
 * @property {string | null} reason
 * @property {Presence} presence
 * @property {number} state_since_ms
 * @property {number | null} return_at_ms
 * @property {AgentState | null} next_state
 * @property {string | null} next_reason
 * @property {readonly string[]} paused
 * @property {Readonly<Record<string, number>>} skills
 * @property {readonly string[] | null} queues
 * @property {Readonly<Record<string, number>>} channel_max
 * @property {Facts} attributes
 * @property {Readonly<Record<string, number>>} queue_ranks
 * @property {string | null} team
 * @property {readonly string[]} labels
 * @property {ReadonlyMap<string, Offer>} offers by offer id
 * @property {ReadonlyMap<string, Assignment>} assignments by assignment id
 */

/**
 * An agent with an id alone.
 * @param {string} agentId
 * @returns {Readonly<Agent>}
 */
export function freshAgent(agentId) {
  return agentFromView({ agent_id: agentId, state: "offline", presence: "none", units: 0, units_used: 0, available_channels: [] });
}

/**
 * Build an agent from a view in a `welcome` frame.
 * @param {AgentView} view
 * @returns {Readonly<Agent>}
 */
export function agentFromView(view) {
  return {
    agent_id: view.agent_id,
    state: view.state,
    reason: view.reason ?? null,
    presence: view.presence,
    state_since_ms: view.state_since_ms ?? 0,
    return_at_ms: view.return_at_ms ?? null,
    next_state: view.next_state ?? null,
    next_reason: view.next_reason ?? null,
    paused: view.paused ?? [],
    ...record(view),
    offers: new Map((view.offers ?? []).map((offer) => [offer.offer_id, offerFrom(offer)])),
    assignments: new Map((view.assignments ?? []).map((work) => [work.assignment_id, assignmentFromView(work)])),
  };
}

/**
 * The fields of an agent's record.
 * @param {AgentView | EventsByType["agent.updated"]} source
 */
function record(source) {
  return {
    skills: source.skills ?? {},
    queues: source.queues ?? null,
    channel_max: source.channel_max ?? {},
    attributes: source.attributes ?? {},
    queue_ranks: source.queue_ranks ?? {},
    team: source.team ?? null,
    labels: source.labels ?? [],
  };
}

/**
 * @param {OfferView | EventsByType["offer.made"]} source
 * @returns {Offer}
 */
function offerFrom(source) {
  return {
    offer_id: source.offer_id,
    contact_id: source.contact_id,
    channel: source.channel,
    queue_id: source.queue_id,
    deadline_ms: source.deadline_ms,
    waited_ms: source.waited_ms ?? 0,
    reason: source.reason,
    attributes: source.attributes ?? {},
    reference: source.reference ?? null,
    from_agent_id: source.from_agent_id ?? null,
    role: source.role ?? "owner",
    callback_phase: source.callback_phase ?? null,
  };
}

/**
 * @param {PendingOfferView} view
 * @returns {PendingOffer}
 */
function pendingFromView(view) {
  const { offer_id, agent_id, kind, made_at_ms, deadline_ms, to_queue_id = null } = view;
  return { offer_id, agent_id, kind, made_at_ms, deadline_ms, to_queue_id };
}

/**
 * @param {AssignmentView} view
 * @returns {Assignment}
 */
function assignmentFromView(view) {
  return {
    assignment_id: view.assignment_id,
    contact_id: view.contact_id,
    state: view.state,
    channel: view.channel,
    queue_id: view.queue_id,
    started_at_ms: view.started_at_ms,
    wrap_up_deadline_ms: view.wrap_up_deadline_ms ?? null,
    attributes: view.attributes ?? {},
    reference: view.reference ?? null,
    role: view.role ?? "owner",
    members: view.members ?? {},
    parked_until_ms: view.parked_until_ms ?? null,
    wrap_up_started_at_ms: view.wrap_up_started_at_ms ?? null,
    held_for_consult: view.held_for_consult ?? false,
    held_channel: view.held_channel ?? null,
    passes_to: view.passes_to ?? null,
    pending_offer: view.pending_offer ? pendingFromView(view.pending_offer) : null,
    callback_phase: view.callback_phase ?? null,
    monitors: view.monitors ?? {},
  };
}

/**
 * Return an agent after an event. Events of other agents only change offers and conversations that this agent takes part in.
 * @param {Readonly<Agent>} agent
 * @param {Event} event
 * @param {number} atMs
 * @returns {Readonly<Agent>}
 */
export function applyToAgent(agent, event, atMs) {
  switch (event.type) {
    case "offer.made":
      return afterOffer(agent, event, atMs);
    case "offer.declined":
    case "offer.expired":
    case "offer.rescinded":
      return endOffer(agent, event.offer_id);
    case "offer.accepted":
      return afterAccept(agent, event, atMs);
    case "contact.assigned": {
      const own = event.agent_id === agent.agent_id ? addAssignment(agent, event, event.assignment_id, atMs, "owner") : agent;
      return updateMembers(own, event.contact_id, event.members);
    }
    case "participant.added":
    case "participant.joined":
    case "participant.left":
    case "contact.handed_over": {
      const isNew = event.type === "participant.added" && event.agent_id === agent.agent_id;
      const own = isNew ? addAssignment(agent, event, event.assignment_id, atMs, "owner") : agent;
      return updateMembers(own, event.contact_id, event.members);
    }
    case "contact.updated":
      return updateContact(agent, event.contact_id, { attributes: event.attributes ?? {} });
    case "contact.channel_requested":
    case "contact.channel_switched":
    case "contact.channel_failed":
      return afterChannel(agent, event);
    case "contact.monitor_joined":
    case "contact.monitor_left":
      return afterMonitor(agent, event);
    case "callback.dial_requested":
      return updateContact(agent, event.contact_id, { callback_phase: "dialling" });
    case "callback.connected":
      return updateContact(agent, event.contact_id, { callback_phase: "connected" });
    default:
      return afterAssignmentEvent(agent, event, atMs);
  }
}

/**
 * @param {Readonly<Agent>} agent
 * @param {Event} event
 * @param {number} atMs
 * @returns {Readonly<Agent>}
 */
function afterAssignmentEvent(agent, event, atMs) {
  switch (event.type) {
    case "assignment.held":
      return updateAssignment(agent, event.assignment_id, "on_hold", { held_for_consult: event.reason === "consult" });
    case "assignment.resumed":
    case "assignment.unparked":
      return updateAssignment(agent, event.assignment_id, "active", {});
    case "assignment.parked":
      return updateAssignment(agent, event.assignment_id, "parked", { parked_until_ms: event.until_ms ?? null });
    case "assignment.wrap_up_started":
      return updateAssignment(agent, event.assignment_id, "wrap_up", {
        wrap_up_deadline_ms: event.deadline_ms,
        wrap_up_started_at_ms: atMs,
        members: {},
        pending_offer: null,
        callback_phase: null,
        monitors: {},
      });
    case "assignment.wrap_up_extended":
      return updateAssignment(agent, event.assignment_id, "wrap_up", { wrap_up_deadline_ms: event.deadline_ms });
    case "assignment.completed":
      return { ...agent, assignments: without(agent.assignments, event.assignment_id) };
    default:
      return "agent_id" in event && event.agent_id === agent.agent_id ? afterOwnEvent(agent, event, atMs) : agent;
  }
}

/**
 * @param {Readonly<Agent>} agent
 * @param {Event} event
 * @param {number} atMs
 * @returns {Readonly<Agent>}
 */
function afterOwnEvent(agent, event, atMs) {
  switch (event.type) {
    case "agent.state_changed":
      return {
        ...agent,
        state: event.state,
        reason: event.reason ?? null,
        state_since_ms: atMs,
        return_at_ms: event.return_at_ms ?? null,
        next_state: null,
        next_reason: null,
        presence: event.reason === "desktop_lost" ? "none" : agent.presence,
      };
    case "agent.next_state_set":
      return { ...agent, next_state: event.state ?? null, next_reason: event.reason ?? null };
    case "agent.channels_set":
      return { ...agent, paused: event.paused ?? [] };
    case "agent.desktop_connected":
      return { ...agent, presence: "attached" };
    case "agent.desktop_lost":
      return { ...agent, presence: "lost" };
    case "agent.updated":
      return { ...agent, ...record(event), state_since_ms: agent.state_since_ms || atMs };
    case "agent.removed":
      return freshAgent(agent.agent_id);
    default:
      return agent;
  }
}

/**
 * @param {Readonly<Agent>} agent
 * @param {EventsByType["offer.made"]} event
 * @param {number} atMs
 */
function afterOffer(agent, event, atMs) {
  let offers = agent.offers;
  if (event.agent_id === agent.agent_id) offers = new Map(offers).set(event.offer_id, offerFrom(event));
  const next = { ...agent, offers };
  if (event.from_agent_id !== agent.agent_id) return next;
  const { offer_id, agent_id, reason: kind, deadline_ms, to_queue_id = null } = event;
  const pending_offer = { offer_id, agent_id, kind, made_at_ms: atMs, deadline_ms, to_queue_id };
  return changeAssignments(next, (work) => (isInConversation(work, event.contact_id) ? { ...work, pending_offer } : work));
}

/**
 * Remove an offer of this agent, or one that this agent has asked for.
 * @param {Readonly<Agent>} agent
 * @param {string} offerId
 */
function endOffer(agent, offerId) {
  const next = { ...agent, offers: without(agent.offers, offerId) };
  return changeAssignments(next, (work) => (work.pending_offer?.offer_id === offerId ? { ...work, pending_offer: null } : work));
}

/**
 * @param {Readonly<Agent>} agent
 * @param {EventsByType["offer.accepted"]} event
 * @param {number} atMs
 */
function afterAccept(agent, event, atMs) {
  const offer = agent.offers.get(event.offer_id);
  let next = endOffer(agent, event.offer_id);
  if (event.agent_id === agent.agent_id && offer !== undefined) {
    next = addAssignment(next, offer, event.offer_id, atMs, event.role ?? "owner");
  }
  return updateMembers(next, event.contact_id, event.members);
}

/**
 * Follow the switch of a conversation to another channel; only its owner changes the channel.
 * @param {Readonly<Agent>} agent
 * @param {EventsByType["contact.channel_requested" | "contact.channel_switched" | "contact.channel_failed"]} event
 */
function afterChannel(agent, event) {
  const isSwitched = event.type === "contact.channel_switched";
  const next = isSwitched ? updateContact(agent, event.contact_id, { reference: event.reference ?? null }) : agent;
  const own = next.assignments.get(event.assignment_id ?? "");
  if (own === undefined) return next;
  const isRequested = event.type === "contact.channel_requested" && (event.deadline_ms ?? null) !== null;
  const changed = {
    ...own,
    held_channel: isRequested ? event.channel : null,
    passes_to: isRequested ? (event.to_agent_id ?? null) : null,
    channel: isSwitched ? event.channel : own.channel,
  };
  return { ...next, assignments: new Map(next.assignments).set(own.assignment_id, changed) };
}

/**
 * Note which supervisors are in a conversation that this agent owns.
 * @param {Readonly<Agent>} agent
 * @param {EventsByType["contact.monitor_joined" | "contact.monitor_left"]} event
 * @returns {Readonly<Agent>}
 */
function afterMonitor(agent, event) {
  const assignments = new Map(agent.assignments);
  for (const [name, work] of assignments) {
    if (work.contact_id !== event.contact_id || work.state === "wrap_up") continue;
    const { [event.supervisor_id]: _, ...others } = work.monitors;
    const monitors = event.type === "contact.monitor_joined" ? { ...others, [event.supervisor_id]: event.mode } : others;
    assignments.set(name, { ...work, monitors });
  }
  return { ...agent, assignments };
}

/**
 * @param {Readonly<Agent>} agent
 * @param {Offer | EventsByType["contact.assigned" | "participant.added"]} source
 * @param {string} assignmentId
 * @param {number} atMs
 * @param {AssignmentRole} role
 * @returns {Readonly<Agent>}
 */
function addAssignment(agent, source, assignmentId, atMs, role) {
  const work = assignmentFromView({
    assignment_id: assignmentId,
    contact_id: source.contact_id,
    agent_id: agent.agent_id,
    state: "active",
    channel: source.channel ?? "",
    queue_id: source.queue_id ?? "",
    started_at_ms: atMs,
    units: 0,
    attributes: source.attributes ?? {},
    reference: source.reference ?? null,
    role,
    callback_phase: source.callback_phase ?? null,
  });
  return { ...agent, assignments: new Map(agent.assignments).set(assignmentId, work) };
}

/**
 * Set the participants of a conversation; none: its owner alone. An assignment in wrap-up has left it already.
 * @param {Readonly<Agent>} agent
 * @param {string} contactId
 * @param {Readonly<Record<string, AssignmentRole>> | null} [members]
 */
function updateMembers(agent, contactId, members) {
  const all = members ?? {};
  const isMember = Object.hasOwn(all, agent.agent_id);
  const shown = isMember && Object.keys(all).length > 1 ? all : {};
  return changeAssignments(agent, (work) => {
    if (!isInConversation(work, contactId)) return work;
    return { ...work, role: isMember ? all[agent.agent_id] : work.role, members: shown };
  });
}

/**
 * Change what the offers and conversations of a contact show of it.
 * @param {Readonly<Agent>} agent
 * @param {string} contactId
 * @param {Partial<Pick<Offer, "attributes" | "reference" | "callback_phase">>} changes
 */
function updateContact(agent, contactId, changes) {
  const offers = mapped(agent.offers, (offer) => (offer.contact_id === contactId ? { ...offer, ...changes } : offer));
  return changeAssignments({ ...agent, offers }, (work) => (isInConversation(work, contactId) ? { ...work, ...changes } : work));
}

/**
 * Change the state of an assignment; what belongs to another state is reset unless it is among the changes.
 * @param {Readonly<Agent>} agent
 * @param {string} assignmentId
 * @param {AssignmentState} state
 * @param {Partial<Assignment>} changes
 */
function updateAssignment(agent, assignmentId, state, changes) {
  const work = agent.assignments.get(assignmentId);
  if (work === undefined) return agent;
  const ends = state === "parked" || state === "wrap_up";
  const held_channel = ends ? null : work.held_channel;
  const passes_to = ends ? null : work.passes_to;
  const changed = { ...work, parked_until_ms: null, held_for_consult: false, held_channel, passes_to, state, ...changes };
  return { ...agent, assignments: new Map(agent.assignments).set(assignmentId, changed) };
}

/**
 * @param {Readonly<Agent>} agent
 * @param {(work: Assignment) => Assignment} change
 * @returns {Readonly<Agent>}
 */
function changeAssignments(agent, change) {
  return { ...agent, assignments: mapped(agent.assignments, change) };
}

/**
 * Whether an assignment is one of a contact that its agent is in conversation with; one in wrap-up has left it.
 * @param {Assignment} work
 * @param {string} contactId
 */
function isInConversation(work, contactId) {
  return work.contact_id === contactId && work.state !== "wrap_up";
}

/**
 * Return a map with its values changed; the same map, if none has.
 * @template V
 * @param {ReadonlyMap<string, V>} map
 * @param {(value: V) => V} change
 * @returns {ReadonlyMap<string, V>}
 */
function mapped(map, change) {
  const entries = [...map].map(([key, value]) => /** @type {[string, V]} */ ([key, change(value)]));
  return entries.some(([key, value]) => value !== map.get(key)) ? new Map(entries) : map;
}

/**
 * Return a map without a key; the same map, if it has none.
 * @template V
 * @param {ReadonlyMap<string, V>} map
 * @param {string} key
 * @returns {ReadonlyMap<string, V>}
 */
export function without(map, key) {
  if (!map.has(key)) return map;
  const rest = new Map(map);
  rest.delete(key);
  return rest;
}
