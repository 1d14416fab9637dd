"""Problem documents: statuses, titles, retry hints and validation errors."""

import msgspec
import pytest

from router.model.results import RefusalCode, Refused
from router.protocol.frames import ContactFields
from router.protocol.problem_types import PROBLEMS
from router.server.api.problems import ProblemError, encode_problem, problem_code, problem_from_refusal
from router.server.http.handlers import decode_json


def test_every_refusal_has_a_status_and_a_title() -> None:
    for code in RefusalCode:
        kind = PROBLEMS[problem_code(code)]
        assert 400 <= kind.status < 500 and kind.title


def test_temporary_problems_have_retry_after() -> None:
    for code, kind in PROBLEMS.items():
        raised = ProblemError(code)
        assert ("Retry-After" in raised.headers) is kind.temporary
        assert kind.temporary is (kind.status in {408, 429, 503})


def test_a_problem_document_always_has_applied() -> None:
    raised = problem_from_refusal(Refused(code=RefusalCode.OFFER_NOT_PENDING, state="expired", seq=7))
    document = msgspec.json.decode(encode_problem(raised.document, "r1"))
    assert document == {
        "type": "/docs/errors#offer_not_pending",
        "title": "The offer is no longer pending",
        "status": 409,
        "code": "offer_not_pending",
        "detail": "The offer has ended; `state` says how, `seq` by which event.",
        "action": "Take the next offer; a contact that was not accepted in time waits again.",
        "request_id": "r1",
        "state": "expired",
        "seq": 7,
        "applied": "no",
    }


@pytest.mark.parametrize(
    ("body", "field", "detail"),
    [
        (b'{"channel":"zz!"}', "channel", "must be a name"),
        (b'{"channel":"v","zzz - at `x`":1}', "[...]", "unknown field, whose name is not repeated; known are: channel, "),
        (b'{"channel":"v","queue":"a"}', "queue", "unknown field `queue`; known are: channel, queue_id, "),
        (b'{"channel":"v","skills":{"ZZ":1}}', "skills.ZZ", "the key must be a name"),
        (b'{"channel":"v","skills":{"a":99}}', "skills.a", "must be an integer from 1 to 10"),
        (b'{"channel":"v","ttl_s":10.5}', "ttl_s", "must be an integer from 1 to 2,592,000"),
        (b"{}", "channel", "is missing"),
    ],
)
def test_a_validation_error_names_the_field_and_no_value(body: bytes, field: str, detail: str) -> None:
    with pytest.raises(ProblemError) as caught:
        decode_json(body, msgspec.json.Decoder(ContactFields))
    document = caught.value.document
    assert document.field == field
    assert document.detail.startswith(detail)
    assert "zz" not in document.detail.lower()
