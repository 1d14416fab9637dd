"""A manual clock and a counting projection for tests of the writer."""

from collections.abc import Callable

from router.model.states import WorkspaceId
from router.runtime.recovery import WholeImage

# Longer than any test, so that no timer fires by itself.
_NEVER_S = 3_600.0


class ManualClock:
    """A clock that stands still until ``advance``, which wakes the writer."""

    def __init__(self, now_ms: int) -> None:
        self._now_ms = now_ms
        self.on_advance: Callable[[], None] = lambda: None

    def now_ms(self) -> int:
        return self._now_ms

    def set_minimum(self, at_ms: int) -> None:
        self._now_ms = max(self._now_ms, at_ms)

    def delay_s(self, at_ms: int) -> float:
        return 0.0 if at_ms <= self._now_ms else _NEVER_S

    def drift_ms(self) -> int:
        return 0

    def advance(self, by_ms: int) -> None:
        self._now_ms += by_ms
        self.on_advance()


class CountingStats:
    """A projection that checks that every event is applied exactly once and in order."""

    def __init__(self, workspace: WorkspaceId) -> None:
        self.workspace = workspace
        self.seqs = 0
        self.last_seq = 0

    def apply(self, event: object, seq: int, at_ms: int) -> None:
        assert seq == self.last_seq + 1
        self.last_seq = seq
        self.seqs += 1

    def prepare_snapshot(self) -> bool:
        return False

    def incremental_snapshot(self) -> WholeImage:
        return WholeImage([f"{self.seqs} {self.last_seq}".encode()])

    def restore(self, snapshot: bytes) -> None:
        self.seqs, self.last_seq = map(int, snapshot.split())
