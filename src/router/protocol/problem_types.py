"""Catalogue of errors: every code that the HTTP API and the WebSockets answer with, its meaning, and what to do about it.

This is the only table of codes. The problem documents, the ``error`` frames, the OpenAPI document, ``docs/reference/errors.md``
and the page ``/docs/errors`` of a running router are made from it. A test compares it with the codes that the program can
produce, and provokes each of them from outside.
"""

from typing import Final

from msgspec import Struct

PAGE_PATH: Final = "/docs/errors"
"""Page of a running router that explains the codes; the ``type`` of a problem is this path with the code as fragment."""


class ProblemType(Struct, frozen=True):
    """Meaning of a code: HTTP status, title, what it means and what to do, and what it says about a retry."""

    status: int
    title: str
    meaning: str
    """When it occurs, as a sentence."""
    action: str
    """What the client should do, as a sentence."""
    temporary: bool = False
    """Whether the same request may succeed later."""
    applied: str = "no"
    """``no``, or ``unknown`` if the router cannot tell whether the command took effect."""


_P = ProblemType
PROBLEMS: Final[dict[str, ProblemType]] = {
    # --- what does not exist -------------------------------------------------------------------------------------------
    "unknown_contact": _P(
        404,
        "Contact not found",
        "There is no such contact, it ended before the retention period, or it belongs to another agent or gateway.",
        "Check the id; a contact that ended long ago is in the journal only.",
    ),
    "unknown_record": _P(
        404,
        "Record not found",
        "There is no record of such a contact: it has not ended, its record was deleted by age or number, or it belongs to another "
        "gateway.",
        "Check the id; a contact that has not ended is at GET /v1/contacts/{contact_id}.",
    ),
    "unknown_agent": _P(
        404,
        "Agent not found",
        "There is no record of such an agent, or an agent named another one.",
        "Create the agent with PUT /v1/agents/{agent_id}, or check the id.",
    ),
    "unknown_queue": _P(
        404, "Queue not found", "The policy has no such queue.", "Use a queue of GET /v1/queues, or publish a policy that has it."
    ),
    "unknown_offer": _P(
        404,
        "Offer not found",
        "There is no such offer, or it was made to another agent.",
        "Read the agent's present offers, with GET /v1/agents/{agent_id} or from the events.",
    ),
    "unknown_assignment": _P(
        404,
        "Assignment not found",
        "There is no such assignment, or it belongs to another agent.",
        "Read the agent's present assignments; an assignment has the id of the offer that was accepted.",
    ),
    "unknown_channel": _P(
        422,
        "Channel not in the policy",
        "The policy does not declare the channel.",
        "Use one of the channels in `detail`, or publish a policy that has it.",
    ),
    "unknown_skill": _P(
        422,
        "Skill not in the policy",
        "The policy does not declare the skill that `field` names.",
        "Use a declared skill, or publish a policy that has it.",
    ),
    "unknown_fact": _P(
        422,
        "Attribute not declared in the policy",
        "The attribute that `field` names is not declared in `facts`, or its value is not one of the declared ones.",
        "Send a declared attribute with a value that `detail` allows, or publish a policy that declares it.",
    ),
    "unknown_goal": _P(
        422,
        "Goal not in the policy",
        "The policy does not have the goal under `goals.known`.",
        "Use one of the goals in `detail`, or publish a policy that has it.",
    ),
    "no_shadow_policy": _P(
        404, "No shadow policy is set", "No shadow policy is set.", "Set one with PUT /v1/shadow or `router shadow put`."
    ),
    "workspace_exists": _P(
        409,
        "The workspace exists already",
        "A workspace with this name exists, or the journal holds the history of an earlier one.",
        "Choose another name; `GET /v1/workspaces` lists those in use.",
    ),
    "workspace_in_use": _P(
        409,
        "The workspace is in use",
        "The workspace has live contacts or agents, the settings name it, it is being removed already, or routers share its store.",
        "End its contacts, or repeat the request with `?force=true`; take a workspace of the settings out of them instead.",
    ),
    "workspace_removed": _P(
        410,
        "The workspace was removed",
        "The workspace was removed, and nothing is done in it any more.",
        "Use another workspace; the name of this one is not used again.",
    ),
    "no_more_workspaces": _P(
        409,
        "No workspace can be created here",
        "The router has as many workspaces as it may have.",
        "Use an existing workspace or another router.",
    ),
    "no_scheduled_policy": _P(
        404,
        "No policy is scheduled",
        "No policy is scheduled: there was none, or it was published or cancelled.",
        "Schedule one with PUT /v1/policy/scheduled or `router policy schedule`.",
    ),
    "not_found": _P(404, "Not found", "There is no such path, or no policy has been published yet.", "Check the path."),
    # --- customers -----------------------------------------------------------------------------------------------------
    "unknown_customer": _P(
        404, "Customer not found", "No customer of the workspace has this id.", "Find the customer with POST /v1/customers/resolve."
    ),
    "unknown_identity": _P(
        404,
        "Identity not found",
        "The customer has no identity of this number.",
        "Read the customer and the numbers of their identities.",
    ),
    "unknown_merge": _P(404, "Merge not found", "No merge of the workspace has this id.", "Use the id in the answer to the merge."),
    "rotation_running": _P(
        409,
        "A rotation of the master keys runs",
        "Not all keys of customers are wrapped with the newest master key yet.",
        "Wait until `remaining` is 0, then try again.",
    ),
    "unknown_proposal": _P(
        404, "Proposal not found", "No proposal of a merge has this id.", "Use the id of the list of proposals."
    ),
    "proposal_decided": _P(
        409,
        "The proposal was decided before",
        "The proposal was confirmed or dismissed before.",
        "Read the proposal; a merge can be undone.",
    ),
    "customer_erased": _P(
        410, "The customer was erased", "The customer was erased, and nothing of them is left.", "Resolve their identities again."
    ),
    "merge_refused": _P(
        409,
        "The customers cannot be merged or separated",
        "Both are one customer already, one was erased, the result would have too many members, or the merge was undone before.",
        "Read both customers; `detail` says what stands against it.",
    ),
    "identity_taken": _P(
        409,
        "The identity belongs to another customer",
        "An identity belongs to at most one customer.",
        "Merge the customers if they are one person, or detach the identity there first.",
    ),
    "identity_conflict": _P(
        409,
        "The identity is that of another person",
        "The customer has another strong identity of that type, so the caller is another person.",
        "Ask the caller who they are; merge the customers, or attach the identity, only where they are one person.",
    ),
    "identity_limit_exceeded": _P(
        409,
        "The customer has too many identities",
        "A customer has a limited number of strong identities, addresses and consents.",
        "Detach an identity that is no longer used; `detail` names the limit.",
    ),
    "note_limit_exceeded": _P(
        409,
        "The contact has too many notes",
        "A contact has at most 50 notes.",
        "Write the note on a later contact of the customer, or in your own system.",
    ),
    "context_unavailable": _P(
        503,
        "The customer context is not available",
        "The files of the customer context cannot be used, are switched off in the settings, or too many operations wait for them.",
        "Send the request again later; contacts are routed meanwhile. An operator finds the cause in the log.",
        temporary=True,
        applied="unknown",
    ),
    "records_unavailable": _P(
        503,
        "The records of contacts are not available",
        "The file of the records of contacts cannot be used, or records are switched off in the settings.",
        "Send the request again later; contacts are routed meanwhile. An operator finds the cause in the log.",
        temporary=True,
    ),
    # --- what the request says -----------------------------------------------------------------------------------------
    "invalid_value": _P(
        422,
        "Invalid value",
        "A field is unknown, missing, of another type or out of range.",
        "Correct the field that `field` names as `detail` says; `errors` lists all of them if there are several.",
    ),
    "malformed": _P(
        400,
        "Malformed request",
        "The request, body or frame is not well-formed; on a socket also: a frame with an invalid field.",
        "Correct what `detail` names. On a socket, too many such frames in a row close it (4500).",
    ),
    "too_large": _P(
        413, "Request body too large", "The body is longer than `server.body_bytes_max`.", "Send less, or raise the setting."
    ),
    "unsupported_media_type": _P(
        415,
        "Unsupported media type or encoding",
        "The body has another media type or character set than the operation reads, or a content encoding.",
        "Send JSON in UTF-8 with `Content-Type: application/json`; policies may also be YAML.",
    ),
    "expectation_failed": _P(
        417, "Expectation failed", "`Expect` has another value than `100-continue`.", "Send the request without `Expect`."
    ),
    "method_not_allowed": _P(
        405, "Method not allowed", "The path does not support the method.", "Use one of the methods in the header `Allow`."
    ),
    "upgrade_required": _P(
        426,
        "WebSocket upgrade required",
        "The path is that of a WebSocket, and the request is not an upgrade.",
        "Connect with a WebSocket client.",
    ),
    "body_timeout": _P(
        408,
        "Request body timeout",
        "The body did not arrive within `server.body_timeout_s`.",
        "Send the request again, as a whole.",
        temporary=True,
    ),
    # --- who sends it --------------------------------------------------------------------------------------------------
    "unauthenticated": _P(
        401,
        "Valid credential required",
        "The token is missing, invalid or expired; the router's log states which check failed.",
        "Send `Authorization: Bearer <token>` with a valid token, from `router token` or your own issuer.",
    ),
    "forbidden": _P(
        403,
        "Not permitted for this credential",
        "The role of the credential may not use the operation.",
        "Use a credential with one of the roles that the operation lists.",
    ),
    "origin_forbidden": _P(
        403,
        "Origin not allowed",
        "The page that sends the request has an origin that is not in `server.allowed_origins`.",
        "Add the origin to the setting.",
    ),
    # --- concurrency ---------------------------------------------------------------------------------------------------
    "precondition_failed": _P(
        412,
        "The object has changed since it was read",
        "The object has none of the entity tags in `If-Match`, or one of those in `If-None-Match`.",
        "Read the object again, decide again, and send the request with its present ETag.",
    ),
    "precondition_required": _P(
        428,
        "An entity tag is required",
        "The request would replace the policy without saying which one it has read.",
        "Send `If-Match` with the ETag of GET /v1/policy, or `If-Match: *` to replace whatever is active.",
    ),
    "policy_version_conflict": _P(
        412,
        "The active policy has another version",
        "Another policy has been published since the one in `If-Match` was read.",
        "Read the policy again, apply the change to it, and publish it with its ETag.",
    ),
    "idempotency_key_reused": _P(
        422,
        "The idempotency key was used with another payload",
        "The idempotency key was used by the same client for another request.",
        "Use a new key for each request, and repeat a request unchanged.",
    ),
    # --- contacts ------------------------------------------------------------------------------------------------------
    "contact_exists": _P(
        409, "The contact already exists", "A contact with this id exists.", "Submit the contact again; the router chooses its id."
    ),
    "invalid_contact_state": _P(
        409,
        "Not allowed in the contact's state",
        "The contact is in the state that `state` names, or has ended in another way than the request would end it.",
        "Use one of the actions in `allowed`; there is none for a contact that has ended.",
    ),
    "not_owner": _P(
        409,
        "The agent is not the owner of the contact",
        "The agent takes part in the conversation or is offered it, but another agent owns it.",
        "Let the owner do it, or become the owner first.",
    ),
    "customer_has_answered": _P(
        409,
        "The customer has answered",
        "The outcome or the score that `field` names is the answer of the customer, which an agent does not replace.",
        "Leave the answer as it is, or let a supervisor or the gateway correct it.",
    ),
    "not_participant": _P(
        409,
        "The agent is not a participant of the conversation",
        "The agent is neither consulted nor a participant.",
        "Name an agent who takes part; GET /v1/contacts/{contact_id} lists them.",
    ),
    "participant_limit_exceeded": _P(
        409,
        "The channel allows no more participants",
        "The conversation has as many participants as the channel's `participants_max` allows.",
        "Let a participant leave first, or raise the limit in the policy.",
    ),
    "invalid_consult_state": _P(
        409,
        "Not allowed in the consult's state",
        "There is no consult, it is not answered yet, or there is one already; `state` says which.",
        "Use one of the actions in `allowed`.",
    ),
    "no_matching_queue": _P(
        422,
        "No queue given and no entry rule matches",
        "The contact names no queue, no entry rule matches it, and the policy has no `default_queue`; or there is no policy yet.",
        "Name a queue, or publish a policy with a `default_queue`.",
    ),
    "option_not_available": _P(
        409,
        "Not one of the options",
        "The option, or its time window, is none of those that the customer was shown.",
        "Choose one of the options in `allowed`; read the request for their time windows.",
    ),
    "too_many_requests": _P(
        429,
        "Too many customers are choosing",
        "As many customers of the workspace as allowed are choosing how to reach an agent.",
        "Try again after `Retry-After`, or submit the contact with POST /v1/contacts.",
        temporary=True,
    ),
    "queue_full": _P(
        429,
        "The queue is full",
        "As many contacts wait in the queue as its `length_max` allows.",
        "Offer the customer something else, or try again after `Retry-After`.",
        temporary=True,
    ),
    "queue_closed": _P(
        409,
        "The queue is closed",
        "The queue is closed, and its policy refuses contacts then.",
        "Offer a callback, or submit the contact after `opens_at_ms`.",
    ),
    "no_agents_ready": _P(
        409,
        "No agents are ready",
        "No qualified agent is ready, and the queue's policy refuses contacts then.",
        "Offer a callback or another queue.",
    ),
    # --- erasure of one contact -------------------------------------------------------------------------------------------
    "not_erasable": _P(
        409,
        "The data of the contact cannot be erased alone",
        "It belongs to a customer, is in the journal, or shares a key with others that cannot be told apart; `detail` says which.",
        "Erase the customer, or do what `detail` says.",
    ),
    # --- suspended contacts ----------------------------------------------------------------------------------------------
    "suspended_limit": _P(
        429,
        "Too many suspended contacts",
        "The workspace, or the customer, has as many suspended contacts as the policy's `retention` allows.",
        "Resume or cancel suspended contacts first, or let the customer wait.",
        temporary=True,
    ),
    "resume_expired": _P(
        410,
        "The contact was not resumed in time",
        "The suspension has ended at its `resume_by_ms`, and the contact has expired.",
        "Submit a new contact with `continues_contact_id`, which prefers its last agent.",
    ),
    # --- channels --------------------------------------------------------------------------------------------------------
    "channel_not_possible": _P(
        409,
        "The agent has no capacity for the channel",
        "The agent could not have the conversation on the channel; `allowed` lists the channels that are possible now.",
        "Use one of the channels in `allowed`, or let the switch wait with `if_unable: queue` or `consult`.",
    ),
    # --- supervisors in conversations ------------------------------------------------------------------------------------
    "monitoring_not_allowed": _P(
        409,
        "The policy does not permit this mode",
        "Supervisors may not join conversations of this queue in this mode; `allowed` lists the modes that `monitoring` permits.",
        "Use one of the modes in `allowed`, or change `monitoring` of the policy.",
    ),
    "monitor_limit_exceeded": _P(
        409,
        "Too many supervisors in the conversation, or conversations of the supervisor",
        "The conversation has `monitors_max` supervisors, or the supervisor has joined `contacts_max` conversations.",
        "Leave another conversation first, or wait until a supervisor has left.",
    ),
    # --- callbacks -----------------------------------------------------------------------------------------------------
    "callback_not_offered": _P(
        409,
        "The queue does not offer callbacks",
        "The queue has no `callback` in the policy.",
        "Let the customer wait, or use another queue.",
    ),
    "invalid_callback_time": _P(
        422,
        "No callback can be scheduled for this time",
        "The time is in the past, or beyond what the queue's policy allows.",
        "Choose a time that `detail` allows.",
    ),
    "callback_claimed": _P(
        409,
        "Another process makes this call",
        "Another process of the gateway has claimed the call, and its claim has not ended; `detail` says how long it lasts.",
        "Do not dial. Claim again when the claim has ended and no outcome was reported.",
    ),
    "callback_exists": _P(
        409,
        "The contact is already a callback with other terms",
        "The contact is a callback already, with another mode, channel or time.",
        "Keep its terms, or use one of the actions in `allowed`.",
    ),
    # --- offers, assignments, agents -----------------------------------------------------------------------------------
    "offer_not_pending": _P(
        409,
        "The offer is no longer pending",
        "The offer has ended; `state` says how, `seq` by which event.",
        "Take the next offer; a contact that was not accepted in time waits again.",
    ),
    "invalid_assignment_state": _P(
        409,
        "Not allowed in the assignment's state",
        "The assignment is in the state that `state` names.",
        "Use one of the actions in `allowed`.",
    ),
    "wrap_up_limit_exceeded": _P(
        409,
        "The wrap-up limit is reached",
        "The wrap-up would be longer than the channel's `wrap_up_max_s`.",
        "Extend it by less, or complete the assignment.",
    ),
    "invalid_agent_state": _P(
        409,
        "Not allowed in the agent's state",
        "The agent is in the state that `state` names.",
        "Bring the agent into one of the states in `allowed` first.",
    ),
    "agent_busy": _P(
        409,
        "The agent has open assignments or offers",
        "The agent still has work or offers.",
        "Let the agent finish, or move the work to others first.",
    ),
    "agent_unavailable": _P(
        409,
        "The agent cannot take the contact now",
        "The target agent of a transfer or consult is not ready, has no free capacity, is in a cool-down, or takes part already.",
        "Choose another target, or allow waiting for the agent with `wait_s`.",
    ),
    "capacity_exceeded": _P(
        409,
        "The agent has no free capacity",
        "The agent has no free capacity for another item of the channel.",
        "Choose another agent, or wait until the agent has completed some work.",
    ),
    # --- policies ------------------------------------------------------------------------------------------------------
    "invalid_policy": _P(
        422,
        "The policy has errors",
        "The policy document has the errors listed in `errors`, or no policy is published that the request needs.",
        "Correct the errors; `router policy check FILE` lists them with line and column.",
    ),
    "drain_target_required": _P(
        409,
        "Contacts are waiting in a removed queue",
        "The new policy lacks a queue that has live contacts.",
        "Name a queue for them: `?drain_to=removed:target`, or `--drain-to` of `router policy publish`.",
    ),
    "channel_in_use": _P(
        409,
        "A removed channel is in use",
        "The new policy lacks a channel that has live contacts.",
        "Keep the channel until its contacts have ended.",
    ),
    # --- the history ---------------------------------------------------------------------------------------------------
    "history_reset": _P(
        410,
        "The history does not contain this position",
        "The position in `after` is of another history, later than the present one, or before the first event in the journal.",
        "Read the state again, and the events from the beginning.",
    ),
    "event_not_reached": _P(
        503,
        "The event has not been reached",
        "The state is older than `min_seq`.",
        "Try again after `Retry-After`.",
        temporary=True,
    ),
    # --- load and faults -----------------------------------------------------------------------------------------------
    "rate_limited": _P(
        429,
        "Too many requests",
        "The credential, the address or the object has reached one of its limits.",
        "Wait for `Retry-After` (on a socket: `retry_after_ms`), and send less often.",
        temporary=True,
    ),
    "busy": _P(
        503,
        "Server overloaded",
        "The router has as much work as it accepts.",
        "Try again after `Retry-After`, with a delay that grows.",
        temporary=True,
    ),
    "stopping": _P(
        503, "The router is shutting down", "The process is shutting down.", "Connect again after `Retry-After`.", temporary=True
    ),
    "not_ready": _P(
        503,
        "The router is not ready",
        "The process is starting and reads its journal.",
        "Try again after `Retry-After`.",
        temporary=True,
    ),
    "answer_timeout": _P(
        503,
        "No result within the time limit",
        "The command or query was not answered within `server.answer_timeout_s`; a command may have taken effect.",
        "Repeat the request with the same idempotency key, or read the state first.",
        temporary=True,
        applied="unknown",
    ),
    "journal_unavailable": _P(
        503,
        "Journal unavailable",
        "The journal cannot be written; the process ends. The command may have taken effect.",
        "Repeat the request with the same idempotency key, or read the state first. Operators: see the router's log.",
        temporary=True,
        applied="unknown",
    ),
    "internal": _P(
        500,
        "Internal server error",
        "An error of the router; its log has the details under the `request_id`. The command may have taken effect.",
        "Report it with the `request_id`; read the state before repeating the request.",
        applied="unknown",
    ),
}


def type_uri(code: str) -> str:
    """Return the ``type`` of a problem: a reference to its entry on the page of the router that answered."""
    return f"{PAGE_PATH}#{code}"


def by_status() -> list[tuple[str, ProblemType]]:
    """Return all codes with their types, ordered by status and code."""
    return sorted(PROBLEMS.items(), key=lambda entry: (entry[1].status, entry[0]))
