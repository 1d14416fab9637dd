"""What the entry rules have done since the policy came into force: counted from events, so a restart forgets nothing."""

from msgspec import Struct, field


class RuleCounts(Struct, kw_only=True):
    """Contacts by the rule that decided and by the rules that failed for them. Primary state."""

    since_ms: int = 0
    """When the policy was published."""
    by_default: int = 0
    """Contacts that named no queue and for which no rule held."""
    matched: dict[str, int] = field(default_factory=dict)
    failed: dict[str, int] = field(default_factory=dict)

    def count(self, rule: str | None, failed: tuple[str, ...]) -> None:
        """A contact was classified."""
        if rule is None:
            self.by_default += 1
        else:
            self.matched[rule] = self.matched.get(rule, 0) + 1
        for name in failed:
            self.failed[name] = self.failed.get(name, 0) + 1

    @property
    def classified(self) -> int:
        """All contacts that were."""
        return self.by_default + sum(self.matched.values())
