"""Exceptions of the client: what a refusal carries."""

from router.client.errors import ClientError, OutcomeUnknown, PermanentlyClosed, RouterRefused
from router.protocol.frames import ErrorFrame


def test_a_refusal_has_the_code_the_text_and_the_frame() -> None:
    frame = ErrorFrame(code="queue_full", title="Queue full", detail="support", temporary=True)
    refused = RouterRefused(frame)
    assert str(refused) == "queue_full: Queue full (support)"
    assert (refused.code, refused.temporary, refused.error) == ("queue_full", True, frame)


def test_a_refusal_without_detail_has_no_empty_parentheses() -> None:
    assert str(RouterRefused(ErrorFrame(code="queue_full", title="Queue full"))) == ("queue_full: Queue full")


def test_the_close_code_is_part_of_the_text() -> None:
    closed = PermanentlyClosed(4503, "forbidden")
    assert (str(closed), closed.code) == ("closed with 4503: forbidden", 4503)


def test_all_exceptions_have_one_base_class() -> None:
    for kind in (RouterRefused, OutcomeUnknown, PermanentlyClosed):
        assert issubclass(kind, ClientError)
