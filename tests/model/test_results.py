"""Numbers and codes of refusals."""

from router.model.results import RefusalCode

# Numbered once, never reused: add at the end of a group, remove nothing.
NUMBERS = {
    "UNKNOWN_CONTACT": 1,
    "UNKNOWN_AGENT": 2,
    "UNKNOWN_QUEUE": 3,
    "UNKNOWN_CHANNEL": 4,
    "UNKNOWN_SKILL": 5,
    "UNKNOWN_OFFER": 6,
    "UNKNOWN_ASSIGNMENT": 7,
    "UNKNOWN_FACT": 8,
    "INVALID_VALUE": 9,
    "UNKNOWN_GOAL": 10,
    "OFFER_NOT_PENDING": 20,
    "INVALID_CONTACT_STATE": 21,
    "INVALID_ASSIGNMENT_STATE": 22,
    "INVALID_AGENT_STATE": 23,
    "AGENT_BUSY": 24,
    "CAPACITY_EXCEEDED": 25,
    "NOT_OWNER": 26,
    "AGENT_UNAVAILABLE": 27,
    "WRAP_UP_LIMIT_EXCEEDED": 28,
    "INVALID_CONSULT_STATE": 29,
    "NOT_PARTICIPANT": 31,
    "PARTICIPANT_LIMIT_EXCEEDED": 33,
    "CONTACT_EXISTS": 40,
    "IDEMPOTENCY_KEY_REUSED": 41,
    "QUEUE_FULL": 42,
    "NO_MATCHING_QUEUE": 43,
    "QUEUE_CLOSED": 44,
    "NO_AGENTS_READY": 45,
    "CALLBACK_NOT_OFFERED": 46,
    "INVALID_CALLBACK_TIME": 47,
    "CALLBACK_EXISTS": 48,
    "CALLBACK_CLAIMED": 49,
    "RESUME_EXPIRED": 50,
    "SUSPENDED_LIMIT": 51,
    "CHANNEL_NOT_POSSIBLE": 52,
    "CUSTOMER_HAS_ANSWERED": 56,
    "MONITORING_NOT_ALLOWED": 53,
    "MONITOR_LIMIT_EXCEEDED": 54,
    "INVALID_POLICY": 60,
    "POLICY_VERSION_CONFLICT": 61,
    "DRAIN_TARGET_REQUIRED": 62,
    "CHANNEL_IN_USE": 63,
    "NO_SHADOW_POLICY": 64,
    "NO_SCHEDULED_POLICY": 65,
    "PRECONDITION_FAILED": 70,
    "PRECONDITION_REQUIRED": 71,
    "OPTION_NOT_AVAILABLE": 80,
    "TOO_MANY_REQUESTS": 81,
    "WORKSPACE_EXISTS": 90,
    "WORKSPACE_IN_USE": 91,
    "WORKSPACE_REMOVED": 92,
}


def test_the_numbers_of_refusals_are_permanent() -> None:
    assert {code.name: code.value for code in RefusalCode} == NUMBERS
    assert len(RefusalCode.__members__) == len(set(NUMBERS.values())), "two names for one number"
