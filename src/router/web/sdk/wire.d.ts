// Frames, events and views of the router's protocol. Generated from src/router/protocol by docs/generate_wire_types.py.
// Fields with a `?` are left out where they have their default; the router may add fields and types.

/** Gateway: report that the customer has left. */
export interface AbandonFrame extends CommandFrame {
  readonly type: "abandon";
  /** Id of the contact. */
  readonly contact_id: string;
}

/** Desktop: accept an offer. */
export interface AcceptFrame extends CommandFrame {
  readonly type: "accept";
  /** Id of the offer. The assignment of an accepted offer has the same id. */
  readonly offer_id: string;
}

/** Supervisor: add an agent to the conversation. */
export interface AddParticipantFrame extends CommandFrame {
  readonly type: "add_participant";
  /** Id of the contact. */
  readonly contact_id: string;
  /** Id of the agent. */
  readonly agent_id: string;
}

/** The agent is paused on exactly these channels and gets no new offers on them. */
export interface AgentChannelsSet {
  readonly type: "agent.channels_set";
  /** Id of the agent. */
  readonly agent_id: string;
  /** Channels on which the agent is paused and gets no new offers. */
  readonly paused?: readonly string[];
}

/** State that the agent gets when no offers and assignments are open. */
export interface AgentNextStateSet {
  readonly type: "agent.next_state_set";
  /** Id of the agent. */
  readonly agent_id: string;
  /** Next state; null: the pending change was removed. */
  readonly state?: AgentState | null;
  /** Reason of the next state. */
  readonly reason?: string | null;
}

/** The agent was deleted. */
export interface AgentRemoved {
  readonly type: "agent.removed";
  /** Id of the agent. */
  readonly agent_id: string;
}

/** What a customer is shown of their agent. */
export interface AgentShown {
  /** Name, if the policy names an attribute for it and the agent has it. */
  readonly name?: string | null;
}

/** State that an agent has chosen. A busy agent has no state of its own: the agent is `ready` without free capacity. */
export type AgentState =
  /** Signed out. */
  | "offline"
  /** Signed in, but gets no offers. */
  | "not_ready"
  /** Gets offers within the free capacity. */
  | "ready";

/** The agent's state has changed. */
export interface AgentStateChanged {
  readonly type: "agent.state_changed";
  /** Id of the agent. */
  readonly agent_id: string;
  /** New state. */
  readonly state: AgentState;
  /** Previous state. */
  readonly from_state: AgentState;
  /**
   * Reason given with the command, or set by the router: `rona` (an offer expired), `rona_return` (the router has set the agent
   * ready again) or `desktop_lost`; null: none.
   */
  readonly reason?: string | null;
  /** When the router sets the agent `ready` again; null: it does not. */
  readonly return_at_ms?: number | null;
}

/** The agent's record was created or replaced; all fields hold the new values. */
export interface AgentUpdated {
  readonly type: "agent.updated";
  /** Id of the agent. */
  readonly agent_id: string;
  /** Required skills with their levels, 1 to 10. */
  readonly skills?: Readonly<Record<string, number>>;
  /** Queues that the agent serves; null: every queue whose required skills the agent has. */
  readonly queues?: readonly string[] | null;
  /** Capacity of the agent in capacity units; null: the policy's default. */
  readonly units?: number | null;
  /** Maximum number of concurrent contacts by channel; channels not listed: as in the policy. */
  readonly channel_max?: Readonly<Record<string, number>>;
  /** Attributes, declared in the policy under `facts`. */
  readonly attributes?: Readonly<Record<string, boolean | number | string>>;
  /** Preference among queues with contacts of equal priority class: 1 (first) to 9; default 5. */
  readonly queue_ranks?: Readonly<Record<string, number>>;
  /** Team of the agent; null: none, and in journals written before the field existed. */
  readonly team?: string | null;
  /** Labels of the agent in ascending order. */
  readonly labels?: readonly string[];
}

/** An agent, with offers and assignments. */
export interface AgentView {
  /** Id of the agent. */
  readonly agent_id: string;
  /** State that the agent has chosen. */
  readonly state: AgentState;
  /** Whether a desktop is connected (not the agent's availability). */
  readonly presence: Presence;
  /** Capacity of the agent in capacity units. */
  readonly units: number;
  /** Capacity units in use, by offers and assignments. */
  readonly units_used: number;
  /** Channels on which the agent could get an offer now. */
  readonly available_channels: readonly string[];
  /** Required skills with their levels, 1 to 10. */
  readonly skills?: Readonly<Record<string, number>>;
  /** Queues that the agent serves; null: every queue whose required skills the agent has. */
  readonly queues?: readonly string[] | null;
  /** Maximum number of concurrent contacts by channel; channels not listed: as in the policy. */
  readonly channel_max?: Readonly<Record<string, number>>;
  /** Channels on which the agent is paused. */
  readonly paused?: readonly string[];
  /** Attributes, declared in the policy under `facts`. */
  readonly attributes?: Readonly<Record<string, boolean | number | string>>;
  /** Reason of the state; null: none. */
  readonly reason?: string | null;
  /** Time of the last change of the state. */
  readonly state_since_ms?: number;
  /**
   * Start of the idle time that `longest_idle` compares: the agent became `ready`, or has just been busy; null: the agent is not
   * `ready`.
   */
  readonly idle_since_ms?: number | null;
  /** When the router sets the agent `ready` again after an expired offer; null: it does not. */
  readonly return_at_ms?: number | null;
  /** State that follows when the agent has no open offers and assignments; null: none. */
  readonly next_state?: AgentState | null;
  /** Reason of the next state. */
  readonly next_reason?: string | null;
  /** Pending offers of the agent. */
  readonly offers?: readonly OfferView[];
  /** Open assignments of the agent. */
  readonly assignments?: readonly AssignmentView[];
  /** Preference among queues with contacts of equal priority class: 1 (first) to 9; default 5. */
  readonly queue_ranks?: Readonly<Record<string, number>>;
  /** Contacts that the agent got on the workspace's current day; null: no queue uses the count. */
  readonly contacts_today?: number | null;
  /** Team of the agent; null: none. */
  readonly team?: string | null;
  /** Labels of the agent in ascending order. */
  readonly labels?: readonly string[];
}

/** What an alert watches, each by itself. */
export type AlertBy =
  /** The whole workspace. */
  | "workspace"
  /** Each queue. */
  | "queue"
  /** Each channel. */
  | "channel"
  /** Each team. */
  | "team"
  /** Each agent. */
  | "agent";

/** An alert is over: its measure has come back, or cannot be computed any more. */
export interface AlertCleared {
  readonly type: "alert.cleared";
  /** Name of the alert in the policy by which it was raised. */
  readonly alert: string;
  /** What is watched: with the id below, except for the workspace. */
  readonly by: AlertBy;
  /** The measure. */
  readonly measure: string;
  /**
   * `recovered`, `no_data` (nothing left to compute the measure from, or the subject is gone) or `policy` (a new policy has
   * changed or removed the alert).
   */
  readonly reason: string;
  /** Value of the measure; null: there is none. */
  readonly value?: number | null;
  /** When it was raised, epoch milliseconds. */
  readonly raised_at_ms: number;
  /** How urgent it was. */
  readonly severity: AlertSeverity;
  /** Queue that is watched; null: another subject. */
  readonly queue_id?: string | null;
  /** Channel that is watched; null: another subject. */
  readonly channel?: string | null;
  /** Agent who is watched, and whose desktop does not receive it; null: another subject. */
  readonly agent_id?: string | null;
  /** Team that is watched; null: another subject. */
  readonly team?: string | null;
}

/** A measure has been beyond the threshold of an alert for as long as its policy says. */
export interface AlertRaised {
  readonly type: "alert.raised";
  /** Name of the alert in the policy. */
  readonly alert: string;
  /** What is watched: with the id below, except for the workspace. */
  readonly by: AlertBy;
  /** The measure. */
  readonly measure: string;
  /** Its value. */
  readonly value: number;
  /** Threshold of the policy. */
  readonly threshold: number;
  /** Whether the value is greater than the threshold; false: less. */
  readonly is_above: boolean;
  /** How urgent it is. */
  readonly severity: AlertSeverity;
  /** Since when the value was seen beyond the threshold, epoch milliseconds. */
  readonly since_ms: number;
  /** Number of samples of a share, mean or quantile; null: the measure is none of these. */
  readonly samples?: number | null;
  /** Queue that is watched; null: another subject. */
  readonly queue_id?: string | null;
  /** Channel that is watched; null: another subject. */
  readonly channel?: string | null;
  /** Agent who is watched, and whose desktop does not receive it; null: another subject. */
  readonly agent_id?: string | null;
  /** Team that is watched; null: another subject. */
  readonly team?: string | null;
}

/** How urgent an alert is; for those who read it, the router treats all alike. */
export type AlertSeverity =
  /** To be known. */
  | "info"
  /** To be looked at. */
  | "warning"
  /** To be acted on at once. */
  | "critical";

/** Customer: answer whether it was done and how easy it was. What is omitted stays; null takes it back. */
export interface AnswerFrame extends CommandFrame {
  readonly type: "answer";
  /** Whether the customer got done what they came for. */
  readonly outcome?: GoalOutcome | null;
  /** How easy it was: 1 (very difficult) to 7 (very easy). */
  readonly ease?: number | null;
  /** How much effort it took: 1 (very little) to 5 (very much). */
  readonly effort?: number | null;
  /** How satisfied the customer is: 1 (not at all) to 5 (very). */
  readonly satisfaction?: number | null;
}

/** Supervisor: assign the contact to an agent. */
export interface AssignFrame extends CommandFrame {
  readonly type: "assign";
  /** Id of the contact. */
  readonly contact_id: string;
  /** Agent that gets the contact. */
  readonly agent_id: string;
}

/** The assignment is completed; emitted exactly once for each assignment. */
export interface AssignmentCompleted {
  readonly type: "assignment.completed";
  /** Id of the assignment; it is that of the accepted offer. */
  readonly assignment_id: string;
  /** Id of the contact. */
  readonly contact_id: string;
  /** Id of the agent. */
  readonly agent_id: string;
  /**
   * `finished` (the agent or a supervisor completed it), `timer` (the wrap-up time was over), `no_wrap_up`, `lost_desktop`,
   * `consult_ended`, `callback_failed` or `owner_away` (the parked contact was requeued, because its owner was not ready).
   */
  readonly reason: string;
  /** Disposition code; null: none was given. */
  readonly disposition?: string | null;
}

/** The customer is on hold. With the reason `consult` the router did it, until the consult is over. */
export interface AssignmentHeld {
  readonly type: "assignment.held";
  /** Id of the assignment; it is that of the accepted offer. */
  readonly assignment_id: string;
  /** Id of the contact. */
  readonly contact_id: string;
  /** Id of the agent. */
  readonly agent_id: string;
  /** `consult`: the router did it, until the consult is over; null: the agent did it. */
  readonly reason?: string | null;
}

/** The conversation is parked until the customer replies; it uses no capacity meanwhile. */
export interface AssignmentParked {
  readonly type: "assignment.parked";
  /** Id of the assignment; it is that of the accepted offer. */
  readonly assignment_id: string;
  /** Id of the contact. */
  readonly contact_id: string;
  /** Id of the agent. */
  readonly agent_id: string;
  /** When the contact ends unless it is unparked; null: never. */
  readonly until_ms?: number | null;
  /** Id of the gateway that submitted the contact; empty: none. */
  readonly gateway_id?: string;
}

/** The customer is off hold. */
export interface AssignmentResumed {
  readonly type: "assignment.resumed";
  /** Id of the assignment; it is that of the accepted offer. */
  readonly assignment_id: string;
  /** Id of the contact. */
  readonly contact_id: string;
  /** Id of the agent. */
  readonly agent_id: string;
}

/** Role of an agent in a conversation. */
export type AssignmentRole =
  /** May end, transfer and hand over the contact; an assigned contact has exactly one owner. */
  | "owner"
  /** Advises the owner and is not connected to the customer. */
  | "consult"
  /** Is in the conversation with the owner and the customer. */
  | "participant";

/** State of an assignment. */
export type AssignmentState =
  /** The agent is in the conversation. */
  | "active"
  /** The customer is on hold. */
  | "on_hold"
  /** The agent waits for the customer's reply; no capacity is used. */
  | "parked"
  /** The conversation is over; the agent completes the work on it. */
  | "wrap_up"
  /** Finished. */
  | "completed";

/** The conversation has been resumed and uses capacity again. */
export interface AssignmentUnparked {
  readonly type: "assignment.unparked";
  /** Id of the assignment; it is that of the accepted offer. */
  readonly assignment_id: string;
  /** Id of the contact. */
  readonly contact_id: string;
  /** Id of the agent. */
  readonly agent_id: string;
  /** Id of the gateway that submitted the contact; empty: none. */
  readonly gateway_id?: string;
}

/** An assignment of an agent. */
export interface AssignmentView {
  /** Id of the assignment; it is that of the accepted offer. */
  readonly assignment_id: string;
  /** Id of the contact. */
  readonly contact_id: string;
  /** Id of the agent. */
  readonly agent_id: string;
  /** State of the assignment. */
  readonly state: AssignmentState;
  /** Channel. */
  readonly channel: string;
  /** Id of the queue. */
  readonly queue_id: string;
  /** Time of the accept, or of the assignment by a supervisor. */
  readonly started_at_ms: number;
  /** Capacity units used now; 0 while it is parked or interrupted. */
  readonly units: number;
  /** True while the agent has a contact of a channel that interrupts this one. */
  readonly interrupted?: boolean;
  /** End of the parking time, when the contact ends. */
  readonly parked_until_ms?: number | null;
  /** End of the wrap-up; null: it has not begun. */
  readonly wrap_up_deadline_ms?: number | null;
  /** Beginning of the wrap-up, from which its longest duration counts; null: it has not begun. */
  readonly wrap_up_started_at_ms?: number | null;
  /** Attributes of the contact; in wrap-up, as they were when the agent left the conversation. */
  readonly attributes?: Readonly<Record<string, boolean | number | string>>;
  /** Opaque id of the gateway for the contact; null: none. */
  readonly reference?: string | null;
  /** True while the customer is on hold because of a consult, until it is over. */
  readonly held_for_consult?: boolean;
  /** Channel on which the gateway connects the customer now; null: none. */
  readonly held_channel?: string | null;
  /** Agent who owns the contact once the customer is connected with them on `held_channel`; null: this one. */
  readonly passes_to?: string | null;
  /** Transfer or consult of this conversation that is not answered yet; null: none. */
  readonly pending_offer?: PendingOfferView | null;
  /** Phase of the contact's callback; null: it is no callback, or this agent has left the conversation. */
  readonly callback_phase?: CallbackPhase | null;
  /** Role of the agent in the conversation. */
  readonly role?: AssignmentRole;
  /** All agents of the conversation with their roles; empty: only the owner, or this agent has left. */
  readonly members?: Readonly<Record<string, AssignmentRole>>;
  /** Supervisors in the conversation and their modes, for its owner; empty also where the policy hides them. */
  readonly monitors?: Readonly<Record<string, MonitorMode>>;
  /**
   * Operations on the assignment and its contact that the state allows its agent now, named like the frames of the WebSocket
   * protocol. The target or a limit of the policy may still prevent one.
   */
  readonly allowed?: readonly string[];
  /** Reason of the offer, or `supervisor`. */
  readonly reason?: string;
  /** What caused the match; null: a transfer, a consult or an assignment by a supervisor. */
  readonly match_trigger?: MatchTrigger | null;
  /** Number of other agents eligible then, if `match_trigger` is set; -1: not counted (too many agent groups). */
  readonly other_candidates?: number;
  /** Values of this agent that the selection compared. */
  readonly selection_inputs?: Readonly<Record<string, boolean | number | string>>;
}

/** How the sender of a request knows an identity. */
export type Assurance =
  /** By a login or a second factor. */
  | "verified"
  /** By a trusted gateway, such as a caller id or the address of a sender. */
  | "asserted"
  /** Typed by a visitor; selects no customer. */
  | "claimed";

/** Objects that meet the conditions now. */
export interface BulkPreview {
  /** Number of them. */
  readonly count: number;
  /** Their ids, at most 1,000; send them as `ids` of the act. */
  readonly ids: readonly string[];
  /** Whether there are more than `ids`: repeat preview and act when these are done. */
  readonly more: boolean;
  /** Sequence number of the last event that the answer includes. */
  readonly as_of_seq: number;
}

/** Results of a bulk act, in the order of `ids`; each one that was applied is durable. */
export interface BulkReceipt {
  /** Number of objects for which it has taken effect. */
  readonly applied: number;
  /** Number of objects for which it has not. */
  readonly refused: number;
  /** Result for each id. */
  readonly results: readonly BulkResult[];
}

/** Result for one object. */
export interface BulkResult {
  /** Id of the agent or contact. */
  readonly id: string;
  /** Whether it has taken effect, now or in an earlier attempt. */
  readonly applied: boolean;
  /** True: it had taken effect before, or there was nothing to change. */
  readonly replayed?: boolean;
  /** State of the object after the command, or the state that prevents it. */
  readonly state?: string | null;
  /** Sequence number of the event that the command caused. */
  readonly seq?: number | null;
  /** Code of the problem; null: it was applied. */
  readonly code?: string | null;
  /** What prevents it. */
  readonly detail?: string;
  /** True: repeat the request with the same key. */
  readonly temporary?: boolean;
}

/** A process of the gateway has claimed the requested call: the others must not dial before the claim ends. */
export interface CallbackClaimed {
  readonly type: "callback.claimed";
  /** Id of the contact. */
  readonly contact_id: string;
  /** Number of the attempt, counted from 1. */
  readonly attempt: number;
  /** Name that the process has given. */
  readonly claimed_by: string;
  /** End of the claim, at most the deadline of the attempt; epoch milliseconds. */
  readonly until_ms: number;
  /** Id of the gateway that submitted the contact; empty: none. */
  readonly gateway_id?: string;
}

/** The customer is on the line with `agent_id`; without an agent the contact waits on its live channel and keeps its age. */
export interface CallbackConnected {
  readonly type: "callback.connected";
  /** Id of the contact. */
  readonly contact_id: string;
  /** Number of the attempt, counted from 1. */
  readonly attempt: number;
  /** Id of the queue. */
  readonly queue_id: string;
  /** Requirement class as text: channel, queue and skills with their levels. For display only; do not parse it. */
  readonly requirement: string;
  /** `connected`, or `voicemail` if the policy counts that as done and an agent leaves the message. */
  readonly outcome?: string;
  /** When the contact overflows or expires from its queue, epoch milliseconds; null: no limit. */
  readonly wait_until_ms?: number | null;
  /** Agent on the line; null: the contact waits for one. */
  readonly agent_id?: string | null;
  /** Id of the gateway that submitted the contact; empty: none. */
  readonly gateway_id?: string;
  /** Time since the submit that it waited for openings and that does not count as waiting, in milliseconds. */
  readonly closed_ms?: number;
  /** All agents of the conversation after the event, with their roles; null or empty: only the owner. */
  readonly members?: Readonly<Record<string, AssignmentRole>> | null;
  /** Agents with a pending offer of the contact. */
  readonly offered_to?: readonly string[];
}

/**
 * The gateway must dial the customer now and report the outcome before the deadline. With `agent_first` the contact is assigned
 * to `agent_id`, who waits. With `customer_first` it is not assigned; the call is made for `for_agent_id`; no other customer is
 * dialled for that agent until the outcome is known.
 */
export interface CallbackDialRequested {
  readonly type: "callback.dial_requested";
  /** Id of the contact. */
  readonly contact_id: string;
  /** Number of the attempt, counted from 1. */
  readonly attempt: number;
  /** Order of assigning an agent and dialling. */
  readonly mode: CallbackMode;
  /** Channel of the call. */
  readonly channel: string;
  /** Time by which the outcome must be reported, epoch milliseconds. */
  readonly deadline_ms: number;
  /** Owner who waits for the call, with `agent_first`. */
  readonly agent_id?: string | null;
  /** Agent that the call is made for, with `customer_first`. */
  readonly for_agent_id?: string | null;
  /** Opaque id of the gateway for the contact; null: none. */
  readonly reference?: string | null;
  /** Id of the gateway that submitted the contact; empty: none. */
  readonly gateway_id?: string;
  /** All agents of the conversation after the event, with their roles; null or empty: only the owner. */
  readonly members?: Readonly<Record<string, AssignmentRole>> | null;
  /** Agents with a pending offer of the contact. */
  readonly offered_to?: readonly string[];
}

/** The attempt failed. The assignment of `agent_id`, if any, ends with this event. */
export interface CallbackFailed {
  readonly type: "callback.failed";
  /** Id of the contact. */
  readonly contact_id: string;
  /** Number of the attempt, counted from 1. */
  readonly attempt: number;
  /** `no_answer`, `busy` (the customer's line), `voicemail`, `failed`, or `timeout` (the gateway did not report in time). */
  readonly outcome: string;
  /** Time of the next attempt; null: this was the last one. */
  readonly due_at_ms?: number | null;
  /** Assignment that ends with this event, if any. */
  readonly assignment_id?: string | null;
  /** Agent of that assignment, if any. */
  readonly agent_id?: string | null;
  /** Id of the gateway that submitted the contact; empty: none. */
  readonly gateway_id?: string;
}

/** Terms of a callback. An omitted field takes the value of the queue's policy. */
export interface CallbackFields {
  /** Order of assigning an agent and dialling; omitted: as in the policy. */
  readonly mode?: CallbackMode | null;
  /** Channel whose capacity the callback uses from now on; omitted: as in the policy. */
  readonly channel?: string | null;
  /** Earliest time of the call, epoch milliseconds; omitted: when the contact reaches the head of its queue. */
  readonly at_ms?: number | null;
  /** End of the time window, epoch milliseconds: the callback expires then. Omitted: `expires_after_s` of the policy applies. */
  readonly until_ms?: number | null;
}

