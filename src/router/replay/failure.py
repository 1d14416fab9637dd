"""Error that ends a load test before its report."""

from collections.abc import Iterator

from router.client.errors import ClientError
from router.model.errors import RouterError


class ReplayFailed(RouterError):
    """Load test that cannot run: no router answers, the policy does not fit, or a connection was closed permanently."""


def failure_in(error: BaseException) -> RouterError | None:
    """Return the error in a group that the user can correct, or None if the group contains only programming errors."""
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
