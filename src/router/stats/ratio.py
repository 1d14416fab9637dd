"""A share that is nothing, and not zero, where nothing has been counted."""


def ratio(part: int, whole: int) -> float | None:
    """``part / whole``; none when the whole is nothing."""
    return part / whole if whole else None
