"""`python -m proofs.crash_test`: kill the processes of a stack under load, then audit the money."""

import asyncio
import json
import secrets
import sys
import time
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any, Final

import click
from proofs.crash_test.report import render, to_document
from proofs.crash_test.run import PROJECT, Plan, Result, run_crash_test
from proofs.crash_test.schedule import Process

from moneypath.cli.main import run
from moneypath.cli.pipe_safe_console import PipeSafeConsole
from moneypath.errors import MoneypathError
from moneypath.workflows.folders import new_run_folder
from refstack.live_stack import REFERENCE

REPORT: Final = "crash-test.json"
_API: Final = REFERENCE.build.api
_SEEDS: Final = 1_000_000
_WIDTH: Final = 110


@click.command(
    context_settings={"help_option_names": ["-h", "--help"]},
    epilog="Example: python -m proofs.crash_test --kills 20 --seed 7 --process postgres",
)
@click.option("--kills", default=100, show_default=True, type=click.IntRange(1, 10_000), help="SIGKILLs.")
@click.option("--seed", type=click.IntRange(0), help="Decides which process dies when; by default a new one.")
@click.option(
    "--process",
    "processes",
    multiple=True,
    type=click.Choice([each.value for each in Process]),
    help="Kill only this one; may be given again.",
)
@click.option("--build", default=_API, show_default=True, help="Module that `python -m` runs as the service.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON document; progress goes to stderr.")
def main(kills: int, seed: int | None, processes: tuple[str, ...], build: str, as_json: bool) -> None:
    """Kill API, worker, PostgreSQL and NATS under load; then audit the money.

    Starts a stack of its own with fsync on. The client retries with the same key. In the end every process
    runs again and every payment is resolved; then the client's acknowledgement log, the ledger and the
    acquirers' books have to agree.

    A killed process is not a power cut: data that the operating system has taken over survives.

    The exit code is 0 if nothing was lost, doubled or unbalanced, 1 if something was or the run broke off,
    and 2 for bad input. The seed repeats the schedule of kills, but not which payment they hit.
    """
    plan = Plan(
        kills=kills,
        seed=secrets.randbelow(_SEEDS) if seed is None else seed,
        processes=tuple(map(Process, dict.fromkeys(processes))) or tuple(Process),
        build=REFERENCE.build if build == _API else replace(REFERENCE.build, api=build, folder=PROJECT),
    )
    folder = new_run_folder("crash-test")
    say = _ProgressPrinter()
    say(plan.command)
    try:
        result = asyncio.run(run_crash_test(plan, folder, say))
    except (MoneypathError, ExceptionGroup):
        say(f"The crash test broke off. Evidence: {folder}. Repeat it with: {plan.command}")
        raise
    _show(result, folder, as_json=as_json)
    raise click.exceptions.Exit(0 if result.whole else 1)


class _ProgressPrinter:
    """Prints progress to stderr with the seconds since its creation."""

    def __init__(self) -> None:
        self._begun = time.monotonic()

    def __call__(self, text: str) -> None:
        click.echo(f"{time.monotonic() - self._begun:6.1f} s  {text}", err=True)


def _show(result: Result, folder: Path, *, as_json: bool) -> None:
    document: Any = to_document(result, str(folder))
    text = json.dumps(document, indent=2)
    (folder / REPORT).write_text(text + "\n", encoding="utf-8")
    if as_json:
        click.echo(text)
        return
    console = PipeSafeConsole(highlight=False, width=None if sys.stdout.isatty() else _WIDTH)
    console.print(render(result, str(folder)))


if __name__ == "__main__":
    run(partial(main, prog_name="python -m proofs.crash_test"))
