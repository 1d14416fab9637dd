"""Recorded days of real contact centres. Their data is not part of the project; without it, these tests are skipped."""

import os
from pathlib import Path
from typing import Final

import pytest
from msgspec import Struct

DATA: Final = Path(os.environ.get("CONTACT_ROUTER_DATA", "recorded-days"))
VANAD: Final = DATA / "vanad-2014"
BANK: Final = DATA / "bank-1999" / "february1999.csv.gz"

needs_data: Final = pytest.mark.skipif(
    not VANAD.is_dir() or not BANK.is_file(),
    reason="no recorded days: set CONTACT_ROUTER_DATA to the folder with vanad-2014 and bank-1999",
)


class RecordedDay(Struct, frozen=True):
    """Results of another simulation of the same day with the same assumptions."""

    day: str
    wrap_up_s: int
    mean_wait_s: float
    abandoned: int


# One FIFO over all skills, longest idle agent, agents off duty in gaps over ten minutes. How that simulation treats an abandoned
# call that is answered after all, and events of the same second, is not known, so that values can only be compared approximately.
REFERENCE: Final = (
    RecordedDay("2014-03-10", 0, 18.3, 155),
    RecordedDay("2014-03-10", 10, 25.3, 211),
    RecordedDay("2014-03-10", 20, 48.8, 256),
    RecordedDay("2014-03-10", 30, 110.0, 258),
    RecordedDay("2014-06-25", 0, 55.7, 433),
    RecordedDay("2014-06-25", 10, 76.5, 566),
    RecordedDay("2014-06-25", 20, 94.8, 681),
    RecordedDay("2014-06-25", 30, 190.0, 808),
)
