"""Commands about targets: deployed services that moneypath may look at, drive and break."""

import asyncio
import json
import signal
import sys
from pathlib import Path
from typing import Final

import click
from rich.console import Console

from moneypath.cli.options import json_option
from moneypath.cli.target_options import read_target, variable_options
from moneypath.target.conformance.check import check_target
from moneypath.target.conformance.finding import ContractFinding, ContractState, exit_code
from moneypath.target.loader import Target

_STYLES: Final = {
    ContractState.HOLDS: "green",
    ContractState.FAILS: "bold red",
    ContractState.MISSING: "yellow",
    ContractState.NOT_TRIED: "dim",
}


@click.group()
def target() -> None:
    """Check what moneypath may ask of a deployed service: a target's file says it."""


@target.command(
    epilog="Example: moneypath target check targets/reference.yaml --variables RUN/endpoints.json "
    "--environment reference"
)
@click.argument("file", type=click.Path(path_type=Path, dir_okay=False))
@variable_options
@json_option
def check(
    file: Path, given: dict[str, str], variables: Path | None, environment: str | None, as_json: bool
) -> None:
    """Ask every contract of a target, break and heal one harmless fault, and say what is missing.

    Without --environment nothing is changed but by the canary. Exit codes: 0 everything holds, 1 something
    does not, 2 bad input, 3 something is missing or was not tried.
    """
    chosen = read_target(file, given, variables)
    try:
        findings = asyncio.run(_check(chosen, environment, Console(highlight=False, quiet=as_json)))
    except asyncio.CancelledError:
        raise click.exceptions.Exit(128 + signal.SIGTERM) from None
    if as_json:
        rows = [{"contract": one.contract, "state": one.state, "sentence": one.sentence} for one in findings]
        document = chosen.document
        click.echo(
            json.dumps(
                {"target": document.target, "environment": document.environment, "findings": rows}, indent=2
            )
        )
    sys.exit(exit_code(findings))


async def _check(chosen: Target, environment: str | None, console: Console) -> list[ContractFinding]:
    """Print each finding as it comes, and return all."""
    findings: list[ContractFinding] = []
    # As Ctrl-C: what was broken is healed before the command ends.
    task = asyncio.current_task()
    if task is not None:
        asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, task.cancel)
    document = chosen.document
    console.print(f"{document.target} in {document.environment}", style="bold", markup=False)
    async for finding in check_target(chosen, environment):
        if not findings or findings[-1].contract != finding.contract:
            console.print(f"\n{finding.contract}", style="bold", markup=False)
        style = _STYLES[finding.state]
        console.print(f"  {finding.state:<9}  {finding.sentence}", style=style, markup=False, soft_wrap=True)
        findings.append(finding)
    counts = [f"{sum(one.state is each for one in findings)} {each}" for each in ContractState]
    console.print(f"\n{', '.join(counts)}", style="bold", markup=False)
    return findings
