"""The commands of docs/how-to/analyse.md, typed as they stand there in a directory with a journal."""

import re
from pathlib import Path

from msgspec import structs

from router.simulator.run import SimulationSpec, first_day
from tests.support.recorded_journal import simulated_records, write_journal
from tests.support.terminal_session import REPOSITORY, TerminalSession

PAGE = (REPOSITORY / "docs/how-to/analyse.md").read_text()
MORNING_MS = 1_773_129_600_000  # 2026-03-10T08:00:00Z


def test_the_commands_of_the_page_work(tmp_path: Path) -> None:
    day = first_day(SimulationSpec(workload=str(REPOSITORY / "benchmarks/scenarios/what_if/day.yaml")))[0]
    short = structs.replace(day, contacts=[contact for contact in day.contacts if contact.at_ms < 3_600_000])
    write_journal(tmp_path / "var", simulated_records(short.shifted(MORNING_MS)))
    reader = TerminalSession(tmp_path)
    reader.type(". .venv/bin/activate")
    (block,) = re.findall(r"^```\n(router .*?)^```$", PAGE, re.DOTALL | re.MULTILINE)
    export, *rest = block.splitlines()
    assert "129 contacts, 15 agents" in reader.type(f"{export} 2>&1")
    (tmp_path / "tomorrow.yaml").write_text((tmp_path / "today.yaml").read_text())
    *simulations, report = rest
    for command in simulations:
        assert "answered" in reader.type(command)
    assert "day.html" in reader.type(report)
    assert (tmp_path / "day.html").read_text().startswith("<!doctype html>")
    assert (tmp_path / "day.svg").read_text().startswith("<svg")