/** Gateway, supervisor: turn a waiting contact into a callback, now or at an agreed time. */
export interface CallbackFrame extends CommandFrame {
  readonly type: "callback";
  /** Id of the contact. */
  readonly contact_id: string;
  /** Order of assigning an agent and dialling; omitted: as in the policy. */
  readonly mode?: CallbackMode | null;
  /** Channel of the callback; omitted: as in the policy. */
  readonly channel?: string | null;
  /** Earliest time of the call, epoch milliseconds; omitted: when the contact reaches the head of its queue. */
  readonly at_ms?: number | null;
  /** End of the time window, epoch milliseconds: the callback expires then. Omitted: as in the policy. */
  readonly until_ms?: number | null;
}

/** Order of assigning an agent and dialling the customer. */
export type CallbackMode =
  /** The agent is assigned, then the customer is dialled. */
  | "agent_first"
  /** The customer is dialled, and assigned to an agent after answering. */
  | "customer_first";

/** Outcome of one attempt, as reported by the gateway. */
export type CallbackOutcome =
  /** The customer is on the line. */
  | "connected"
  /** The customer did not answer. */
  | "no_answer"
  /** The customer's line was busy. */
  | "busy"
  /** A machine answered. */
  | "voicemail"
  /** The call could not be made. */
  | "failed";

/** Phase of a callback, in addition to the contact's state. */
export type CallbackPhase =
  /** Waiting in its queue, or assigned to an agent while dialling has not begun. */
  | "waiting"
  /** Waiting for the agreed time. */
  | "scheduled"
  /** The gateway is calling the customer; it must report the outcome before `due_at_ms`. */
  | "dialling"
  /** The customer was not reached; the next attempt is at `due_at_ms`. */
  | "retry"
  /** The customer is on the line; the contact is treated like any other. */
  | "connected";

/** Queue position of a callback when its agreed time comes. */
export type CallbackQueuePosition =
  /** By its original age. */
  | "keep"
  /** As if it had been submitted at the agreed time. */
  | "from_due_time";

/** The contact has become a callback: it keeps its position and waits on this channel while the customer is offline. */
export interface CallbackRequested {
  readonly type: "callback.requested";
  /** Id of the contact. */
  readonly contact_id: string;
  /** Id of the queue. */
  readonly queue_id: string;
  /** Channel of the callback. */
  readonly channel: string;
  /** Requirement class as text: channel, queue and skills with their levels. For display only; do not parse it. */
  readonly requirement: string;
  /** Order of assigning an agent and dialling. */
  readonly mode: CallbackMode;
  /** Queue position when the agreed time comes. */
  readonly queue_position: CallbackQueuePosition;
  /** When the callback expires; replaces the contact's time to live and its queue's maximum wait. */
  readonly expires_at_ms?: number | null;
  /** Id of the gateway that submitted the contact; empty: none. */
  readonly gateway_id?: string;
  /** Whether `expires_at_ms` is the end of a time window that was agreed, which closed hours do not move. */
  readonly has_window?: boolean;
}

/** Gateway, supervisor: report the outcome of a call requested by `callback.dial_requested`. */
export interface CallbackResultFrame extends CommandFrame {
  readonly type: "callback_result";
  /** Id of the contact. */
  readonly contact_id: string;
  /** Outcome of the attempt. */
  readonly outcome: CallbackOutcome;
  /** Number of the attempt from `callback.dial_requested`; omitted: the current one. */
  readonly attempt?: number | null;
}

/** The callback is scheduled; at the agreed time it enters its queue. */
export interface CallbackScheduled {
  readonly type: "callback.scheduled";
  /** Id of the contact. */
  readonly contact_id: string;
  /** Agreed time, epoch milliseconds. */
  readonly due_at_ms: number;
  /** Id of the gateway that submitted the contact; empty: none. */
  readonly gateway_id?: string;
  /** Time that was asked for, if the queue is closed then; `due_at_ms` is the next opening. Null: the time asked for. */
  readonly requested_at_ms?: number | null;
  /** True: an existing callback was moved to this time, and `expires_at_ms` replaces its earlier end. */
  readonly moved?: boolean;
  /** With `moved`: when the callback expires; null: never. */
  readonly expires_at_ms?: number | null;
  /** With `moved`: whether `expires_at_ms` is the end of a time window that was agreed. */
  readonly has_window?: boolean;
}

/** The callback of a contact. */
export interface CallbackView {
  /** Order of assigning an agent and dialling. */
  readonly mode: CallbackMode;
  /** Phase of the callback. */
  readonly phase: CallbackPhase;
  /** Number of attempts begun. */
  readonly attempts: number;
  /** Agreed time of the call; null: as soon as an agent is available. */
  readonly scheduled_at_ms: number | null;
  /** Next deadline: the agreed time, the next attempt or the end of dialling; null: none. */
  readonly due_at_ms: number | null;
  /** When the callback expires; null: never, or its time stands still until its queue opens. */
  readonly expires_at_ms: number | null;
  /** Outcome of the last completed attempt; null: none yet. */
  readonly outcome: string | null;
  /** Process of the gateway that has claimed the present call; null: none. */
  readonly claimed_by?: string | null;
  /** End of that claim; null: none. */
  readonly claimed_until_ms?: number | null;
}

/** Desktop: cancel or end the consult. */
export interface CancelConsultFrame extends CommandFrame {
  readonly type: "consult_cancel";
  /** Id of the contact. */
  readonly contact_id: string;
}

/** Gateway, supervisor: cancel a contact that is not assigned yet. */
export interface CancelFrame extends CommandFrame {
  readonly type: "cancel";
  /** Id of the contact. */
  readonly contact_id: string;
  /** Reason, an id chosen by the client. */
  readonly reason?: string;
}

/** Customer: leave. The choice, the wait, the callback or the conversation ends. */
export interface CancelRequestFrame extends CommandFrame {
  readonly type: "cancel_request";
}

/** Desktop: withdraw a transfer that the other agent has not answered yet. */
export interface CancelTransferFrame extends CommandFrame {
  readonly type: "transfer_cancel";
  /** Id of the contact. */
  readonly contact_id: string;
}

/** Another customer who uses the same identity; a person decides whether they are the same. */
export interface CandidateView {
  /** Id of the customer. */
  readonly customer_id: string;
  /** Type of the shared identity. */
  readonly identity_type: string;
}

/** What is known about the customer of a contact, for the agent who has it. */
export interface Card {
  /** How much of the card there is. */
  readonly status: CardStatus;
  /** Number that grows with every change of the customer; 0: no customer is known. */
  readonly version?: number;
  /** How the customer of this contact is known; null: no customer is known. Ask before you act on `asserted`. */
  readonly assurance?: Assurance | null;
  /** The customer; null: not known. */
  readonly customer?: CardCustomer | null;
  /** Where the customer is and what they want; null: the submit said nothing. */
  readonly now?: ContactContext | null;
  /** Last steps of the journey, oldest first. */
  readonly steps?: readonly CardStep[];
  /** Last contacts that are over, newest first. */
  readonly contacts?: readonly CardContact[];
  /** Agents who had these contacts, the last one first. */
  readonly agents?: readonly string[];
  /** Other contacts that are not over, suspended ones included, newest first. */
  readonly open_work?: readonly CardContact[];
  /** Notes of this and of earlier contacts, oldest first. */
  readonly notes?: readonly CardNote[];
  /** Fields and types of steps that are shown once the customer is verified. */
  readonly hidden?: readonly string[];
  /** What the customer comes for; null: not known. */
  readonly goal?: CardGoal | null;
}

/**
 * Desktop, supervisor: parts of a card that have changed, at most twice a second per contact. `parts` names them; others stay. A
 * part that is named and absent is empty now.
 */
export interface CardChangedFrame {
  readonly type: "card_changed";
  /** Id of the contact. */
  readonly contact_id: string;
  /** Version of the card. */
  readonly version: number;
  /** Status of the card, which is unchanged. */
  readonly status: CardStatus;
  /** Names of the parts that have changed. */
  readonly parts: readonly string[];
  /** How the customer of this contact is known. */
  readonly assurance?: Assurance | null;
  /** The customer. */
  readonly customer?: CardCustomer | null;
  /** Where the customer is and what they want. */
  readonly now?: ContactContext | null;
  /** Last steps of the journey. */
  readonly steps?: readonly CardStep[];
  /** Last contacts that are over. */
  readonly contacts?: readonly CardContact[];
  /** Agents who had these contacts. */
  readonly agents?: readonly string[];
  /** Other contacts that are not over. */
  readonly open_work?: readonly CardContact[];
  /** Notes. */
  readonly notes?: readonly CardNote[];
  /** Fields and types of steps that are shown once the customer is verified. */
  readonly hidden?: readonly string[];
}

/** Another contact of the same customer on a card. */
export interface CardContact {
  /** Id of the contact. */
  readonly contact_id: string;
  /** `open`, `suspended`, `ended`, `abandoned`, `cancelled` or `expired`. */
  readonly state: string;
  /** Channel. */
  readonly channel: string;
  /** Id of the queue. */
  readonly queue_id: string;
  /** Last owner; null: none. */
  readonly agent_id?: string | null;
  /** Disposition of its last completed assignment; null: none. */
  readonly disposition?: string | null;
  /** What the customer came for; null: not known, or not kept any more. */
  readonly goal?: string | null;
  /** Whether it was done; null: the goal is not known. */
  readonly outcome?: GoalOutcome | null;
  /** Whether the customer came again for it. */
  readonly repeated?: boolean;
  /** When it was submitted, epoch milliseconds. */
  readonly queued_at_ms: number;
  /** When it changed last, epoch milliseconds. */
  readonly changed_at_ms: number;
}

/** The customer on a card; identities are masked. */
export interface CardCustomer {
  /** Root of the customer. */
  readonly customer_id: string;
  /** Name, as the agent should say it. */
  readonly name?: string | null;
  /** Tier. */
  readonly tier?: string | null;
  /** IANA time zone. */
  readonly time_zone?: string | null;
  /** Language and region. */
  readonly locale?: string | null;
  /** Channel on which the customer prefers to be reached. */
  readonly preferred_channel?: string | null;
  /** True: known by weak identities only. */
  readonly is_anonymous?: boolean;
  /** Identities, masked. */
  readonly identities?: readonly IdentityView[];
  /** Other customers who use the same address: the agent should ask. */
  readonly candidates?: readonly CandidateView[];
}

/**
 * Desktop: the card of a contact that this agent has, or that is offered to them. It replaces an earlier one. Sent after an offer
 * whose card was `late`, after a contact came without an offer, after `welcome` and `resumed`, and when the status of a card
 * changes. Supervisor: the card of a contact that the connection watches (`watch_card`).
 */
export interface CardFrame {
  readonly type: "card";
  /** Id of the contact. */
  readonly contact_id: string;
  /** The card. */
  readonly card: Card;
}

/** The goal of the contact of a card. */
export interface CardGoal {
  /** What the customer comes for. */
  readonly goal: string;
  /** Whether it is done. */
  readonly outcome?: GoalOutcome;
  /** Earlier contact for which the customer comes again; null: none. */
  readonly repeats?: string | null;
}

/** A note on a card. */
export interface CardNote {
  /** Time, epoch milliseconds. */
  readonly at_ms: number;
  /** Role and subject of the credential that wrote it. */
  readonly author: string;
  /** The note. */
  readonly text: string;
  /** Contact at which it was written. */
  readonly contact_id: string;
}

/** How much of a card there is. */
export type CardStatus =
  /** Everything that is known. */
  | "complete"
  /** Older steps, notes or contacts are left out, because the card would be too long. */
  | "partial"
  /** Nothing is known about the customer. */
  | "none"
  /** The card was not read yet when the offer was sent, or its contact is from before a start; a `card` frame follows. */
  | "late"
  /** The customer context does not answer; a `card` frame follows when it does. */
  | "unavailable"
  /** The customer was erased. */
  | "erased";

/** A step of the journey on a card. */
export interface CardStep {
  /** Time, epoch milliseconds. */
  readonly at_ms: number;
  /** Type of the step. */
  readonly type: string;
  /** What exactly. */
  readonly name?: string | null;
  /** How it ended. */
  readonly result?: string | null;
  /** Channel. */
  readonly channel?: string | null;
  /** Data of the application. */
  readonly data?: Readonly<Record<string, unknown>>;
  /** Kind, place and size of large things that are stored elsewhere. */
  readonly refs?: readonly (readonly [string, string, number | null])[];
}

/** How many paths of the policy a publication added, removed and changed. Omitted keys count as their defaults. */
export interface ChangeCounts {
  /** Paths that did not exist before. */
  readonly added?: number;
  /** Paths that do not exist any more. */
  readonly removed?: number;
  /** Paths with another value. */
  readonly changed?: number;
}

/** Outcome of connecting a customer on another channel, as reported by the gateway. */
export type ChannelOutcome =
  /** The customer is on the new channel. */
  | "connected"
  /** The customer could not be connected; the old channel stands. */
  | "failed";

/** Gateway, supervisor: report the outcome of the switch requested by `contact.channel_requested`. */
export interface ChannelResultFrame extends CommandFrame {
  readonly type: "channel_result";
  /** Id of the contact. */
  readonly contact_id: string;
  /** Whether the customer is connected on the new channel. */
  readonly outcome: ChannelOutcome;
}

/** Customer: choose an option of the request. */
export interface ChooseFrame extends CommandFrame {
  readonly type: "choose";
  /** Id of the option. */
  readonly option: string;
  /** Time window of a callback, as the request shows it; omitted: the callback has no agreed time. */
  readonly window?: TimeWindow | null;
}

/** Gateway, supervisor: claim the call requested by `callback.dial_requested`, so that only one process dials. */
export interface ClaimCallbackFrame extends CommandFrame {
  readonly type: "callback_claim";
  /** Id of the contact. */
  readonly contact_id: string;
  /** Name of the process that will dial, for example that of its pod. */
  readonly claimant: string;
  /** Seconds after which another process may claim the call; omitted: until the deadline of the attempt. */
  readonly lease_s?: number | null;
  /** Number of the attempt from `callback.dial_requested`; omitted: the current one. */
  readonly attempt?: number | null;
}

/** Base of the frames that stand for a command. */
export interface CommandFrame {
  /** Id of the client's frame, chosen by the client; the reply repeats it. */
  readonly id: string;
  /** A repeated frame with the same key gets the first reply and changes nothing; omitted: it is carried out again. */
  readonly idempotency_key?: string | null;
  /**
   * Entity tag of the contact, agent or queue as last seen, from the `tag` of an `ok` or the ETag of HTTP without its quotes; if
   * the object has changed since, the frame is refused (`precondition_failed`). `*`: any, as long as the object exists. Omitted:
   * no condition.
   */
  readonly if_match?: string | null;
}

/** Desktop: pass the contact to the consulted agent (warm transfer). */
export interface CompleteConsultFrame extends CommandFrame {
  readonly type: "consult_complete";
  /** Id of the contact. */
  readonly contact_id: string;
}

/** Desktop: complete the assignment with a disposition; ends the conversation first if necessary. */
export interface CompleteFrame extends CommandFrame {
  readonly type: "complete";
  /** Id of the assignment; it is that of the accepted offer. */
  readonly assignment_id: string;
  /** Disposition code, one of the policy's `dispositions` if it lists any; omitted: none. */
  readonly disposition?: string | null;
}

/** Desktop: connect the consulted agent to the customer. */
export interface ConferenceFrame extends CommandFrame {
  readonly type: "conference";
  /** Id of the contact. */
  readonly contact_id: string;
}

/** Customers that were not merged, and why. */
export interface Conflict {
  /** Why not. */
  readonly kind: ConflictKind;
  /** The other customer. */
  readonly customer_id: string;
  /** Type of the identity that leads to the other customer. */
  readonly identity_type: string;
}

/** Why the identities of one request belong to different customers. */
export type ConflictKind =
  /** Two customers have different strong identities of one type. */
  | "identity_conflict"
  /** The address belongs to another customer; it stays there and is listed as candidate. */
  | "shared_address"
  /** The customers might be one person, but an identity is not verified. */
  | "not_verified"
  /** Both were merged once and the merge was undone, so they are never merged automatically. */
  | "merge_undone"
  /** The merged customer would have too many members. */
  | "too_many_members";

/** Whether a customer agrees to a purpose, since when, and how this is known. */
export interface Consent {
  /** True: agreed; false: refused or withdrawn. */
  readonly granted: boolean;
  /** When the customer said so, in milliseconds of Unix time. */
  readonly at_ms: number;
  /** How it is known, for example `app` or `agent`. */
  readonly source: string;
}

/** Desktop: consult an agent, or an agent of a queue; exactly one of the two. */
export interface ConsultFrame extends CommandFrame {
  readonly type: "consult";
  /** Id of the contact. */
  readonly contact_id: string;
  /** Target queue; omitted: the target is an agent. */
  readonly to_queue_id?: string | null;
  /** Target agent; omitted: the target is a queue. */
  readonly to_agent_id?: string | null;
}

/** Terminal: the customer left before an answer. */
export interface ContactAbandoned {
  readonly type: "contact.abandoned";
  /** Id of the contact. */
  readonly contact_id: string;
  /** Id of the queue. */
  readonly queue_id: string;
  /** Time since the submit in milliseconds, including earlier time with an agent. */
  readonly waited_ms: number;
  /** `customer_left`, or `customer_away`: their app has not returned within `leave_grace_s`. */
  readonly reason?: string;
  /** Id of the gateway that submitted the contact; empty: none. */
  readonly gateway_id?: string;
  /** Time since the submit that it waited for openings and that does not count as waiting, in milliseconds. */
  readonly closed_ms?: number;
  /** Who or what ended it; null: in journals written before the field existed. */
  readonly ended_by?: EndedBy | null;
}

/** A supervisor has assigned the contact to an agent. `from_agent_id` owned it until this event. */
export interface ContactAssigned {
  readonly type: "contact.assigned";
  /** Id of the contact. */
  readonly contact_id: string;
  /** Id of the assignment; it is that of the accepted offer. */
  readonly assignment_id: string;
  /** New owner. */
  readonly agent_id: string;
  /** Capacity units that the contact uses. */
  readonly units: number;
  /** Time since the submit in milliseconds, including earlier time with an agent. */
  readonly waited_ms: number;
  /** Channel. */
  readonly channel?: string;
  /** Id of the queue. */
  readonly queue_id?: string;
  /** Attributes, declared in the policy under `facts`. */
  readonly attributes?: Readonly<Record<string, boolean | number | string>>;
  /** Opaque id of the gateway for the contact; null: none. */
  readonly reference?: string | null;
  /** Assignment of the previous owner, which ends with this event; null: none. */
  readonly from_assignment_id?: string | null;
  /** Owner until this event; null: none. */
  readonly from_agent_id?: string | null;
  /** Id of the gateway that submitted the contact; empty: none. */
  readonly gateway_id?: string;
  /** All agents of the conversation after the event, with their roles; null or empty: only the owner. */
  readonly members?: Readonly<Record<string, AssignmentRole>> | null;
  /** Time since the submit that it waited for openings and that does not count as waiting, in milliseconds. */
  readonly closed_ms?: number;
  /** Phase of its callback after this event; null: it is no callback. */
  readonly callback_phase?: CallbackPhase | null;
}

/** Terminal: the gateway or a supervisor withdrew the contact before an answer. */
export interface ContactCancelled {
  readonly type: "contact.cancelled";
  /** Id of the contact. */
  readonly contact_id: string;
  /** Id of the queue. */
  readonly queue_id: string;
  /** Time since the submit in milliseconds, including earlier time with an agent. */
  readonly waited_ms: number;
  /**
   * Reason given with the command; `cancelled`, or `ended` for an end before an answer, if none was given; `resumed`: its
   * customer goes on with an earlier contact.
   */
  readonly reason: string;
  /** Id of the gateway that submitted the contact; empty: none. */
  readonly gateway_id?: string;
  /** Time since the submit that it waited for openings and that does not count as waiting, in milliseconds. */
  readonly closed_ms?: number;
  /** Who or what ended it; null: in journals written before the field existed. */
  readonly ended_by?: EndedBy | null;
  /** Suspended contact that goes on instead; null: none. */
  readonly resumed_contact_id?: string | null;
}

/** A switch to another channel was given up; the conversation continues on the old channel. */
export interface ContactChannelFailed {
  readonly type: "contact.channel_failed";
  /** Id of the contact. */
  readonly contact_id: string;
  /** Channel that was wanted. */
  readonly channel: string;
  /** `failed` (reported by the gateway), `timeout` (no report in time), `cancelled` or `replaced` (by another switch). */
  readonly reason: string;
  /** Id of the assignment; it is that of the accepted offer. */
  readonly assignment_id?: string | null;
  /** Owner of the contact. */
  readonly agent_id?: string | null;
  /** Id of the gateway that submitted the contact; empty: none. */
  readonly gateway_id?: string;
  /** All agents of the conversation after the event, with their roles; null or empty: only the owner. */
  readonly members?: Readonly<Record<string, AssignmentRole>> | null;
  /** Gateway that was to connect the customer; empty: the contact's own. */
  readonly to_gateway_id?: string;
}

/**
 * A conversation is to continue on another channel; the old one stands until the customer is connected there. With `deadline_ms`
 * the gateway must connect the customer now and report the outcome: with the owner, or with the agent `to_agent_id`, who then
 * owns the contact. Without it the agent has no capacity for the channel: the switch waits until the agent has, or another agent
 * accepts the contact, or a consult, on the channel. A switch in progress also ends, without an event of its own, when the
 * contact ends, waits again, is suspended or gets another owner.
 */
