"""The command `moneypath`: its commands, help and exit codes."""

import io
import sys
from collections.abc import Callable
from functools import partial
from typing import Any

import click
from rich.console import Console

from moneypath.cli import (
    audit_command,
    board_commands,
    check_command,
    compose_commands,
    drill_commands,
    exporter_command,
    gate_command,
    init_command,
    metrics_command,
    project_commands,
    series_commands,
    silences_commands,
    target_commands,
)
from moneypath.cli.plugins import PluggableGroup
from moneypath.errors import MoneypathError
from moneypath.telemetry.redaction import redact

COMMANDS: tuple[click.Command, ...] = (
    drill_commands.drill,
    drill_commands.stack,
    gate_command.gate,
    target_commands.target,
    audit_command.audit,
    init_command.init,
    check_command.check,
    project_commands.generate,
    project_commands.check_path,
    project_commands.draw_map,
    metrics_command.metrics,
    project_commands.runbook,
    board_commands.board,
    series_commands.series,
    silences_commands.silences,
    exporter_command.exporter,
    compose_commands.compose,
)


@click.group(
    cls=PluggableGroup,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 110},
    epilog="Start here: `moneypath drill run` breaks a provider on purpose and shows who is paged, what they "
    "do, and whether every unit of money is accounted for.",
)
@click.version_option(package_name="moneypath")
def moneypath() -> None:
    """Is every unit of money accounted for, and would the right person know if it were not?"""


for command in COMMANDS:
    moneypath.add_command(command)


def main() -> None:
    """Run the command line; an expected failure prints one sentence and exits with a code that is not 0."""
    run(partial(moneypath.main, prog_name="moneypath"))


def run(command: Callable[..., Any]) -> None:
    """Run `command` and print expected failures as sentences, also those in exception groups."""
    errors = Console(stderr=True, highlight=False)
    try:
        # Outside its standalone mode click returns the code of an Exit instead of raising it.
        sys.exit(command(standalone_mode=False) or 0)
    except click.ClickException as error:
        said = io.StringIO()
        error.show(said)
        # It quotes what was typed.
        click.echo(redact(said.getvalue()), nl=False, err=True)
        sys.exit(error.exit_code)
    except (click.Abort, KeyboardInterrupt):
        errors.print("stopped")
        sys.exit(130)
    except MoneypathError as error:
        _print_error(errors, error)
        sys.exit(error.exit_code)
    except BaseExceptionGroup as group:
        expected, unexpected = group.split(MoneypathError)
        if unexpected is not None or expected is None:
            raise
        found = leaves_of(expected)
        for each in found:
            _print_error(errors, each)
        sys.exit(found[0].exit_code)


def leaves_of(group: BaseExceptionGroup[MoneypathError]) -> list[MoneypathError]:
    """Return the leaves of an exception group."""
    leaves: list[MoneypathError] = []
    for error in group.exceptions:
        leaves += leaves_of(error) if isinstance(error, BaseExceptionGroup) else [error]
    return leaves


def _print_error(errors: Console, error: MoneypathError) -> None:
    # What it says may quote a file, a server's answer, what was typed.
    errors.print(f"error: {redact(error.what)}", style="bold red", soft_wrap=True, markup=False)
    if error.hint:
        errors.print(f"  {redact(error.hint)}", soft_wrap=True, markup=False)
