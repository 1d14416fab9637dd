"""Codes and advice of findings."""

from router.model.diagnosis import ADVICE, FindingCode


def test_every_finding_has_advice() -> None:
    assert ADVICE.keys() == set(FindingCode)


def test_a_code_is_the_name_in_lower_case() -> None:
    assert [code.value for code in FindingCode] == [code.name.lower() for code in FindingCode]
