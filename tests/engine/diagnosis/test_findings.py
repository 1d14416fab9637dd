"""Findings of the doctor: names as text."""

import pytest

from router.engine.diagnosis.findings import IDS_MAX, list_names


@pytest.mark.parametrize(("count", "is_shortened"), [(1, False), (IDS_MAX, False), (IDS_MAX + 1, True)])
def test_only_a_list_beyond_the_limit_is_shortened(count: int, is_shortened: bool) -> None:
    names = [f"a{n}" for n in range(count)]
    shown = list_names(names)
    assert shown.removesuffix(" …").split(", ") == names[:IDS_MAX]
    assert shown.endswith(" …") is is_shortened
