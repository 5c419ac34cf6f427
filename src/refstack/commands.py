"""The commands that the reference stack adds to `moneypath`."""

import asyncio
from pathlib import Path

import click
from rich.console import Console

from moneypath.cli.drill_commands import end_drill
from moneypath.cli.evidence_options import seal_options
from moneypath.cli.live_view import LiveView, home_relative
from moneypath.cli.options import json_option, project_option
from moneypath.workflows.evidence_sealing import SealPlan
from moneypath.workflows.folders import new_run_folder, project_folder
from refstack import container_secrets
from refstack.demo import DemoResult, run_demo
from refstack.reference_project import provide


@click.command(epilog="Example: moneypath demo --keep")
@click.option("--keep", is_flag=True, help="Leave everything running afterwards, until Ctrl-C.")
@click.option(
    "--svg", type=click.Path(path_type=Path, dir_okay=False), help="Save what was shown as a picture."
)
@seal_options
@json_option
@click.option(
    "--project",
    type=click.Path(path_type=Path, file_okay=False),
    help="Folder of a changed copy of the reference project; by default the one that came with this command.",
)
def demo(keep: bool, svg: Path | None, plan: SealPlan, as_json: bool, project: Path | None) -> None:
    """Start everything, break a provider, and watch alert, page, runbook, recovery and score.

    Everything is real: PostgreSQL, NATS, two simulated acquirers with books of their own, the payment
    service, Prometheus, Alertmanager, and a load of checkouts. The exit code is 0 only if the drill passed
    and every query of the Grafana board found its data. With --keep, checkouts go on at a low rate.

    It runs in any folder, and writes nothing there.
    """
    view = LiveView(quiet=as_json, record=svg is not None)
    run_folder = new_run_folder("demo")
    provided = project_folder(project.resolve()) if project else provide(run_folder / "project")
    kept: list[DemoResult] = []

    async def keep_running(result: DemoResult) -> None:
        kept.append(result)
        view.show_result(result.drill, result.board)
        view.show_kept()
        await asyncio.Event().wait()

    work = run_demo(
        provided,
        run_folder,
        view.observer,
        afterwards=keep_running if keep else None,
        plan=plan,
    )
    try:
        with view:
            if provided.is_relative_to(run_folder):
                view.observer.announce(f"The project is a copy: {home_relative(provided)}")
            result = asyncio.run(work)
        view.show_result(result.drill, result.board)
    except KeyboardInterrupt:
        if not kept:
            raise
        result = kept[0]  # Ctrl-C after the drill is how `--keep` ends
    if svg is not None:
        view.save(svg)
    end_drill(result.drill, board=result.board, passed=result.passed, as_json=as_json)


@click.command("secrets", epilog="Example: moneypath secrets")
@project_option
def mint_secrets(project: Path) -> None:
    """Create the secrets that compose.yaml mounts, in .secrets; existing ones are kept."""
    folder = container_secrets.mint_for_containers(project)
    Console(highlight=False).print(
        f"secrets are in {folder}\nnext: docker compose --env-file "
        f"{container_secrets.SECRETS_FOLDER}/{container_secrets.ENVIRONMENT_FILE} up --build",
        markup=False,
        soft_wrap=True,
    )
