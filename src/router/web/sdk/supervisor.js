/** Client of a supervisor: receives all events and figures of a workspace, manages contacts and agents. */

import { agentFromView, applyToAgent, freshAgent } from "./agent_state.js";
import { Cards } from "./cards.js";
import { id } from "./client.js";
import { ContactCommands } from "./contact_commands.js";
import { EVENT_AUDIENCE } from "./wire_tables.js";

/** @import { Agent } from "./agent_state.js" */
/** @import { Guard } from "./client.js" */
/** @import { AgentState, Card, Dimension, Event, OkFrame, Period, QueueView, ServerFrame, StatePageFrame } from "./wire.d.ts" */
/** @import { MonitorMode, ScopeFrame, StatisticsFrame, StatisticsRow, WelcomeFrame } from "./wire.d.ts" */

/**
 * What a supervisor sees: agents as of the last event, queues as of the last `stats` frame, and the cards and statistics that
 * this connection watches. Rows of statistics are by view (`queue/today`) and subject.
 * @typedef {object} CentreState
 * @property {ReadonlyMap<string, Agent>} agents by id
 * @property {ReadonlyMap<string, QueueView>} queues by id
 * @property {ReadonlyMap<string, Card>} cards by contact id
 * @property {ReadonlyMap<string, ReadonlyMap<string, StatisticsRow>>} statistics
 */

class CentreMirror {
  /** @type {Map<string, Agent>} */
  agents = new Map();
  /** @type {Map<string, QueueView>} */
  #queues = new Map();
  /** @type {Map<string, Map<string, StatisticsRow>>} */
  statistics = new Map();
  cards = new Cards({ isWatched: true });
  /** @type {Readonly<CentreState> | null} */
  #snapshot = null;

  /** @param {readonly (WelcomeFrame | StatePageFrame)[]} frames */
  load(frames) {
    const [welcome] = frames;
    this.agents = new Map(frames.flatMap((frame) => frame.agents ?? []).map((view) => [view.agent_id, agentFromView(view)]));
    this.statistics = new Map();
    if (welcome.type === "welcome") {
      this.#queues = new Map((welcome.stats?.queues ?? []).map((view) => [view.queue_id, view]));
      this.cards.apply(welcome);
    }
    this.touch();
  }

  /** @param {ServerFrame} frame */
  apply(frame) {
    if (frame.type === "event") this.#applyEvent(frame.event, frame.at_ms);
    else if (frame.type === "stats") for (const view of frame.queues) this.#queues.set(view.queue_id, view);
    else if (frame.type === "scope") this.#applyScope(frame);
    else if (frame.type === "statistics") this.#applyStatistics(frame);
    // The new connection watches nothing: rows that do not change any more would look like present ones.
    else if (frame.type === "resumed") this.statistics = new Map();
    this.cards.apply(frame);
    this.touch();
  }

  /** Something has changed: the next snapshot is another one. */
  touch() {
    this.#snapshot = null;
  }

  snapshot() {
    // Copied when it is asked for: once a frame, however many events there were.
    this.#snapshot ??= {
      agents: new Map(this.agents),
      queues: new Map(this.#queues),
      cards: this.cards.byContact,
      statistics: new Map([...this.statistics].map(([view, rows]) => [view, new Map(rows)])),
    };
    return this.#snapshot;
  }

  /**
   * @param {Event} event
   * @param {number} atMs
   */
  #applyEvent(event, atMs) {
    if (event.type === "agent.updated" && !this.agents.has(event.agent_id)) {
      this.agents.set(event.agent_id, { ...freshAgent(event.agent_id), state_since_ms: atMs });
    } else if (event.type === "agent.removed") this.agents.delete(event.agent_id);
    for (const agentId of recipientAgents(event)) {
      const agent = this.agents.get(agentId);
      if (agent !== undefined) this.agents.set(agentId, applyToAgent(agent, event, atMs));
    }
  }

  /**
   * Replace what has changed in the scope of a supervisor, and drop what is in it no more.
   * @param {ScopeFrame} frame
   */
  #applyScope(frame) {
    for (const agentId of frame.removed_agents ?? []) this.agents.delete(agentId);
    for (const queueId of frame.removed_queues ?? []) this.#queues.delete(queueId);
    for (const view of frame.agents ?? []) this.agents.set(view.agent_id, agentFromView(view));
    for (const view of frame.queues ?? []) this.#queues.set(view.queue_id, view);
  }

  /** @param {StatisticsFrame} frame */
  #applyStatistics(frame) {
    const view = viewKey(frame.by, frame.period);
    const rows = frame.whole ? new Map() : (this.statistics.get(view) ?? new Map());
    for (const row of frame.rows) rows.set(subjectKey(row), row);
    this.statistics.set(view, rows);
  }
}

/**
 * The ids of the agents who receive an event, each once.
 * @param {Event} event
 */
export function recipientAgents(event) {
  const [single, several] = EVENT_AUDIENCE[event.type];
  const fields = /** @type {Record<string, unknown>} */ (/** @type {unknown} */ (event));
  const found = new Set(single.map((name) => fields[name]));
  for (const name of several) {
    const named = fields[name] ?? [];
    for (const agentId of Array.isArray(named) ? named : Object.keys(named)) found.add(agentId);
  }
  return /** @type {string[]} */ ([...found].filter((agentId) => typeof agentId === "string"));
}

/**
 * @param {Dimension} by
 * @param {Period} period
 */
function viewKey(by, period) {
  return `${by}/${period}`;
}

