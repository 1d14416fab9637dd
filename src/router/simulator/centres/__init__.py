"""Centres that ship with the package: workload files of our own making, for the demo and for tests."""

from pathlib import Path
from typing import Final

SMALL: Final = Path(__file__).with_name("small.yaml")
"""16 agents, four queues, voice and chat, one day of about a thousand contacts."""