export interface ContactChannelRequested {
  readonly type: "contact.channel_requested";
  /** Id of the contact. */
  readonly contact_id: string;
  /** Present channel. */
  readonly from_channel: string;
  /** Channel on which the customer is to be connected. */
  readonly channel: string;
  /** Id of the assignment; it is that of the accepted offer. */
  readonly assignment_id: string;
  /** Owner of the contact. */
  readonly agent_id: string;
  /** Capacity units that the agent needs beyond those of the present channel; they are held from now on. */
  readonly held_units: number;
  /** Time by which the outcome must be reported, epoch milliseconds; null: the switch waits for an agent. */
  readonly deadline_ms?: number | null;
  /** Opaque id of the gateway for the contact; null: none. */
  readonly reference?: string | null;
  /** Id of the gateway that submitted the contact; empty: none. */
  readonly gateway_id?: string;
  /** All agents of the conversation after the event, with their roles; null or empty: only the owner. */
  readonly members?: Readonly<Record<string, AssignmentRole>> | null;
  /** While the switch waits: whether another agent is offered the contact (`queue`, also if null) or a consult (`consult`). */
  readonly if_unable?: IfUnable | null;
  /** Gateway that serves the new channel and is to connect the customer; empty: the contact's own. */
  readonly to_gateway_id?: string;
  /** Assignment of `to_agent_id`, which is on the new channel; null: the owner's goes on there. */
  readonly to_assignment_id?: string | null;
  /** Agent in the conversation who owns the contact once the customer is connected with them; null: the present owner. */
  readonly to_agent_id?: string | null;
}

/** The contact continues on another channel: in its place in the queue, or with its agent and in the same assignment. */
export interface ContactChannelSwitched {
  readonly type: "contact.channel_switched";
  /** Id of the contact. */
  readonly contact_id: string;
  /** Id of the queue. */
  readonly queue_id: string;
  /** Channel until this event. */
  readonly from_channel: string;
  /** Channel from now on. */
  readonly channel: string;
  /** Requirement class as text: channel, queue and skills with their levels. For display only; do not parse it. */
  readonly requirement: string;
  /** Capacity units that the conversation uses from now on. */
  readonly units: number;
  /** Opaque id of the gateway for the contact; null: none. */
  readonly reference?: string | null;
  /** Assignment of the owner; null: the contact waits. */
  readonly assignment_id?: string | null;
  /** Owner of the contact; null: it waits. */
  readonly agent_id?: string | null;
  /** Id of the gateway that submitted the contact; empty: none. */
  readonly gateway_id?: string;
  /** All agents of the conversation after the event, with their roles; null or empty: only the owner. */
  readonly members?: Readonly<Record<string, AssignmentRole>> | null;
  /** Agents with a pending offer of the contact. */
  readonly offered_to?: readonly string[];
}

/**
 * A customer has asked for an agent and is shown options. The contact has a place from now on and waits in no queue yet. It goes
 * on with `contact.queued`, which names the option chosen, or ends.
 */
export interface ContactChoosing {
  readonly type: "contact.choosing";
  /** Id of the contact. */
  readonly contact_id: string;
  /** Channel that was asked for. */
  readonly channel: string;
  /** Queue that was asked for, or that the entry rules chose. */
  readonly queue_id: string;
  /** Version of the active policy. */
  readonly policy_version: number;
  /** Options shown to the customer. */
  readonly options: readonly ContactOption[];
  /** When the default option is taken. */
  readonly choose_until_ms: number;
  /** Option that is taken then. */
  readonly default_option: string;
  /** Queue named in the request; null: entry rules choose it. */
  readonly named_queue_id?: string | null;
  /** Required skills with their levels, 1 to 10. */
  readonly skills?: Readonly<Record<string, number>>;
  /** Seconds of priority: the contact ranks as if it had waited that much longer; negative: shorter. */
  readonly priority_s?: number;
  /** Priority class, 0 to 9; a higher class is always served first. */
  readonly priority_class?: number;
  /** Attributes, declared in the policy under `facts`. */
  readonly attributes?: Readonly<Record<string, boolean | number | string>>;
  /** Time to live, in seconds from the choice. */
  readonly ttl_s?: number | null;
  /** Agents preferred for this customer, most preferred first. */
  readonly preferred_agents?: readonly string[];
  /** Last agent of the customer; null: not known. */
  readonly last_agent_id?: string | null;
  /** Id of the gateway that submitted the contact; empty: none. */
  readonly gateway_id?: string;
  /** Opaque id of the gateway for the contact; null: none. */
  readonly reference?: string | null;
  /** Facts of the customer as they were known at the request. */
  readonly customer_facts?: Readonly<Record<string, boolean | number | string>>;
  /** Random id of the customer; null: not known. */
  readonly customer_id?: string | null;
}

/** Where the customer is and what they want, as the application knows it at the submit. */
export interface ContactContext {
  /** Screen or page from which the customer asks, for example `loan/rates`. */
  readonly screen?: string | null;
  /** What the customer wants, for example `refinance`. */
  readonly intent?: string | null;
  /** What happened so far, in a few sentences; from a person or a machine. */
  readonly summary?: string | null;
  /** Data of the application, shown as it is; nested at most 16 levels deep, integers of at most 64 bits. */
  readonly data?: Readonly<Record<string, unknown>>;
}

/** The customer of a contact: identities, or the id of an earlier answer; exactly one of the two. */
export interface ContactCustomer {
  /** Identities of one customer. One that identifies no customer, such as a withheld number, is left out. */
  readonly identities?: readonly Identity[];
  /** Id of the customer; one that is not known is left out. */
  readonly customer_id?: string | null;
}

/** Terminal: the conversation is over. */
export interface ContactEnded {
  readonly type: "contact.ended";
  /** Id of the contact. */
  readonly contact_id: string;
  /** Id of the assignment; it is that of the accepted offer. */
  readonly assignment_id: string;
  /** Owner until this event. */
  readonly agent_id: string;
  /**
   * `customer_left`, `completed` (the owner completed the assignment), `park_timeout`, or the reason given with the command that
   * ended it; `ended` if none was given.
   */
  readonly reason: string;
  /** Id of the gateway that submitted the contact; empty: none. */
  readonly gateway_id?: string;
  /** Who or what ended it; null: in journals written before the field existed. */
  readonly ended_by?: EndedBy | null;
}

/** Terminal: the contact expired before an answer. */
export interface ContactExpired {
  readonly type: "contact.expired";
  /** Id of the contact. */
  readonly contact_id: string;
  /** Id of the queue. */
  readonly queue_id: string;
  /** Time since the submit in milliseconds, including earlier time with an agent. */
  readonly waited_ms: number;
  /**
   * `ttl` (time to live), `wait_max` (the queue's maximum wait), `closed` (the queue closed), `resume_by` (a suspended contact
   * was not resumed in time), `not_chosen` (no option was left when the time to choose was over) or `no_agents_ready` (no agent
   * of the queue was ready for `no_agents_for_s`); of a callback `callback_expired` (`expires_after_s`), `callback_failed` (the
   * last attempt failed) or `callback_voicemail` (a message was left on voicemail).
   */
  readonly reason: string;
  /** Id of the gateway that submitted the contact; empty: none. */
  readonly gateway_id?: string;
  /** Time since the submit that it waited for openings and that does not count as waiting, in milliseconds. */
  readonly closed_ms?: number;
  /** Who or what ended it; null: in journals written before the field existed. */
  readonly ended_by?: EndedBy | null;
}

/** Fields of a new contact: the body of `POST /v1/contacts` and of `submit`. */
export interface ContactFields {
  /** Channel, as declared by the policy. */
  readonly channel: string;
  /** Queue; omitted: the entry rules of the policy choose it. */
  readonly queue_id?: string | null;
  /** Skills required in addition to those of the queue, with their levels. */
  readonly skills?: Readonly<Record<string, number>>;
  /** Seconds of priority: the contact ranks as if it had waited that much longer; negative: shorter. */
  readonly priority_s?: number;
  /** Priority class, 0 to 9; a higher class is always served first. */
  readonly priority_class?: number;
  /** Attributes, declared in the policy under `facts`. */
  readonly attributes?: Readonly<Record<string, boolean | number | string>>;
  /** Time to live in seconds, from the submit; omitted: unlimited. */
  readonly ttl_s?: number | null;
  /** Opaque id of the gateway for the contact; omitted: none. */
  readonly reference?: string | null;
  /** If set, the customer is not on the line and is to be called; omitted: the customer is on the line. */
  readonly callback?: CallbackFields | null;
  /** Agents preferred for this customer, most preferred first, used by plan steps with `prefer: [named]`. */
  readonly preferred_agents?: readonly string[];
  /**
   * Earlier contact of the same customer and gateway, used by plan steps with `prefer: [last]`. It has ended, or has an agent;
   * any other id is refused. Omitted: none.
   */
  readonly continues_contact_id?: string | null;
  /** Customer. The contact is routed without one where the customer context does not answer in time. Omitted: not known. */
  readonly customer?: ContactCustomer | null;
  /** Where the customer is and what they want, for the card of the agent; never part of a decision. At most 4 KiB of JSON. */
  readonly context?: ContactContext | null;
  /**
   * Whether a suspended conversation of the customer goes on instead: `auto` resumes it if it is the only one, `ask` lets the
   * customer choose. The answer names the contact that goes on. Not with `callback`.
   */
  readonly resume?: ResumeMode;
  /** What the customer comes for: a goal of the policy. Omitted: by the entry rule or `goals.default`. */
  readonly goal?: string | null;
}

/**
 * The contact continues on a channel that another gateway serves, which has it from now on; the former one has it no more. What
 * the new gateway needs of the contact stands in the event.
 */
export interface ContactGatewayChanged {
  readonly type: "contact.gateway_changed";
  /** Id of the contact. */
  readonly contact_id: string;
  /** Gateway that has the contact from now on. */
  readonly gateway_id: string;
  /** Gateway that had it until now. */
  readonly from_gateway_id: string;
  /** Channel. */
  readonly channel: string;
  /** Id of the queue. */
  readonly queue_id: string;
  /** Required skills with their levels, 1 to 10. */
  readonly skills?: Readonly<Record<string, number>>;
  /** Seconds of priority: the contact ranks as if it had waited that much longer; negative: shorter. */
  readonly priority_s?: number;
  /** Priority class, 0 to 9; a higher class is always served first. */
  readonly priority_class?: number;
  /** Attributes, declared in the policy under `facts`. */
  readonly attributes?: Readonly<Record<string, boolean | number | string>>;
  /** Facts of the customer. */
  readonly customer_facts?: Readonly<Record<string, boolean | number | string>>;
  /** Id of the customer. */
  readonly customer_id?: string | null;
  /** Opaque id of the gateway for the contact; null: none. */
  readonly reference?: string | null;
  /** Agent who owns the contact; null: it waits. */
  readonly owner_agent_id?: string | null;
  /** Assignment of the owner; null: it waits. */
  readonly assignment_id?: string | null;
  /** All agents in the conversation, if the owner is not alone. */
  readonly participants?: Readonly<Record<string, AssignmentRole>> | null;
}

/** The goal of a contact with everything that is known about it; and how its contact is counted. */
export interface ContactGoal {
  /** What the customer came for: a goal of the policy; null: not known, the contact has only scores. */
  readonly goal?: string | null;
  /** Who named it. */
  readonly set_by?: GoalReporter | null;
  /** When the goal or the first score became known, epoch milliseconds. */
  readonly set_at_ms: number;
  /** Whether it was done. */
  readonly outcome?: GoalOutcome;
  /** Who reported the outcome; null: it was not reported. */
  readonly reported_by?: GoalReporter | null;
  /** When it was reported last, epoch milliseconds. */
  readonly reported_at_ms?: number | null;
  /** How easy it was: 1 (very difficult) to 7 (very easy). */
  readonly ease?: number | null;
  /** How much effort it took: 1 (very little) to 5 (very much). */
  readonly effort?: number | null;
  /** How satisfied the customer is: 1 (not at all) to 5 (very). */
  readonly satisfaction?: number | null;
  /** Who gave the scores; the customer or the gateway, as long as one of them is theirs. */
  readonly scored_by?: GoalReporter | null;
  /** Random id of the customer; null: not known. */
  readonly customer_id?: string | null;
  /** Other ids of the customer, who was merged, as they were known at the submit. */
  readonly customer_ids?: readonly string[];
  /** Id of the gateway that submitted the contact; empty: none. */
  readonly gateway_id?: string;
  /** When the contact was submitted, epoch milliseconds. */
  readonly queued_at_ms: number;
  /** Queue in which the contact ended; empty: it has not ended. */
  readonly queue_id?: string;
  /** Channel on which it ended. */
  readonly channel?: string;
  /** Last owner; null: none. */
  readonly agent_id?: string | null;
  /** Assignment of the last owner. */
  readonly assignment_id?: string | null;
  /** Disposition of that assignment. */
  readonly disposition?: string | null;
  /** Whether an agent had the contact. */
  readonly is_answered?: boolean;
  /** When it ended, epoch milliseconds. */
  readonly ended_at_ms?: number | null;
  /** When it was over, the last wrap-up included, epoch milliseconds: the moment at which it counts in the statistics. */
  readonly counted_at_ms?: number | null;
  /** Earlier contact of the same customer that this one repeats; null: it is the first one. */
  readonly repeats?: string | null;
  /** Later contact by which the customer came again; null: none. */
  readonly repeated_by?: string | null;
}

/** Another agent of the conversation now owns the contact; `from_agent_id` owned it until this event. */
export interface ContactHandedOver {
  readonly type: "contact.handed_over";
  /** Id of the contact. */
  readonly contact_id: string;
  /** Assignment of the new owner. */
  readonly assignment_id: string;
  /** New owner. */
  readonly agent_id: string;
  /** Assignment of the previous owner, which ends with this event; null: none. */
  readonly from_assignment_id: string;
  /** Owner until this event; null: none. */
  readonly from_agent_id: string;
  /**
   * `consult` (a warm transfer), `hand_over`, `channel` (the customer is connected with this agent on another channel),
   * `supervisor` or `lost_desktop`.
   */
  readonly reason: string;
  /** All agents of the conversation after the event, with their roles; null or empty: only the owner. */
  readonly members?: Readonly<Record<string, AssignmentRole>>;
  /** Id of the gateway that submitted the contact; empty: none. */
  readonly gateway_id?: string;
  /** Queue of the contact from now on, if the new owner was reached through another one; null: unchanged. */
  readonly queue_id?: string | null;
}

/** A supervisor was not connected in the mode that was requested; an earlier mode stands. */
export interface ContactMonitorFailed {
  readonly type: "contact.monitor_failed";
  /** Id of the contact. */
  readonly contact_id: string;
  /** Id of the supervisor: the subject of their credential. */
  readonly supervisor_id: string;
  /** Mode that was requested. */
  readonly mode: MonitorMode;
  /** `failed` (reported by the gateway), `timeout` (no report in time), or as in `contact.monitor_left`. */
  readonly reason: string;
  /** Agent who has the contact. */
  readonly owner_agent_id: string;
  /** Mode in which the supervisor is in the conversation; null: not in it. */
  readonly present_mode?: MonitorMode | null;
  /** Id of the gateway that submitted the contact; empty: none. */
  readonly gateway_id?: string;
}

/** A supervisor is in the conversation in this mode from now on. */
export interface ContactMonitorJoined {
  readonly type: "contact.monitor_joined";
  /** Id of the contact. */
  readonly contact_id: string;
  /** Id of the supervisor: the subject of their credential. */
  readonly supervisor_id: string;
  /** Mode from now on. */
  readonly mode: MonitorMode;
  /** Agent who has the contact. */
  readonly owner_agent_id: string;
  /** Mode until now; null: the supervisor was not in the conversation. */
  readonly from_mode?: MonitorMode | null;
  /** Id of the gateway that submitted the contact; empty: none. */
  readonly gateway_id?: string;
  /** Owner of the contact, if the owner sees it; null: hidden by the policy. */
  readonly agent_id?: string | null;
}

/** A supervisor is in the conversation no more; the gateway must disconnect them if it has not. */
export interface ContactMonitorLeft {
  readonly type: "contact.monitor_left";
  /** Id of the contact. */
  readonly contact_id: string;
  /** Id of the supervisor: the subject of their credential. */
  readonly supervisor_id: string;
  /** Mode until now. */
  readonly mode: MonitorMode;
  /**
   * `left`, `removed` (by another supervisor), `disconnected` (reported by the gateway), `expired` (the token, or
   * `duration_max_s` of the policy), `contact_ended`, `owner_changed` (the agent no longer has it), `channel_changed`,
   * `out_of_scope` or `policy` (a new policy does not permit it).
   */
  readonly reason: string;
  /** Agent whose conversation it was. */
  readonly owner_agent_id: string;
  /** When the supervisor joined it, epoch milliseconds. */
  readonly joined_at_ms: number;
  /** Id of the gateway that submitted the contact; empty: none. */
  readonly gateway_id?: string;
  /** That agent, if the agent saw it; null: hidden by the policy. */
  readonly agent_id?: string | null;
}

/** The time for which a supervisor may be in the conversation has moved: they have repeated the request with a newer token. */
export interface ContactMonitorRenewed {
  readonly type: "contact.monitor_renewed";
  /** Id of the contact. */
  readonly contact_id: string;
  /** Id of the supervisor: the subject of their credential. */
  readonly supervisor_id: string;
  /** Time at which the router ends it, epoch milliseconds. */
  readonly until_ms: number;
  /** Queues and teams to which the supervisor is limited now; null: unlimited. */
  readonly scope?: SupervisorScope | null;
}

/**
 * A supervisor is to join the conversation, or to be in it in another mode; the gateway must do it and report the outcome. A
 * request replaces one of the same supervisor that is not answered yet.
 */
export interface ContactMonitorRequested {
  readonly type: "contact.monitor_requested";
  /** Id of the contact. */
  readonly contact_id: string;
  /** Id of the supervisor: the subject of their credential. */
  readonly supervisor_id: string;
  /** Mode in which the supervisor is to be connected. */
  readonly mode: MonitorMode;
  /** Time by which the outcome must be reported, epoch milliseconds. */
  readonly deadline_ms: number;
  /** Agent who has the contact. */
  readonly owner_agent_id: string;
  /** Id of the assignment; it is that of the accepted offer. */
  readonly assignment_id: string;
  /** Mode in which the supervisor is in the conversation, and stays if this fails; null: not in it yet. */
  readonly present_mode?: MonitorMode | null;
  /** Time at which the router ends it, epoch milliseconds. */
  readonly until_ms?: number | null;
  /** Whether the agent does not see the supervisor once they have joined. */
  readonly is_hidden?: boolean;
  /** Queues and teams to which the supervisor is limited; null: unlimited. */
  readonly scope?: SupervisorScope | null;
  /** Id of the gateway that submitted the contact; empty: none. */
  readonly gateway_id?: string;
}

/** One option of a customer who is to choose how to reach an agent. */
export interface ContactOption {
  /**
   * `now` (wait on the channel that was asked for), the name of another channel, `callback`, `later`, or `resume-1`, `resume-2`,
   * … for the suspended conversations of the customer, the newest first.
   */
  readonly id: string;
  /** Channel on which the customer is served. */
  readonly channel: string;
  /** Time windows of a callback; empty: it has no agreed time. */
  readonly windows?: readonly TimeWindow[];
  /** Suspended contact that goes on; null: the option is something new. */
  readonly resumes?: string | null;
}

/** The contact has moved from one queue to another by overflow and keeps its age. */
export interface ContactOverflowed {
  readonly type: "contact.overflowed";
  /** Id of the contact. */
  readonly contact_id: string;
  /** Queue that it left. */
  readonly from_queue_id: string;
  /** Queue that it entered. */
  readonly queue_id: string;
  /** Requirement class as text: channel, queue and skills with their levels. For display only; do not parse it. */
  readonly requirement: string;
  /** When the contact overflows or expires from its queue, epoch milliseconds; null: no limit. */
  readonly wait_until_ms?: number | null;
  /**
   * `wait_max` (the queue's maximum wait was reached), `closed` (the queue closed), `plan` (a step of its plan has another queue)
   * or `no_agents_ready` (no qualified agent was ready).
   */
  readonly reason?: string;
  /** Number of overflows; more than one if queues passed it on that were closed, full or without ready agents. */
  readonly overflow_count?: number;
  /** Id of the gateway that submitted the contact; empty: none. */
  readonly gateway_id?: string;
  /** Plan of the contact; null: that of the queue, if any. */
  readonly plan?: string | null;
  /** Step of its plan in the new queue. */
  readonly step?: number;
  /** End of the current step of its plan, epoch milliseconds; null: none. */
  readonly step_until_ms?: number | null;
}

/** The reservation for a preferred agent has expired: all qualified agents may take the contact. */
export interface ContactPreferredAgentExpired {
  readonly type: "contact.preferred_agent_expired";
  /** Id of the contact. */
  readonly contact_id: string;
  /** Requirement class as text: channel, queue and skills with their levels. For display only; do not parse it. */
  readonly requirement: string;
  /** Id of the gateway that submitted the contact; empty: none. */
  readonly gateway_id?: string;
}

