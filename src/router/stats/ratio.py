"""Ratio that is none for a zero denominator."""


def ratio(part: int, whole: int) -> float | None:
    """Return ``part / whole``; none if ``whole`` is 0."""
    return part / whole if whole else None
