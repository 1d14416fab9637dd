"""Results of the entry rules since the policy took effect, counted from events, so that a restart loses nothing."""

from msgspec import Struct, field


class RuleCounts(Struct, kw_only=True):
    """Number of contacts by the rule that matched and by the rules that failed to evaluate. Primary state."""

    since_ms: int = 0
    """When the policy was published, epoch milliseconds."""
    by_default: int = 0
    """Contacts that named no queue and matched no rule."""
    matched: dict[str, int] = field(default_factory=dict)
    failed: dict[str, int] = field(default_factory=dict)

    def count(self, rule: str | None, failed: tuple[str, ...]) -> None:
        """Count one classified contact."""
        if rule is None:
            self.by_default += 1
        else:
            self.matched[rule] = self.matched.get(rule, 0) + 1
        for name in failed:
            self.failed[name] = self.failed.get(name, 0) + 1

    @property
    def classified(self) -> int:
        """Return the number of classified contacts."""
        return self.by_default + sum(self.matched.values())
