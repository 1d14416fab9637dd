"""The call trace of a submit through a live router, and its limit of source files."""

import inspect
import subprocess
import sys
from pathlib import Path
from typing import Final

import pytest

import router
from router.engine import engine
from router.journal.sqlite import journal_file
from router.server.http import submit_handler

SCRIPT: Final = Path(__file__).parents[2] / "benchmarks" / "trace" / "trace_submit.py"
FILES_MAX: Final = 45
"""A timer that expires during the trace can add some: the test takes the best of five traces."""
CALLED: Final = {
    Path(inspect.getfile(module)).relative_to(Path(inspect.getfile(router)).parent).as_posix()
    for module in (submit_handler, engine, journal_file)
}


@pytest.mark.parametrize(("files_max", "exit_code"), [(FILES_MAX, 0), (1, 1)])
def test_a_submit_calls_a_limited_number_of_files_until_its_offer(files_max: int, exit_code: int) -> None:
    for _ in range(5):
        done = subprocess.run(
            (sys.executable, str(SCRIPT), "--files-max", str(files_max)), capture_output=True, text=True, check=False, timeout=120
        )
        if done.returncode == exit_code:
            break

    assert done.returncode == exit_code, done.stderr
    files = [line for line in done.stdout.splitlines() if line.endswith(".py")]
    assert set(files) >= CALLED
    assert len(files) == len(set(files)) <= FILES_MAX
    assert f"{len(files)} files" in done.stdout.splitlines()[-1]
