"""Example contact centres: workload files for the demo and for tests."""

from pathlib import Path
from typing import Final

SMALL_CENTRE: Final = Path(__file__).with_name("small.yaml")
"""Workload file of 16 agents, four queues, voice and chat, with about a thousand contacts in a day."""
