"""Close codes: which of them ask a client to reconnect."""

import pytest

from router.protocol.close_codes import CloseCode, may_reconnect


@pytest.mark.parametrize("code", [None, 1001, 1006, 1011, 1012, 1013, 4401, 4408, 4410, 4429])
def test_reconnect_is_allowed_for_these_codes(code: int | None) -> None:
    assert may_reconnect(code)


@pytest.mark.parametrize("code", [1002, 1003, 1007, 1009, 4500, 4501, 4503, 4509])
def test_reconnect_is_not_allowed_for_these_codes(code: int) -> None:
    assert not may_reconnect(code)


def test_a_code_knows_whether_to_reconnect() -> None:
    assert CloseCode.SLOW_CONSUMER.may_reconnect
    assert not CloseCode.FORBIDDEN.may_reconnect
