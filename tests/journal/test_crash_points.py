"""Crash points: named, counted, and absent where not configured."""

import pytest

from router.journal.crash_points import CRASH_POINTS, crash_point
from router.model.errors import SettingsInvalid


class TestCrashPoints:
    def test_an_unconfigured_point_is_none(self) -> None:
        assert [crash_point(name, {}) for name in CRASH_POINTS] == [None] * len(CRASH_POINTS)
        assert crash_point("before_commit", {"CRASH_AT": "after_commit:3"}) is None
        assert crash_point("after_commit", {"CRASH_AT": "after_commit:3"}) is not None

    @pytest.mark.parametrize("text", ["nowhere", "after_commit:0", "after_commit:x", "nowhere:3"])
    def test_an_unknown_point_is_rejected(self, text: str) -> None:
        with pytest.raises(SettingsInvalid):
            crash_point("after_commit", {"CRASH_AT": text})
