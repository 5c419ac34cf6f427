"""Commands that run the demo, a drill or a stack."""

import asyncio
import json
from dataclasses import asdict
from pathlib import Path

import click
from rich.console import Console

from moneypath.cli.live_view import LiveView
from moneypath.cli.options import json_option, project_option
from moneypath.cli.scorecard_view import scorecard_json, show_scorecard
from moneypath.workflows import drill as drilling
from moneypath.workflows import persistent_stack
from moneypath.workflows.board import BoardResult
from moneypath.workflows.demo import DemoResult, run_demo
from moneypath.workflows.drill_stack import DrillResult, drill_on_own_stack
from moneypath.workflows.folders import new_run_folder

stack_option = click.option(
    "--stack",
    "run_folder",
    type=click.Path(path_type=Path, file_okay=False, exists=True),
    help="Run folder of a stack that `moneypath stack up` keeps; without it the drill starts its own.",
)


@click.command(epilog="Example: moneypath demo --keep")
@click.option("--keep", is_flag=True, help="Leave everything running afterwards, until Ctrl-C.")
@click.option(
    "--svg", type=click.Path(path_type=Path, dir_okay=False), help="Save what was shown as a picture."
)
@json_option
@project_option
def demo(keep: bool, svg: Path | None, as_json: bool, project: Path) -> None:
    """Start everything, break a provider, and watch alert, page, runbook, recovery and score.

    Everything is real: PostgreSQL, NATS, two simulated acquirers with books of their own, the payment
    service, Prometheus, Alertmanager, and a load of checkouts. The exit code is 0 only if the drill passed
    and every query of the Grafana board found its data. With --keep, checkouts go on at a low rate.
    """
    view = LiveView(quiet=as_json, record=svg is not None)
    kept: list[DemoResult] = []

    async def keep_running(result: DemoResult) -> None:
        kept.append(result)
        view.show_result(result.drill, result.board)
        view.show_kept()
        await asyncio.Event().wait()

    work = run_demo(project, new_run_folder("demo"), view.observer, afterwards=keep_running if keep else None)
    try:
        with view:
            result = asyncio.run(work)
        view.show_result(result.drill, result.board)
    except KeyboardInterrupt:
        if not kept:
            raise
        result = kept[0]  # Ctrl-C after the drill is how `--keep` ends
    if svg is not None:
        view.save(svg)
    _end(result.drill, board=result.board, passed=result.passed, as_json=as_json)


@click.group()
def drill() -> None:
    """Run drills, check their evidence, end their faults."""


@drill.command("run", epilog="Example: moneypath drill run drills/drill-002-partial-provider-outage.yaml")
@click.argument("file", type=click.Path(path_type=Path, dir_okay=False, exists=True))
@stack_option
@json_option
@project_option
def run_drill(file: Path, run_folder: Path | None, as_json: bool, project: Path) -> None:
    """Run one drill and print its scorecard; the exit code is 0 only if it passed."""
    view = LiveView(quiet=as_json)
    if run_folder is None:
        work = drill_on_own_stack(project, file.resolve(), new_run_folder(file.stem), view.observer)
    else:
        work = persistent_stack.run_drill_on_stack(project, file.resolve(), run_folder, view.observer.event)
    with view:
        result = asyncio.run(work)
    view.show_result(result)
    _end(result, passed=result.card.passed, as_json=as_json)


@drill.command(epilog="Example: moneypath drill verify ~/.local/state/moneypath/runs/<run>/drill")
@click.argument("bundle", type=click.Path(path_type=Path, file_okay=False, exists=True))
@json_option
def verify(bundle: Path, as_json: bool) -> None:
    """Check every hash of a drill's evidence and compute its score again; name the first difference."""
    card = drilling.verify(bundle)
    if as_json:
        click.echo(json.dumps(scorecard_json(card), indent=2))
        return
    console = Console(highlight=False)
    show_scorecard(console, card)
    console.print("The evidence is intact: seals and hashes hold, and the score comes out the same.")


@drill.command(epilog="Example: moneypath drill panic --stack ~/.local/state/moneypath/runs/<run>")
@click.option(
    "--stack",
    "run_folder",
    required=True,
    type=click.Path(path_type=Path, file_okay=False, exists=True),
    help="Run folder of the stack.",
)
def panic(run_folder: Path) -> None:
    """End every fault and route payments to every provider again, whoever changed them."""
    asyncio.run(persistent_stack.panic(run_folder, click.echo))


@click.group()
def stack() -> None:
    """Keep a live money path running."""


@stack.command(epilog="Example: moneypath stack up --scale 60")
@click.option(
    "--scale", type=click.IntRange(1, 60), default=1, show_default=True, help="Production time per real time."
)
@project_option
def up(scale: int, project: Path) -> None:
    """Start the whole money path, print where everything is, and run until Ctrl-C.

    Checkouts go on at a low rate, so that the board has data and no alert fires; they pause during a drill.
    """
    view = LiveView()
    asyncio.run(persistent_stack.keep_stack_running(project, new_run_folder("stack"), scale, view.observer))


def _end(result: DrillResult, *, board: BoardResult | None = None, passed: bool, as_json: bool) -> None:
    if as_json:
        document = {
            **scorecard_json(result.card),
            "bundle": str(result.bundle),
            "peak_memory_bytes": result.peak_memory_bytes,
            "board": None if board is None else asdict(board.proof),
        }
        click.echo(json.dumps(document, indent=2))
    raise click.exceptions.Exit(0 if passed else 1)
