"""The command `moneypath gate`."""

import asyncio
import json
from dataclasses import replace
from pathlib import Path
from typing import NoReturn

import click

from moneypath.capacity.document import to_document
from moneypath.capacity.errors import GateRefused
from moneypath.capacity.junit import to_junit
from moneypath.capacity.target_gate import target_document
from moneypath.cli.gate_view import GateView, TargetGateView
from moneypath.cli.options import json_option, project_option, starter_option
from moneypath.cli.target_options import read_target, target_option, variable_options
from moneypath.stack.starters import Build, Starter, find_starter
from moneypath.target.loader import Target
from moneypath.workflows import gate as gating
from moneypath.workflows import gate_target
from moneypath.workflows.folders import new_run_folder


@click.command(epilog="Example: moneypath gate --build loadtests.badbuilds.loses_postings --junit gate.xml")
@click.option(
    "--file",
    type=click.Path(path_type=Path, dir_okay=False),
    help=f"Gate file; by default {gating.GATE_FILE} of the project.",
)
@click.option(
    "--build",
    "api",
    metavar="MODULE",
    help="Module that `python -m` runs as the service; by default the starter's own.",
)
@click.option(
    "--worker-build",
    "worker",
    metavar="MODULE",
    help="Module that `python -m` runs as the service's worker; by default the starter's own.",
)
@click.option(
    "--junit", type=click.Path(path_type=Path, dir_okay=False), help="Write the verdict as JUnit XML too."
)
@click.option(
    "--baseline",
    metavar="REVISION|FILE",
    help="The previous build: compare short windows of both in turn; or windows that were recorded.",
)
@click.option(
    "--record-baseline",
    "record",
    type=click.Path(path_type=Path, dir_okay=False),
    help="Record the windows of this build for later comparisons on an equal machine.",
)
@starter_option
@target_option
@variable_options
@json_option
@project_option
def gate(
    file: Path | None,
    api: str | None,
    worker: str | None,
    junit: Path | None,
    baseline: str | None,
    record: Path | None,
    starter_name: str | None,
    target_file: Path | None,
    given: dict[str, str],
    variables: Path | None,
    environment: str | None,
    as_json: bool,
    project: Path,
) -> None:
    """Drive a build at a stated rate and decide whether it may be released.

    Starts a stack of its own. Measures what clients felt, objectives, ledger audit, reconciliation, alerts,
    cost and resources over exactly the window of the load. Ends early when the build can no longer pass. With
    a baseline, both builds are first driven in turn and their windows compared.

    With --target it drives a deployed service by the load of the target's file, and judges its own
    objectives, its alerts and its witnesses over one window.

    The exit code is 0 passed, 1 failed, 2 bad input, 3 inconclusive: load, machine or baseline prove nothing.
    """
    if target_file is None and (given or variables or environment):
        raise click.UsageError("--set, --variables and --environment go with --target")
    if target_file is not None:
        if api or worker or baseline or record or starter_name:
            raise click.UsageError("--target goes without --build, --worker-build, baselines and --starter")
        _gate_target(
            project,
            file or project / gating.GATE_FILE,
            read_target(target_file, given, variables),
            environment,
            junit,
            as_json=as_json,
        )
    starter = find_starter(starter_name)
    build = choose_build(starter, api, worker, project)
    prepared = gating.prepare(
        project, file or project / gating.GATE_FILE, starter, build, baseline=baseline, record=record
    )
    for what, output in (("JUnit file", junit), ("baseline", record)):
        _require_folder(what, output)
    view = GateView(prepared.gate, quiet=as_json)
    with view:
        work = gating.run_gate(project, prepared, new_run_folder("gate"), view.observer)
        result = asyncio.run(work)
    verdict = result.verdict
    view.show(result)
    if junit is not None:
        junit.write_text(to_junit(verdict, result.seconds), encoding="utf-8")
    if as_json:
        click.echo(json.dumps(to_document(verdict, phases=result.phases), indent=2))
    else:
        click.echo(verdict.summary)
    raise click.exceptions.Exit(verdict.exit_code)


def _gate_target(
    project: Path, file: Path, target: Target, environment: str | None, junit: Path | None, *, as_json: bool
) -> NoReturn:
    """Run the gate on a deployed service, print its verdict, and end with its exit code."""
    prepared = gate_target.prepare_target_gate(project, file, target)
    _require_folder("JUnit file", junit)
    view = TargetGateView(quiet=as_json)
    with view:
        work = gate_target.run_target_gate(prepared, environment, new_run_folder("gate"), view.announce)
        result = asyncio.run(work)
    view.show(result)
    if junit is not None:
        junit.write_text(to_junit(result.verdict, result.seconds), encoding="utf-8")
    if as_json:
        click.echo(json.dumps(target_document(result.verdict, phases=result.phases), indent=2))
    else:
        click.echo(result.verdict.summary)
    raise click.exceptions.Exit(result.verdict.exit_code)


def _require_folder(what: str, output: Path | None) -> None:
    if output is not None and not output.absolute().parent.is_dir():
        raise GateRefused(
            f"the {what} cannot be written: no folder {output.parent}", hint="Name a folder that exists."
        )


def choose_build(starter: Starter, api: str | None, worker: str | None, project: Path) -> Build:
    """Return the starter's own build, or one with modules that are looked for in the project's folder too."""
    own = starter.build
    chosen = Build(api or own.api, worker or own.worker, own.folder)
    return own if chosen == own else replace(chosen, folder=project)
