"""Checks of names in a policy: undeclared and duplicate names. Messages never repeat an undeclared name."""

from collections.abc import Collection, Iterable, Iterator
from difflib import get_close_matches
from typing import Final

from router.model.errors import Problem

# Suggestions compare with every declared name, so they are made for short lists only.
_SUGGEST_FROM_MAX: Final = 500


def repeated(path: str, names: Iterable[str], *, below: str = "") -> Iterator[Problem]:
    """Yield a problem for each repeated name of a list."""
    seen = set()
    for index, name in enumerate(names):
        if name in seen:
            yield Problem(path=f"{path}[{index}]{below}", message="duplicate entry")
        seen.add(name)


def unknown(path: str, what: str, name: str, declared: Collection[str]) -> Problem:
    """Return the problem of an undeclared name, with the most similar declared one as a suggestion."""
    close = get_close_matches(name, declared, n=1) if len(declared) <= _SUGGEST_FROM_MAX else []
    hint = f"; there is {close[0]}" if close else ""
    return Problem(path=path, message=f"no such {what} is declared{hint}")
