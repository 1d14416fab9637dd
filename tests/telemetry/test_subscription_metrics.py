"""Metrics and log lines of subscriptions, with a real event feed whose handler fails."""

import asyncio
import io
import json
from collections.abc import Iterator

import pytest
import structlog
from prometheus_client import CollectorRegistry
from prometheus_client.exposition import generate_latest

from router.journal.memory import MemoryJournal
from router.runtime.event_feed import EventFeed, SubscriptionState, SubscriptionStatus
from router.runtime.publisher import PublishedRecord, Publisher
from router.telemetry.logs import configure_logs
from router.telemetry.subscription_metrics import SubscriptionLog, SubscriptionMetrics
from tests.support.journal_records import a_record


@pytest.fixture
def out() -> Iterator[io.StringIO]:
    stream = io.StringIO()
    configure_logs("info", stream=stream)
    yield stream
    structlog.reset_defaults()


def actions(out: io.StringIO) -> list[str]:
    return [json.loads(line)["action"] for line in out.getvalue().splitlines()]


class FailingHandler:
    """A handler that fails a number of times."""

    def __init__(self, failures: int) -> None:
        self.failures = failures

    async def __call__(self, published: PublishedRecord) -> None:
        if self.failures:
            self.failures -= 1
            raise ValueError("the subscriber failed")


async def deliver(handler: FailingHandler, *, attempts_max: int | None = None) -> EventFeed:
    """Return a feed after it has delivered one record to the handler."""
    journal, publisher = MemoryJournal(), Publisher(workspace_records_max=10)
    feed = EventFeed(publisher, journal, observer=SubscriptionLog(), retry_min_s=0.0, retry_max_s=0.0)
    await journal.open()
    history = await journal.create_workspace("main")
    publisher.add_workspace("main", history.history_id, last_seq=0)
    feed.subscribe("webhooks", handler, attempts_max=attempts_max)
    record = a_record(1)
    await journal.append([("main", record)])
    publisher.publish("main", record)
    for _ in range(100):
        await asyncio.sleep(0)
    assert feed.statuses()[0].lag_events == 0
    return feed


def page(feed: EventFeed) -> str:
    registry = CollectorRegistry()
    SubscriptionMetrics(registry, feed.statuses)
    return generate_latest(registry).decode()


async def test_a_recovered_subscription_is_live_and_counts_its_failures(out: io.StringIO) -> None:
    feed = await deliver(FailingHandler(failures=2))
    text = page(feed)
    assert 'router_subscription_live{subscription="webhooks"} 1.0' in text
    assert 'router_subscription_lag_events{subscription="webhooks"} 0.0' in text
    assert 'router_subscription_failures_total{subscription="webhooks"} 2.0' in text
    assert 'router_subscription_recoveries_total{subscription="webhooks"} 1.0' in text
    assert actions(out) == ["subscriber_failed", "subscriber_failed", "subscriber_recovered"]
    await feed.close()


async def test_a_skipped_record_is_counted_and_logged_without_its_contents(out: io.StringIO) -> None:
    feed = await deliver(FailingHandler(failures=3), attempts_max=3)
    text = page(feed)
    assert 'router_subscription_skipped_records_total{subscription="webhooks"} 1.0' in text
    assert actions(out)[-1] == "record_skipped"
    line = json.loads(out.getvalue().splitlines()[-1])
    assert (line["first_seq"], line["events"]) == (1, 1)
    assert "contact_id" not in line
    await feed.close()


def test_a_subscription_that_retries_is_not_live() -> None:
    registry = CollectorRegistry()
    status = SubscriptionStatus(
        name="shadow",
        state=SubscriptionState.RETRYING,
        lag_events=12,
        failures=1,
        recoveries=0,
        skipped_records=0,
        last_error="ValueError",
    )
    SubscriptionMetrics(registry, lambda: [status])
    text = generate_latest(registry).decode()
    assert 'router_subscription_live{subscription="shadow"} 0.0' in text
    assert 'router_subscription_lag_events{subscription="shadow"} 12.0' in text