/** A contact was submitted and is waiting. Its age counts from this event until it is terminal. */
export interface ContactQueued {
  readonly type: "contact.queued";
  /** Id of the contact. */
  readonly contact_id: string;
  /** Channel. */
  readonly channel: string;
  /** Id of the queue. */
  readonly queue_id: string;
  /** Requirement class as text: channel, queue and skills with their levels. For display only; do not parse it. */
  readonly requirement: string;
  /** Version of the active policy. */
  readonly policy_version: number;
  /** Skills required by the contact itself, in addition to those of its queue. */
  readonly skills?: Readonly<Record<string, number>>;
  /** Seconds of priority: the contact ranks as if it had waited that much longer; negative: shorter. */
  readonly priority_s?: number;
  /** Priority class, 0 to 9; a higher class is always served first. */
  readonly priority_class?: number;
  /** Attributes, declared in the policy under `facts`. */
  readonly attributes?: Readonly<Record<string, boolean | number | string>>;
  /** When its time to live ends, epoch milliseconds; null: unlimited. */
  readonly ttl_at_ms?: number | null;
  /** When the contact overflows or expires from this queue. */
  readonly wait_until_ms?: number | null;
  /** Number of overflows before it entered this queue. */
  readonly overflow_count?: number;
  /** Id of the gateway that submitted the contact; empty: none. */
  readonly gateway_id?: string;
  /** Opaque id of the gateway for the contact; null: none. */
  readonly reference?: string | null;
  /** The request as submitted; null: it was accepted unchanged. A shadow policy decides on this request. */
  readonly original_request?: OriginalRequest | null;
  /** Plan of the contact; null: that of the queue, if any. */
  readonly plan?: string | null;
  /** First step of the plan that was not skipped, counted from 0. */
  readonly step?: number;
  /** End of that step; null: it is the last one, or there is no plan. */
  readonly step_until_ms?: number | null;
  /** Agents preferred for this customer, most preferred first. */
  readonly preferred_agents?: readonly string[];
  /** Last agent of the customer; null: not known. */
  readonly last_agent_id?: string | null;
  /** Entry rule that chose the queue; null: the gateway named a queue, or the default queue was used. */
  readonly rule?: string | null;
  /** Entry rules before the matching one that could not be evaluated (missing fact, integer overflow). */
  readonly failed_rules?: readonly string[];
  /** True if the gateway named no queue and no entry rule matched, so the policy's default queue was used. */
  readonly default_queue_used?: boolean;
  /**
   * Entry rule that would have exceeded the budget of all rules for one contact, so the evaluation ended; null: none. It is the
   * last of `failed_rules`.
   */
  readonly over_budget_rule?: string | null;
  /** Facts of the customer as they were known at the submit. */
  readonly customer_facts?: Readonly<Record<string, boolean | number | string>>;
  /** Random id of the customer, of the member that has the identity; null: not known. */
  readonly customer_id?: string | null;
  /** Beginning of its age, if its customer has chosen among options before; null: this event. */
  readonly queued_at_ms?: number | null;
  /** Sequence number of that `contact.choosing`; breaks ties between equal priorities. */
  readonly queued_seq?: number | null;
  /** Option that the customer chose; null: there was no choice. */
  readonly option?: string | null;
  /** True if the option was taken because the customer had chosen none in time. */
  readonly is_default_option?: boolean;
}

/** The contact is waiting again and keeps its age, unless `queued_at_ms` is set. */
export interface ContactRequeued {
  readonly type: "contact.requeued";
  /** Id of the contact. */
  readonly contact_id: string;
  /** Id of the queue. */
  readonly queue_id: string;
  /** Requirement class as text: channel, queue and skills with their levels. For display only; do not parse it. */
  readonly requirement: string;
  /**
   * `declined`, `rona`, `rescinded`, `transferred`, `supervisor`, `lost_desktop`, `transfer_back` (the target of a transfer did
   * not take it in time), `owner_away` (the customer of a parked contact has written, and its owner is not ready), `drained` (the
   * policy has removed its queue), `overflow_impossible` (no queue that it would overflow to admits it, or the limit of overflows
   * is reached) or `callback_due` (the agreed time or the time of the next attempt has come).
   */
  readonly reason: string;
  /** Sequence number of its ContactQueued; breaks ties between equal priorities. */
  readonly queued_seq: number;
  /** When the contact overflows or expires from its queue, epoch milliseconds; null: no limit. */
  readonly wait_until_ms?: number | null;
  /** Agent that the contact is reserved for until `preferred_until_ms`; null: none. */
  readonly preferred_agent_id?: string | null;
  /** Until then the contact is reserved for `preferred_agent_id`. */
  readonly preferred_until_ms?: number | null;
  /** Agent who had the contact before, if any. */
  readonly agent_id?: string | null;
  /** Until then the contact is not offered to `agent_id` again. */
  readonly cool_down_until_ms?: number | null;
  /** Id of the gateway that submitted the contact; empty: none. */
  readonly gateway_id?: string;
  /** New start of its age; null: unchanged. */
  readonly queued_at_ms?: number | null;
  /** Plan of the contact; null: that of the queue, if any. */
  readonly plan?: string | null;
  /** Step of its plan. */
  readonly step?: number;
  /** End of the current step of its plan, epoch milliseconds; null: none. */
  readonly step_until_ms?: number | null;
  /** Agent that gets the next reservation if `preferred_agent_id` does not take it. */
  readonly return_to_agent_id?: string | null;
  /** Duration of that second reservation. */
  readonly return_to_sender_ms?: number | null;
  /** Queue that it was to enter, if it has overflowed from there to `queue_id` at once. */
  readonly named_queue_id?: string | null;
  /** Number of overflows from `named_queue_id`. */
  readonly overflow_count?: number;
}

/** Warning: the suspension of the contact ends soon unless it is resumed. */
export interface ContactResumeDue {
  readonly type: "contact.resume_due";
  /** Id of the contact. */
  readonly contact_id: string;
  /** Id of the queue. */
  readonly queue_id: string;
  /** End of the suspension, epoch milliseconds. */
  readonly resume_by_ms: number;
  /** What happens then: `end` or `queue`. */
  readonly at_expiry: SuspensionEnd;
  /** Id of the gateway that submitted the contact; empty: none. */
  readonly gateway_id?: string;
}

/**
 * The contact waits again after a suspension, possibly on another channel. `reason`: `resumed` (by a command) or `resume_by` (not
 * resumed in time: it is queued as a task).
 */
export interface ContactResumed {
  readonly type: "contact.resumed";
  /** Id of the contact. */
  readonly contact_id: string;
  /** Id of the queue. */
  readonly queue_id: string;
  /** Requirement class as text: channel, queue and skills with their levels. For display only; do not parse it. */
  readonly requirement: string;
  /**
   * `declined`, `rona`, `rescinded`, `transferred`, `supervisor`, `lost_desktop`, `transfer_back` (the target of a transfer did
   * not take it in time), `owner_away` (the customer of a parked contact has written, and its owner is not ready), `drained` (the
   * policy has removed its queue), `overflow_impossible` (no queue that it would overflow to admits it, or the limit of overflows
   * is reached) or `callback_due` (the agreed time or the time of the next attempt has come).
   */
  readonly reason: string;
  /** Sequence number of its ContactQueued; breaks ties between equal priorities. */
  readonly queued_seq: number;
  /** When the contact overflows or expires from its queue, epoch milliseconds; null: no limit. */
  readonly wait_until_ms?: number | null;
  /** Agent that the contact is reserved for until `preferred_until_ms`; null: none. */
  readonly preferred_agent_id?: string | null;
  /** Until then the contact is reserved for `preferred_agent_id`. */
  readonly preferred_until_ms?: number | null;
  /** Agent who had the contact before, if any. */
  readonly agent_id?: string | null;
  /** Until then the contact is not offered to `agent_id` again. */
  readonly cool_down_until_ms?: number | null;
  /** Id of the gateway that submitted the contact; empty: none. */
  readonly gateway_id?: string;
  /** New start of its age; null: unchanged. */
  readonly queued_at_ms?: number | null;
  /** Plan of the contact; null: that of the queue, if any. */
  readonly plan?: string | null;
  /** Step of its plan. */
  readonly step?: number;
  /** End of the current step of its plan, epoch milliseconds; null: none. */
  readonly step_until_ms?: number | null;
  /** Agent that gets the next reservation if `preferred_agent_id` does not take it. */
  readonly return_to_agent_id?: string | null;
  /** Duration of that second reservation. */
  readonly return_to_sender_ms?: number | null;
  /** Queue that it was to enter, if it has overflowed from there to `queue_id` at once. */
  readonly named_queue_id?: string | null;
  /** Number of overflows from `named_queue_id`. */
  readonly overflow_count?: number;
  /** Channel on which it waits now. */
  readonly channel: string;
  /** Opaque id of the gateway for the contact; null: none. */
  readonly reference?: string | null;
  /** How long it was suspended, in milliseconds. */
  readonly suspended_ms?: number;
  /** Part of its age that it waited for openings and that does not count as waiting, in milliseconds. */
  readonly closed_ms?: number;
  /** New end of its time to live; null: it has none. */
  readonly ttl_at_ms?: number | null;
  /** Id of the submit or request by which its customer came back; null: it was resumed by its own id. */
  readonly submitted_as?: string | null;
  /** Option by which the customer chose it; null: none was shown. */
  readonly option?: string | null;
}

/** State of a contact. Terminal: `ended`, `abandoned`, `cancelled`, `expired`. */
export type ContactState =
  /** Waiting in its queue. */
  | "queued"
  /** Offered to at least one agent (ringing, alerting). */
  | "offered"
  /** An agent owns it, until the conversation ends. */
  | "assigned"
  /** A callback that waits for its agreed time, for the next attempt, or for the customer to answer. */
  | "callback_scheduled"
  /** The conversation rests, without an agent and without capacity, until it is resumed. */
  | "suspended"
  /** The customer has been shown options and has not chosen yet; it keeps a place and is offered to no agent. */
  | "choosing"
  /** The conversation is over. */
  | "ended"
  /** The customer left before an answer. */
  | "abandoned"
  /** Withdrawn before an answer, by the gateway or a supervisor. */
  | "cancelled"
  /** Its time to live or the maximum wait of its queue was over, or its queue closed. */
  | "expired";

/** The contact has entered another step of its plan. */
export interface ContactStepEntered {
  readonly type: "contact.step_entered";
  /** Id of the contact. */
  readonly contact_id: string;
  /** Queue of the contact. */
  readonly queue_id: string;
  /** Step that it has entered, counted from 0. */
  readonly step: number;
  /** Requirement class as text: channel, queue and skills with their levels. For display only; do not parse it. */
  readonly requirement: string;
  /**
   * `time` (the previous step was over), `absent` (no preferred agent is ready any more), `customer` (the `when` of the previous
   * step no longer holds for the customer), `policy` (the plan was changed) or `opened` (the queue opened, and the plan
   * continues).
   */
  readonly reason: string;
  /** End of the step; null: it is the last one. */
  readonly step_until_ms?: number | null;
  /** Id of the gateway that submitted the contact; empty: none. */
  readonly gateway_id?: string;
}

/** The contact is suspended: its offers, its callback and its conversation have ended, and it waits for no agent. */
export interface ContactSuspended {
  readonly type: "contact.suspended";
  /** Id of the contact. */
  readonly contact_id: string;
  /** Queue that it returns to. */
  readonly queue_id: string;
  /** When the suspension ends unless the contact is resumed, epoch milliseconds. */
  readonly resume_by_ms: number;
  /** What happens then: `end` or `queue`. */
  readonly at_expiry: SuspensionEnd;
  /** Its age: the time since its submit up to the answer of its agent, or up to now, without earlier suspensions. */
  readonly age_ms: number;
  /** Part of that time that it waited for openings and that does not count as waiting, in milliseconds. */
  readonly closed_ms?: number;
  /** When `contact.resume_due` warns of the end, epoch milliseconds; null: it does not. */
  readonly warning_ms?: number | null;
  /** Rest of its time to live, which goes on when it is resumed; null: it has none. */
  readonly ttl_left_ms?: number | null;
  /** Assignment of its owner, which goes on with the wrap-up; null: it had no owner. */
  readonly assignment_id?: string | null;
  /** Agent who had the contact, if any. */
  readonly agent_id?: string | null;
  /** Whether it was a callback, which has ended with this event. */
  readonly callback_ended?: boolean;
  /** Id of the gateway that submitted the contact; empty: none. */
  readonly gateway_id?: string;
}

/** Priority, class, skills or attributes of a live contact have changed; all fields hold the new values. */
export interface ContactUpdated {
  readonly type: "contact.updated";
  /** Id of the contact. */
  readonly contact_id: string;
  /** Requirement class as text: channel, queue and skills with their levels. For display only; do not parse it. */
  readonly requirement: string;
  /** Required skills with their levels, 1 to 10. */
  readonly skills?: Readonly<Record<string, number>>;
  /** Seconds of priority: the contact ranks as if it had waited that much longer; negative: shorter. */
  readonly priority_s?: number;
  /** Priority class, 0 to 9; a higher class is always served first. */
  readonly priority_class?: number;
  /** Attributes, declared in the policy under `facts`. */
  readonly attributes?: Readonly<Record<string, boolean | number | string>>;
  /** Owner of the contact, if any. */
  readonly agent_id?: string | null;
  /** Id of the gateway that submitted the contact; empty: none. */
  readonly gateway_id?: string;
  /** Agents preferred for this customer, most preferred first. */
  readonly preferred_agents?: readonly string[];
  /** All agents of the conversation after the event, with their roles; null or empty: only the owner. */
  readonly members?: Readonly<Record<string, AssignmentRole>> | null;
  /** Agents with a pending offer of the contact, a transfer or a consult included. */
  readonly offered_to?: readonly string[];
  /** Facts of the customer. */
  readonly customer_facts?: Readonly<Record<string, boolean | number | string>>;
}

/** A contact as shown to gateways and supervisors. */
export interface ContactView {
  /** Id of the contact. */
  readonly contact_id: string;
  /** State of the contact. */
  readonly state: ContactState;
  /** Channel. */
  readonly channel: string;
  /** Id of the queue. */
  readonly queue_id: string;
  /** Requirement class as text: channel, queue and skills with their levels. For display only; do not parse it. */
  readonly requirement: string;
  /** Start of its age: the submit, or the agreed time of a callback with `from_due_time`. */
  readonly queued_at_ms: number;
  /** Time of the last change. */
  readonly changed_at_ms: number;
  /** Sequence number of its `contact.queued`; breaks ties between equal priorities. */
  readonly queued_seq: number;
  /** Seconds of priority: the contact ranks as if it had waited that much longer; negative: shorter. */
  readonly priority_s: number;
  /** Priority class, 0 to 9; a higher class is always served first. */
  readonly priority_class: number;
  /** Skills required by the contact itself, in addition to those of its queue. */
  readonly skills?: Readonly<Record<string, number>>;
  /** Attributes, declared in the policy under `facts`. */
  readonly attributes?: Readonly<Record<string, boolean | number | string>>;
  /** Facts of the customer that the policy declares, as they were known at the submit or when they were refreshed. */
  readonly customer_facts?: Readonly<Record<string, boolean | number | string>>;
  /** Customer, as known at the submit; `GET /v1/customers/{id}` answers for the customer it was merged into. Null: not known. */
  readonly customer_id?: string | null;
  /** Opaque id of the gateway for the contact; null: none. */
  readonly reference?: string | null;
  /** Id of the gateway that submitted the contact; empty: none. */
  readonly gateway_id?: string;
  /** Position among the contacts waiting in its queue; 1 is the next. Null: it is not waiting. */
  readonly position?: number | null;
  /** Expected remaining wait; null: it is not waiting, or the view is part of a list. */
  readonly expected_wait?: ExpectedWait | null;
  /** Owner of the contact; null: none. */
  readonly agent_id?: string | null;
  /** Assignment of the owner; null: none. */
  readonly assignment_id?: string | null;
  /** Agents in the conversation besides the owner, in the order in which they joined. */
  readonly participants?: readonly ParticipantView[];
  /** Pending offers of the contact. */
  readonly offers?: readonly OfferView[];
  /** Number of offers so far. */
  readonly offers_made?: number;
  /** When its time to live ends, epoch milliseconds; null: unlimited. */
  readonly ttl_at_ms?: number | null;
  /** When the contact overflows or expires from its queue, epoch milliseconds; null: no limit. */
  readonly wait_until_ms?: number | null;
  /** Number of overflows so far. */
  readonly overflow_count?: number;
  /** True while it waits for its queue to open. */
  readonly waiting_for_opening?: boolean;
  /** Agent that the contact is reserved for; null: none. */
  readonly preferred_agent_id?: string | null;
  /** True while its agent waits for the customer. */
  readonly parked?: boolean;
  /** Plan in effect: its own or the queue's; null: none. */
  readonly plan?: string | null;
  /** Current step of the plan, counted from 0; null: no plan. */
  readonly step?: number | null;
  /** End of the current step; null: it is the last one, or there is no plan. */
  readonly step_until_ms?: number | null;
  /** Agents preferred for this customer, most preferred first. */
  readonly preferred_agents?: readonly string[];
  /** Last agent of the customer; null: not known. */
  readonly last_agent_id?: string | null;
  /** Reason of the terminal state; null: it is not terminal. */
  readonly reason?: string | null;
  /** Who or what ended it; null: it is not terminal, or ended before the router recorded this. */
  readonly ended_by?: EndedBy | null;
  /** Entry rule that chose the queue; null: the gateway named a queue, or no rule matched. */
  readonly rule?: string | null;
  /** Entry rules before it that could not be evaluated (missing attribute, integer overflow). */
  readonly failed_rules?: readonly string[];
  /** Its callback; null: it is not a callback. */
  readonly callback?: CallbackView | null;
  /** Its suspension; null: it is not suspended. */
  readonly suspension?: SuspensionView | null;
  /** Its switch to another channel, in progress; null: none. */
  readonly switch?: SwitchView | null;
  /** Supervisors who have joined the conversation, or are to; an agent is shown those that the policy lets them see. */
  readonly monitors?: readonly MonitorView[];
}

/** A request that was made, with the options of its customer. */
export interface CreatedRequest {
  /** Id of the request, which is the id of its contact. */
  readonly request_id: string;
  readonly state: RequestPhase;
  /** Channel. */
  readonly channel: string;
  /** Token of the customer, for this request only. */
  readonly token: string;
  /** Options to choose from, each with its expected wait or its time windows; empty: there is nothing to choose. */
  readonly options?: readonly OptionView[];
  /** When the default option is taken, epoch milliseconds. */
  readonly expires_at_ms?: number | null;
  readonly position?: number | null;
  /** Place and expected wait, if it waits already. */
  readonly wait_s?: WaitTold | null;
}

/** The app of the customer of a request is connected, or no longer, where the channel has `leave_grace_s`. */
export interface CustomerPresenceChanged {
  readonly type: "request.presence_changed";
  /** Id of the contact. */
  readonly contact_id: string;
  /** Whether it is connected, by a socket, a long poll or a recent request. */
  readonly is_here: boolean;
  /** When the contact is abandoned unless the customer returns; null: not for this. */
  readonly leave_at_ms?: number | null;
  /** Id of the gateway that submitted the contact; empty: none. */
  readonly gateway_id?: string;
  /** Start of the node to which the app is connected, or was; empty: there is one node. */
  readonly run?: string;
}

/** The customer of a request has a new token; the one before it is no longer valid. */
export interface CustomerTokenChanged {
  readonly type: "request.token_changed";
  /** Id of the contact. */
  readonly contact_id: string;
  /** Id of the gateway that submitted the contact; empty: none. */
  readonly gateway_id?: string;
  /** Request that had the token before: its customer goes on with this contact; null: the token is new. */
  readonly former_contact_id?: string | null;
}

/** A customer. Of merged customers the union: fields of the winner first. */
export interface CustomerView {
  /** Id of the customer. */
  readonly customer_id: string;
  /** Root of this customer, where it was merged; the other fields are the root's. */
  readonly merged_into?: string | null;
  /** All customers that were merged, without the root. */
  readonly members?: readonly string[];
  /** Number that grows with every change of the customer. */
  readonly version: number;
  /** When the customer was first seen, epoch milliseconds. */
  readonly created_ms: number;
  /** When an identity of the customer was last seen, epoch milliseconds. */
  readonly seen_ms: number;
  /** True: known by weak identities only. */
  readonly is_anonymous?: boolean;
  /** Name, as the agent should say it. */
  readonly name?: string | null;
  /** Tier, for example `gold`. */
  readonly tier?: string | null;
  /** IANA time zone. */
  readonly time_zone?: string | null;
  /** Language and region. */
  readonly locale?: string | null;
  /** Channel on which the customer prefers to be reached. */
  readonly preferred_channel?: string | null;
  /** Consents by purpose. */
  readonly consents?: Readonly<Record<string, Consent>>;
  /** Identities of all members, strong ones first. */
  readonly identities?: readonly IdentityView[];
  /** Other customers who use an address of this one. */
  readonly candidates?: readonly CandidateView[];
}

/** A local day has started, or the policy has begun to use daily counts; `contacts_today` of all agents is reset to 0. */
export interface DayStarted {
  readonly type: "workspace.day_started";
  /** Local date (ISO 8601). */
  readonly day: string;
  /** Start of the next day. */
  readonly until_ms: number;
}

/** Desktop: decline an offer. */
export interface DeclineFrame extends CommandFrame {
  readonly type: "decline";
  /** Id of the offer. The assignment of an accepted offer has the same id. */
  readonly offer_id: string;
  /** Reason, an id chosen by the client. */
  readonly reason?: string;
}

/** A desktop session of the agent has connected. */
export interface DesktopConnected {
  readonly type: "agent.desktop_connected";
  /** Id of the agent. */
  readonly agent_id: string;
  /** Id of the desktop session. */
  readonly session_id: string;
}

/** The desktop session has disconnected: no new offers. After the grace period the agent is set `offline`. */
export interface DesktopLost {
  readonly type: "agent.desktop_lost";
  /** Id of the agent. */
  readonly agent_id: string;
  /** Id of the desktop session. */
  readonly session_id: string;
  /** End of the grace period, epoch milliseconds. */
  readonly grace_until_ms: number;
}

