"""Commands that run a drill or a stack."""

import asyncio
import json
from dataclasses import asdict
from pathlib import Path
from typing import NoReturn

import click
from rich.console import Console

from moneypath.cli.evidence_options import reference_options, seal_options
from moneypath.cli.evidence_view import show_verification, verification_json
from moneypath.cli.live_view import LiveView
from moneypath.cli.options import json_option, project_option, starter_option
from moneypath.cli.scorecard_view import scorecard_json
from moneypath.cli.target_options import read_target, target_option, variable_options
from moneypath.incidents import trusted_signers
from moneypath.incidents.verification import EvidenceVerdict, References
from moneypath.stack.starters import find_starter
from moneypath.workflows import drill_target, evidence_sealing, evidence_verification, persistent_stack
from moneypath.workflows.board import BoardResult
from moneypath.workflows.drill_stack import DrillResult, drill_on_own_stack
from moneypath.workflows.evidence_sealing import SealPlan
from moneypath.workflows.folders import new_run_folder

stack_option = click.option(
    "--stack",
    "run_folder",
    type=click.Path(path_type=Path, file_okay=False, exists=True),
    help="Run folder of a stack that `moneypath stack up` keeps; without it the drill starts its own.",
)


@click.group()
def drill() -> None:
    """Run drills, check their evidence, end their faults."""


@drill.command("run", epilog="Example: moneypath drill run drills/drill-002-partial-provider-outage.yaml")
@click.argument("file", type=click.Path(path_type=Path, dir_okay=False, exists=True))
@stack_option
@click.option(
    "--scale",
    type=click.IntRange(1, 60),
    help="Production time per real time, instead of the file's; 1 is production itself.",
)
@starter_option
@target_option
@variable_options
@seal_options
@json_option
@project_option
def run_drill(
    file: Path,
    run_folder: Path | None,
    scale: int | None,
    starter_name: str | None,
    target_file: Path | None,
    given: dict[str, str],
    variables: Path | None,
    environment: str | None,
    plan: SealPlan,
    as_json: bool,
    project: Path,
) -> None:
    """Run one drill and print its scorecard; the exit code is 0 only if it passed.

    With --target it runs on a deployed service, as the target's file says, and breaks it only in the
    --environment that you name.
    """
    if target_file is None and (given or variables or environment):
        raise click.UsageError("--set, --variables and --environment go with --target")
    if target_file is not None and (run_folder or starter_name):
        raise click.UsageError("--target goes without --stack and --starter")
    view = LiveView(quiet=as_json)
    if target_file is not None:
        work = drill_target.drill_on_target(
            project,
            file.resolve(),
            read_target(target_file, given, variables),
            environment,
            view.observer.event,
            plan=plan,
            scale=scale,
        )
    elif run_folder is None:
        starter = find_starter(starter_name)
        work = drill_on_own_stack(
            project,
            file.resolve(),
            new_run_folder(file.stem),
            view.observer,
            starter=starter,
            plan=plan,
            scale=scale,
        )
    else:
        work = persistent_stack.run_drill_on_stack(
            project, file.resolve(), run_folder, view.observer.event, plan=plan, scale=scale
        )
    with view:
        result = asyncio.run(work)
    view.show_result(result)
    end_drill(result, passed=result.card.passed, as_json=as_json)


@drill.command(epilog="Example: moneypath drill verify ~/.local/state/moneypath/runs/<run>/drill")
@click.argument("bundle", type=click.Path(path_type=Path, file_okay=False, exists=True))
@reference_options
@json_option
def verify(bundle: Path, references: References, as_json: bool) -> None:
    """Say what a drill's evidence proves: which link is broken, who signed, what nobody vouches for.

    Checks every file, the event log, the score, the signature, the time-stamp, the anchor and the pager's
    record, as far as they are there or named. The exit code is 0 only if nothing is broken. A bundle without
    a signature can be consistent, never authenticated: whoever can write it can make it at home.
    """
    found = evidence_verification.verify(bundle, references)
    broken = found.verdict is EvidenceVerdict.BROKEN
    if as_json:
        click.echo(json.dumps(verification_json(found), indent=2))
    else:
        show_verification(Console(highlight=False), found)
    raise click.exceptions.Exit(1 if broken else 0)


