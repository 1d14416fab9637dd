"""Reference pages of the policy: every key, selection, fact and function is documented."""

from pathlib import Path

import msgspec
import pytest

from router.model.policy import (
    AgentsPolicy,
    AttributeOrder,
    CalendarPolicy,
    CallbackPolicy,
    CallbackWindowsPolicy,
    ChannelPolicy,
    EntryCondition,
    EntryRule,
    FactPolicy,
    HolidaysPolicy,
    MonitoringPolicy,
    Policy,
    QueuePolicy,
    RequestPolicy,
    RetentionPolicy,
    RonaPolicy,
    Selection,
    ServiceLevelPolicy,
    StepPolicy,
    WeekPolicy,
)
from router.policy.expression_tokens import FUNCTIONS
from router.policy.expressions import QUEUE_FACTS

PAGE = (Path(__file__).parents[2] / "docs" / "reference" / "policy.md").read_text()
PREFIXES: dict[type[msgspec.Struct], str] = {
    Policy: "",
    ChannelPolicy: "",
    QueuePolicy: "",
    FactPolicy: "",
    AttributeOrder: "order_by[N].",
    CalendarPolicy: "",
    WeekPolicy: "week.",
    HolidaysPolicy: "holidays.",
    EntryRule: "",
    EntryCondition: "when.",
    CallbackPolicy: "callback.",
    RonaPolicy: "rona.",
    ServiceLevelPolicy: "service_level.",
    AgentsPolicy: "agents.",
    RetentionPolicy: "retention.",
    StepPolicy: "",
    MonitoringPolicy: "monitoring.",
    RequestPolicy: "requests.",
    CallbackWindowsPolicy: "requests.callback.",
}


@pytest.mark.parametrize("struct", PREFIXES)
def test_every_policy_key_has_a_row(struct: type[msgspec.Struct]) -> None:
    for field in struct.__struct_fields__:
        place = f"{PREFIXES[struct]}{field}"
        assert f"| `{place}` |" in PAGE or f"| `{place}." in PAGE, place


@pytest.mark.parametrize("selection", Selection)
def test_every_selection_is_documented(selection: Selection) -> None:
    assert f"`{selection}`" in PAGE


@pytest.mark.parametrize("name", sorted({*QUEUE_FACTS, *FUNCTIONS}))
def test_every_fact_and_function_of_expressions_is_documented(name: str) -> None:
    page = (Path(__file__).parents[2] / "docs" / "reference" / "rules.md").read_text()
    assert f".{name}`" in page if name in QUEUE_FACTS else name in page
