"""Application: the composition root that builds and supervises all parts (``composition``), and its process (``process``)."""

from router.app.composition import App
from router.app.process import (
    EXIT_FAILED,
    EXIT_JOURNAL,
    EXIT_OK,
    EXIT_SETTINGS,
    main_accept_history_loss,
    main_serve,
    serve,
    show_first_token,
)

__all__ = [
    "App",
    "serve",
    "main_serve",
    "main_accept_history_loss",
    "show_first_token",
    "EXIT_OK",
    "EXIT_FAILED",
    "EXIT_SETTINGS",
    "EXIT_JOURNAL",
]
