"""The ``router`` command: parsing, printing and exit codes; the work is done in the rooms below.

Exit codes: 0 done, 1 failed (or problems were found), 2 a usage or settings error, 3 the journal. People get tables and
progress on the terminal; with ``--json`` standard output is JSON and nothing else. Errors are one line on standard error, never
a traceback. Rooms are imported inside the commands, so that ``router --help`` is quick.
"""

import importlib.util
from typing import Any

import click

from router import __version__
from router.cli.doctor import doctor
from router.cli.output import failure_of
from router.cli.policy import policy
from router.cli.serve import serve
from router.cli.shadow import shadow
from router.cli.simulate import simulate
from router.cli.token import token
from router.cli.verify import verify
from router.model.errors import RouterError


class RouterGroup(click.Group):
    """Tells the router's own errors in one line."""

    def invoke(self, ctx: click.Context) -> Any:
        """Run the command."""
        try:
            return super().invoke(ctx)
        except RouterError as error:
            raise failure_of(error) from error


@click.group(cls=RouterGroup, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, prog_name="router")
def cli() -> None:
    """Contact Router: an asynchronous, real-time routing engine for contact centres."""


cli.add_command(serve)
cli.add_command(policy)
cli.add_command(token)
cli.add_command(verify)
cli.add_command(doctor)
cli.add_command(shadow)
cli.add_command(simulate)


def _add_rooms_that_are_there() -> None:
    """An installation may leave the demo and the replay out; then there is no such command."""
    if importlib.util.find_spec("router.replay.main") is not None:
        from router.cli.replay import replay

        cli.add_command(replay)
    if importlib.util.find_spec("router.demo.main") is not None:
        from router.cli.demo import demo

        cli.add_command(demo)


_add_rooms_that_are_there()


def main() -> None:
    """The console script."""
    cli(prog_name="router")
