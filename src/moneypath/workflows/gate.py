"""The release gate: a stack of its own, a load at a stated rate, one measured window, one verdict."""

import asyncio
import json
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Final

from moneypath import oracle
from moneypath.capacity.counters import Window
from moneypath.capacity.document import to_document
from moneypath.capacity.errors import BuildEnded, GateRefused, GateUnmeasured
from moneypath.capacity.figures import Audit, Figures, Reconciliation, WindowCounts
from moneypath.capacity.gate_file import DeclaredObjectives, Gate, load_gate
from moneypath.capacity.machine import read_processors, used_by_others
from moneypath.capacity.reading import read_counted, read_reconciliation
from moneypath.capacity.scrapes import await_scrapes
from moneypath.capacity.verdict import ReleaseVerdict, certain_failure, decide
from moneypath.drills.ledger_audit import audit_ledger
from moneypath.drills.load import NAME as LOAD
from moneypath.drills.load import LoadPlan
from moneypath.drills.scenario import Load
from moneypath.errors import MoneypathError
from moneypath.path.model import MoneyPath
from moneypath.path.problems import DeclarationInvalid
from moneypath.prometheus import Prometheus, QueryFailed
from moneypath.stack.errors import ServerDied, ServerNotReady
from moneypath.workflows.declaration import load_declaration
from moneypath.workflows.live_stack import Announce, Build, LiveStack, LiveStackSettings, running_stack
from moneypath.workflows.server_deaths import unless_server_dies

GATE_FILE: Final = "loadtests/gate.yaml"
FOLDER: Final = "gate"
VERDICT: Final = "verdict.json"
SCRAPED_WITHIN_SECONDS: Final = 10.0
CHECK_EVERY_SECONDS: Final = 2.0
# The raw samples of a whole window are many.
QUERY_SECONDS: Final = 15.0
MAX_ANSWER_BYTES: Final = 64 * 1024 * 1024
BUILD_SERVERS: Final = ("refpay-api", "refpay-worker")
# Looks a module up as the servers will, without importing it.
_FIND: Final = "import importlib.util, sys; sys.exit(importlib.util.find_spec(sys.argv[1]) is None)"


@dataclass(frozen=True, slots=True)
class GateObserver:
    """Callbacks of an observer: what begins, and the figures so far with the seconds measured."""

    announce: Announce
    measured: Callable[[float, WindowCounts], None]


@dataclass(frozen=True, slots=True)
class PreparedGate:
    """Everything that was read and checked before anything starts."""

    path: MoneyPath
    gate: Gate
    objectives: DeclaredObjectives
    build: Build


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


def prepare(project: Path, file: Path, build: Build) -> PreparedGate:
    """Read and check everything before anything starts; raises GateRefused."""
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
                hint="Name a module that `python -m` runs from the project's folder, such as refpay.app.",
            )
    return PreparedGate(path, gate, objectives, build)


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
    phases = _Phases()
    try:
        async with running_stack(settings, observer.announce) as live:
            phases.end("start")
            run = _GateRun(project, prepared, live, observer, phases)
            figures, ended_early = await unless_server_dies(live.supervisor, run.measure())
    except (MoneypathError, ExceptionGroup) as error:
        raise _reason_without_verdict(error) from error
    phases.end("stop")
    verdict = decide(figures, gate, prepared.objectives, build=build.api, ended_early=ended_early)
    result = GateResult(verdict, run_folder / FOLDER, phases.seconds)
    document = json.dumps(to_document(verdict, phases=phases.seconds), indent=2)
    (result.folder / VERDICT).write_text(document, encoding="utf-8")
    return result


class _Phases:
    """Measures how long each phase takes."""

    def __init__(self) -> None:
        self.seconds: dict[str, float] = {}
        self._since = time.monotonic()

    def end(self, name: str) -> None:
        now = time.monotonic()
        self.seconds[name], self._since = now - self._since, now


