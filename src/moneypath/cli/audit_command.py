"""The command `moneypath audit`."""

import gc
import json
import math
import time
from pathlib import Path
from typing import Final

import click

from moneypath.cli.options import json_option
from moneypath.cli.target_options import value_options
from moneypath.errors import MoneypathError
from moneypath.oracle import AuditInterrupted
from moneypath.path.problems import DeclarationInvalid
from moneypath.target.loader import read_variables
from moneypath.telemetry.redaction import redact
from moneypath.witnesses import (
    AuditVerdict,
    Reconciliation,
    Result,
    Window,
    WitnessFile,
    WitnessInvalid,
    WitnessUnreadable,
    load_witnesses,
    read_time,
    reconcile,
    with_values,
)

BAD_INPUT: Final = 2


@click.command(epilog="Example: moneypath audit witnesses.yaml --since 2026-11-24T00:00:00Z --json")
@click.argument("file", type=click.Path(path_type=Path, dir_okay=False))
@click.option("--since", metavar="TIME", help="Judge what happened from then on: 2026-11-24T00:00:00Z.")
@click.option("--until", metavar="TIME", help="Judge what happened before; by default until `settle` ago.")
@click.option("--only", metavar="ID", help="Carry out one reconciliation of the file.")
@value_options
@json_option
def audit(
    file: Path,
    since: str | None,
    until: str | None,
    only: str | None,
    given: dict[str, str],
    variables: Path | None,
    as_json: bool,
) -> None:
    """Compare ledger, providers' books and answers, as FILE declares these witnesses.

    Reads only, each source by one SELECT. The exit code is 0 whole, 1 not whole, 2 bad input, 3 inconclusive:
    a witness could not be read or had nothing to compare.
    """
    # The rows are millions of objects without cycles; to look for cycles takes half as long as the audit.
    gc.disable()
    try:
        values = {} if variables is None else read_variables(variables)
        _audit(file, since, until, only, {**values, **given}, as_json=as_json)
    finally:
        gc.enable()


def _audit(
    file: Path,
    since: str | None,
    until: str | None,
    only: str | None,
    values: dict[str, str],
    *,
    as_json: bool,
) -> None:
    now = time.time()
    verdicts: list[AuditVerdict] = []
    unread: list[MoneypathError] = []
    try:
        declared = with_values(load_witnesses(file), values)
        for one in _choose(declared, only, file):
            window = _window(one, since, until, now)
            try:
                verdicts.append(reconcile(declared, one, file.absolute().parent, window))
            except (WitnessUnreadable, AuditInterrupted) as error:
                unread.append(error)
    except (DeclarationInvalid, WitnessInvalid) as error:
        _say(error)
        raise click.exceptions.Exit(BAD_INPUT) from None
    if as_json:
        documents = [verdict.document() for verdict in verdicts]
        told = {"audits": documents, "unread": [each.what for each in unread]}
        click.echo(redact(json.dumps(told, indent=2, ensure_ascii=False)))
    else:
        for verdict in verdicts:
            click.echo(redact("\n".join(verdict.sentences())))
    for each in unread:
        _say(each)
    raise click.exceptions.Exit(_exit_code(verdicts, unread))


def _say(error: MoneypathError) -> None:
    # It quotes files and servers.
    click.echo(redact(f"error: {error}"), err=True)


def _choose(declared: WitnessFile, only: str | None, file: Path) -> list[Reconciliation]:
    chosen = [one for one in declared.reconcile if only in (None, one.id)]
    if not chosen:
        names = ", ".join(one.id for one in declared.reconcile)
        raise WitnessInvalid(f"{file}: no reconciliation is named {only}", hint=f"Allowed: {names}.")
    return chosen


def _window(one: Reconciliation, since: str | None, until: str | None, now: float) -> Window:
    """Return what is judged; what is younger than the settle time may still be under way."""
    begin = _read("--since", since) if since is not None else -math.inf
    end = math.inf
    if until is not None:
        end = _read("--until", until)
    elif since is not None or one.settle:
        end = now - one.settle
    if begin >= end:
        raise WitnessInvalid("--since is not before the end of the window", hint="Name an earlier time.")
    return Window(begin, end, one.settle, is_bounded=until is not None)


def _read(option: str, text: str) -> float:
    at = read_time(text)
    if at is None:
        hint = "Allowed: ISO 8601 with an offset, as in 2026-11-24T00:00:00Z."
        raise WitnessInvalid(f"{option}: not a time: {text[:40]}", hint=hint)
    return at


def _exit_code(verdicts: list[AuditVerdict], unread: list[MoneypathError]) -> int:
    results = {verdict.result for verdict in verdicts}
    if Result.NOT_WHOLE in results:
        return Result.NOT_WHOLE
    return Result.INCONCLUSIVE if unread or Result.INCONCLUSIVE in results else Result.WHOLE