/** What the rows of statistics are about. */
export type Dimension =
  /** The whole workspace. */
  | "workspace"
  /** Each queue. */
  | "queue"
  /** Each channel. */
  | "channel"
  /** Each channel of each queue. */
  | "queue_channel"
  /** Each agent. */
  | "agent"
  /** Each team, with the agents who belong to it now. */
  | "team"
  /** Each disposition of completed assignments, over all queues. */
  | "disposition"
  /** Each goal of contacts, over all queues. */
  | "goal";

/** A disposition was given after the assignment had been completed without one, usually by the end of the wrap-up time. */
export interface DispositionRecorded {
  readonly type: "assignment.disposition_recorded";
  /** Id of the assignment; it is that of the accepted offer. */
  readonly assignment_id: string;
  /** Id of the contact. */
  readonly contact_id: string;
  /** Id of the agent. */
  readonly agent_id: string;
  /** Disposition code. */
  readonly disposition: string;
}

/** Desktop, gateway, supervisor: end the conversation. */
export interface EndFrame extends CommandFrame {
  readonly type: "end";
  /** Id of the contact. */
  readonly contact_id: string;
  /** Reason, an id chosen by the client. */
  readonly reason?: string;
}

/** Who or what ended a contact. */
export type EndedBy =
  /**
   * The customer left: reported by the gateway as an abandon, or as an end with the reason `customer_left`; or the customer of a
   * request cancelled it, or did not return to it in time.
   */
  | "customer"
  /** Its owner. */
  | "agent"
  /** Its gateway, for another reason than that the customer left. */
  | "gateway"
  /** A supervisor or an administrator. */
  | "supervisor"
  /** A time was over: to live, to wait in the queue, to park, to call back, or to resume. */
  | "timeout"
  /** The router, by the policy: the queue closed, or no attempt of a callback is left. */
  | "system";

/** The command of frame `id` failed. */
export interface ErrorFrame {
  readonly type: "error";
  /** Stable code of the problem, as in the problem documents of the HTTP API. */
  readonly code: string;
  /** Short text of the problem. */
  readonly title: string;
  /** Id of the client's frame; null: the frame could not be decoded. */
  readonly id?: string | null;
  /** Which limit or condition was not met, or what would be valid. Never repeats input. */
  readonly detail?: string;
  /** What to do about it. */
  readonly action?: string;
  /** Path of the invalid field in the frame, for example `contact.skills.english`; null: none. */
  readonly field?: string | null;
  /** Present state of the object; null: the problem does not depend on it. */
  readonly state?: string | null;
  /** States or commands that would be allowed. */
  readonly allowed?: readonly string[];
  /** Sequence number of the event that led to the refusal; null: none. */
  readonly seq?: number | null;
  /** Whether the same command may succeed later. */
  readonly temporary?: boolean;
  /** `no`, or `unknown` if the router cannot tell whether the command took effect. */
  readonly applied?: string;
  /** Milliseconds after which to try again; null: a retry does not help. */
  readonly retry_after_ms?: number | null;
  /** Next opening of a closed queue, epoch milliseconds; null: not known, or the queue is not closed. */
  readonly opens_at_ms?: number | null;
}

/** An event visible to this client. `seq` never decreases on a connection; it has gaps, since other events are not sent. */
export interface EventFrame {
  readonly type: "event";
  /** Sequence number of the event. */
  readonly seq: number;
  /** Time of the event, epoch milliseconds. */
  readonly at_ms: number;
  /** The event. */
  readonly event: ContactQueued | ContactChoosing | CustomerTokenChanged | CustomerPresenceChanged | ContactUpdated | ContactRequeued | ContactSuspended | ContactResumed | ContactResumeDue | ContactChannelFailed | ContactChannelRequested | ContactChannelSwitched | ContactGatewayChanged | ContactMonitorRequested | ContactMonitorJoined | ContactMonitorFailed | ContactMonitorRenewed | ContactMonitorLeft | ContactOverflowed | ContactPreferredAgentExpired | ContactStepEntered | ContactAssigned | ContactAbandoned | ContactCancelled | ContactExpired | ContactEnded | OfferMade | OfferAccepted | OfferDeclined | OfferExpired | OfferRescinded | ParticipantAdded | ParticipantJoined | ParticipantLeft | ContactHandedOver | AssignmentHeld | AssignmentResumed | AssignmentParked | AssignmentUnparked | WrapUpStarted | WrapUpExtended | AssignmentCompleted | DispositionRecorded | CallbackRequested | CallbackScheduled | CallbackDialRequested | CallbackClaimed | CallbackConnected | CallbackFailed | AgentUpdated | AgentRemoved | AgentStateChanged | AgentNextStateSet | AgentChannelsSet | DesktopConnected | DesktopLost | QueueOpened | QueueClosed | PolicyPublished | WorkspaceCreated | WorkspaceRemoved | PolicyScheduled | PolicyScheduleCancelled | PolicyScheduleRefused | DayStarted | ShadowPolicySet | ShadowPolicyCleared | IdempotencyKeyRecorded | AlertRaised | AlertCleared | GoalChanged;
  /**
   * Desktop: what is known about the customer of an `offer.made` to this agent; null for other events and clients, and where no
   * contact has had a customer or a context yet.
   */
  readonly card?: Card | null;
}

/**
 * Expected remaining wait of one contact, as of now. Also called estimated wait time (EWT). All values are 0 if an agent could
 * take the contact now. They are null, with a `reason`, if no forecast is possible.
 */
export interface ExpectedWait {
  /** Median in milliseconds; null: no forecast is possible. */
  readonly p50_ms?: number | null;
  /** 90th percentile in milliseconds; null: no forecast is possible. */
  readonly p90_ms?: number | null;
  /** Quartiles: half of the waits should end within it. */
  readonly interval_50?: WaitInterval | null;
  /** 5 % to 95 %: nine of ten waits should end within it. */
  readonly interval_90?: WaitInterval | null;
  /**
   * Why no forecast is possible: `no_agent_qualified` (no agent has the skills, queue and channel), `no_agent_ready` (no
   * qualified agent is `ready`), `queue_closed` (the queue is closed, or the contact waits for its opening) or `not_waiting` (the
   * contact is offered, assigned or terminal, or a callback that is not in its queue now). Null: there is a forecast.
   */
  readonly reason?: string | null;
  /** Contacts that rank before it, each weighted by the share of its agents who also qualify for this contact. */
  readonly ahead?: number;
  /** Qualified `ready` agents, busy or free. */
  readonly agents?: number;
  /** Number of answered forecasts in the calibration for this kind of contact. */
  readonly forecasts?: number;
}

/** Gateway, supervisor: query the expected wait of a contact, or of an arriving contact of a queue. */
export interface ExpectedWaitFrame {
  readonly type: "expected_wait";
  /** Id of the client's frame, chosen by the client; the reply repeats it. */
  readonly id: string;
  /** Waiting contact; omitted: `queue_id` is given. */
  readonly contact_id?: string | null;
  /** Queue of an arriving contact; omitted: `contact_id` is given. */
  readonly queue_id?: string | null;
  /** Channel of an arriving contact, as the fields below; omitted: the channel that the queue has handled most. */
  readonly channel?: string | null;
  /** Required skills with their levels, 1 to 10. */
  readonly skills?: Readonly<Record<string, number>>;
  /** Seconds of priority: the contact ranks as if it had waited that much longer; negative: shorter. */
  readonly priority_s?: number;
  /** Priority class, 0 to 9; a higher class is always served first. */
  readonly priority_class?: number;
}

/** Desktop: extend the wrap-up. */
export interface ExtendWrapUpFrame extends CommandFrame {
  readonly type: "extend_wrap_up";
  /** Id of the assignment; it is that of the accepted offer. */
  readonly assignment_id: string;
  /** Seconds to be added. */
  readonly extend_s: number;
}

/**
 * Accuracy of a queue's forecasts since its statistics began. A forecast is made when a contact is submitted and has to wait, and
 * is compared with the actual wait when an agent answers. Contacts that left before are only counted: their waiting time is
 * unknown, so no share or mean includes them.
 */
export interface ForecastAccuracy {
  /** Number of forecasts made; at most 5 per second in a workspace. */
  readonly made: number;
  /** Number of forecasts compared with an answer: the base of the shares and means below. */
  readonly answered: number;
  /** Number of forecasts whose customer left before an answer. */
  readonly abandoned: number;
  /** Number of forecasts whose contact was cancelled, expired, moved, made a callback or kept for the next opening. */
  readonly withdrawn: number;
  /** Share of the answers within `interval_50`; 0.5 is ideal. Null: no answers yet. */
  readonly within_50: number | null;
  /** Share of the answers within `interval_90`; 0.9 is ideal. Null: no answers yet. */
  readonly within_90: number | null;
  /** Mean absolute difference between the wait and `p50_ms`; null: no answers yet. */
  readonly mean_error_ms: number | null;
  /** Mean of wait − `p50_ms`; positive: customers wait longer than forecast. Null: no answers yet. */
  readonly bias_ms: number | null;
  /** As `within_50`, without calibration. */
  readonly uncalibrated_within_50: number | null;
  /** As `within_90`, without calibration. */
  readonly uncalibrated_within_90: number | null;
  /** As `mean_error_ms`, without calibration. */
  readonly uncalibrated_mean_error_ms: number | null;
  /** As `bias_ms`, without calibration. */
  readonly uncalibrated_bias_ms: number | null;
  /** Counters and sums behind the shares and means. */
  readonly counts: ForecastCounts;
}

/** Counters and sums behind the shares and means. They only increase. */
export interface ForecastCounts {
  /** Forecasts made. */
  readonly made?: number;
  /** Forecasts compared with an answer. */
  readonly answered?: number;
  /** Forecasts whose customer left before an answer. */
  readonly abandoned?: number;
  /** Forecasts without a result. */
  readonly withdrawn?: number;
  /** Answers within `interval_50`. */
  readonly within_50?: number;
  /** Answers within `interval_90`. */
  readonly within_90?: number;
  /** Sum of the absolute differences. */
  readonly error_ms?: number;
  /** Sum of the differences. */
  readonly bias_ms?: number;
  /** As `within_50`, without calibration. */
  readonly raw_within_50?: number;
  /** As `within_90`, without calibration. */
  readonly raw_within_90?: number;
  /** As `error_ms`, without calibration. */
  readonly raw_error_ms?: number;
  /** As `bias_ms`, without calibration. */
  readonly raw_bias_ms?: number;
}

/** What has changed of the goal of a contact. */
export type GoalChange =
  /** Its goal was named, or another one was. */
  | "set"
  /** Its outcome was reported, or corrected. */
  | "reported"
  /** It got scores, or other ones. */
  | "scored"
  /** Its customer came again, or the contact by which they did has another goal after all. */
  | "repeated"
  /** The contact is over, its last wrap-up included: it counts in the statistics from now on, where it happened. */
  | "counted";

/** The goal of a contact, its outcome, its scores or its repeats have changed. */
export interface GoalChanged {
  readonly type: "goal.changed";
  /** Id of the contact. */
  readonly contact_id: string;
  /** What has changed. */
  readonly change: GoalChange;
  /** Who or what changed it; null: the course of the contact. */
  readonly by?: GoalReporter | null;
  /** The goal after the change. */
  readonly goal: ContactGoal;
  /** The goal before, where it had been counted already: the change is a late correction of that time. Null: it had not. */
  readonly before?: ContactGoal | null;
  /** Id of the gateway that submitted the contact; empty: none. */
  readonly gateway_id?: string;
  /** Agent who has the contact, or had it last. */
  readonly agent_id?: string | null;
}

/** Whether a customer got done what they came for. */
export type GoalOutcome =
  /** It is done. */
  | "done"
  /** A part of it is done. */
  | "partly"
  /** It is not done. */
  | "not_done"
  /** It was not reported, or a report was withdrawn. */
  | "unknown";

/** Who or what named the goal of a contact, reported its outcome or gave a score. */
export type GoalReporter =
  /** The gateway of the contact. */
  | "gateway"
  /** An agent who had the contact. */
  | "agent"
  /** A supervisor or an administrator. */
  | "supervisor"
  /** The customer, with the token of their request, or in a survey whose answer the gateway passed on. */
  | "customer"
  /** The entry rule that chose the queue. */
  | "rule"
  /** `goals.default` of the policy. */
  | "policy"
  /** The disposition of the last owner, by `dispositions` of the policy. */
  | "disposition"
  /** A step of the journey of the customer, by `done_by` of the policy. */
  | "journey";

/** Desktop: leave a conference and make a participant its owner. */
export interface HandOverFrame extends CommandFrame {
  readonly type: "hand_over";
  /** Id of the contact. */
  readonly contact_id: string;
  /** Participant who becomes the owner. */
  readonly to_agent_id: string;
}

/** Open a session: credential (unless the upgrade request had an Authorization header) and position to resume from. */
export interface HelloFrame {
  readonly type: "hello";
  /** Token (JWT); omitted: the upgrade request had it, or a ticket is sent. */
  readonly token?: string | null;
  /** Single-use ticket from `POST /v1/ws-ticket`, for browsers. */
  readonly ticket?: string | null;
  /**
   * `history_id:seq` of the last frame received: the events after it follow, or a `welcome` with the full state. Omitted: a
   * `welcome`.
   */
  readonly resume?: string | null;
}

/** Desktop: put the customer on hold. */
export interface HoldFrame extends CommandFrame {
  readonly type: "hold";
  /** Id of the assignment; it is that of the accepted offer. */
  readonly assignment_id: string;
}

/**
 * A command other than a submit was carried out with an idempotency key; a repeat of it gets the answer recorded here. The events
 * of the command precede it; there are none if the command had nothing to change.
 */
export interface IdempotencyKeyRecorded {
  readonly type: "idempotency_key.recorded";
  /** Id of the object that the command concerned. */
  readonly subject: string;
  /** State in the answer. */
  readonly state: string;
  /** Sequence number in the answer. */
  readonly answer_seq: number;
  /** Hash of client and idempotency key; never sent to clients. */
  readonly key?: string | null;
  /** Client to which the key belongs. */
  readonly client?: string;
}

/** An identity as a client sends it. */
export interface Identity {
  /** `phone`, `email`, `app_user`, `device`, `cookie`, `social:<name>` or `external:<name>`. */
  readonly type: string;
  /** The number, address or id. */
  readonly value: string;
  /** How the sender knows it. */
  readonly assurance?: Assurance;
}

/** An identity of a customer. The value is masked unless the caller may see it. */
export interface IdentityView {
  /** Number of the identity, by which it is detached. */
  readonly number: number;
  /** Type of the event or frame. */
  readonly type: string;
  /** `strong`: belongs to one person; `address`: may be shared; `weak`: passes from one person to another. */
  readonly strength: string;
  /** How the identity is known. */
  readonly assurance: Assurance;
  /** Value, masked unless the caller may see it. */
  readonly value: string;
  /** When the identity was attached, or when its latest login was, epoch milliseconds. */
  readonly seen_ms: number;
}

/** What happens to a switch to a channel for which the agent of the contact has no capacity. */
export type IfUnable =
  /** It is refused; nothing changes. */
  | "refuse"
  /** It waits until this agent can, or another one accepts the contact on that channel. The old channel is kept meanwhile. */
  | "queue"
  /**
   * It waits until this agent can, or another one accepts a consult on that channel: both agents have the conversation until the
   * owner completes the consult, which is the switch, or ends it. The old channel is kept meanwhile, and is not put on hold.
   */
  | "consult";

/** Desktop: leave a conversation that another agent owns. */
export interface LeaveFrame extends CommandFrame {
  readonly type: "leave";
  /** Id of the contact. */
  readonly contact_id: string;
}

/** What caused a match: an agent had become available, or a contact had entered a queue. */
export type MatchTrigger =
  /** The agent had become available and took the first contact in order. */
  | "agent"
  /** The contact had entered a queue and the selection chose the agent. */
  | "contact";

/** Two customers who may be one person, as an agent found. */
export interface MergeProposal {
  /** Id of the proposal. */
  readonly proposal_id: string;
  /** Customer of the contact. */
  readonly customer_id: string;
  /** Customer who has the identity that was verified. */
  readonly other_customer_id: string;
  /** Id of the contact. */
  readonly contact_id: string;
  /** Method by which the agent verified the identity. */
  readonly reason: string;
  /** Role and subject of the credential that proposed it. */
  readonly actor: string;
  /** Time, epoch milliseconds. */
  readonly at_ms: number;
  /** What has become of it. */
  readonly state?: ProposalState;
  /** Role and subject of the credential that decided; null: it is open. */
  readonly decided_by?: string | null;
  /** When it was decided, epoch milliseconds; null: it is open. */
  readonly decided_at_ms?: number | null;
}

/** Supervisor: join a conversation, or change the mode; with the present mode, stay for longer with a newer token. */
export interface MonitorFrame extends CommandFrame {
  readonly type: "monitor";
  /** Id of the contact. */
  readonly contact_id: string;
  /** `listen`, `whisper` (heard by the agent only) or `barge` (in the conversation). */
  readonly mode: MonitorMode;
}

/** How a supervisor takes part in a conversation. */
export type MonitorMode =
  /** Hears or reads it, without being heard. */
  | "listen"
  /** Is heard by the agent only, not by the customer. */
  | "whisper"
  /** Is in the conversation with agent and customer. */
  | "barge";

/** What the gateway reports about a supervisor who is to join a conversation. */
export type MonitorOutcome =
  /** The supervisor is connected in that mode. */
  | "joined"
  /** The supervisor could not be connected in that mode; an earlier mode stands. */
  | "failed"
  /** The supervisor is connected no more: they have hung up, or the connection is lost. */
  | "left";

/** Gateway, supervisor: report the outcome of `contact.monitor_requested`, or that a supervisor is connected no more. */
export interface MonitorResultFrame extends CommandFrame {
  readonly type: "monitor_result";
  /** Id of the contact. */
  readonly contact_id: string;
  /** Id of the supervisor: the subject of their credential. */
  readonly supervisor_id: string;
  /** Mode of the request that is answered; any for `left`. */
  readonly mode: MonitorMode;
  /** Whether the supervisor is connected in that mode, or is connected no more. */
  readonly outcome: MonitorOutcome;
}

/** A supervisor who has joined a conversation, or is to join it. */
export interface MonitorView {
  /** Id of the supervisor: the subject of their credential. */
  readonly supervisor_id: string;
  /** When the supervisor asked for it first. */
  readonly requested_at_ms: number;
  /** Mode in which the supervisor is in the conversation; null: not yet. */
  readonly mode?: MonitorMode | null;
  /** When the supervisor joined it; null: not yet. */
  readonly joined_at_ms?: number | null;
  /** Mode in which the gateway is to connect the supervisor now; null: nothing is requested. */
  readonly wanted?: MonitorMode | null;
  /** Time by which the gateway must report that; null: nothing is requested. */
  readonly deadline_ms?: number | null;
  /** Time at which the router ends it. */
  readonly until_ms?: number | null;
  /** Whether the agent does not see the supervisor. */
  readonly is_hidden?: boolean;
}

/** Gateway, supervisor: move a callback to another time, or make it due now. */
export interface MoveCallbackFrame extends CommandFrame {
  readonly type: "callback_move";
  /** Id of the contact. */
  readonly contact_id: string;
  /** New earliest time of the call, epoch milliseconds; omitted: the callback is due now. */
  readonly at_ms?: number | null;
  /** New end of the time window, with `at_ms` only; omitted: `expires_after_s` of the policy counts from `at_ms`. */
  readonly until_ms?: number | null;
}

/**
 * The offer has become the assignment of the same id. In a transfer, the old owner's assignment ends with this event. With the
 * role `consult`, `from_agent_id` is the owner, who keeps the contact, and `from_assignment_id` is null. With `takes_over` as
 * well, the contact itself was offered: the agent owns it once the customer is connected on the channel.
 */
export interface OfferAccepted {
  readonly type: "offer.accepted";
  /** Id of the offer. The assignment of an accepted offer has the same id. */
  readonly offer_id: string;
  /** Id of the contact. */
  readonly contact_id: string;
  /** Id of the agent. */
  readonly agent_id: string;
  /** Time from the contact's submit to this event. */
  readonly waited_ms: number;
  /** Assignment of the previous owner, which ends with this event; null: none. */
  readonly from_assignment_id?: string | null;
  /** Owner until this event; null: none. */
  readonly from_agent_id?: string | null;
  /** Id of the gateway that submitted the contact; empty: none. */
  readonly gateway_id?: string;
  /** All agents of the conversation after the event, with their roles; null or empty: only the owner. */
  readonly members?: Readonly<Record<string, AssignmentRole>> | null;
  /** Role of the agent in the conversation. */
  readonly role?: AssignmentRole;
  /** Time since the submit that it waited for openings and that does not count as waiting, in milliseconds. */
  readonly closed_ms?: number;
  /** Whether the agent, in the role `consult`, was offered the contact, for a switch of its channel. */
  readonly takes_over?: boolean;
}

/** The agent declined the offer. */
export interface OfferDeclined {
  readonly type: "offer.declined";
  /** Id of the offer. The assignment of an accepted offer has the same id. */
  readonly offer_id: string;
  /** Id of the contact. */
  readonly contact_id: string;
  /** Id of the agent. */
  readonly agent_id: string;
  /** Reason given by the agent; `declined` if none was given. */
  readonly reason: string;
  /** Until then the contact is not offered to the agent again; null: no limit. */
  readonly cool_down_until_ms?: number | null;
  /** For a transfer or a consult: the owner, who keeps the contact. */
  readonly from_agent_id?: string | null;
}

