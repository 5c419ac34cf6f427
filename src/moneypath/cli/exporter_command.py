"""The command that runs SQL checks on a team's own ledger."""

import asyncio
import json
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

import click
from rich import box
from rich.console import Console
from rich.table import Table
from rich.text import Text

from moneypath.checks.exporter import CheckRun, run_once, serve
from moneypath.checks.plan import Plan, plan
from moneypath.checks.results import Violation
from moneypath.cli.listening_options import host_option, port_taken
from moneypath.cli.options import json_option
from moneypath.path.loader import FILE_NAME, load
from moneypath.stack.exposing import json_line
from moneypath.telemetry.redaction import redact

VIOLATED, UNKNOWN = 1, 3
SHOWN: Final = 20


@click.command(epilog="Example: moneypath exporter --checks moneypath.yaml --port 9096")
@click.option(
    "--checks",
    "file",
    type=click.Path(path_type=Path, dir_okay=False),
    default=Path(FILE_NAME),
    show_default=True,
    help="Declaration whose checks with `sql` are run; its files are relative to its folder.",
)
@host_option
@click.option("--port", type=click.IntRange(0, 65_535), help="Port to listen on; 0 chooses a free one.")
@click.option("--once", is_flag=True, help="Run every check once, list what is violated, and end.")
@click.option("--show-sql", is_flag=True, help="Print the statement of every check, and run none.")
@json_option
def exporter(file: Path, host: str, port: int | None, once: bool, show_sql: bool, as_json: bool) -> None:
    """Run the SQL checks of a declaration and serve what they find to Prometheus at /metrics.

    Nothing is written to the database, and one exporter at a time runs the checks of a database. With --once
    the exit code is 0 if nothing is violated, 1 if something is, and 3 if a check could not be run.
    """
    if [port is not None, once, show_sql].count(True) != 1:
        raise click.UsageError("give one of --port, --once and --show-sql")
    if as_json and not once:
        raise click.UsageError("--json goes with --once")
    path = load(file)
    planned = plan(path, file)
    if show_sql:
        _print_statements(planned)
    elif once:
        runs = asyncio.run(run_once(planned))
        printing = _print_json if as_json else _print_tables
        printing(runs)
        raise click.exceptions.Exit(_exit_code(runs))
    elif port is not None:
        with port_taken(host, port):
            asyncio.run(serve(planned, path.catalogue(), host, port, tell=_tell))


def _tell(event: Mapping[str, object]) -> None:
    click.echo(redact(json_line(event)))


def _print_statements(planned: Plan) -> None:
    for check in planned.checks:
        click.echo(f"-- {check.id}: {check.title}\n{check.statement};\n")


def _exit_code(runs: Sequence[CheckRun]) -> int:
    if any(run.result.count for run in runs):
        return VIOLATED
    return 0 if all(run.result.is_known for run in runs) else UNKNOWN


def _print_json(runs: Sequence[CheckRun]) -> None:
    click.echo(json.dumps({"checks": [_document(run) for run in runs]}, indent=2, ensure_ascii=False))


def _document(run: CheckRun) -> dict[str, object]:
    result = run.result
    found: dict[str, object] = {"check": run.check.id, "outcome": result.outcome.value}
    if result.reason:
        found["reason"] = result.reason
    if not result.is_known:
        return found
    return {
        **found,
        "violations": result.count,
        "unreadable": result.unreadable,
        "minor_units": dict(result.money),
        "seconds": round(result.seconds, 3),
        # The first ones; `violations` counts all.
        "listed": [_violation(one) for one in result.violations],
    }


def _violation(one: Violation) -> dict[str, object]:
    return {
        "subject": one.subject,
        "amount_minor": one.amount_minor,
        "currency": one.currency,
        "since": _utc(one.since),
        "is_readable": one.is_readable,
    }


def _print_tables(runs: Sequence[CheckRun]) -> None:
    console = Console(highlight=False)
    for run in runs:
        result = run.result
        said = f"{result.count} violations" if result.is_known else f"not known, {result.outcome.value}"
        reason = f" ({result.reason})" if result.reason else ""
        console.print(Text(f"{run.check.id}: {said}{reason}"), soft_wrap=True)
        if result.violations:
            console.print(_table(result.violations[:SHOWN]))
        if result.count > SHOWN:
            console.print(
                f"  and {result.count - SHOWN} more; --json lists the first {len(result.violations)}"
            )


def _table(violations: Sequence[Violation]) -> Table:
    table = Table(box=box.SIMPLE_HEAD, header_style="dim", pad_edge=False)
    for title in ("subject", "minor units", "currency", "since"):
        table.add_column(title, overflow="fold")
    for one in violations:
        amount = "unreadable" if not one.is_readable else "" if one.amount_minor is None else one.amount_minor
        cells = (one.subject, amount, one.currency or "", _utc(one.since) or "")
        table.add_row(*(Text(str(cell)) for cell in cells))
    return table


def _utc(seconds: float | None) -> str | None:
    if seconds is None:
        return None
    try:
        return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    except (OverflowError, ValueError, OSError):
        # PostgreSQL knows years that Python does not.
        return None
