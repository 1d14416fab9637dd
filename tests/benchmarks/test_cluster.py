"""The harness for routers on a store: a short run on real processes, and the computed table."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from benchmarks.cluster.measure_cluster import Measured, estimate
from tests.support.redis_server import valkey_program

SCRIPT = Path(__file__).parents[2] / "benchmarks" / "cluster" / "measure_cluster.py"


@pytest.mark.parametrize("name", ["files", "replica_fsync", "2 nodes, 1 ws"])
def test_a_short_run_gives_every_figure(tmp_path: Path, name: str) -> None:
    target = tmp_path / "figures.json"
    options = ("--only", name, "--seconds", "0.4", "--desktops", "20", "--program", valkey_program(), "--json", str(target))
    done = subprocess.run((sys.executable, str(SCRIPT), *options), capture_output=True, text=True, timeout=110)
    assert done.returncode == 0, done.stderr
    [found] = json.loads(target.read_bytes())
    assert found["name"] == name and found["errors"] == 0 and found["per_s"] > 5
    assert 0 < found["p50_ms"] <= found["p99_ms"]
    is_on_store = name != "files"
    assert (found["store_bytes"] > 500) == (found["store_us"] >= 0 and is_on_store)
    assert (found["others_us"] > 0) == ("nodes" in name) and found["leader_us"] > 0
    assert ("Computed lifecycles" in done.stdout) == ("nodes" in name)
    assert found["replica_us"] >= 0


@pytest.mark.slow
def test_everyone_returns_from_a_storm_over_three_routers(tmp_path: Path) -> None:
    """Only correctness: every desktop is back, and no contact of those who stayed is lost."""
    target = tmp_path / "figures.json"
    options = ("--nodes", "3", "--desktops", "60", "--served", "6", "--rate", "10", "--calm-s", "1", "--program", valkey_program())
    script = SCRIPT.with_name("measure_storm.py")
    done = subprocess.run(
        (sys.executable, str(script), *options, "--json", str(target)), capture_output=True, text=True, timeout=110
    )
    assert done.returncode == 0, done.stderr
    [found] = json.loads(target.read_bytes())
    assert found["errors"] == {} and found["resumed"] == 60 and found["completed"] > 0, found


def test_the_table_names_what_limits() -> None:
    one = Measured(
        name="x", per_s=1, leader_us=100, others_us=300, store_us=50, replica_us=0, store_bytes=1, p50_ms=1, p99_ms=1, errors=0
    )
    for cores, workspaces, rate, limit in ((4, 1, 4e6 / 450, "cores"), (16, 1, 1e4, "leader"), (64, 64, 2e4, "server")):
        assert estimate(one, cores=cores, workspaces=workspaces) == (rate, limit)
