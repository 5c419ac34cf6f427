"""The command `moneypath init`."""

import json
from datetime import UTC, datetime
from pathlib import Path

import click

from moneypath.cli.options import json_option
from moneypath.telemetry.redaction import redact
from moneypath.workflows.scaffold import answers as asked
from moneypath.workflows.scaffold.writing import FreshProject, init_project


@click.command(
    epilog="Example: moneypath init --service wallet --provider bank_one --provider 'bank_two=Bank Two' "
    "--operation top_up --currency EUR --role 'payments=Payments on call'"
)
@click.argument("folder", type=click.Path(path_type=Path), default=".")
@click.option("--name", metavar="TEXT", help="What the money path is called; by default as the service.")
@click.option("--service", metavar="ID", help="The service, such as wallet-api; by default as the folder.")
@click.option(
    "--provider",
    "providers",
    metavar="ID[=TITLE]",
    multiple=True,
    help="Who moves the money; repeat it for several. Without any, all payments count together.",
)
@click.option(
    "--operation",
    "operations",
    metavar="ID",
    multiple=True,
    help="What is done with money, such as authorize or top_up; repeat it. The first one is drilled.  "
    "[default: authorize]",
)
@click.option(
    "--currency",
    "currencies",
    metavar="CODE[=DECIMALS]",
    multiple=True,
    help="Repeat it for several; the first is the one of reports.  [default: EUR]",
)
@click.option(
    "--role",
    "roles",
    metavar="ID[=TITLE]",
    multiple=True,
    help="Who answers; repeat it. The first is on call, the others are informed.  [default: eng]",
)
@click.option(
    "--prefix",
    metavar="WORD",
    default=asked.DEFAULT_PREFIX,
    show_default=True,
    help="What the names of alerts begin with.",
)
@click.option(
    "--environment",
    metavar="ID",
    default=asked.DEFAULT_ENVIRONMENT,
    show_default=True,
    help="Where the service runs that may be broken; production is written as not drillable.",
)
@click.option(
    "--job", metavar="ID", help="The service's label `job` in Prometheus; by default as the service."
)
@click.option("--url", metavar="URL", default=asked.DEFAULT_URL, show_default=True, help="Where it answers.")
@click.option(
    "--ci",
    type=click.Choice([each.value for each in asked.Ci]),
    default=asked.Ci.GITHUB.value,
    show_default=True,
    help="Write a job that runs the checks at each change.",
)
@click.option(
    "--ledger",
    type=click.Choice([each.value for each in asked.LedgerKind]),
    default=asked.LedgerKind.NONE.value,
    show_default=True,
    help="Write the witnesses of a ledger, for audits.",
)
@click.option("--dry-run", is_flag=True, help="Write nothing; list what would be written.")
@json_option
def init(
    folder: Path,
    name: str | None,
    service: str | None,
    providers: tuple[str, ...],
    operations: tuple[str, ...],
    currencies: tuple[str, ...],
    roles: tuple[str, ...],
    prefix: str,
    environment: str,
    job: str | None,
    url: str,
    ci: str,
    ledger: str,
    dry_run: bool,
    as_json: bool,
) -> None:
    """Write the first files of a project into FOLDER: everything passes `moneypath check` as it is.

    A declaration, a target, runbooks, a drill, a gate plan and a CI job, each with comments, and what is
    generated from the declaration. No file is overwritten: if one is there, nothing is written.
    """
    try:
        place = folder.expanduser().resolve()
    except FileNotFoundError:
        raise click.UsageError("the folder that you are in was removed; go to another one") from None
    answers = asked.read_answers(
        folder_name=place.name,
        name=name,
        service=service,
        environment=environment,
        job=job,
        prefix=prefix,
        url=url,
        providers=providers,
        operations=operations,
        currencies=currencies,
        roles=roles,
        ci=asked.Ci(ci),
        ledger=asked.LedgerKind(ledger),
    )
    fresh = init_project(place, answers, today=datetime.now(UTC).date(), dry_run=dry_run)
    if as_json:
        click.echo(json.dumps(_document(fresh, dry_run=dry_run), indent=2))
    else:
        click.echo(redact("\n".join(_lines(fresh, dry_run=dry_run))))


def _document(fresh: FreshProject, *, dry_run: bool) -> dict[str, object]:
    return {
        "folder": str(fresh.folder),
        "dry_run": dry_run,
        "written": list(fresh.written),
        "next": list(fresh.next_commands),
        "notes": list(fresh.notes),
        "unsound_before": list(fresh.unsound),
    }


def _lines(fresh: FreshProject, *, dry_run: bool) -> list[str]:
    verb = "would write" if dry_run else "wrote"
    lines = [f"{verb} {name}" for name in fresh.written]
    if fresh.unsound:
        lines += ["", "There before, and not sound:", *(f"  {each}" for each in fresh.unsound)]
    inside = "" if fresh.folder == Path.cwd() else f", in {fresh.folder}"
    lines += ["", f"Next{inside}:", *(f"  {each}" for each in fresh.next_commands), ""]
    return lines + list(fresh.notes)
