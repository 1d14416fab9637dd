"""How much a policy document may be. What is beyond is refused with a problem that names the limit."""

from typing import Final

SIZE_BYTES_MAX: Final = 1 << 20
# A policy is five levels deep; the rest is room for what is to come.
DEPTH_MAX: Final = 16
# A document that is wrong from end to end: nobody reads more.
PROBLEM_COUNT_MAX: Final = 1_000
# Longer than any number that a policy may hold; keeps int() from working through a megabyte of digits.
NUMBER_LENGTH_MAX: Final = 20
