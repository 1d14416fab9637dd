"""Problem documents: statuses, titles, retry hints and validation errors."""

import msgspec
import pytest

from router.edge.bodies import invalid
from router.edge.problems import PROBLEMS, ProblemRaised, code_of, problem_bytes, refused
from router.model.refusals import RefusalCode, Refused
from router.wire.frames import ContactFields


def test_every_refusal_has_a_status_and_a_title() -> None:
    for code in RefusalCode:
        kind = PROBLEMS[code_of(code)]
        assert 400 <= kind.status < 500 and kind.title


def test_temporary_problems_have_retry_after() -> None:
    for code, kind in PROBLEMS.items():
        raised = ProblemRaised(code)
        assert ("Retry-After" in raised.headers) is kind.temporary
        assert kind.temporary is (kind.status in {408, 429, 503})


def test_a_problem_document_always_has_applied() -> None:
    raised = refused(Refused(code=RefusalCode.OFFER_GONE, state="expired", seq=7))
    document = msgspec.json.decode(problem_bytes(raised.document, "r1"))
    assert document == {
        "type": "urn:contact-router:problem:offer_gone",
        "title": "The offer is no longer pending",
        "status": 409,
        "code": "offer_gone",
        "request_id": "r1",
        "state": "expired",
        "seq": 7,
        "applied": "no",
    }


@pytest.mark.parametrize(
    ("body", "field"),
    [
        (b'{"channel":"zz!"}', "$.channel"),
        (b'{"channel":"v","zzz - at `$.x`":1}', "$"),
        (b'{"channel":"v","skills":{"ZZ":1}}', "$.skills"),
        (b'{"channel":"v","skills":{"a":99}}', "$.skills[...]"),
        (b"{}", "$"),
    ],
)
def test_a_validation_error_names_the_field_and_no_value(body: bytes, field: str) -> None:
    with pytest.raises(msgspec.ValidationError) as caught:
        msgspec.json.decode(body, type=ContactFields)
    document = invalid(caught.value).document
    assert document.field == field
    assert "zz" not in document.detail.lower()