@dataclass(slots=True)
class _GateRun:
    project: Path
    prepared: PreparedGate
    live: LiveStack
    observer: GateObserver
    phases: _Phases
    prometheus: Prometheus = field(init=False)
    acknowledgement_log_file: Path = field(init=False)

    @property
    def gate(self) -> Gate:
        """Return the gate file."""
        return self.prepared.gate

    def __post_init__(self) -> None:
        folder = self.live.endpoints.run_folder / FOLDER
        folder.mkdir()
        self.acknowledgement_log_file = folder / "acknowledgements.jsonl"
        self.prometheus = Prometheus(
            self.live.endpoints.prometheus,
            timeout_seconds=QUERY_SECONDS,
            max_answer_bytes=MAX_ANSWER_BYTES,
        )

    async def measure(self) -> tuple[Figures, str]:
        """Return the figures, and why the window was cut short, "" when it was not."""
        gate, say = self.gate, self.observer.announce
        supervisor = self.live.supervisor
        await supervisor.start(self._plan().spec())
        say(f"warming up for {gate.warm_up:g} s at {gate.load.checkouts_per_second} checkouts/s")
        await asyncio.sleep(gate.warm_up)
        start = await self._scraped()
        self.phases.end("warm-up")
        say(f"measuring for {gate.duration:g} s")
        ended_early, others = await self._watch(start)
        asked_until = time.time()
        self.phases.end("window")
        if ended_early:
            say(f"ended early, the verdict is certain: {ended_early}")
        say("stopping the load, waiting until every payment is resolved")
        await supervisor.stop(LOAD)
        return replace(await self._close(start, asked_until), others_share=others), ended_early

    async def _close(self, start: float, asked_until: float) -> Figures:
        """Read everything after the load has ended, when no counter of the window grows any more."""
        window, counted = await self._window(start, asked_until)
        drained, undrained = await self._drain()
        reconciliation = await self._reconciled(asked_until)
        self.phases.end("drain")
        self.observer.announce("asking the three witnesses")
        checkouts = await self._checkouts(window)
        audit = await self._audit()
        self.phases.end("audit")
        return Figures(window, counted, checkouts, drained, undrained, reconciliation, audit)

    async def _watch(self, start: float) -> tuple[str, float | None]:
        """Read the figures until the window ends, or until the build can no longer pass.

        Return why it ended early, "" when it did not, and the share of the machine that other work used.
        """
        most = float(self.gate.limits.others_at_most_ratio)
        before, others = read_processors(), None
        began = time.time()
        while (left := start + self.gate.duration - time.time()) > 0:
            await asyncio.sleep(min(left, CHECK_EVERY_SECONDS))
            now = time.time()
            others = used_by_others(before, read_processors(), now - began)
            counted = await self._counted(Window(start, now, now))
            self.observer.measured(now - start, counted)
            disturbed = others is None or others > most
            if reason := certain_failure(counted, self.gate, self.prepared.objectives, disturbed=disturbed):
                return reason, others
        return "", others

    async def _window(self, start: float, asked_until: float) -> tuple[Window, WindowCounts]:
        try:
            end = await self._scraped()
        except QueryFailed:
            # What was counted last is not known, so nothing of the window is.
            return Window(start, asked_until, time.time()), WindowCounts()
        window = Window(start, asked_until, end)
        return window, await self._counted(window)

    async def _counted(self, window: Window) -> WindowCounts:
        return await read_counted(self.prometheus, self.prepared.objectives, window)

    async def _scraped(self) -> float:
        """Wait for a scrape of every process, so that the edge of the window is a sample."""
        jobs = tuple(target.job for target in self.prepared.path.targets)
        return await await_scrapes(self.prometheus, jobs, time.time(), SCRAPED_WITHIN_SECONDS)

    async def _drain(self) -> tuple[float | None, str]:
        try:
            return await oracle.await_drained(self.live.endpoints.oracle_dsn, self.gate.drain), ""
        except MoneypathError as error:
            return None, error.what

    async def _reconciled(self, up_to: float) -> Reconciliation | None:
        return await read_reconciliation(
            self.prometheus, self.prepared.path.provider_ids(), up_to=up_to, patience_seconds=self.gate.drain
        )

    async def _checkouts(self, window: Window) -> int | None:
        try:
            acknowledgement_log = await asyncio.to_thread(
                oracle.read_acknowledgement_log, self.acknowledgement_log_file
            )
        except MoneypathError:
            return None
        return count_checkouts(acknowledgement_log, window)

    async def _audit(self) -> Audit | None:
        try:
            return Audit.of(await audit_ledger(self.live.endpoints, self.acknowledgement_log_file))
        except MoneypathError as error:
            self.observer.announce(f"the audit could not read a witness: {error.what}")
            return None

    def _plan(self) -> LoadPlan:
        load = self.gate.load
        return LoadPlan(
            self.project,
            self.live.endpoints,
            self.acknowledgement_log_file,
            Load(
                checkouts_per_second=load.checkouts_per_second,
                users=load.users,
                card_ranges=load.card_ranges,
            ),
            load.seed,
            float(load.resend_ratio),
        )


def count_checkouts(acknowledgement_log: oracle.AcknowledgementLog, window: Window) -> int:
    """Return how many checkouts the client began while load was sent.

    It is the client's own count of first answers, and not a figure of the service.
    """
    first: dict[str, float] = {}
    for answer in acknowledgement_log.acknowledgements:
        if answer.operation is oracle.Operation.AUTHORIZE:
            first.setdefault(answer.idempotency_key, answer.at)
    return sum(window.start < at <= window.asked_until for at in first.values())


def _reason_without_verdict(error: Exception) -> Exception:
    """Return what to raise: BuildEnded for the build's end, a bug as it is, GateUnmeasured for all else."""
    found = list(_leaves(error))
    for each in found:
        if isinstance(each, ServerDied | ServerNotReady) and each.name in BUILD_SERVERS:
            return BuildEnded(each.what, hint=each.hint)
    for each in found:
        if not isinstance(each, MoneypathError):
            return each
    first = found[0]
    return GateUnmeasured(str(first)) if isinstance(first, MoneypathError) else first


def _leaves(error: Exception) -> list[Exception]:
    if isinstance(error, ExceptionGroup):
        return [leaf for each in error.exceptions for leaf in _leaves(each)]
    return [error]