@drill.command("seal", epilog="Example: moneypath drill seal <run>/drill --signing-key auditor.pem")
@click.argument("bundle", type=click.Path(path_type=Path, file_okay=False, exists=True))
@seal_options
def seal_bundle(bundle: Path, plan: SealPlan) -> None:
    """Sign, time-stamp or anchor the evidence of a drill that is over.

    For those who keep the key and did not take part. What is broken or of an older format is not sealed.
    """
    if plan.is_empty:
        raise click.UsageError("nothing to do; name --signing-key, --signer, --timestamp-url or --anchor")
    asyncio.run(evidence_sealing.seal_checked(bundle, plan))
    show_verification(Console(highlight=False), evidence_verification.verify(bundle, References()))


@drill.command(epilog="Example: moneypath drill keygen auditor.pem --id audit-2027 --owner 'Internal audit'")
@click.argument("file", type=click.Path(path_type=Path, dir_okay=False))
@click.option("--id", "name", required=True, help="Id of the key among the trusted signers.")
@click.option("--owner", required=True, help="Who holds it.")
@click.option(
    "--days", type=click.IntRange(1, 3660), default=365, show_default=True, help="How long it is valid."
)
def keygen(file: Path, name: str, owner: str, days: int) -> None:
    """Make a key that signs evidence: the private key in FILE, its entry of trusted signers on the screen.

    Give it to nobody who takes part in drills: those who are scored must not sign their score.
    """
    click.echo(trusted_signers.new_signer(file, name, owner, days), nl=False)


@drill.command(epilog="Example: moneypath drill panic --stack ~/.local/state/moneypath/runs/<run>")
@click.option(
    "--stack",
    "run_folder",
    required=True,
    type=click.Path(path_type=Path, file_okay=False, exists=True),
    help="Run folder of the stack.",
)
@project_option
def panic(run_folder: Path, project: Path) -> None:
    """End every fault and route payments to every provider again, whoever changed them."""
    asyncio.run(persistent_stack.panic(project, run_folder, click.echo))


@click.group()
def stack() -> None:
    """Keep a live money path running."""


@stack.command(epilog="Example: moneypath stack up --scale 60")
@click.option(
    "--scale", type=click.IntRange(1, 60), default=1, show_default=True, help="Production time per real time."
)
@click.option(
    "--checkouts",
    type=click.IntRange(1, 200),
    help="Checkouts a second, in the past that is filled in too; a drill needs as many as it drives.",
)
@starter_option
@project_option
def up(scale: int, checkouts: int | None, starter_name: str | None, project: Path) -> None:
    """Start the whole money path, print where everything is, and run until Ctrl-C.

    Checkouts go on, at a low rate unless told otherwise, so that the board has data and no alert fires; they
    pause during a drill.
    """
    starter = find_starter(starter_name)
    view = LiveView()
    work = persistent_stack.keep_stack_running(
        project, new_run_folder("stack"), scale, view.observer, starter=starter, checkouts=checkouts
    )
    asyncio.run(work)


def end_drill(
    result: DrillResult, *, board: BoardResult | None = None, passed: bool, as_json: bool
) -> NoReturn:
    """End the command with the exit code of a drill; print its scorecard first if JSON was asked for."""
    if as_json:
        document = {
            **scorecard_json(result.card),
            "bundle": str(result.bundle),
            "peak_memory_bytes": result.peak_memory_bytes,
            "board": None if board is None else asdict(board.proof),
        }
        click.echo(json.dumps(document, indent=2))
    raise click.exceptions.Exit(0 if passed else 1)
