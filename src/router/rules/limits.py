"""How much a policy document may be. What is beyond is refused with a problem that names the limit."""

from typing import Final

SIZE_BYTES_MAX: Final = 1 << 20
# A policy is five levels deep; the rest is room for what is to come.
DEPTH_MAX: Final = 16
# A document that is wrong from end to end: nobody reads more.
PROBLEM_COUNT_MAX: Final = 1_000
# Longer than any number that a policy may hold; keeps int() from working through a megabyte of digits.
NUMBER_LENGTH_MAX: Final = 20
# A rule expression is bounded before the library sees it: its length, its words, how deep its brackets go.
EXPRESSION_LENGTH_MAX: Final = 1_000
EXPRESSION_TOKENS_MAX: Final = 300
EXPRESSION_DEPTH_MAX: Final = 16
# A regular expression runs in linear time, but its program grows with its length and its counted repetitions.
PATTERN_LENGTH_MAX: Final = 128
PATTERN_REPEAT_MAX: Final = 100
# Expressions in one policy, entry rules and queues together.
EXPRESSIONS_MAX: Final = 200
# Remembered outcomes of one expression; when there are more, it begins anew.
MEMO_ENTRIES_MAX: Final = 1_024