/** @param {StatisticsRow} row */
function subjectKey(row) {
  const subject = [row.queue_id, row.channel, row.agent_id, row.team, row.disposition, row.goal];
  return JSON.stringify(subject.map((one) => one ?? null));
}

/**
 * Client of one supervisor of a workspace.
 * @extends {ContactCommands<Readonly<CentreState>>}
 */
export class SupervisorClient extends ContactCommands {
  #mirror;

  /** @param {import("./options.js").ClientOptions} options */
  constructor(options) {
    const mirror = new CentreMirror();
    super("/v1/supervisor", options, mirror);
    this.#mirror = mirror;
  }

  /**
   * Return an agent; undefined: there is none. Cheaper than `state` where there are many.
   * @param {string} agentId
   * @returns {Agent | undefined}
   */
  agent(agentId) {
    return this.#mirror.agents.get(agentId);
  }

  /**
   * Return the rows of watched statistics, as of the last frame; after a new connection they must be watched again.
   * @param {Dimension} by
   * @param {Period} [period]
   * @returns {StatisticsRow[]}
   */
  statistics(by, period = "today") {
    return [...(this.#mirror.statistics.get(viewKey(by, period))?.values() ?? [])];
  }

  /**
   * Get the card of a contact that is not over, and what changes; each look is recorded in the audit of the customer.
   * @param {string} contactId
   */
  async watchCard(contactId) {
    return this.command({ type: "watch_card", ...id("contact_id", contactId) });
  }

  /**
   * End the watch of a card.
   * @param {string} contactId
   */
  async unwatchCard(contactId) {
    const answer = await this.command({ type: "watch_card", ...id("contact_id", contactId), watch: false });
    this.#mirror.cards.forget(contactId);
    this.#mirror.touch();
    return answer;
  }

  /**
   * Get statistics and what changes in them, at most once a second.
   * @param {Dimension} by
   * @param {Period} [period]
   */
  async watchStatistics(by, period = "today") {
    return this.command({ type: "watch_statistics", ...id("by", by), ...id("period", period) });
  }

  /**
   * End the watch of statistics.
   * @param {Dimension} by
   * @param {Period} [period]
   */
  async unwatchStatistics(by, period = "today") {
    const answer = await this.command({ type: "watch_statistics", ...id("by", by), ...id("period", period), watch: false });
    this.#mirror.statistics.delete(viewKey(by, period));
    this.#mirror.touch();
    return answer;
  }

  /**
   * Join a conversation, or change the mode; the gateway connects the supervisor (`contact.monitor_joined`).
   * @param {string} contactId
   * @param {MonitorMode} mode
   * @param {Guard} [guard]
   */
  async monitor(contactId, mode, guard) {
    return this.command({ type: "monitor", ...id("contact_id", contactId), ...id("mode", mode) }, guard);
  }

  /**
   * Leave a conversation, or remove another supervisor from it.
   * @param {string} contactId
   * @param {string | null} [supervisorId]
   * @param {Guard} [guard]
   */
  async stopMonitoring(contactId, supervisorId = null, guard) {
    const other = supervisorId === null ? {} : id("supervisor_id", supervisorId);
    return this.command({ type: "stop_monitoring", ...id("contact_id", contactId), ...other }, guard);
  }

  /**
   * Move a contact into a queue (none: its present one); it keeps its waiting time.
   * @param {string} contactId
   * @param {string | null} [queueId]
   * @param {Guard} [guard]
   */
  async requeue(contactId, queueId = null, guard) {
    return this.command({ type: "requeue", ...id("contact_id", contactId), queue_id: queueId }, guard);
  }

  /**
   * Assign a contact to an agent directly, without an offer.
   * @param {string} contactId
   * @param {string} agentId
   * @param {Guard} [guard]
   */
  async assign(contactId, agentId, guard) {
    return this.command({ type: "assign", ...id("contact_id", contactId), ...id("agent_id", agentId) }, guard);
  }

  /**
   * Add an agent to a conversation.
   * @param {string} contactId
   * @param {string} agentId
   * @param {Guard} [guard]
   */
  async addParticipant(contactId, agentId, guard) {
    return this.command({ type: "add_participant", ...id("contact_id", contactId), ...id("agent_id", agentId) }, guard);
  }

  /**
   * Remove an agent from a conversation that is owned by another agent.
   * @param {string} contactId
   * @param {string} agentId
   * @param {Guard} [guard]
   */
  async removeParticipant(contactId, agentId, guard) {
    return this.command({ type: "remove_participant", ...id("contact_id", contactId), ...id("agent_id", agentId) }, guard);
  }

  /**
   * End a contact.
   * @param {string} contactId
   * @param {Guard & {reason?: string}} [options]
   */
  async end(contactId, options = {}) {
    return super.end(contactId, { reason: "supervisor", ...options });
  }

  /**
   * Set an agent's state, at once or (`afterWork`) when the current assignments are completed.
   * @param {string} agentId
   * @param {AgentState} state
   * @param {Guard & {reason?: string | null, afterWork?: boolean}} [options]
   * @returns {Promise<OkFrame>}
   */
  async setAgentState(agentId, state, options = {}) {
    const fields = { ...id("state", state), reason: options.reason, after_work: options.afterWork };
    return this.command({ type: "set_agent_state", ...id("agent_id", agentId), ...fields }, options);
  }

  /**
   * Pause these channels of an agent for new contacts and resume all others; with an empty list resume every one.
   * @param {string} agentId
   * @param {readonly string[]} channels
   * @param {Guard} [guard]
   */
  async pauseChannels(agentId, channels, guard) {
    return this.command({ type: "set_agent_channels", ...id("agent_id", agentId), paused: channels }, guard);
  }
}
