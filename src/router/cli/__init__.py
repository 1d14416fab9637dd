"""Command line interface ``router``: argument parsing, output and exit codes.

The commands contain no logic of their own; they call the packages below. Conventions of all commands:

* Exit codes: 0 success, 1 failure (or problems were found), 2 usage or settings error, 3 journal error.
* Output: tables and a progress bar on a terminal; with ``--json``, standard output carries JSON and nothing else.
* Errors: one line on standard error, never a traceback.
* Start-up: packages are imported inside the commands, so that ``router --help`` does not load the server or the engine.
"""

import errno
import importlib.util
import io
import sys
from typing import Any

import click

from router import __version__
from router.cli.cluster import cluster
from router.cli.customers import customer, customer_journey
from router.cli.diagnosis import doctor, journal, verify
from router.cli.export import export
from router.cli.maintenance import backup
from router.cli.output import CommandFailure, to_command_failure
from router.cli.personal_data import audit_personal, redact
from router.cli.policy import policy
from router.cli.policy_schedule import cancel, schedule
from router.cli.policy_versions import diff, rollback, show, versions
from router.cli.records import records
from router.cli.report import report
from router.cli.serve import init, serve, token
from router.cli.shadow import shadow
from router.cli.simulation import simulate
from router.cli.transfer import discard_import, export_command, import_command
from router.cli.workspaces import workspace
from router.model.errors import RouterError


class RouterCommandGroup(click.Group):
    """Command group that reports a ``RouterError``, and output that cannot be written, in one line instead of a traceback."""

    def invoke(self, ctx: click.Context) -> Any:
        """Run the selected command and convert a ``RouterError`` to a click exception with the right exit code."""
        try:
            return super().invoke(ctx)
        except RouterError as error:
            raise to_command_failure(error) from error
        except OSError as error:
            if error.errno == errno.EPIPE:
                raise  # The reader of a pipe has gone; click ends quietly.
            place = "standard output" if error.filename is None else error.filename
            raise CommandFailure(f"{place}: {error.strerror or type(error).__name__}") from error


@click.group(cls=RouterCommandGroup, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, prog_name="router")
def cli() -> None:
    """Contact Router: an asynchronous, real-time routing engine for contact centres."""


cli.add_command(init)
cli.add_command(serve)
policy.add_command(versions)
policy.add_command(show)
policy.add_command(diff)
policy.add_command(rollback)
policy.add_command(schedule)
policy.add_command(cancel)
cli.add_command(policy)
cli.add_command(token)
cli.add_command(workspace)
cli.add_command(verify)
cli.add_command(backup)
journal.add_command(redact)
journal.add_command(audit_personal)
journal.add_command(import_command)
journal.add_command(export_command)
journal.add_command(discard_import)
cli.add_command(journal)
cli.add_command(cluster)
cli.add_command(doctor)
cli.add_command(shadow)
cli.add_command(simulate)
cli.add_command(export)
cli.add_command(report)
cli.add_command(customer)
cli.add_command(customer_journey)
cli.add_command(records)


def _add_optional_commands() -> None:
    """Register the load test and the demo if they are installed; an installation may leave these packages out."""
    if importlib.util.find_spec("router.loadtest.main") is not None:
        from router.cli.simulation import loadtest

        cli.add_command(loadtest)
    if importlib.util.find_spec("router.demo.main") is not None:
        from router.cli.simulation import demo

        cli.add_command(demo)


_add_optional_commands()


def main() -> None:
    """Run the console script ``router``."""
    if isinstance(sys.stdout, io.TextIOWrapper):
        # A character that the terminal does not have is shown as a question mark.
        sys.stdout.reconfigure(errors="replace")
    cli(prog_name="router")
