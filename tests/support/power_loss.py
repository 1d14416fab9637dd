"""Tests of power failures: a router whose disk is recorded, and the images of the disk at every cut of the recording.

The recording is made by ``disk_recorder``, the images by ``disk_images``. What every image must hold is the caller's: a function
that starts something on the image and compares it with what was acknowledged before the cut.
"""

import asyncio
import os
import random
import tempfile
from collections.abc import Awaitable, Callable, Iterator, Sequence
from contextlib import contextmanager
from itertools import islice
from pathlib import Path
from typing import Any, Final

from tests.support.disk_images import DiskImages, Entry
from tests.support.disk_recorder import append_entry, read_entries
from tests.support.router_process import RouterProcess

REPOSITORY: Final = Path(__file__).parents[2]
IS_LONG: Final = os.environ.get("POWER_LOSS") == "all"
IMAGES_MAX: Final = 10**9 if IS_LONG else 120
TORN_SEEDS: Final = 6 if IS_LONG else 2

Inspection = Callable[[Path, Sequence[str]], Awaitable[str]]
"""Starts on the image in a directory and returns what is missing of what was acknowledged, "" for nothing. Raises what refuses."""


class RecordedRouter:
    """A router whose disk is recorded over several processes."""

    def __init__(self, directory: Path, **settings: Any) -> None:
        self.process = RouterProcess(directory, **settings)
        self.process.program = (str(REPOSITORY / "tests/integration/recorded_router.py"),)
        self.root = directory / "var"
        self.log = directory / "disk.log"
        self.log_descriptor = os.open(self.log, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
        self.root.mkdir(mode=0o700)

    def environment(self, **faults: Any) -> dict[str, str]:
        """Return what a recorded process needs."""
        place = {"RECORD_ROOT": str(self.root), "RECORD_LOG": str(self.log), "PYTHONPATH": str(REPOSITORY)}
        return place | {name.upper(): str(value) for name, value in faults.items()}

    async def start(self, *arguments: str, **faults: Any) -> None:
        await asyncio.to_thread(self.process.start, *arguments, **self.environment(**faults))

    def note(self, what: str) -> None:
        """Record that something was acknowledged."""
        append_entry(self.log_descriptor, ("ack", what))

    @property
    def entries(self) -> list[Entry]:
        return read_entries(self.log)


@contextmanager
def fast_directory() -> Iterator[Path]:
    """Provide a directory in memory where there is one: images need no durability."""
    memory = Path("/dev/shm")
    with tempfile.TemporaryDirectory(dir=memory if os.access(memory, os.W_OK) else None) as directory:
        yield Path(directory)


class Trial:
    """The images of one recording: how many were tried, and what went wrong."""

    def __init__(self, entries: Sequence[Entry], inspect: Inspection) -> None:
        self._entries = entries
        self._inspect = inspect
        self.images = 0
        self.lost: list[str] = []
        self.refused: list[str] = []

    async def run(self, *, images_max: int = IMAGES_MAX, first_cut: int = 0, seed: int = 1) -> "Trial":
        """Try the images at all cuts from one on, or a seeded sample of ``images_max`` of them."""
        cuts = [(cut, variant) for cut in range(first_cut, len(self._entries) + 1) for variant in ("lost", "kept", "torn")]
        chosen = sorted(random.Random(seed).sample(cuts, images_max)) if len(cuts) > images_max else cuts
        disk, played, seen = DiskImages(), 0, set()
        for cut, variant in chosen:
            for entry in islice(self._entries, played, cut):
                disk.play(entry)
            played = cut
            for torn in range(TORN_SEEDS if variant == "torn" else 1):
                fingerprint = (disk.fingerprint(variant, torn), len(disk.acknowledged))
                if fingerprint not in seen:
                    seen.add(fingerprint)
                    await self._try(disk, variant, torn, f"cut {cut}, {variant} {torn}")
        return self

    async def _try(self, disk: DiskImages, variant: str, torn: int, where: str) -> None:
        self.images += 1
        with fast_directory() as directory:
            (directory / "var").mkdir(mode=0o700)
            disk.write_to(directory / "var", variant, torn)
            try:
                missing = await self._inspect(directory, disk.acknowledged)
            except Exception as error:
                self.refused.append(f"{where}, {len(disk.acknowledged)} acknowledged: {type(error).__name__}: {error}")
                return
            if missing:
                self.lost.append(f"{where}, {len(disk.acknowledged)} acknowledged: {missing}")

    def check(self, name: str) -> None:
        """Print the number of images and fail where anything was lost or refused."""
        print(f"power loss, {name}: {self.images} images, {len(self.lost)} with losses, {len(self.refused)} refused")
        assert not self.lost and not self.refused, (self.lost[:3], self.refused[:3])
        assert self.images > 10
