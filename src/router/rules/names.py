"""Names in a policy: whether they are declared, and whether they stand twice. Findings never repeat what was written."""

from collections.abc import Collection, Iterable, Iterator
from difflib import get_close_matches
from typing import Final

from router.model.errors import Problem

# Suggestions compare with every declared name: fine for a page of them, not for ten thousand.
_SUGGEST_FROM_MAX: Final = 500


def repeated(path: str, names: Iterable[str], *, below: str = "") -> Iterator[Problem]:
    """Names of a list that stand there twice."""
    seen = set()
    for index, name in enumerate(names):
        if name in seen:
            yield Problem(path=f"{path}[{index}]{below}", message="stands here twice")
        seen.add(name)


def unknown(path: str, what: str, name: str, declared: Collection[str]) -> Problem:
    """Names what is declared and looks alike, never what was written."""
    close = get_close_matches(name, declared, n=1) if len(declared) <= _SUGGEST_FROM_MAX else []
    hint = f"; there is {close[0]}" if close else ""
    return Problem(path=path, message=f"no such {what} is declared{hint}")