/** The agent did not answer before the deadline (RONA). */
export interface OfferExpired {
  readonly type: "offer.expired";
  /** Id of the offer. The assignment of an accepted offer has the same id. */
  readonly offer_id: string;
  /** Id of the contact. */
  readonly contact_id: string;
  /** Id of the agent. */
  readonly agent_id: string;
  /** `no_answer`. */
  readonly reason?: string;
  /** Until then the contact is not offered to the agent again; null: no limit. */
  readonly cool_down_until_ms?: number | null;
  /** For a transfer or a consult: the owner, who keeps the contact. */
  readonly from_agent_id?: string | null;
}

/** A contact was offered to an agent, whose capacity is reserved until the deadline. */
export interface OfferMade {
  readonly type: "offer.made";
  /** Id of the offer. The assignment of an accepted offer has the same id. */
  readonly offer_id: string;
  /** Id of the contact. */
  readonly contact_id: string;
  /** Id of the agent. */
  readonly agent_id: string;
  /** Channel. */
  readonly channel: string;
  /** Id of the queue. */
  readonly queue_id: string;
  /** Capacity units that the offer reserves. */
  readonly units: number;
  /** Time by which the agent must answer, epoch milliseconds. */
  readonly deadline_ms: number;
  /** Requirement class as text: channel, queue and skills with their levels. For display only; do not parse it. */
  readonly requirement: string;
  /** Effective priority in seconds, including the queue's. */
  readonly effective_priority_s: number;
  /** Version of the active policy. */
  readonly policy_version: number;
  /** Why this agent was chosen: the queue's selection, `preferred`, `transfer` or `consult`. */
  readonly reason: string;
  /** Time since the submit in milliseconds, including earlier time with an agent. */
  readonly waited_ms?: number;
  /** Attributes, declared in the policy under `facts`. */
  readonly attributes?: Readonly<Record<string, boolean | number | string>>;
  /** Opaque id of the gateway for the contact; null: none. */
  readonly reference?: string | null;
  /** Owner who asked for a transfer (and keeps the contact until it is accepted) or for a consult. */
  readonly from_agent_id?: string | null;
  /** Id of the gateway that submitted the contact; empty: none. */
  readonly gateway_id?: string;
  /** Role of the agent after accepting. */
  readonly role?: AssignmentRole;
  /** What caused the match; null for a transfer or consult, and in journals written before the field existed. */
  readonly match_trigger?: MatchTrigger | null;
  /** Number of other agents eligible then, if `match_trigger` is set; -1: not counted (too many agent groups). */
  readonly other_candidates?: number;
  /** Values of this agent that the selection compared. */
  readonly selection_inputs?: Readonly<Record<string, boolean | number | string>> | null;
  /** Consulted queue, whose selection chose the agent of a consult; null: the owner chose the agent, or it is no consult. */
  readonly to_queue_id?: string | null;
  /** Phase of the contact's callback; null: it is no callback, and the customer is on the line. */
  readonly callback_phase?: CallbackPhase | null;
}

/** The router has withdrawn the offer. */
export interface OfferRescinded {
  readonly type: "offer.rescinded";
  /** Id of the offer. The assignment of an accepted offer has the same id. */
  readonly offer_id: string;
  /** Id of the contact. */
  readonly contact_id: string;
  /** Id of the agent. */
  readonly agent_id: string;
  /**
   * `customer_left`, `cancelled`, `expired`, `taken` (another agent accepted), `agent_not_ready`, `agent_updated` (the agent was
   * changed and no longer qualifies), `moved` (the contact was moved), `updated` (the contact was changed and the agent no longer
   * meets its requirement), `owner_ended` (the owner ended the conversation), `policy` (the policy was replaced), `step` (the
   * plan has moved on to other agents), `callback`, `suspended`, `channel` (the contact switches to another channel),
   * `consult_cancelled` or `transfer_cancelled` (the owner has withdrawn it).
   */
  readonly reason: string;
  /** Owner who asked for a transfer or consult, if any. */
  readonly from_agent_id?: string | null;
}

/** A pending offer, with the information that a desktop shows. */
export interface OfferView {
  /** Id of the offer. The assignment of an accepted offer has the same id. */
  readonly offer_id: string;
  /** Id of the contact. */
  readonly contact_id: string;
  /** Id of the agent. */
  readonly agent_id: string;
  /** Channel. */
  readonly channel: string;
  /** Id of the queue. */
  readonly queue_id: string;
  /** Time of the offer. */
  readonly made_at_ms: number;
  /** Time by which the agent must answer. */
  readonly deadline_ms: number;
  /** Time since the submit in milliseconds, including earlier time with an agent. */
  readonly waited_ms: number;
  /** Capacity units that the offer reserves. */
  readonly units: number;
  /** Why this agent was chosen: the queue's selection, `preferred`, `transfer` or `consult`. */
  readonly reason: string;
  /** Attributes, declared in the policy under `facts`. */
  readonly attributes?: Readonly<Record<string, boolean | number | string>>;
  /** Opaque id of the gateway for the contact; null: none. */
  readonly reference?: string | null;
  /** Owner who asked for a transfer or a consult; null: neither. */
  readonly from_agent_id?: string | null;
  /** Role of the agent after accepting. */
  readonly role?: AssignmentRole;
  /** Phase of the contact's callback; null: it is no callback, and the customer is on the line. */
  readonly callback_phase?: CallbackPhase | null;
  /** True while it uses no capacity, because the agent has a contact of a channel that interrupts this one. */
  readonly interrupted?: boolean;
  /** What caused the match; null: a transfer, a consult or an assignment by a supervisor. */
  readonly match_trigger?: MatchTrigger | null;
  /** Number of other agents eligible then, if `match_trigger` is set; -1: not counted (too many agent groups). */
  readonly other_candidates?: number;
  /** Values of this agent that the selection compared. */
  readonly selection_inputs?: Readonly<Record<string, boolean | number | string>>;
}

/** The command of frame `id` was carried out and is durable. */
export interface OkFrame {
  readonly type: "ok";
  /** Id of the client's frame, chosen by the client; the reply repeats it. */
  readonly id: string;
  /** Sequence number of the event that the command caused; 0: none. */
  readonly seq?: number;
  /** Id of the object that the command concerned: a contact, offer, assignment, agent or queue. */
  readonly subject?: string;
  /** State of the object after the command. */
  readonly state?: string;
  /** True: the command had taken effect before; this frame changed nothing. */
  readonly replayed?: boolean;
  /**
   * Entity tag of the contact or agent after the command, for a later `if_match`: in the reply to changes of a contact or of an
   * agent's channels, and to every frame with an `idempotency_key` or an `if_match`; null: the object has none.
   */
  readonly tag?: string | null;
  /** Agreed time of a callback, epoch milliseconds; it is the next opening if the queue is closed at the requested time. */
  readonly due_at_ms?: number | null;
  /** Result of an `expected_wait` query; null for other frames. */
  readonly expected_wait?: ExpectedWait | null;
}

/** An option of a customer who is choosing. */
export interface OptionView {
  /** Name by which it is chosen. */
  readonly id: string;
  /** Channel. */
  readonly channel: string;
  /** Place in the queue, 1 = next; null: the customer would not wait in it now, as an agent is free or they are called back. */
  readonly position?: number | null;
  /** Expected wait; null: it cannot be estimated, or the customer is called back. */
  readonly wait_s?: WaitTold | null;
  /** Time windows of a callback; choose one of them, or none. */
  readonly windows?: readonly TimeWindow[];
  /** Whether the customer keeps the place in the queue. */
  readonly keeps_place?: boolean;
  /** Id of the suspended conversation that goes on; null: the option is something new. */
  readonly resumes?: string | null;
  /** Channel of that conversation before. */
  readonly suspended_on?: string | null;
  /** When it was suspended, epoch milliseconds. */
  readonly suspended_at_ms?: number | null;
}

/** Request of the gateway, where an entry rule, the default queue or an overflow changed it. */
export interface OriginalRequest {
  /** Queue named by the gateway; null: it named none. */
  readonly queue_id?: string | null;
  /** Skills of the request. */
  readonly skills?: Readonly<Record<string, number>>;
  /** Priority of the request in seconds. */
  readonly priority_s?: number;
  /** Priority class of the request. */
  readonly priority_class?: number;
}

/** Gateway, supervisor: park a contact until the customer replies. */
export interface ParkContactFrame extends CommandFrame {
  readonly type: "park_contact";
  /** Id of the contact. */
  readonly contact_id: string;
}

/** Desktop: park a conversation until the customer replies; it uses no capacity meanwhile. */
export interface ParkFrame extends CommandFrame {
  readonly type: "park";
  /** Id of the assignment; it is that of the accepted offer. */
  readonly assignment_id: string;
}

/** A supervisor has added an agent to the conversation. */
export interface ParticipantAdded {
  readonly type: "participant.added";
  /** Id of the contact. */
  readonly contact_id: string;
  /** Id of the assignment; it is that of the accepted offer. */
  readonly assignment_id: string;
  /** Id of the agent. */
  readonly agent_id: string;
  /** Capacity units that the contact uses. */
  readonly units: number;
  /** Channel. */
  readonly channel: string;
  /** Id of the queue. */
  readonly queue_id: string;
  /** Attributes, declared in the policy under `facts`. */
  readonly attributes?: Readonly<Record<string, boolean | number | string>>;
  /** Opaque id of the gateway for the contact; null: none. */
  readonly reference?: string | null;
  /** All agents of the conversation after the event, with their roles; null or empty: only the owner. */
  readonly members?: Readonly<Record<string, AssignmentRole>>;
  /** Id of the gateway that submitted the contact; empty: none. */
  readonly gateway_id?: string;
  /** Phase of the contact's callback; null: it is no callback. */
  readonly callback_phase?: CallbackPhase | null;
}

/** A consulted agent has joined the conversation with the customer. */
export interface ParticipantJoined {
  readonly type: "participant.joined";
  /** Id of the contact. */
  readonly contact_id: string;
  /** Id of the assignment; it is that of the accepted offer. */
  readonly assignment_id: string;
  /** Id of the agent. */
  readonly agent_id: string;
  /** All agents of the conversation after the event, with their roles; null or empty: only the owner. */
  readonly members?: Readonly<Record<string, AssignmentRole>>;
  /** Id of the gateway that submitted the contact; empty: none. */
  readonly gateway_id?: string;
}

/** A consulted agent or a participant has left; the owner keeps the contact. `members` are those who remain. */
export interface ParticipantLeft {
  readonly type: "participant.left";
  /** Id of the contact. */
  readonly contact_id: string;
  /** Id of the assignment; it is that of the accepted offer. */
  readonly assignment_id: string;
  /** Id of the agent. */
  readonly agent_id: string;
  /** Role until this event. */
  readonly role: AssignmentRole;
  /**
   * `left`, `removed` (by a supervisor), `finished` (the assignment was completed), `lost_desktop`, `consult_cancelled`,
   * `owner_changed` (a consult ends when the owner who asked no longer owns the contact), `contact_ended`, `contact_moved` or
   * `contact_suspended`.
   */
  readonly reason: string;
  /** All agents of the conversation after the event, with their roles; null or empty: only the owner. */
  readonly members?: Readonly<Record<string, AssignmentRole>>;
  /** Id of the gateway that submitted the contact; empty: none. */
  readonly gateway_id?: string;
  /** With the reason `contact_ended`: who or what ended the contact. */
  readonly ended_by?: EndedBy | null;
}

/** An agent in a conversation besides its owner. */
export interface ParticipantView {
  /** Id of the agent. */
  readonly agent_id: string;
  /** Id of the assignment; it is that of the accepted offer. */
  readonly assignment_id: string;
  /** Role in the conversation. */
  readonly role: AssignmentRole;
  /** Time of joining. */
  readonly since_ms: number;
}

/** A transfer or consult that the owner of a conversation has asked for and that the other agent has not answered. */
export interface PendingOfferView {
  /** Id of the offer. The assignment of an accepted offer has the same id. */
  readonly offer_id: string;
  /** Agent who is asked. */
  readonly agent_id: string;
  /** `transfer` or `consult`. */
  readonly kind: string;
  /** Time of the offer. */
  readonly made_at_ms: number;
  /** Time by which the agent must answer. */
  readonly deadline_ms: number;
  /** Consulted queue; null: the owner chose the agent. */
  readonly to_queue_id?: string | null;
}

/** Time that a question is about, relative to now. */
export type Period =
  /** The running local day. */
  | "today"
  /** The local day before. */
  | "yesterday"
  /** The running minute and 5 minutes before it. */
  | "last_5m"
  /** The running minute and 15 minutes before it. */
  | "last_15m"
  /** The running minute and 30 minutes before it. */
  | "last_30m"
  /** The running minute and 60 minutes before it. */
  | "last_60m";

/** Request a `pong` (application heartbeat). */
export interface PingFrame {
  readonly type: "ping";
  /** Id of the client's frame, chosen by the client; the reply repeats it. */
  readonly id: string;
}

/** A policy has become active. */
export interface PolicyPublished {
  readonly type: "policy.published";
  /** Version of the policy: 1, 2, 3, … */
  readonly version: number;
  /** The complete policy. */
  readonly policy: Readonly<Record<string, unknown>>;
  /** Queue for the contacts of each removed queue. Waiting contacts are moved by separate events. */
  readonly drain_to?: Readonly<Record<string, string>>;
  /** Why it was published, as its author wrote it. */
  readonly note?: string;
  /** Who published it; empty: not recorded. */
  readonly published_by?: string;
  /** How many paths it added, removed and changed; null: not counted. */
  readonly changes?: ChangeCounts | null;
  /** Version whose content it restores; null: it is no rollback. */
  readonly restores?: number | null;
  /** Whether it was scheduled, and is now due. */
  readonly is_scheduled?: boolean;
}

/** The scheduled policy will not be published; also the end of one that was refused. */
export interface PolicyScheduleCancelled {
  readonly type: "policy.schedule_cancelled";
}

/** The scheduled policy was due and could not be published; the active one stays. It is not tried again. */
export interface PolicyScheduleRefused {
  readonly type: "policy.schedule_refused";
  /** Code of the refusal, as a publication would have had it. */
  readonly refused: string;
  /** Its text. */
  readonly detail?: string;
}

/** A policy will be published at a time. It replaces one that was scheduled before. */
export interface PolicyScheduled {
  readonly type: "policy.scheduled";
  /** The complete policy. */
  readonly policy: Readonly<Record<string, unknown>>;
  /** When it is published, epoch milliseconds. */
  readonly publish_at_ms: number;
  /** Version that must then be active; null: whichever is. */
  readonly replaces?: number | null;
  /** Queue for the contacts of each queue that it removes. */
  readonly drain_to?: Readonly<Record<string, string>>;
  /** Why, as its author wrote it. */
  readonly note?: string;
  /** Who scheduled it. */
  readonly scheduled_by?: string;
  /** How many paths it adds, removes and changes; null: not counted. */
  readonly changes?: ChangeCounts | null;
}

/** Response to `ping`. All events up to `seq` that this client may see have been sent; it can resume from there. */
export interface PongFrame {
  readonly type: "pong";
  /** Id of the client's frame, chosen by the client; the reply repeats it. */
  readonly id: string;
  /** Time, epoch milliseconds. */
  readonly at_ms: number;
  /** Position up to which all events have been sent. */
  readonly seq?: number;
}

/** Whether a desktop is connected for the agent. It is not the agent's availability, which is the state. */
export type Presence =
  /** No desktop: none has connected yet, or the grace period has ended. The agent can be controlled over HTTP. */
  | "none"
  /** A desktop is connected. */
  | "attached"
  /** The desktop has disconnected and the grace period is running. */
  | "lost";

/** What has become of a proposal. */
export type ProposalState =
  /** It waits for a decision. */
  | "open"
  /** Both customers were merged. */
  | "confirmed"
  /** They are two people. */
  | "dismissed";

/**
 * The queue is closed. Also emitted for a closed queue whose `until_ms` or reason changes. What happens to its waiting contacts
 * is recorded by separate events.
 */
export interface QueueClosed {
  readonly type: "queue.closed";
  /** Id of the queue. */
  readonly queue_id: string;
  /** Time of the next change, epoch milliseconds; null: not within a year, or not known. */
  readonly until_ms?: number | null;
  /** `hours` (the calendar), `holiday` or `supervisor`. */
  readonly reason?: string;
  /** True if waiting contacts are kept until the opening. */
  readonly holds_contacts?: boolean;
}

/**
 * The queue is open, and contacts that waited for the opening may be offered. Also emitted for an open queue whose `until_ms`
 * changes.
 */
export interface QueueOpened {
  readonly type: "queue.opened";
  /** Id of the queue. */
  readonly queue_id: string;
  /** Time of the next change, epoch milliseconds; null: not within a year, or not known. */
  readonly until_ms?: number | null;
  /** `hours` (the calendar) or `supervisor`. */
  readonly reason?: string;
  /** When contacts that waited for the opening overflow or expire: their maximum wait counts from this event. */
  readonly wait_until_ms?: number | null;
  /** Contacts that stop waiting for the opening now; further events of this kind follow for the others. Null: all of them. */
  readonly contact_ids?: readonly string[] | null;
}

/** The present state of a queue. */
export interface QueueView {
  /** Id of the queue. */
  readonly queue_id: string;
  /** Whether the queue accepts contacts now. */
  readonly is_open: boolean;
  /** Next time at which it closes or opens, epoch milliseconds; null: not within a year, or not known. */
  readonly changes_at_ms?: number | null;
  /** Why the queue is closed: `hours`, `holiday` or `supervisor`; null: it is open. */
  readonly closed_reason?: string | null;
  /** Contacts that wait, without those offered to an agent now. */
  readonly waiting: number;
  /** Contacts that are offered to an agent now (ringing); not the volume of offered contacts. */
  readonly offered: number;
  /** Contacts that an agent has. */
  readonly assigned: number;
  /** Submit of the oldest waiting contact, later by the time that it has waited for openings; null: none waits. */
  readonly oldest_queued_at_ms?: number | null;
  /** `ready` agents who qualify for at least one requirement class of this queue. */
  readonly agents_ready?: number;
  /** Those of them who could get an offer now. */
  readonly agents_available?: number;
  /** Callbacks that wait for their time, for the next attempt, or for the customer to answer. */
  readonly callbacks?: number;
  /** Contacts that are suspended until they are resumed. */
  readonly suspended?: number;
  /** Expected wait of an arriving contact of the most common requirement class; omitted in the view of the workspace. */
  readonly expected_wait?: ExpectedWait | null;
  /** Accuracy of its forecasts; omitted in the view of the workspace. */
  readonly forecasts?: ForecastAccuracy | null;
}

/** Request to reconnect after `after_ms` (already jittered), because the process is shutting down. */
export interface ReconnectFrame {
  readonly type: "reconnect";
  /** Delay before reconnecting, in milliseconds. */
  readonly after_ms: number;
}

/** A large thing that belongs to a step and is stored elsewhere. */
export interface Reference {
  /** Kind, for example `recording` or `document`. */
  readonly kind: string;
  /** Where it is, in words of the application. */
  readonly ref: string;
  /** Size. */
  readonly bytes?: number | null;
}

/** Replace the token before it expires, by one with the same subject, role and workspace. */
export interface RefreshFrame {
  readonly type: "refresh";
  /** Id of the client's frame, chosen by the client; the reply repeats it. */
  readonly id: string;
  /** The new token. */
  readonly token: string;
}

/** Supervisor: remove a consulted agent or a participant from the conversation. */
export interface RemoveParticipantFrame extends CommandFrame {
  readonly type: "remove_participant";
  /** Id of the contact. */
  readonly contact_id: string;
  /** Id of the agent. */
  readonly agent_id: string;
}

/**
 * Desktop, gateway, supervisor: name the goal of a contact, report its outcome or give scores, also after its end. What is
 * omitted stays; null takes it back.
 */
export interface ReportGoalFrame extends CommandFrame {
  readonly type: "report_goal";
  /** Id of the contact. */
  readonly contact_id: string;
  /** What the customer came for: a goal of the policy. */
  readonly goal?: string | null;
  /** Whether it was done. */
  readonly outcome?: GoalOutcome | null;
  /** How easy it was for the customer: 1 (very difficult) to 7 (very easy). */
  readonly ease?: number | null;
  /** How much effort it took the customer: 1 (very little) to 5 (very much). */
  readonly effort?: number | null;
  /** How satisfied the customer is: 1 (not at all) to 5 (very). */
  readonly satisfaction?: number | null;
}

/** How a request ended, as its customer is told. */
export type RequestOutcome =
  /** The conversation with an agent is over. */
  | "completed"
  /** The customer left or cancelled. */
  | "left"
  /** The request was withdrawn for the customer. */
  | "cancelled"
  /** The customer has made a new request. */
  | "replaced"
  /** The customer went on with an earlier conversation instead, that of `resumed_id`. */
  | "resumed"
  /** No agent could take it in time. */
  | "no_agent"
  /** The queue has closed. */
  | "closed"
  /** The customer could not be reached by telephone. */
  | "not_reached";

/** State of a request as its customer is told. */
export type RequestPhase =
  /** The customer has been shown options. */
  | "choosing"
  /** The customer waits for an agent. */
  | "waiting"
  /** The customer will be called back. */
  | "callback"
  /** The customer is being called. */
  | "calling"
  /** An agent has joined. */
  | "connected"
  /** The agent has put the customer on hold. */
  | "on_hold"
  /** It rests until the customer resumes it. */
  | "suspended"
  /** It is over; the outcome says how. */
  | "ended";

