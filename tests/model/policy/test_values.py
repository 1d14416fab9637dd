"""Types of single values."""

from typing import Any

import msgspec
import pytest

from router.model.policy import AttributesPatch, SkillsPatch


@pytest.mark.parametrize(("patch", "most"), [(SkillsPatch, 64), (AttributesPatch, 128)])
def test_a_merge_patch_has_a_limit(patch: Any, most: int) -> None:
    within = {f"name_{n}": 1 for n in range(most)}
    assert msgspec.convert(within, patch) == within
    with pytest.raises(msgspec.ValidationError):
        msgspec.convert(within | {"another": 1}, patch)
