"""What ends a replay before its report."""

from collections.abc import Iterator

from router.client.errors import ClientError
from router.model.errors import RouterError


class ReplayFailed(RouterError):
    """The day cannot be played: no router there, a policy that does not fit, a connection closed for good."""


def failure_in(error: BaseException) -> RouterError | None:
    """The reason that a person can do something about, out of a group of errors; None where it is a fault of the program."""
    for leaf in _leaves(error):
        if isinstance(leaf, RouterError):
            return leaf
    for leaf in _leaves(error):
        if isinstance(leaf, ClientError):
            return ReplayFailed(f"{type(leaf).__name__}: {leaf}")
    return None


def _leaves(error: BaseException) -> Iterator[BaseException]:
    if isinstance(error, BaseExceptionGroup):
        for inner in error.exceptions:
            yield from _leaves(inner)
    else:
        yield error
