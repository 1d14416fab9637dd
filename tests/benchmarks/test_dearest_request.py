"""The benchmark of the longest hold of the event loop: its short form sends every request of every role. Speed is not asserted."""

import subprocess
import sys
from argparse import Namespace
from pathlib import Path

import pytest

from benchmarks.figures import load
from benchmarks.server.bench_dearest_request import HOLD_MS_TARGET, requests

ROOT = Path(__file__).parents[2]
SCRIPT = ROOT / "benchmarks" / "server" / "bench_dearest_request.py"
ROLES = {"gateway", "agent", "supervisor", "admin", "operator"}


@pytest.mark.slow
@pytest.mark.timeout(300)
def test_the_short_form_prints_every_request_of_every_role(tmp_path: Path) -> None:
    file = tmp_path / "dearest.json"
    size = ["--live", "600", "--ended", "100", "--agents", "40", "--queues", "30", "--repeats", "1", "--rate", "50"]
    command = [sys.executable, str(SCRIPT), "--quick", *size, "--json", str(file)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=280, check=False)
    assert done.returncode == 0, done.stderr
    result = load(file)
    expected = [(who.partition(":")[0], title) for who, title, _ in requests(Namespace(live=600, ended=100, agents=40, queues=30))]
    assert {role for role, _ in expected} == ROLES
    assert [figure.title for figure in result.figures] == [f"{role}: {title}" for role, title in expected]
    printed = [line.split(maxsplit=1) for line in done.stdout.splitlines() if " ms hold " in line]
    assert [line[0] for line in printed] == [role for role, _ in expected]
    for (_, title), line in zip(expected, printed, strict=True):
        assert line[1].startswith(title)
    # One request is listed as indivisible; each other one has the target.
    without_target = [figure.title for figure in result.figures if figure.target is None]
    assert without_target == ["admin: policy that changes everything"]
    assert all(figure.target in (None, HOLD_MS_TARGET) and figure.baseline is not None for figure in result.figures)
