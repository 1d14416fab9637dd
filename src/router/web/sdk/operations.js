/**
 * Operations that the present state of an assignment allows its agent: the same table as `src/router/model/operations.py`, as
 * far as agents are concerned. A test compares both in every situation.
 */

/** @import { AssignmentRole, AssignmentState, CallbackPhase } from "./wire.d.ts" */

/**
 * What the rules read of an assignment.
 * @typedef {object} Situation
 * @property {AssignmentState} state
 * @property {AssignmentRole} role
 * @property {Readonly<Record<string, AssignmentRole>>} members
 * @property {{readonly kind: string} | null} pending_offer
 * @property {CallbackPhase | null} callback_phase
 * @property {string | null} passes_to
 */

/**
 * Facts about a conversation that its owner asks about.
 * @typedef {object} Conversation
 * @property {AssignmentState} state
 * @property {string | null} pending
 * @property {boolean} hasConsult
 * @property {boolean} hasParticipants
 * @property {boolean} isConnected
 * @property {boolean} isPassingOn
 */

/** @param {Conversation} it */
const talks = (it) => it.state === "active" || it.state === "on_hold";
/** @param {Conversation} it */
const mayPark = (it) => talks(it) && !it.hasConsult && !it.hasParticipants && it.pending !== "consult";
/** @param {Conversation} it */
const maySwitch = (it) =>
  it.isConnected && talks(it) && !it.hasConsult && !it.hasParticipants && (it.pending === null || it.pending === "channel");
/** @param {Conversation} it */
const canAsk = (it) => it.pending === null && !it.hasConsult;

/** @type {readonly (readonly [string, (it: Conversation) => boolean])[]} */
const OWNER_RULES = [
  ["hold", (it) => it.state === "active"],
  ["unhold", (it) => it.state === "on_hold"],
  ["park", mayPark],
  ["unpark", (it) => it.state === "parked"],
  ["suspend", () => true],
  ["switch_channel", maySwitch],
  ["end", () => true],
  ["transfer", canAsk],
  ["transfer_to_queue", (it) => !canAsk(it)],
  ["transfer_cancel", (it) => it.pending === "transfer"],
  ["consult", (it) => canAsk(it) && it.state !== "parked"],
  ["consult_complete", (it) => it.hasConsult && !it.isPassingOn],
  ["consult_cancel", (it) => it.hasConsult || it.pending === "consult"],
  ["conference", (it) => it.hasConsult],
  ["hand_over", (it) => it.hasParticipants && !it.isPassingOn],
  ["complete", () => true],
];
const OF_MEMBERS = Object.freeze(["leave", "complete"]);
const OF_WRAP_UP = Object.freeze(["extend_wrap_up", "complete"]);

/**
 * Return the operations that the state of an assignment allows now, named like the frames of the protocol, as `allowed` of the
 * assignment in a `welcome`. What an operation names, or a limit of the policy, may still prevent it.
 * @param {Situation} assignment
 * @returns {readonly string[]}
 */
export function allowedOperations(assignment) {
  if (assignment.state === "wrap_up") return OF_WRAP_UP;
  if (assignment.role !== "owner") return OF_MEMBERS;
  const roles = Object.values(assignment.members);
  const conversation = {
    state: assignment.state,
    pending: assignment.pending_offer?.kind ?? null,
    hasConsult: roles.includes("consult"),
    hasParticipants: roles.includes("participant"),
    isPassingOn: assignment.passes_to !== null,
    isConnected: assignment.callback_phase === null || assignment.callback_phase === "connected",
  };
  return OWNER_RULES.filter(([, rule]) => rule(conversation)).map(([name]) => name);
}
