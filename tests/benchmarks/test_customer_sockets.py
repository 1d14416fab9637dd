"""The benchmark of customers' sockets: its short form tells everyone their own, and no more. Speed is not asserted."""

import subprocess
import sys
from pathlib import Path

import pytest

from benchmarks.figures import load

SCRIPT = Path(__file__).parents[2] / "benchmarks" / "server" / "bench_customer_sockets.py"


@pytest.mark.slow
@pytest.mark.timeout(200)
def test_the_short_form_tells_every_customer_and_no_other(tmp_path: Path) -> None:
    file = tmp_path / "customers.json"
    command = [sys.executable, str(SCRIPT), "--quick", "--customers", "150", "--json", str(file)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=180, check=False)
    assert done.returncode == 0, done.stderr
    result = load(file)
    assert result.details["errors"] == {}
    assert {"socket_kib", "own_p99_ms", "place_max_ms", "hold_connect_ms", "hold_place_ms"} <= {one.id for one in result.figures}
