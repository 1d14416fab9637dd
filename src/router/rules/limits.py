"""Limits of policy documents and expressions. Exceeding one is a problem that names the limit."""

from typing import Final

SIZE_BYTES_MAX: Final = 1 << 20
# A policy uses five levels.
DEPTH_MAX: Final = 16
# Problems reported for one document.
PROBLEM_COUNT_MAX: Final = 1_000
# Longer than any valid number; keeps int() from parsing a megabyte of digits.
NUMBER_LENGTH_MAX: Final = 20
# Limits of a rule expression, checked before it is given to the library.
EXPRESSION_LENGTH_MAX: Final = 1_000
EXPRESSION_TOKENS_MAX: Final = 300
EXPRESSION_DEPTH_MAX: Final = 16
# A regular expression runs in linear time, but its program grows with its length and its counted repetitions.
PATTERN_LENGTH_MAX: Final = 128
PATTERN_REPEAT_MAX: Final = 100
# Expressions in one policy, of entry rules and queues together.
EXPRESSIONS_MAX: Final = 200
# Cached outcomes of one expression; a full cache is cleared.
MEMO_ENTRIES_MAX: Final = 1_024
