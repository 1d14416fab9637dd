/** Commands on contacts that gateways (on their own) and supervisors (on any) have in common. */

import { Client, id } from "./client.js";

/** @import { Guard } from "./client.js" */
/** @import { CallbackMode, CallbackOutcome, ChannelOutcome, ContactFields, ExpectedWait, IfUnable } from "./wire.d.ts" */
/** @import { MonitorMode, MonitorOutcome } from "./wire.d.ts" */
/** @import { OkFrame, SuspensionEnd, UpdateFrame } from "./wire.d.ts" */

/**
 * What an update may change; what is left out keeps its value, null removes.
 * @typedef {Pick<UpdateFrame, "priority_s" | "priority_class" | "skills" | "attributes" | "preferred_agents">} ContactChanges
 */

/**
 * Client with the commands that change or query a contact. Every command throws RouterRefused, OutcomeUnknown, NotConnected or
 * PermanentlyClosed.
 * @template S
 * @extends {Client<S>}
 */
export class ContactCommands extends Client {
  /**
   * Change a contact that has not ended, by a merge patch.
   * @param {string} contactId
   * @param {ContactChanges} changes
   * @param {Guard} [guard]
   */
  async update(contactId, changes, guard) {
    const { priority_s, priority_class, skills, attributes, preferred_agents } = changes;
    const fields = { priority_s, priority_class, skills, attributes, preferred_agents };
    return this.command({ type: "update", ...id("contact_id", contactId), ...fields }, guard);
  }

  /**
   * Park the conversation until the customer answers; it uses no capacity of the agent meanwhile.
   * @param {string} contactId
   * @param {Guard} [guard]
   */
  async park(contactId, guard) {
    return this.command({ type: "park_contact", ...id("contact_id", contactId) }, guard);
  }

  /**
   * Resume the conversation because the customer has answered; succeeds if the contact is not parked.
   * @param {string} contactId
   * @param {Guard} [guard]
   */
  async unpark(contactId, guard) {
    return this.command({ type: "unpark_contact", ...id("contact_id", contactId) }, guard);
  }

  /**
   * Suspend the contact until it is resumed; it has no agent meanwhile. What is left out is as the policy of its queue says.
   * @param {string} contactId
   * @param {Guard & {resumeByMs?: number, atExpiry?: SuspensionEnd}} [options]
   */
  async suspend(contactId, options = {}) {
    const fields = { resume_by_ms: options.resumeByMs, at_expiry: options.atExpiry };
    return this.command({ type: "suspend", ...id("contact_id", contactId), ...fields }, options);
  }

  /**
   * Put a suspended contact into its queue again, on the channel on which the customer is now.
   * @param {string} contactId
   * @param {Guard & {channel?: string, reference?: string}} [options]
   */
  async resume(contactId, options = {}) {
    const fields = { channel: options.channel, reference: options.reference };
    return this.command({ type: "resume_contact", ...id("contact_id", contactId), ...fields }, options);
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
   * Report the outcome of the switch requested by a `contact.channel_requested` event.
   * @param {string} contactId
   * @param {ChannelOutcome} outcome
   * @param {Guard} [guard]
   */
  async channelResult(contactId, outcome, guard) {
    return this.command({ type: "channel_result", ...id("contact_id", contactId), ...id("outcome", outcome) }, guard);
  }

  /**
   * Report the outcome of a `contact.monitor_requested` event, or that a supervisor is connected no more.
   * @param {string} contactId
   * @param {string} supervisorId
   * @param {MonitorMode} mode
   * @param {MonitorOutcome} outcome
   * @param {Guard} [guard]
   */
  async monitorResult(contactId, supervisorId, mode, outcome, guard) {
    const report = { ...id("supervisor_id", supervisorId), ...id("mode", mode), ...id("outcome", outcome) };
    return this.command({ type: "monitor_result", ...id("contact_id", contactId), ...report }, guard);
  }

  /**
   * Convert a waiting contact to a callback, keeping its place in the queue. `atMs`: earliest time of the call; none: when its
   * turn comes. `untilMs`: end of the time window, when the callback expires; none: as the policy says. `due_at_ms` of the
   * answer is the agreed time: the next opening if the queue is closed at `atMs`.
   * @param {string} contactId
   * @param {Guard & {mode?: CallbackMode, channel?: string, atMs?: number, untilMs?: number}} [options]
   */
  async callback(contactId, options = {}) {
    const fields = { mode: options.mode, channel: options.channel, at_ms: options.atMs, until_ms: options.untilMs };
    return this.command({ type: "callback", ...id("contact_id", contactId), ...fields }, options);
  }

  /**
   * Move a callback to another time; without `atMs` it is due now. `due_at_ms` of the answer is the agreed time.
   * @param {string} contactId
   * @param {Guard & {atMs?: number, untilMs?: number}} [options]
   */
  async moveCallback(contactId, options = {}) {
    const fields = { at_ms: options.atMs, until_ms: options.untilMs };
    return this.command({ type: "callback_move", ...id("contact_id", contactId), ...fields }, options);
  }

  /**
   * Claim the call requested by a `callback.dial_requested` event before dialling; refused if another process has it.
   * @param {string} contactId
   * @param {string} claimant name of this process, for example of its pod
   * @param {Guard & {leaseS?: number, attempt?: number}} [options] `leaseS`: seconds after which another process may claim the
   *   call
   */
  async claimCallback(contactId, claimant, options = {}) {
    const fields = { ...id("claimant", claimant), lease_s: options.leaseS, attempt: options.attempt };
    return this.command({ type: "callback_claim", ...id("contact_id", contactId), ...fields }, options);
  }

  /**
   * Report the outcome of the call requested by a `callback.dial_requested` event.
   * @param {string} contactId
   * @param {CallbackOutcome} outcome
   * @param {Guard & {attempt?: number}} [options]
   */
  async callbackResult(contactId, outcome, options = {}) {
    const fields = { ...id("outcome", outcome), attempt: options.attempt };
    return this.command({ type: "callback_result", ...id("contact_id", contactId), ...fields }, options);
  }

  /**
   * Return the expected wait of a waiting contact (`contact_id`), or of one that would arrive now (`queue_id` and the rest).
   * @param {{contact_id: string} | ({queue_id: string} & Pick<ContactFields, "skills" | "priority_s" | "priority_class">
   *   & {channel?: string})} query
   * @returns {Promise<ExpectedWait>}
   */
  async expectedWait(query) {
    const { expected_wait } = await this.command({ type: "expected_wait", ...query });
    return /** @type {ExpectedWait} */ (expected_wait);
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
   * Withdraw a contact that is not assigned to an agent.
   * @param {string} contactId
   * @param {Guard & {reason?: string}} [options]
   */
  async cancel(contactId, options = {}) {
    return this.command({ type: "cancel", ...id("contact_id", contactId), reason: options.reason }, options);
  }

  /**
   * End a contact, for example because the customer has hung up.
   * @param {string} contactId
   * @param {Guard & {reason?: string}} [options]
   * @returns {Promise<OkFrame>}
   */
  async end(contactId, options = {}) {
    return this.command({ type: "end", ...id("contact_id", contactId), reason: options.reason }, options);
  }
}
