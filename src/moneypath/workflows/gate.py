"""The release gate: a stack of its own, a load at a stated rate, one measured window, one verdict."""

import json
import subprocess
import sys
from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from moneypath.capacity.document import to_document
from moneypath.capacity.errors import BuildEnded, GateRefused, GateUnmeasured
from moneypath.capacity.fingerprint import machine_fingerprint
from moneypath.capacity.gate_file import DeclaredObjectives, Gate, load_gate
from moneypath.capacity.recorded_windows import RecordedWindows, describe_plan
from moneypath.capacity.verdict import ReleaseVerdict, decide
from moneypath.errors import MoneypathError
from moneypath.path.model import MoneyPath
from moneypath.path.problems import DeclarationInvalid
from moneypath.stack.errors import ServerDied, ServerNotReady
from moneypath.stack.folders import private_files
from moneypath.stack.starters import Build, LiveStackSettings, Starter
from moneypath.workflows.comparison import Baseline, ShortWindows
from moneypath.workflows.declaration import load_declaration
from moneypath.workflows.error_leaves import leaves
from moneypath.workflows.gate_run import FOLDER, GateObserver, GateRun, Phases
from moneypath.workflows.revision import find_revision
from moneypath.workflows.server_deaths import unless_server_dies

GATE_FILE: Final = "loadtests/gate.yaml"
VERDICT: Final = "verdict.json"
# Looks a module up as the servers will, without importing it.
_FIND: Final = "import importlib.util, sys; sys.exit(importlib.util.find_spec(sys.argv[1]) is None)"


@dataclass(frozen=True, slots=True)
class PreparedGate:
    """Everything that was read and checked before anything starts."""

    path: MoneyPath
    gate: Gate
    objectives: DeclaredObjectives
    starter: Starter
    build: Build
    baseline: Baseline | None = None
    # Where the windows of this build are recorded for later comparisons.
    record: Path | None = None


@dataclass(frozen=True, slots=True)
class GateResult:
    """The verdict, the folder of its evidence, and the seconds of each phase."""

    verdict: ReleaseVerdict
    folder: Path
    phases: dict[str, float]

    @property
    def seconds(self) -> float:
        """Return the wall time of the whole run."""
        return sum(self.phases.values())


def prepare(
    project: Path,
    file: Path,
    starter: Starter,
    build: Build | None = None,
    *,
    baseline: str | None = None,
    record: Path | None = None,
) -> PreparedGate:
    """Read and check everything before anything starts; raises GateRefused.

    Without a `build` it is the starter's own. `baseline` is a revision, or a file of recorded windows if
    there is one of that name.
    """
    build = build or starter.build
    try:
        path = load_declaration(project)
        gate, objectives = load_gate(file, path)
    except DeclarationInvalid as error:
        raise GateRefused(error.what, hint=error.hint) from None
    for module in (build.api, build.worker):
        # A fixed program; the module's name is its argument, not its text.
        found = subprocess.run(  # noqa: S603
            [sys.executable, "-c", _FIND, module],
            env={"PATH": "/usr/bin:/bin", **build.environment},
            cwd=project,
            capture_output=True,
            timeout=30,
            check=False,
        )
        if found.returncode != 0:
            raise GateRefused(
                f"no such build: there is no module {module}",
                hint="Name a module that `python -m` runs from the project's folder, such as "
                f"{starter.build.api}.",
            )
    compared = _find_baseline(project, baseline, starter.build)
    return PreparedGate(path, gate, objectives, starter, build, compared, record)


def _find_baseline(project: Path, name: str | None, build: Build) -> Baseline | None:
    if name is None:
        return None
    return RecordedWindows.read(Path(name)) if Path(name).is_file() else find_revision(project, name, build)


async def run_gate(
    project: Path, prepared: PreparedGate, run_folder: Path, observer: GateObserver
) -> GateResult:
    """Start a stack, measure the build, stop the stack.

    Raises BuildEnded when the build does not start or ends by itself, and GateUnmeasured when anything else
    prevents a verdict.
    """
    gate, build = prepared.gate, prepared.build
    settings = LiveStackSettings(
        prepared.path, run_folder, gate.scale, gate.load.checkouts_per_second, build=build
    )
    phases = Phases()
    try:
        async with prepared.starter.running(settings, observer.announce) as live:
            phases.end("start")
            run = GateRun(project, prepared.path, gate, prepared.objectives, live, observer, phases)
            await unless_server_dies(live.supervisor, _measure_windows(prepared, run))
            figures, ended_early = await unless_server_dies(live.supervisor, run.measure())
    except (MoneypathError, ExceptionGroup) as error:
        raise _reason_without_verdict(error, prepared.starter.build_servers) from error
    phases.end("stop")
    verdict = decide(figures, gate, prepared.objectives, build=build.api, ended_early=ended_early)
    result = GateResult(verdict, run_folder / FOLDER, phases.seconds)
    document = json.dumps(to_document(verdict, phases=phases.seconds), indent=2)
    with private_files():
        (result.folder / VERDICT).write_text(document, encoding="utf-8")
    return result


async def _measure_windows(prepared: PreparedGate, run: GateRun) -> None:
    """Compare the build with its baseline, or record its windows, if either is asked for."""
    windows = ShortWindows(run.project, run.path, run.gate, run.observer.announce, prepared.starter)
    if prepared.baseline is not None:
        run.comparison, load = await windows.compare(run.live, prepared.baseline)
        measured = run.comparison.build_windows
    elif prepared.record is not None:
        measured, load = await windows.record(run.live)
    else:
        return
    run.earlier = (load,)
    if prepared.record is not None:
        plan, machine = describe_plan(run.gate), machine_fingerprint()
        RecordedWindows(prepared.build.api, machine, plan, measured).write(prepared.record)
    run.phases.end("windows")


def _reason_without_verdict(error: Exception, build_servers: Collection[str]) -> Exception:
    """Return what to raise: BuildEnded for the build's end, a bug as it is, GateUnmeasured for all else."""
    found = leaves(error)
    for each in found:
        if isinstance(each, ServerDied | ServerNotReady) and each.name in build_servers:
            return BuildEnded(each.what, hint=each.hint)
    for each in found:
        if not isinstance(each, MoneypathError):
            return each
    # A request that failed because a server died says less than the death.
    first = next((each for each in found if isinstance(each, ServerDied)), found[0])
    return GateUnmeasured(first.what, hint=first.hint) if isinstance(first, MoneypathError) else first
