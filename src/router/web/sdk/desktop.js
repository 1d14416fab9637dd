/** Client of an agent desktop: receives offers, sends the agent's commands. */

import { applyToAgent, agentFromView, freshAgent } from "./agent_state.js";
import { Cards } from "./cards.js";
import { Client, id } from "./client.js";
import { requireText } from "./errors.js";

/** @import { Agent } from "./agent_state.js" */
/** @import { Guard, KeyGuard } from "./client.js" */
/** @import { AgentState, Card, IfUnable, OkFrame, ServerFrame, StatePageFrame, SuspensionEnd, WelcomeFrame } from "./wire.d.ts" */

/**
 * What an agent sees: the own record with offers and assignments, and the cards of their contacts by contact id.
 * @typedef {Readonly<Agent & {cards: ReadonlyMap<string, Card>}>} DesktopState
 */

class DesktopMirror {
  #agent = freshAgent("");
  #agentShown = this.#agent;
  #cards = new Cards();
  /** @type {DesktopState} */
  #snapshot = { ...this.#agent, cards: this.#cards.byContact };

  /** @param {readonly (WelcomeFrame | StatePageFrame)[]} frames */
  load(frames) {
    const [welcome] = frames;
    if (welcome.type !== "welcome" || !welcome.agent) return;
    this.#agent = agentFromView(welcome.agent);
    this.#cards.apply(welcome);
    this.#refresh();
  }

  /** @param {ServerFrame} frame */
  apply(frame) {
    if (frame.type === "event") this.#agent = applyToAgent(this.#agent, frame.event, frame.at_ms);
    this.#cards.apply(frame);
    this.#refresh();
  }

  snapshot() {
    return this.#snapshot;
  }

  #refresh() {
    if (this.#agent === this.#agentShown && this.#cards.byContact === this.#snapshot.cards) return;
    this.#agentShown = this.#agent;
    this.#snapshot = { ...this.#agent, cards: this.#cards.byContact };
  }
}

/**
 * Client of one agent; the subject of the token is the agent's id.
 * @extends {Client<DesktopState>}
 */
export class DesktopClient extends Client {
  /** @param {import("./options.js").ClientOptions} options */
  constructor(options) {
    super("/v1/desktop", options, new DesktopMirror());
  }

  /**
   * Go ready.
   * @param {Guard} [guard]
   */
  ready(guard) {
    return this.setState("ready", guard);
  }

  /**
   * Go not ready, at once or (`afterWork`) when the current assignments are completed.
   * @param {string | null} [reason]
   * @param {Guard & {afterWork?: boolean}} [options]
   */
  notReady(reason = null, options) {
    return this.setState("not_ready", { reason, ...options });
  }

  /**
   * Set the agent's state, at once or (`afterWork`) when the current assignments are completed.
   * @param {AgentState} state
   * @param {Guard & {reason?: string | null, afterWork?: boolean}} [options]
   * @returns {Promise<OkFrame>}
   */
  async setState(state, options = {}) {
    const fields = { state: requireText("state", state), reason: options.reason, after_work: options.afterWork };
    return this.command({ type: "set_state", ...fields }, options);
  }

  /**
   * Accept an offer.
   * @param {string} offerId
   * @param {KeyGuard} [guard]
   */
  async accept(offerId, guard) {
    return this.command({ type: "accept", ...id("offer_id", offerId) }, guard);
  }

  /**
   * Decline an offer; the contact keeps its place in the queue.
   * @param {string} offerId
   * @param {string} [reason]
   * @param {KeyGuard} [guard]
   */
  async decline(offerId, reason, guard) {
    return this.command({ type: "decline", ...id("offer_id", offerId), reason }, guard);
  }

  /**
   * Put the customer on hold.
   * @param {string} assignmentId
   * @param {KeyGuard} [guard]
   */
  async hold(assignmentId, guard) {
    return this.command({ type: "hold", ...id("assignment_id", assignmentId) }, guard);
  }

  /**
   * Take the customer off hold.
   * @param {string} assignmentId
   * @param {KeyGuard} [guard]
   */
  async unhold(assignmentId, guard) {
    return this.command({ type: "unhold", ...id("assignment_id", assignmentId) }, guard);
  }

  /**
   * Park the conversation until the customer answers; it uses no capacity meanwhile.
   * @param {string} assignmentId
   * @param {KeyGuard} [guard]
   */
  async park(assignmentId, guard) {
    return this.command({ type: "park", ...id("assignment_id", assignmentId) }, guard);
  }

  /**
   * Resume a parked conversation.
   * @param {string} assignmentId
   * @param {KeyGuard} [guard]
   */
  async unpark(assignmentId, guard) {
    return this.command({ type: "unpark", ...id("assignment_id", assignmentId) }, guard);
  }

  /**
   * Pause these channels for new contacts and resume all others; with an empty list resume every channel.
   * @param {readonly string[]} channels
   * @param {Guard} [guard]
   */
  async pauseChannels(channels, guard) {
    return this.command({ type: "set_channels", paused: channels }, guard);
  }

  /**
   * End the conversation; wrap-up begins.
   * @param {string} contactId
   * @param {Guard & {reason?: string}} [options]
   */
  async end(contactId, options = {}) {
    return this.command({ type: "end", ...id("contact_id", contactId), reason: options.reason }, options);
  }

