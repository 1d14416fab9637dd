"""Timed journal: it fulfils the journal contract, and observes the duration of each commit."""

import pytest
from prometheus_client import CollectorRegistry, Histogram

from router.journal.memory import MemoryJournal
from router.journal.port import Journal
from router.telemetry.timed_journal import TimedJournal
from tests.contracts.journal_contract import JournalContract
from tests.contracts.test_memory_journal import MemoryJournalStorage
from tests.support.journal_records import a_record


def a_histogram(registry: CollectorRegistry) -> Histogram:
    return Histogram("commit_seconds", "Commits.", registry=registry)


class TimedStorage(MemoryJournalStorage):
    """The storage of an in-memory journal, opened through a timed journal."""

    def journal(self) -> Journal:  # type: ignore[override]
        return TimedJournal(super().journal(), a_histogram(CollectorRegistry()))


class TestTimedJournal(JournalContract):
    @pytest.fixture
    def storage(self) -> TimedStorage:
        return TimedStorage()


async def test_each_commit_is_observed_once() -> None:
    registry = CollectorRegistry()
    journal = TimedJournal(MemoryJournal(), a_histogram(registry))
    await journal.open()
    await journal.create_workspace("main")
    await journal.append([("main", a_record(1))])
    await journal.append([("main", a_record(2)), ("main", a_record(3))])
    assert registry.get_sample_value("commit_seconds_count") == 2
    await journal.close()