/** A request as its customer may see it: nothing of queues, other customers, or ids of agents. */
export interface RequestView {
  /** Request of a customer: the id of its contact. */
  readonly request_id: string;
  /** State of the request. */
  readonly state: RequestPhase;
  /** Channel on which the customer is served; while choosing, the one that was asked for. */
  readonly channel: string;
  /** Other channels on which the customer may go on now. */
  readonly channels?: readonly string[];
  /** Channel on which the customer is to be connected; null: no switch of the channel is in progress. */
  readonly switches_to?: string | null;
  /** Options to choose from. */
  readonly options?: readonly OptionView[];
  /** When the default option is taken, epoch milliseconds; null: there is nothing to choose. */
  readonly expires_at_ms?: number | null;
  /** Place in the queue, 1 = next; null: the customer does not wait in it now. */
  readonly position?: number | null;
  /** Expected wait; null: it cannot be estimated. */
  readonly wait_s?: WaitTold | null;
  /** Agreed time of the callback, epoch milliseconds; null: when the customer's turn comes. */
  readonly callback_at_ms?: number | null;
  /** End of the agreed time window. */
  readonly callback_until_ms?: number | null;
  /** The agent in the conversation. */
  readonly agent?: AgentShown | null;
  /** How it ended; null: it has not ended. */
  readonly outcome?: RequestOutcome | null;
  /** Request with which the customer goes on; null: none. */
  readonly resumed_id?: string | null;
}

/** Who asks, in relation to the contact. */
export type Requester =
  /** The agent who owns the contact. */
  | "owner"
  /** An agent in the conversation who does not own the contact: consulted or a participant. */
  | "member"
  /** An agent whose conversation is over and whose assignment is not completed. */
  | "wrap_up"
  /** The gateway that submitted the contact. */
  | "gateway"
  | "supervisor";

/** Supervisor: put a contact into a queue; it keeps its age and its position by it. */
export interface RequeueFrame extends CommandFrame {
  readonly type: "requeue";
  /** Id of the contact. */
  readonly contact_id: string;
  /** Queue to which the contact returns; omitted: its own queue. */
  readonly queue_id?: string | null;
}

/** The customer of the identities of a request. */
export interface Resolved {
  /** Root; None where none was found and none was to be created. */
  readonly customer_id: string | null;
  /**
   * Member that has the identity that decided: what is recorded under this id follows the identity when a merge is undone. None
   * where no customer was found.
   */
  readonly member_id?: string | null;
  /** Whether the customer is new. */
  readonly created?: boolean;
  /** Assurance of the identity that selected the customer. */
  readonly assurance?: Assurance | null;
  /** Customers that were merged into this one by the request. */
  readonly merged?: readonly string[];
  /** Other customers of these identities, who were not merged. */
  readonly conflicts?: readonly Conflict[];
}

/** Gateway, supervisor: put a suspended contact into its queue again, on the channel on which the customer is now. */
export interface ResumeContactFrame extends CommandFrame {
  readonly type: "resume_contact";
  /** Id of the contact. */
  readonly contact_id: string;
  /** Channel on which the customer is now; omitted: the contact's own. */
  readonly channel?: string | null;
  /** Opaque id of the gateway for the contact; null: none. */
  readonly reference?: string | null;
}

/** Whether a new contact of a customer with suspended conversations goes on with one of them. */
export type ResumeMode =
  /** It is a new contact. */
  | "never"
  /** The only suspended conversation is resumed; of several, the customer of a request chooses, and any other contact is new. */
  | "auto"
  /** The customer chooses one of them or something new; the newest is resumed where nothing is chosen in time. */
  | "ask";

/** Customer: resume a suspended request. */
export interface ResumeRequestFrame extends CommandFrame {
  readonly type: "resume_request";
  /** Channel to go on with; omitted: the same as before. */
  readonly channel?: string | null;
}

/** Successful resume: the events after `seq` up to `until_seq` follow, then live events. */
export interface ResumedFrame {
  readonly type: "resumed";
  /** Role of the credential. */
  readonly role: string;
  /** Workspace of the session. */
  readonly workspace: string;
  /** Identifies the history; it changes only if the history is replaced. */
  readonly history_id: string;
  /** Number of process starts recorded in the history. */
  readonly epoch: number;
  /** Position from which the session resumes. */
  readonly seq: number;
  /** Sequence number of the last missed event; live events follow it. */
  readonly until_seq: number;
  /** Interval of the server's WebSocket pings, in seconds. */
  readonly heartbeat_s: number;
  /** Id of the session. */
  readonly session_id: string;
  /** As in `welcome`. */
  readonly leader_url?: string | null;
}

/** Supervisor with a scope, in place of events and `stats`: what has changed in it. Each view replaces the former one. */
export interface ScopeFrame {
  readonly type: "scope";
  /** Sequence number of the last event in these views. */
  readonly seq: number;
  /** Time, epoch milliseconds. */
  readonly at_ms: number;
  /** Agents of the scope that have changed or are new in it, without the work of other queues. */
  readonly agents?: readonly AgentView[];
  /** Queues of the scope that have changed. */
  readonly queues?: readonly QueueView[];
  /** Agents that are in the scope no more. */
  readonly removed_agents?: readonly string[];
  /** Queues that do not exist any more. */
  readonly removed_queues?: readonly string[];
}

/** Supervisor: set the channels on which an agent is paused. */
export interface SetAgentChannelsFrame extends CommandFrame {
  readonly type: "set_agent_channels";
  /** Id of the agent. */
  readonly agent_id: string;
  /** Channels on which the agent is paused and gets no new offers. */
  readonly paused: readonly string[];
}

/** Supervisor: set an agent's state. */
export interface SetAgentStateFrame extends CommandFrame {
  readonly type: "set_agent_state";
  /** Id of the agent. */
  readonly agent_id: string;
  /** New state. */
  readonly state: AgentState;
  /** Reason, one of the policy's `not_ready_reasons` if it lists any; omitted: none. */
  readonly reason?: string | null;
  /**
   * True: the change takes effect when the agent has no open offers or assignments; until then it is the agent's `next_state`.
   * False: it takes effect now. It does not mean wrap-up (after-contact work).
   */
  readonly after_work?: boolean;
}

/** Desktop: set the channels on which the agent is paused. */
export interface SetChannelsFrame extends CommandFrame {
  readonly type: "set_channels";
  /** Channels on which the agent is paused and gets no new offers. */
  readonly paused: readonly string[];
}

/** Desktop: set the agent's state. */
export interface SetStateFrame extends CommandFrame {
  readonly type: "set_state";
  /** New state. */
  readonly state: AgentState;
  /** Reason, one of the policy's `not_ready_reasons` if it lists any; omitted: none. */
  readonly reason?: string | null;
  /**
   * True: the change takes effect when the agent has no open offers or assignments; until then it is the agent's `next_state`.
   * False: it takes effect now. It does not mean wrap-up (after-contact work).
   */
  readonly after_work?: boolean;
}

/** The shadow policy was cleared. */
export interface ShadowPolicyCleared {
  readonly type: "policy.shadow_cleared";
}

/** A shadow policy now runs in parallel with the active policy: it decides nothing; differences are counted. */
export interface ShadowPolicySet {
  readonly type: "policy.shadow_set";
  /** The complete shadow policy. */
  readonly policy: Readonly<Record<string, unknown>>;
}

/** Customer: the request as it is now. Sent after `hello` and whenever something in it has changed. */
export interface StateFrame {
  readonly type: "state";
  /** The request: options while the customer is to choose, place and expected wait while they wait, and how it ended. */
  readonly request: RequestView;
}

/** Continuation of a welcome that is too long for one frame. */
export interface StatePageFrame {
  readonly type: "state_page";
  /** Gateway: further live contacts. */
  readonly contacts?: readonly ContactView[];
  /** Supervisor: further agents. */
  readonly agents?: readonly AgentView[];
}

/**
 * Supervisor: rows of statistics that the connection watches (`watch_statistics`), at most one update a second. A row replaces
 * the one of the same subject. It comes when something was counted for it, and every 15 seconds with the times.
 */
export interface StatisticsFrame {
  readonly type: "statistics";
  /** What a row is about. */
  readonly by: Dimension;
  /** Time that is counted. */
  readonly period: Period;
  /** Sequence number of an event that the rows include. */
  readonly seq: number;
  /** Time, epoch milliseconds. */
  readonly at_ms: number;
  /** True: the rows that came before, of the same `by` and `period`, are void; more may follow. */
  readonly whole: boolean;
  /** Rows, as those of `GET /v1/statistics`. */
  readonly rows: readonly StatisticsRow[];
}

/** Statistics of one subject in one span of time. */
export interface StatisticsRow {
  /** Start of the span, epoch milliseconds. */
  readonly from_ms: number;
  /** End of the span, which does not belong to it. */
  readonly to_ms: number;
  /** Queue; null: not by queue. */
  readonly queue_id?: string | null;
  /** Channel; null: not by channel. */
  readonly channel?: string | null;
  /** Agent; null: not by agent. */
  readonly agent_id?: string | null;
  /** Team, with all agents who belong to it now; null: not by team. */
  readonly team?: string | null;
  /** Disposition code; empty: completed without one. */
  readonly disposition?: string | null;
  /** Goal of contacts; null: not by goal. */
  readonly goal?: string | null;
  /** Contacts submitted to the queue. */
  readonly submitted?: number;
  /** Waits that began. */
  readonly entered?: number;
  /** Contacts that overflowed into the queue. */
  readonly overflowed_in?: number;
  /** Contacts that overflowed out of the queue. */
  readonly overflowed_out?: number;
  /** Contacts moved into the queue while waiting. */
  readonly moved_in?: number;
  /** Contacts moved out of the queue while waiting. */
  readonly moved_out?: number;
  /** Contacts received by a transfer: of a queue those that waited again, of an agent those taken over. */
  readonly transferred_in?: number;
  /** Contacts that wait again after an assignment, without a transfer. */
  readonly requeued?: number;
  /** Waits that ended by a cancel. */
  readonly cancelled?: number;
  /** Waits that ended by expiry. */
  readonly expired?: number;
  /** Waits of callbacks that ended with an agent or with the customer on the line. */
  readonly called_back?: number;
  /** Waits that ended with an agent. */
  readonly answered?: number;
  /** Answers within the service-level threshold. */
  readonly answered_within?: number;
  /** Waits that the customer ended. */
  readonly abandoned?: number;
  /** Abandons before the short-abandon limit. */
  readonly abandoned_short?: number;
  /** Abandons before the threshold. */
  readonly abandoned_early?: number;
  /** answered within / (answered + abandoned − short abandons): the service level of this router. */
  readonly service_level?: number | null;
  /** answered within / answered. */
  readonly service_level_of_answered?: number | null;
  /** answered within / (answered + abandoned). */
  readonly service_level_of_offered?: number | null;
  /** (answered within + abandoned early) / (answered + abandoned). */
  readonly service_level_early_is_good?: number | null;
  /** Contacts that overflowed out of the queue and were answered elsewhere. */
  readonly overflow_answered?: number;
  /** Those of them answered within the threshold of this queue. */
  readonly overflow_answered_within?: number;
  /** Contacts that overflowed out of the queue and were abandoned elsewhere. */
  readonly overflow_abandoned?: number;
  /** Those of them abandoned before the short-abandon limit of this queue. */
  readonly overflow_abandoned_short?: number;
  /** The service level with the contacts that overflowed out of the queue, by its own threshold; null: not by queue. */
  readonly service_level_of_first_queue?: number | null;
  /** Mean wait of answered contacts. */
  readonly asa_ms?: number | null;
  /** Mean wait of answered and abandoned contacts. */
  readonly mean_wait_ms?: number | null;
  /** Wait that 50 % of the answered contacts did not exceed. */
  readonly wait_p50_ms?: number | null;
  /** Wait that 80 % of the answered contacts did not exceed. */
  readonly wait_p80_ms?: number | null;
  /** Wait that 90 % of the answered contacts did not exceed. */
  readonly wait_p90_ms?: number | null;
  /** Wait that 95 % of the answered contacts did not exceed. */
  readonly wait_p95_ms?: number | null;
  /** Wait that 99 % of the answered contacts did not exceed. */
  readonly wait_p99_ms?: number | null;
  /** Longest wait of an answered contact, exact. */
  readonly longest_wait_ms?: number;
  /** abandoned / (answered + abandoned). */
  readonly abandonment_rate?: number | null;
  /** The same without short abandons. */
  readonly abandonment_rate_without_short?: number | null;
  /** Completed assignments: of owners, for an agent all. */
  readonly handled?: number;
  /** Talk time of completed assignments. */
  readonly talk_ms?: number;
  /** Hold time of completed assignments. */
  readonly hold_ms?: number;
  /** Wrap-up time of completed assignments. */
  readonly wrap_up_ms?: number;
  /** Parked time of completed assignments; no part of the handle time. */
  readonly parked_ms?: number;
  /** (talk + hold + wrap-up) / handled. */
  readonly aht_ms?: number | null;
  /** talk / handled. */
  readonly mean_talk_ms?: number | null;
  /** hold / handled. */
  readonly mean_hold_ms?: number | null;
  /** wrap-up / handled. */
  readonly mean_wrap_up_ms?: number | null;
  /** Assignments that ended in a transfer. */
  readonly transferred_out?: number;
  /** transferred out / handled. */
  readonly transfer_rate?: number | null;
  /** Offers made. */
  readonly offers_made?: number;
  /** Offers accepted. */
  readonly offers_accepted?: number;
  /** Offers declined. */
  readonly offers_declined?: number;
  /** Offers that expired without an answer (RONA). */
  readonly offers_expired?: number;
  /** Offers that the router withdrew. */
  readonly offers_rescinded?: number;
  /** expired / (accepted + declined + expired) offers. */
  readonly rona_rate?: number | null;
  /** accepted / (accepted + declined + expired) offers. */
  readonly acceptance_rate?: number | null;
  /** Contacts that became callbacks. */
  readonly callbacks_requested?: number;
  /** Callback attempts. */
  readonly callbacks_dialled?: number;
  /** Attempts that reached the customer. */
  readonly callbacks_connected?: number;
  /** Attempts that did not. */
  readonly callbacks_failed?: number;
  /** Callbacks that expired. */
  readonly callbacks_given_up?: number;
  /** connected / (connected + failed) attempts. */
  readonly reach_rate?: number | null;
  /** Contacts that continued on the channel after a switch. */
  readonly channels_switched?: number;
  /** Consults that owners asked for and another agent accepted. */
  readonly consults_asked?: number;
  /** Accepted consults, for the consulted agent or the queue through which they were reached. */
  readonly consults_given?: number;
  /** Agents added to a conversation as participants. */
  readonly participations?: number;
  /** Time of agents with work. */
  readonly busy_ms?: number;
  /** Time of agents who were ready without work. */
  readonly idle_ms?: number;
  /** Time not ready without work. */
  readonly not_ready_ms?: number;
  /** busy + idle + not ready. */
  readonly signed_in_ms?: number;
  /** Time in the state `ready`, with or without work. */
  readonly state_ready_ms?: number;
  /** Time in the state `not_ready`, with or without work. */
  readonly state_not_ready_ms?: number;
  /** Time in the state `not_ready` by reason; time without a reason is only in `state_not_ready_ms`. */
  readonly not_ready_by_reason_ms?: Readonly<Record<string, number>>;
  /** busy / (busy + idle). */
  readonly occupancy?: number | null;
  /** busy / signed in. */
  readonly utilisation?: number | null;
  /** (talk + hold + wrap-up) / busy. */
  readonly concurrency?: number | null;
  /** Contacts with a goal that are over: for an agent those of which they were the last owner. */
  readonly goals?: number;
  /** Those of them whose goal is done. */
  readonly goals_done?: number;
  /** Those whose goal is done in part. */
  readonly goals_partly?: number;
  /** Those whose goal is not done; of the remaining ones it is not known. */
  readonly goals_not_done?: number;
  /** done / (done + partly + not done). */
  readonly goal_completion?: number | null;
  /** Contacts with a goal that repeat an earlier one. */
  readonly repeats?: number;
  /** repeats / goals. */
  readonly repeat_rate?: number | null;
  /** Contacts with a goal after which the customer came again. */
  readonly repeated?: number;
  /** Answered contacts with a goal, of known customers, that repeat no other one. */
  readonly first_contacts?: number;
  /** Those of them whose goal is done and whose customer did not come again. */
  readonly first_contacts_done?: number;
  /** Those of them whose customer came again, or whose goal is not done or only in part. */
  readonly first_contacts_unresolved?: number;
  /** (first contacts − unresolved) / first contacts. */
  readonly first_contact_resolution?: number | null;
  /** done / (done + unresolved) of the first contacts. */
  readonly first_contact_resolution_reported?: number | null;
  /** Contacts with a score of ease. */
  readonly ease_scores?: number;
  /** Mean of the scores of ease, 1 to 7. */
  readonly ease_mean?: number | null;
  /** Scores of 5 to 7 / scores of ease. */
  readonly ease_share?: number | null;
  /** Contacts with a score of effort. */
  readonly effort_scores?: number;
  /** Mean of the scores of effort, 1 to 5. */
  readonly effort_mean?: number | null;
  /** Contacts with a score of satisfaction. */
  readonly satisfaction_scores?: number;
  /** Mean of the scores of satisfaction, 1 to 5. */
  readonly satisfaction_mean?: number | null;
  /** Scores of 4 and 5 / scores of satisfaction. */
  readonly satisfaction_share?: number | null;
  /** Late corrections of this row; a change means that figures of the past have changed. */
  readonly corrections?: number;
  /** When the last of them was made; null: never. */
  readonly corrected_at_ms?: number | null;
}

/** Supervisor: statistics of queues that changed, at most once per `stats_interval_ms`. */
export interface StatsFrame {
  readonly type: "stats";
  /** Sequence number of the last event that the counts include. */
  readonly seq: number;
  /** Time, epoch milliseconds. */
  readonly at_ms: number;
  /** Live counts of the queues that changed. */
  readonly queues: readonly QueueView[];
}

/** A step as a client sends it, with the customer it belongs to: a customer id or one identity. */
export interface StepFields {
  /** Type from the application's vocabulary, for example `payment`. */
  readonly type: string;
  /** Id chosen by the client; a step that repeats one of the last day is not counted again. Omitted: never a repeat. */
  readonly id?: string | null;
  /** What exactly, for example `invoice`. */
  readonly name?: string | null;
  /** How it ended, for example `ok` or `failed`. */
  readonly result?: string | null;
  /** Where it happened, for example `app`. */
  readonly channel?: string | null;
  /** When it happened, in milliseconds of Unix time; omitted: now. */
  readonly at_ms?: number | null;
  /** At most 16 values, nested at most once, 2 KiB together with `refs`. */
  readonly data?: Readonly<Record<string, unknown>>;
  /** Large things that are stored elsewhere. */
  readonly refs?: readonly Reference[];
  /** Customer; else `identity`. */
  readonly customer_id?: string | null;
  /** Identity of the customer; else `customer_id`. */
  readonly identity?: Identity | null;
}

/** What became of steps: how many were stored, were repeats, and were dropped; those that were rejected by index. */
export interface StepsReceipt {
  readonly accepted: number;
  /** Steps whose id was seen within a day. */
  readonly repeated?: number;
  /** Steps older than 30 days, and steps of erased customers. */
  readonly dropped?: number;
  /** Index, code, field and detail of each step with an error. */
  readonly rejected?: readonly Readonly<Record<string, unknown>>[];
}

/** Supervisor: leave a conversation, or remove another supervisor from it. */
export interface StopMonitoringFrame extends CommandFrame {
  readonly type: "stop_monitoring";
  /** Id of the contact. */
  readonly contact_id: string;
  /** Supervisor to remove; omitted: oneself. */
  readonly supervisor_id?: string | null;
}

/** Gateway: submit a contact. */
export interface SubmitFrame {
  readonly type: "submit";
  /** Id of the client's frame, chosen by the client; the reply repeats it. */
  readonly id: string;
  /** The contact. */
  readonly contact: ContactFields;
  /** A repeated submit with the same key returns the first result; omitted: every submit is a new contact. */
  readonly idempotency_key?: string | null;
}

/** Queues and teams to which a supervisor is limited. Anything else looks as if it did not exist. */
export interface SupervisorScope {
  /** Queues, with the contacts that are in them now; none: all. */
  readonly queues?: readonly string[] | null;
  /** Teams, with their agents; none: all agents. */
  readonly teams?: readonly string[] | null;
}

/** Desktop, gateway, supervisor: suspend a contact until it is resumed; its agent is released. */
export interface SuspendFrame extends CommandFrame {
  readonly type: "suspend";
  /** Id of the contact. */
  readonly contact_id: string;
  /** When the suspension ends unless the contact is resumed, epoch milliseconds; omitted: by the queue's policy. */
  readonly resume_by_ms?: number | null;
  /** What happens then: `end` or `queue`; omitted: by the queue's policy. */
  readonly at_expiry?: SuspensionEnd | null;
}

/** Customer: stop for now, and resume later; on the terms of the queue's policy. */
export interface SuspendRequestFrame extends CommandFrame {
  readonly type: "suspend_request";
}

/** What happens to a suspended contact that is not resumed in time. */
export type SuspensionEnd =
  /** It expires. */
  | "end"
  /** It is queued as a task: an agent looks after it without the customer. */
  | "queue";

/** Suspension of a contact. */
export interface SuspensionView {
  /** When it was suspended, epoch milliseconds. */
  readonly suspended_at_ms: number;
  /** When the suspension ends unless the contact is resumed, epoch milliseconds. */
  readonly resume_by_ms: number;
  /** What happens then: `end` (the contact expires) or `queue` (it is queued as a task). */
  readonly at_expiry: SuspensionEnd;
  /** Age of the contact, which stands still while it is suspended. */
  readonly age_ms: number;
}

/** Desktop, gateway, supervisor: continue a contact on another channel; to the present one: give up a switch in progress. */
export interface SwitchChannelFrame extends CommandFrame {
  readonly type: "switch_channel";
  /** Id of the contact. */
  readonly contact_id: string;
  /** Channel. */
  readonly channel: string;
  /** Opaque id of the gateway for the contact; null: none. */
  readonly reference?: string | null;
  /** What happens if the agent of the contact has no capacity for the channel: `refuse`, `queue` or `consult`. */
  readonly if_unable?: IfUnable;
}