  /**
   * Suspend the contact until it is resumed; wrap-up begins. What is left out is as the policy of its queue says.
   * @param {string} contactId
   * @param {Guard & {resumeByMs?: number, atExpiry?: SuspensionEnd}} [options]
   */
  async suspend(contactId, options = {}) {
    const fields = { resume_by_ms: options.resumeByMs, at_expiry: options.atExpiry };
    return this.command({ type: "suspend", ...id("contact_id", contactId), ...fields }, options);
  }

  /**
   * Continue the contact on another channel; with its present one, give up a switch in progress.
   * @param {string} contactId
   * @param {string} channel
   * @param {Guard & {reference?: string, ifUnable?: IfUnable}} [options]
   */
  async switchChannel(contactId, channel, options = {}) {
    const fields = { ...id("channel", channel), reference: options.reference, if_unable: options.ifUnable };
    return this.command({ type: "switch_channel", ...id("contact_id", contactId), ...fields }, options);
  }

  /**
   * Extend the wrap-up time.
   * @param {string} assignmentId
   * @param {number} extendS seconds
   * @param {KeyGuard} [guard]
   */
  async extendWrapUp(assignmentId, extendS, guard) {
    return this.command({ type: "extend_wrap_up", ...id("assignment_id", assignmentId), extend_s: extendS }, guard);
  }

  /**
   * Complete the assignment and end its wrap-up.
   * @param {string} assignmentId
   * @param {string | null} [disposition]
   * @param {KeyGuard} [guard]
   */
  async complete(assignmentId, disposition = null, guard) {
    return this.command({ type: "complete", ...id("assignment_id", assignmentId), disposition }, guard);
  }

  /**
   * Transfer the contact to a queue, at once (blind transfer).
   * @param {string} contactId
   * @param {string} queueId
   * @param {Guard} [guard]
   */
  async transferToQueue(contactId, queueId, guard) {
    return this.command({ type: "transfer", ...id("contact_id", contactId), ...id("to_queue_id", queueId) }, guard);
  }

  /**
   * Offer the contact to another agent; it stays with this agent until the other one accepts. With `waitS`, an agent who has no
   * free capacity is waited for: this agent's part ends, the contact is reserved for the other agent for so many seconds, then
   * for this agent for `returnToSenderS`, then open to all agents.
   * @param {string} contactId
   * @param {string} agentId
   * @param {Guard & {waitS?: number, returnToSenderS?: number}} [options]
   */
  async transferToAgent(contactId, agentId, options = {}) {
    const fields = { ...id("to_agent_id", agentId), wait_s: options.waitS, return_to_sender_s: options.returnToSenderS };
    return this.command({ type: "transfer", ...id("contact_id", contactId), ...fields }, options);
  }

  /**
   * Withdraw a transfer that the other agent has not answered yet; this agent keeps the contact.
   * @param {string} contactId
   * @param {Guard} [guard]
   */
  async cancelTransfer(contactId, guard) {
    return this.command({ type: "transfer_cancel", ...id("contact_id", contactId) }, guard);
  }

  /**
   * Consult another agent; the contact stays assigned to this agent.
   * @param {string} contactId
   * @param {string} agentId
   * @param {Guard} [guard]
   */
  async consultAgent(contactId, agentId, guard) {
    return this.command({ type: "consult", ...id("contact_id", contactId), ...id("to_agent_id", agentId) }, guard);
  }

  /**
   * Consult an agent selected from a queue; refused if no agent of the queue is available.
   * @param {string} contactId
   * @param {string} queueId
   * @param {Guard} [guard]
   */
  async consultQueue(contactId, queueId, guard) {
    return this.command({ type: "consult", ...id("contact_id", contactId), ...id("to_queue_id", queueId) }, guard);
  }

  /**
   * Transfer the contact to the consulted agent.
   * @param {string} contactId
   * @param {Guard} [guard]
   */
  async completeConsult(contactId, guard) {
    return this.command({ type: "consult_complete", ...id("contact_id", contactId) }, guard);
  }

  /**
   * Withdraw or end the consult; this agent continues alone.
   * @param {string} contactId
   * @param {Guard} [guard]
   */
  async cancelConsult(contactId, guard) {
    return this.command({ type: "consult_cancel", ...id("contact_id", contactId) }, guard);
  }

  /**
   * Turn the consult into a conference with the customer.
   * @param {string} contactId
   * @param {Guard} [guard]
   */
  async conference(contactId, guard) {
    return this.command({ type: "conference", ...id("contact_id", contactId) }, guard);
  }

  /**
   * Name the goal of a contact, report its outcome or give its scores, also after its end; `state` of the answer is the outcome
   * then. What is left out stays; null takes it back.
   * @param {string} contactId
   * @param {import("./client.js").GoalReport} report
   * @param {Guard} [guard]
   */
  async reportGoal(contactId, report, guard) {
    return this.sendGoal(contactId, report, guard);
  }

  /**
   * Leave a conversation that is owned by another agent.
   * @param {string} contactId
   * @param {Guard} [guard]
   */
  async leave(contactId, guard) {
    return this.command({ type: "leave", ...id("contact_id", contactId) }, guard);
  }

  /**
   * Leave a conference and make that participant the owner of the contact.
   * @param {string} contactId
   * @param {string} agentId
   * @param {Guard} [guard]
   */
  async handOver(contactId, agentId, guard) {
    return this.command({ type: "hand_over", ...id("contact_id", contactId), ...id("to_agent_id", agentId) }, guard);
  }
}
