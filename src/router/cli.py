"""The ``router`` command."""


def main() -> None:
    """Parse and run."""
    raise SystemExit("not yet")
