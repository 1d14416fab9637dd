"""Errors of YAML documents name the file, the line and the path."""

from pathlib import Path

import pytest

from router.simulator import workload
from router.simulator import yaml_documents as documents
from router.simulator.day import WorkloadInvalid
from router.simulator.workload import Workload

TEXT = """\
name: by-hand
duration_s: 36000
streams:
  calls:
    arrivals: {per_hour: 200}
    handle: {dist: exponential, mean_s: 180}
agent_groups:
  all: {count: 14}
"""


def parsed(text: str) -> Workload:
    return documents.parse_document(text, Workload, source="day.yaml")


@pytest.mark.parametrize(
    ("old", "new", "place"),
    [
        ("mean_s: 180", "mean_s: -180", "day.yaml:6: streams.calls.handle.mean_s: "),
        ("mean_s: 180", "men_s: 180", "day.yaml:6: streams.calls.handle: "),
        ("exponential", "exponentail", "day.yaml:6: streams.calls.handle.dist: "),
        ("per_hour: 200", "per_hour: 200, period_s: 9", "day.yaml:5: streams.calls.arrivals: "),
        ("per_hour: 200", "per_hour: 200, every_s: 9", "day.yaml:5: streams.calls.arrivals: "),
        ("per_hour: 200", "per_day: 200", "day.yaml:5: streams.calls.arrivals: "),
        ("count: 14", "count: many", "day.yaml:8: agent_groups.all.count: "),
        ("count: 14", "count: 14, period_s: 9", "day.yaml:8: agent_groups.all: "),
        ("name: by-hand", "name: By Hand", "day.yaml:1: name: "),
        ("name: by-hand", "name: a\nname: b", "day.yaml:2: "),
        ("duration_s: 36000", "duration_s: 10\nwarm_up_s: 10", r"day.yaml:1: the document: .*warm_up_s"),
        ("streams:", "colour: red\nstreams:", "day.yaml:.*unknown field `colour`"),
    ],
)
def test_an_error_names_file_line_and_path(old: str, new: str, place: str) -> None:
    with pytest.raises(WorkloadInvalid, match=place):
        parsed(TEXT.replace(old, new))


def test_the_invalid_stream_of_several_is_named() -> None:
    more = TEXT.replace(
        "agent_groups:", "  chats:\n    arrivals: {per_hour: 30}\n    handle: {dist: constant, value_s: -1}\nagent_groups:"
    )
    with pytest.raises(WorkloadInvalid, match=r"day.yaml:9: streams\.chats\.handle\.value_s"):
        parsed(more)


def test_a_missing_file_and_invalid_yaml_are_reported(tmp_path: Path) -> None:
    with pytest.raises(WorkloadInvalid, match="cannot be read"):
        workload.load_workload(tmp_path / "nowhere.yaml")
    broken = tmp_path / "broken.yaml"
    broken.write_text("a: [1, 2\nb: 3\n")
    with pytest.raises(WorkloadInvalid, match=r"broken.yaml:\d+: .*not YAML"):
        workload.load_workload(broken)
