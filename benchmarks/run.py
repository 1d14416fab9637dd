"""Runs every ``benchmarks/*/bench_*.py``, one after the other, and prints their figures.

    python benchmarks/run.py [--full] [NAME ...]

Without ``--full`` each benchmark runs in its short form: with ``--quick`` where it has that option, else with ``--seconds 1``
where it has that one. Names pick some: ``core``, ``journal``, ``edge``. A benchmark that fails makes the whole fail; the others
still run.
"""

import argparse
import os
import platform
import subprocess
import sys
from pathlib import Path
from time import perf_counter

HERE = Path(__file__).parent


def commit() -> str:
    """The commit that is measured; a star where there are changes beside it."""
    try:
        head = _git("rev-parse", "--short", "HEAD")
        return head + ("*" if _git("status", "--porcelain", "--untracked-files=no") else "")
    except (OSError, subprocess.CalledProcessError):
        return "unknown"


def _git(*arguments: str) -> str:
    return subprocess.run(
        ("git", *arguments), cwd=HERE, capture_output=True, text=True, check=True
    ).stdout.strip()


def short_options(script: Path) -> list[str]:
    """What makes this benchmark short."""
    text = subprocess.run(
        (sys.executable, str(script), "--help"), capture_output=True, text=True, check=True
    ).stdout
    if "--quick" in text:
        return ["--quick"]
    return ["--seconds", "1"] if "--seconds" in text else []


def main() -> int:
    """Run them; the number of those that failed."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("names", nargs="*", help="core, journal, edge …; none: all")
    parser.add_argument("--full", action="store_true", help="the long form of each")
    parser.add_argument("--quick", action="store_true", help="the short form, which is the default")
    options = parser.parse_args()
    scripts = [
        script
        for script in sorted(HERE.glob("*/bench_*.py"))
        if not options.names or script.parent.name in options.names
    ]
    print(
        f"commit {commit()}, Python {platform.python_version()}, {platform.system()} {platform.machine()}, {os.cpu_count()} CPUs"
    )
    failed = 0
    for script in scripts:
        arguments = [] if options.full else short_options(script)
        name = script.relative_to(HERE)
        print(f"\n=== {name} {' '.join(arguments)}".rstrip(), flush=True)
        began = perf_counter()
        result = subprocess.run((sys.executable, str(script), *arguments), check=False)
        failed += result.returncode != 0
        print(f"--- {name}: {perf_counter() - began:.0f} s", flush=True)
    return failed


if __name__ == "__main__":
    sys.exit(main())
