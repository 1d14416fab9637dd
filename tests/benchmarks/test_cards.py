"""The benchmark of cards, in a tiny form: both sides are measured, the cards come and the steps are appended."""

import subprocess
import sys
from pathlib import Path

from benchmarks.figures import load

ROOT = Path(__file__).parents[2]
TINY = ("--quick", "--seconds", "0.5", "--customers", "200", "--desktops", "10")


def test_a_tiny_run_compares_both_sides(tmp_path: Path) -> None:
    file = tmp_path / "cards.json"
    command = [sys.executable, str(ROOT / "benchmarks" / "context" / "bench_cards.py"), *TINY, "--json", str(file)]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=120)
    assert done.returncode == 0, done.stdout + done.stderr
    found = load(file)
    figures = {one.id: one for one in found.figures}
    assert figures["offer_p50.ratio"].target == 1.2
    assert figures["offer_p50.ratio"].limit == "2 rounds are too few for an interval"
    assert figures["steps_per_s"].value >= 200, "half of what is asked for, on a busy machine"
    assert figures["cards.with_offer"].value > 0.5
    rounds = found.details["rounds"]
    assert {side: len(one) for side, one in rounds.items()} == {"without": 2, "with": 2}
    assert "steps_per_s" not in rounds["without"][0]