/**
 * Customer: go on on another channel that the policy offers; to the present one: give up a switch in progress. If the agent
 * cannot take the channel now, the switch waits and the conversation goes on.
 */
export interface SwitchRequestChannelFrame extends CommandFrame {
  readonly type: "switch_request_channel";
  /** One of the `channels` of the request. */
  readonly channel: string;
}

/** Switch of a conversation to another channel, in progress. */
export interface SwitchView {
  /** Channel on which the customer is to be connected. */
  readonly channel: string;
  /** Time by which the gateway must report the outcome; null: the switch waits for an agent with capacity for the channel. */
  readonly deadline_ms?: number | null;
  /** While it waits: whether another agent is offered the contact (`queue`) or a consult (`consult`). */
  readonly if_unable?: IfUnable | null;
  /** Agent who owns the contact once the customer is connected with them; null: the present owner. */
  readonly to_agent_id?: string | null;
}

/** A time window of a callback. */
export interface TimeWindow {
  /** Beginning, epoch milliseconds. */
  readonly start_at_ms: number;
  /** End, epoch milliseconds. */
  readonly end_at_ms: number;
}

/** Desktop: transfer the contact to a queue or to an agent; exactly one of the two. */
export interface TransferFrame extends CommandFrame {
  readonly type: "transfer";
  /** Id of the contact. */
  readonly contact_id: string;
  /** Target queue; omitted: the target is an agent. */
  readonly to_queue_id?: string | null;
  /** Target agent; omitted: the target is a queue. */
  readonly to_agent_id?: string | null;
  /**
   * How long the contact is reserved for the target agent, if the agent cannot take it now; seconds. Omitted: such a transfer is
   * refused.
   */
  readonly wait_s?: number | null;
  /**
   * How long it is then reserved for the transferring agent, before it is open to all qualified agents; seconds. Omitted: no such
   * reservation.
   */
  readonly return_to_sender_s?: number | null;
}

/** Desktop: take the customer off hold. */
export interface UnholdFrame extends CommandFrame {
  readonly type: "unhold";
  /** Id of the assignment; it is that of the accepted offer. */
  readonly assignment_id: string;
}

/** Gateway, supervisor: report that the customer has written again. No effect on a contact that is not parked. */
export interface UnparkContactFrame extends CommandFrame {
  readonly type: "unpark_contact";
  /** Id of the contact. */
  readonly contact_id: string;
}

/** Desktop: unpark a conversation. */
export interface UnparkFrame extends CommandFrame {
  readonly type: "unpark";
  /** Id of the assignment; it is that of the accepted offer. */
  readonly assignment_id: string;
}

/** Gateway, supervisor: change a live contact, as a merge patch: omitted fields are unchanged, null removes. */
export interface UpdateFrame extends CommandFrame {
  readonly type: "update";
  /** Id of the contact. */
  readonly contact_id: string;
  /** New priority in seconds; null: 0. Omitted: unchanged. */
  readonly priority_s?: number | null;
  /** New priority class; null: 0. Omitted: unchanged. */
  readonly priority_class?: number | null;
  /** Skills required by the contact itself: those named are set or, with null, removed; others are unchanged. Null: none. */
  readonly skills?: Readonly<Record<string, number | null>> | null;
  /** Attributes: those named are set or, with null, removed; others are unchanged. Null: none. */
  readonly attributes?: Readonly<Record<string, boolean | number | string | null>> | null;
  /** New preferred agents, most preferred first; null: none. Omitted: unchanged. */
  readonly preferred_agents?: readonly string[] | null;
}

/** What a verification has changed. */
export interface Verified {
  /** Id of the contact. */
  readonly contact_id: string;
  /** Customer of the contact. */
  readonly customer_id: string;
  /** Whether the identity is verified for later contacts too. */
  readonly is_permanent?: boolean;
  /** Merge that is proposed, because the identity belongs to another customer; null: it does not, or both were merged. */
  readonly proposal?: MergeProposal | null;
  /** Merge that was made at once, because the settings let agents confirm; null: none. */
  readonly merge_id?: string | null;
}

/** Interval of a waiting time. */
export interface WaitInterval {
  /** Lower bound in milliseconds. */
  readonly low_ms: number;
  /** Upper bound in milliseconds. */
  readonly high_ms: number;
}

/** Expected wait of a customer in whole seconds, from now on. */
export interface WaitTold {
  /** Half of the customers wait at most this long. */
  readonly p50: number;
  /** Nine of ten wait at most this long. */
  readonly p90: number;
}

/** A contact that waits in a queue, with its place and its expected remaining wait. */
export interface WaitingView {
  /** Id of the contact. */
  readonly contact_id: string;
  /** Position among the contacts waiting in the queue; 1 is the next. */
  readonly position: number;
  /** Channel. */
  readonly channel: string;
  /** Requirement class as text: channel, queue and skills with their levels. For display only; do not parse it. */
  readonly requirement: string;
  /** Priority in seconds: its own, and those of the queue and of its plan. */
  readonly priority_s: number;
  /** Highest of its own class, that of the queue and that of its plan. */
  readonly priority_class: number;
  /** Start of its age: the submit, or the agreed time of a callback with `from_due_time`. */
  readonly queued_at_ms: number;
  /** Time since the submit in milliseconds, including earlier time with an agent. */
  readonly waited_ms: number;
  /** Expected remaining wait. */
  readonly expected_wait: ExpectedWait;
  /** `queued`; `offered` in a broadcast, which waits for further offers. */
  readonly state?: ContactState;
  /** Agents that it is reserved for now; empty: it is open to every qualified agent. */
  readonly reserved_for?: readonly string[];
  /** Whether it waits for its queue to open; until then it is offered to no agent. */
  readonly waiting_for_opening?: boolean;
  /** Phase of its callback; null: it is no callback, and the customer is on the line. */
  readonly callback_phase?: CallbackPhase | null;
}

/** Supervisor: get the card of a contact that is not over, and what changes, until the connection ends; at most 20 contacts. */
export interface WatchCardFrame {
  readonly type: "watch_card";
  /** Id of the client's frame, chosen by the client; the reply repeats it. */
  readonly id: string;
  /** Id of the contact. */
  readonly contact_id: string;
  /** False: the card is not wanted any more. */
  readonly watch?: boolean;
}

/** Supervisor: get statistics and what changes in them, in `statistics` frames, until the connection ends; at most 8 views. */
export interface WatchStatisticsFrame {
  readonly type: "watch_statistics";
  /** Id of the client's frame, chosen by the client; the reply repeats it. */
  readonly id: string;
  /** What a row is about. */
  readonly by: Dimension;
  /** Time that is counted. */
  readonly period?: Period;
  /** False: these statistics are not wanted any more. */
  readonly watch?: boolean;
}

/** Full state visible to this client, as of the event `seq`; later events follow. */
export interface WelcomeFrame {
  readonly type: "welcome";
  /** Role of the credential. */
  readonly role: string;
  /** Workspace of the session. */
  readonly workspace: string;
  /** Identifies the history; it changes only if the history is replaced. */
  readonly history_id: string;
  /** Number of process starts recorded in the history. */
  readonly epoch: number;
  /** Sequence number of the last event in this state. */
  readonly seq: number;
  /** Time, epoch milliseconds. */
  readonly at_ms: number;
  /** Interval of the server's WebSocket pings, in seconds. */
  readonly heartbeat_s: number;
  /** Id of the session. */
  readonly session_id: string;
  /**
   * With several routers: what the one that leads the workspace advertises (`store.advertise_url`), this one or another; null:
   * not known, or the router is alone. A client may repeat it in the header `Router-Leader` when it connects again.
   */
  readonly leader_url?: string | null;
  /** Number of `state_page` frames that follow before the first event, with the rest of `contacts` and `agents`. */
  readonly state_page_count?: number;
  /** Desktop: the agent, with offers and assignments; null for other roles. */
  readonly agent?: AgentView | null;
  /** Gateway: its live contacts. */
  readonly contacts?: readonly ContactView[];
  /** Supervisor: totals of the workspace (live counts); null for other roles. */
  readonly stats?: WorkspaceView | null;
  /** Supervisor: all agents. */
  readonly agents?: readonly AgentView[];
}

/** Numbers of contacts by state. `submitted` is the sum of all others but `choosing`. */
export interface WorkspaceCounts {
  /** All contacts. */
  readonly submitted: number;
  /** Waiting in a queue. */
  readonly queued: number;
  /** Offered to an agent now (ringing). */
  readonly offered: number;
  /** With an agent. */
  readonly assigned: number;
  /** Callbacks that wait for their time, for the next attempt, or for the customer to answer. */
  readonly callback_scheduled: number;
  /** Ended. */
  readonly ended: number;
  /** Abandoned. */
  readonly abandoned: number;
  /** Cancelled. */
  readonly cancelled: number;
  /** Expired. */
  readonly expired: number;
  /** Suspended until they are resumed. */
  readonly suspended?: number;
  /** Customers who are choosing how to reach an agent; each counts as submitted when an option is chosen. */
  readonly choosing?: number;
}

/** The workspace was created over the API; it exists without being in the settings. */
export interface WorkspaceCreated {
  readonly type: "workspace.created";
  /** Who created it. */
  readonly created_by?: string;
}

/** The workspace was removed over the API: its tokens are refused from now on, and its name is not used again. */
export interface WorkspaceRemoved {
  readonly type: "workspace.removed";
  /** Who removed it. */
  readonly removed_by?: string;
}

/** Totals of a workspace as of one event. */
export interface WorkspaceView {
  /** Sequence number of the last event that the answer includes. */
  readonly as_of_seq: number;
  /** Time, epoch milliseconds. */
  readonly at_ms: number;
  /** Version of the active policy; 0: none has been published. */
  readonly policy_version: number;
  /** Numbers of contacts by state. */
  readonly counts: WorkspaceCounts;
  /** Number of agents. */
  readonly agents: number;
  /** Number of agents by state. */
  readonly agents_by_state: Readonly<Record<string, number>>;
  /** Number of pending offers. */
  readonly offers_pending: number;
  /** Number of open assignments. */
  readonly assignments_open: number;
  /** All queues, by ascending id. */
  readonly queues: readonly QueueView[];
}

/** The wrap-up has been extended to a new deadline. */
export interface WrapUpExtended {
  readonly type: "assignment.wrap_up_extended";
  /** Id of the assignment; it is that of the accepted offer. */
  readonly assignment_id: string;
  /** Id of the contact. */
  readonly contact_id: string;
  /** Id of the agent. */
  readonly agent_id: string;
  /** New end of the wrap-up, epoch milliseconds. */
  readonly deadline_ms: number;
}

/** After-contact work has begun and ends at the deadline. */
export interface WrapUpStarted {
  readonly type: "assignment.wrap_up_started";
  /** Id of the assignment; it is that of the accepted offer. */
  readonly assignment_id: string;
  /** Id of the contact. */
  readonly contact_id: string;
  /** Id of the agent. */
  readonly agent_id: string;
  /** End of the wrap-up, epoch milliseconds. */
  readonly deadline_ms: number;
}

export type ServerFrame =
  | WelcomeFrame
  | StatePageFrame
  | ResumedFrame
  | EventFrame
  | CardFrame
  | CardChangedFrame
  | StatsFrame
  | StatisticsFrame
  | ScopeFrame
  | OkFrame
  | ErrorFrame
  | PongFrame
  | ReconnectFrame
  | StateFrame;

export type DesktopFrame =
  | HelloFrame
  | RefreshFrame
  | PingFrame
  | SetStateFrame
  | AcceptFrame
  | DeclineFrame
  | HoldFrame
  | UnholdFrame
  | ParkFrame
  | UnparkFrame
  | SuspendFrame
  | SwitchChannelFrame
  | SetChannelsFrame
  | EndFrame
  | ExtendWrapUpFrame
  | CompleteFrame
  | TransferFrame
  | CancelTransferFrame
  | ConsultFrame
  | CompleteConsultFrame
  | CancelConsultFrame
  | ConferenceFrame
  | LeaveFrame
  | HandOverFrame
  | ReportGoalFrame;

export type GatewayFrame =
  | HelloFrame
  | RefreshFrame
  | PingFrame
  | SubmitFrame
  | UpdateFrame
  | CancelFrame
  | AbandonFrame
  | EndFrame
  | ParkContactFrame
  | UnparkContactFrame
  | SuspendFrame
  | ResumeContactFrame
  | SwitchChannelFrame
  | ChannelResultFrame
  | MonitorResultFrame
  | CallbackFrame
  | MoveCallbackFrame
  | ClaimCallbackFrame
  | CallbackResultFrame
  | ExpectedWaitFrame
  | ReportGoalFrame;

export type SupervisorFrame =
  | HelloFrame
  | RefreshFrame
  | PingFrame
  | UpdateFrame
  | CancelFrame
  | EndFrame
  | ParkContactFrame
  | UnparkContactFrame
  | SuspendFrame
  | ResumeContactFrame
  | SwitchChannelFrame
  | ChannelResultFrame
  | MonitorFrame
  | StopMonitoringFrame
  | MonitorResultFrame
  | RequeueFrame
  | AssignFrame
  | AddParticipantFrame
  | RemoveParticipantFrame
  | SetAgentStateFrame
  | SetAgentChannelsFrame
  | CallbackFrame
  | MoveCallbackFrame
  | ClaimCallbackFrame
  | CallbackResultFrame
  | ExpectedWaitFrame
  | WatchCardFrame
  | WatchStatisticsFrame
  | ReportGoalFrame;

export type CustomerFrame =
  | HelloFrame
  | PingFrame
  | ChooseFrame
  | CancelRequestFrame
  | SuspendRequestFrame
  | ResumeRequestFrame
  | SwitchRequestChannelFrame
  | AnswerFrame;

export type Event =
  | ContactQueued
  | ContactChoosing
  | CustomerTokenChanged
  | CustomerPresenceChanged
  | ContactUpdated
  | ContactRequeued
  | ContactSuspended
  | ContactResumed
  | ContactResumeDue
  | ContactChannelFailed
  | ContactChannelRequested
  | ContactChannelSwitched
  | ContactGatewayChanged
  | ContactMonitorRequested
  | ContactMonitorJoined
  | ContactMonitorFailed
  | ContactMonitorRenewed
  | ContactMonitorLeft
  | ContactOverflowed
  | ContactPreferredAgentExpired
  | ContactStepEntered
  | ContactAssigned
  | ContactAbandoned
  | ContactCancelled
  | ContactExpired
  | ContactEnded
  | OfferMade
  | OfferAccepted
  | OfferDeclined
  | OfferExpired
  | OfferRescinded
  | ParticipantAdded
  | ParticipantJoined
  | ParticipantLeft
  | ContactHandedOver
  | AssignmentHeld
  | AssignmentResumed
  | AssignmentParked
  | AssignmentUnparked
  | WrapUpStarted
  | WrapUpExtended
  | AssignmentCompleted
  | DispositionRecorded
  | CallbackRequested
  | CallbackScheduled
  | CallbackDialRequested
  | CallbackClaimed
  | CallbackConnected
  | CallbackFailed
  | AgentUpdated
  | AgentRemoved
  | AgentStateChanged
  | AgentNextStateSet
  | AgentChannelsSet
  | DesktopConnected
  | DesktopLost
  | QueueOpened
  | QueueClosed
  | PolicyPublished
  | WorkspaceCreated
  | WorkspaceRemoved
  | PolicyScheduled
  | PolicyScheduleCancelled
  | PolicyScheduleRefused
  | DayStarted
  | ShadowPolicySet
  | ShadowPolicyCleared
  | IdempotencyKeyRecorded
  | AlertRaised
  | AlertCleared
  | GoalChanged;

/** Events by their type. */
export interface EventsByType {
  "contact.queued": ContactQueued;
  "contact.choosing": ContactChoosing;
  "request.token_changed": CustomerTokenChanged;
  "request.presence_changed": CustomerPresenceChanged;
  "contact.updated": ContactUpdated;
  "contact.requeued": ContactRequeued;
  "contact.suspended": ContactSuspended;
  "contact.resumed": ContactResumed;
  "contact.resume_due": ContactResumeDue;
  "contact.channel_failed": ContactChannelFailed;
  "contact.channel_requested": ContactChannelRequested;
  "contact.channel_switched": ContactChannelSwitched;
  "contact.gateway_changed": ContactGatewayChanged;
  "contact.monitor_requested": ContactMonitorRequested;
  "contact.monitor_joined": ContactMonitorJoined;
  "contact.monitor_failed": ContactMonitorFailed;
  "contact.monitor_renewed": ContactMonitorRenewed;
  "contact.monitor_left": ContactMonitorLeft;
  "contact.overflowed": ContactOverflowed;
  "contact.preferred_agent_expired": ContactPreferredAgentExpired;
  "contact.step_entered": ContactStepEntered;
  "contact.assigned": ContactAssigned;
  "contact.abandoned": ContactAbandoned;
  "contact.cancelled": ContactCancelled;
  "contact.expired": ContactExpired;
  "contact.ended": ContactEnded;
  "offer.made": OfferMade;
  "offer.accepted": OfferAccepted;
  "offer.declined": OfferDeclined;
  "offer.expired": OfferExpired;
  "offer.rescinded": OfferRescinded;
  "participant.added": ParticipantAdded;
  "participant.joined": ParticipantJoined;
  "participant.left": ParticipantLeft;
  "contact.handed_over": ContactHandedOver;
  "assignment.held": AssignmentHeld;
  "assignment.resumed": AssignmentResumed;
  "assignment.parked": AssignmentParked;
  "assignment.unparked": AssignmentUnparked;
  "assignment.wrap_up_started": WrapUpStarted;
  "assignment.wrap_up_extended": WrapUpExtended;
  "assignment.completed": AssignmentCompleted;
  "assignment.disposition_recorded": DispositionRecorded;
  "callback.requested": CallbackRequested;
  "callback.scheduled": CallbackScheduled;
  "callback.dial_requested": CallbackDialRequested;
  "callback.claimed": CallbackClaimed;
  "callback.connected": CallbackConnected;
  "callback.failed": CallbackFailed;
  "agent.updated": AgentUpdated;
  "agent.removed": AgentRemoved;
  "agent.state_changed": AgentStateChanged;
  "agent.next_state_set": AgentNextStateSet;
  "agent.channels_set": AgentChannelsSet;
  "agent.desktop_connected": DesktopConnected;
  "agent.desktop_lost": DesktopLost;
  "queue.opened": QueueOpened;
  "queue.closed": QueueClosed;
  "policy.published": PolicyPublished;
  "workspace.created": WorkspaceCreated;
  "workspace.removed": WorkspaceRemoved;
  "policy.scheduled": PolicyScheduled;
  "policy.schedule_cancelled": PolicyScheduleCancelled;
  "policy.schedule_refused": PolicyScheduleRefused;
  "workspace.day_started": DayStarted;
  "policy.shadow_set": ShadowPolicySet;
  "policy.shadow_cleared": ShadowPolicyCleared;
  "idempotency_key.recorded": IdempotencyKeyRecorded;
  "alert.raised": AlertRaised;
  "alert.cleared": AlertCleared;
  "goal.changed": GoalChanged;
}

/** Codes of problems, as of this version. */
export type ProblemCode =
  | "agent_busy"
  | "agent_unavailable"
  | "answer_timeout"
  | "body_timeout"
  | "busy"
  | "callback_claimed"
  | "callback_exists"
  | "callback_not_offered"
  | "capacity_exceeded"
  | "channel_in_use"
  | "channel_not_possible"
  | "contact_exists"
  | "context_unavailable"
  | "customer_erased"
  | "customer_has_answered"
  | "drain_target_required"
  | "event_not_reached"
  | "expectation_failed"
  | "forbidden"
  | "history_reset"
  | "idempotency_key_reused"
  | "identity_conflict"
  | "identity_limit_exceeded"
  | "identity_taken"
  | "internal"
  | "invalid_agent_state"
  | "invalid_assignment_state"
  | "invalid_callback_time"
  | "invalid_consult_state"
  | "invalid_contact_state"
  | "invalid_policy"
  | "invalid_value"
  | "journal_unavailable"
  | "malformed"
  | "merge_refused"
  | "method_not_allowed"
  | "monitor_limit_exceeded"
  | "monitoring_not_allowed"
  | "no_agents_ready"
  | "no_matching_queue"
  | "no_more_workspaces"
  | "no_scheduled_policy"
  | "no_shadow_policy"
  | "not_erasable"
  | "not_found"
  | "not_owner"
  | "not_participant"
  | "not_ready"
  | "note_limit_exceeded"
  | "offer_not_pending"
  | "option_not_available"
  | "origin_forbidden"
  | "participant_limit_exceeded"
  | "policy_version_conflict"
  | "precondition_failed"
  | "precondition_required"
  | "proposal_decided"
  | "queue_closed"
  | "queue_full"
  | "rate_limited"
  | "records_unavailable"
  | "resume_expired"
  | "rotation_running"
  | "stopping"
  | "suspended_limit"
  | "too_large"
  | "too_many_requests"
  | "unauthenticated"
  | "unknown_agent"
  | "unknown_assignment"
  | "unknown_channel"
  | "unknown_contact"
  | "unknown_customer"
  | "unknown_fact"
  | "unknown_goal"
  | "unknown_identity"
  | "unknown_merge"
  | "unknown_offer"
  | "unknown_proposal"
  | "unknown_queue"
  | "unknown_record"
  | "unknown_skill"
  | "unsupported_media_type"
  | "upgrade_required"
  | "workspace_exists"
  | "workspace_in_use"
  | "workspace_removed"
  | "wrap_up_limit_exceeded";
