"""Commands that run something: the demo, a drill, a stack that stays."""

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
from moneypath.workflows import standing
from moneypath.workflows.demo import DrillResult, drill_on_own_stack
from moneypath.workflows.folders import new_run_folder

DEMO_DRILL = "drills/drill-002-partial-provider-outage.yaml"

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
    """Start everything, break a provider, watch alert, page, runbook and recovery, end with a score.

    Everything is real: PostgreSQL, two acquirers with books of their own, the payment service, Prometheus,
    Alertmanager, NATS, and a load of checkouts. The exit code is 0 only if the drill passed and every query
    of the Grafana board found its data.
    """
    _run(project, project / DEMO_DRILL, "demo", as_json=as_json, keep=keep, svg=svg, prove_board=True)


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
    if run_folder is None:
        _run(project, file.resolve(), file.stem, as_json=as_json)
        return
    view = LiveView(quiet=as_json)
    with view:
        result = asyncio.run(standing.drill_on(project, file.resolve(), run_folder, view.viewer.event))
    view.show_result(result)
    _end(result, as_json=as_json)


@drill.command(epilog="Example: moneypath drill verify ~/.local/state/moneypath/runs/<run>/drill")
@click.argument("bundle", type=click.Path(path_type=Path, file_okay=False, exists=True))
@json_option
def verify(bundle: Path, as_json: bool) -> None:
    """Check every seal and hash of a drill's evidence and score it again; the first difference is named."""
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
    """End every fault and route every provider again, whoever changed them."""
    asyncio.run(standing.panic(run_folder, click.echo))


@click.group()
def stack() -> None:
    """Keep the live money path running."""


@stack.command(epilog="Example: moneypath stack up --scale 60")
@click.option(
    "--scale", type=click.IntRange(1, 60), default=1, show_default=True, help="Production time per real time."
)
@project_option
def up(scale: int, project: Path) -> None:
    """Start the whole money path and leave it running until Ctrl-C; prints where everything is."""
    view = LiveView()
    asyncio.run(standing.keep_up(project, new_run_folder("stack"), scale, view.viewer))


def _run(
    project: Path,
    file: Path,
    name: str,
    *,
    as_json: bool,
    keep: bool = False,
    svg: Path | None = None,
    prove_board: bool = False,
) -> None:
    view = LiveView(quiet=as_json, record=svg is not None)
    kept: list[DrillResult] = []

    async def stay(result: DrillResult) -> None:
        kept.append(result)
        view.show_result(result)
        view.stay()
        await asyncio.Event().wait()

    work = drill_on_own_stack(
        project,
        file,
        new_run_folder(name),
        view.viewer,
        afterwards=stay if keep else None,
        prove_board=prove_board,
    )
    try:
        with view:
            result = asyncio.run(work)
        view.show_result(result)
    except KeyboardInterrupt:
        if not kept:
            raise
        result = kept[0]  # Ctrl-C after the drill is how `--keep` ends
    if svg is not None:
        view.save(svg)
    _end(result, as_json=as_json)


def _end(result: DrillResult, *, as_json: bool) -> None:
    if as_json:
        document = {
            **scorecard_json(result.card),
            "bundle": str(result.bundle),
            "peak_memory_bytes": result.peak_memory_bytes,
            "board": None if result.board is None else asdict(result.board.proof),
        }
        click.echo(json.dumps(document, indent=2))
    raise click.exceptions.Exit(0 if result.passed else 1)
