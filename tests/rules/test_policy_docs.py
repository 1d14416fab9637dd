"""The page about the policy names every key that there is."""

from pathlib import Path

import msgspec
import pytest

from router.model.policy import (
    AgentsPolicy,
    ChannelPolicy,
    EntryRule,
    EntryWhen,
    FactPolicy,
    Policy,
    QueuePolicy,
    RetentionPolicy,
    RonaPolicy,
    Selection,
    ServiceLevelPolicy,
    StepPolicy,
)

PAGE = (Path(__file__).parents[2] / "docs" / "policy.md").read_text()
PREFIXES: dict[type[msgspec.Struct], str] = {
    Policy: "",
    ChannelPolicy: "",
    QueuePolicy: "",
    FactPolicy: "",
    EntryRule: "",
    EntryWhen: "when.",
    RonaPolicy: "rona.",
    ServiceLevelPolicy: "service_level.",
    AgentsPolicy: "agents.",
    RetentionPolicy: "retention.",
    StepPolicy: "",
}


@pytest.mark.parametrize("struct", PREFIXES)
def test_every_key_has_its_row(struct: type[msgspec.Struct]) -> None:
    for field in struct.__struct_fields__:
        place = f"{PREFIXES[struct]}{field}"
        assert f"| `{place}` |" in PAGE or f"| `{place}." in PAGE, place


@pytest.mark.parametrize("selection", Selection)
def test_every_selection_is_named(selection: Selection) -> None:
    assert f"`{selection}`" in PAGE
