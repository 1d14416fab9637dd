"""The catalogue of errors: what clients may rely on, status and retry of each code."""

import pytest

from router.protocol.problem_types import PROBLEMS, by_status, type_uri

# Clients decide by these; a code keeps its status. New codes are added here.
STATUSES = {
    400: "malformed",
    401: "unauthenticated",
    403: "forbidden origin_forbidden",
    404: "unknown_proposal unknown_contact unknown_agent unknown_queue unknown_offer unknown_assignment no_shadow_policy "
    "no_scheduled_policy not_found "
    "unknown_record unknown_customer unknown_identity unknown_merge",
    405: "method_not_allowed",
    408: "body_timeout",
    409: "note_limit_exceeded customer_has_answered proposal_decided identity_conflict "
    "merge_refused identity_taken identity_limit_exceeded contact_exists invalid_contact_state not_owner not_participant "
    "channel_not_possible not_erasable "
    "monitoring_not_allowed monitor_limit_exceeded "
    "participant_limit_exceeded invalid_consult_state queue_closed no_agents_ready callback_not_offered callback_claimed "
    "callback_exists offer_not_pending invalid_assignment_state wrap_up_limit_exceeded invalid_agent_state agent_busy "
    "option_not_available agent_unavailable rotation_running capacity_exceeded drain_target_required channel_in_use "
    "workspace_exists workspace_in_use no_more_workspaces",
    410: "customer_erased history_reset resume_expired workspace_removed",
    412: "precondition_failed policy_version_conflict",
    413: "too_large",
    415: "unsupported_media_type",
    417: "expectation_failed",
    422: "unknown_channel unknown_skill unknown_fact invalid_value idempotency_key_reused no_matching_queue invalid_callback_time "
    "invalid_policy unknown_goal",
    426: "upgrade_required",
    428: "precondition_required",
    429: "queue_full rate_limited suspended_limit too_many_requests",
    500: "internal",
    503: "event_not_reached busy stopping not_ready records_unavailable context_unavailable answer_timeout journal_unavailable",
}
MAY_HAVE_TAKEN_EFFECT = {"internal", "context_unavailable", "answer_timeout", "journal_unavailable"}


@pytest.mark.parametrize("code", [code for codes in STATUSES.values() for code in codes.split()])
def test_a_code_keeps_its_status_and_says_whether_to_try_again(code: str) -> None:
    found = PROBLEMS[code]
    assert code in STATUSES[found.status].split()
    assert found.temporary == (found.status in (408, 429, 503))
    assert found.applied == ("unknown" if code in MAY_HAVE_TAKEN_EFFECT else "no")


def test_every_code_is_listed_once_by_status_and_name() -> None:
    listed = [(found.status, code) for code, found in by_status()]
    assert listed == sorted(listed)
    assert {code for _, code in listed} == set(PROBLEMS) == {code for codes in STATUSES.values() for code in codes.split()}
    assert type_uri("busy") == "/docs/errors#busy"
