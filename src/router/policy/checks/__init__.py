"""Checks of policies: ``consistency`` finds errors, ``sections`` checks calendars and plans, ``advice`` finds likely mistakes."""
