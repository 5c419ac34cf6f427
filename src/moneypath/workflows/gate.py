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
from moneypath.capacity.figures import Audit, Counted, Figures, Reconciliation
from moneypath.capacity.gate_file import Gate, Promises, load_gate
from moneypath.capacity.machine import read_processors, used_by_others
from moneypath.capacity.reading import read_counted, read_reconciliation
from moneypath.capacity.samples import Prometheus, SamplesUnread
from moneypath.capacity.verdict import Verdict, certain_failure, judge
from moneypath.drills.load import NAME as LOAD
from moneypath.drills.load import LoadPlan
from moneypath.drills.scenario import Load
from moneypath.drills.truth import hear_witnesses
from moneypath.errors import MoneypathError
from moneypath.path.loader import FILE_NAME, load
from moneypath.path.model import MoneyPath
from moneypath.path.problems import DeclarationInvalid
from moneypath.stack.errors import ServerDied, ServerNotReady
from moneypath.workflows.demo import unless_server_dies
from moneypath.workflows.live import Announce, Build, Live, LiveSettings, running

GATE_FILE: Final = "loadtests/gate.yaml"
FOLDER: Final = "gate"
VERDICT: Final = "verdict.json"
SCRAPED_WITHIN_SECONDS: Final = 10.0
LOOK_EVERY_SECONDS: Final = 2.0
BUILD_SERVERS: Final = ("refpay-api", "refpay-worker")
# Looks a module up as the servers will, without importing it.
_FIND: Final = "import importlib.util, sys; sys.exit(importlib.util.find_spec(sys.argv[1]) is None)"


@dataclass(frozen=True, slots=True)
class Onlooker:
    """Who looks on: `announce` hears what begins, `measured` the figures so far and the seconds of them."""

    announce: Announce
    measured: Callable[[float, Counted], None]


@dataclass(frozen=True, slots=True)
class Prepared:
    """All that was read and checked before anything starts."""

    path: MoneyPath
    gate: Gate
    promises: Promises
    build: Build


@dataclass(frozen=True, slots=True)
class GateResult:
    """The verdict, where its evidence lies, and how many seconds each phase of the run took."""

    verdict: Verdict
    folder: Path
    phases: dict[str, float]

    @property
    def seconds(self) -> float:
        """Return the wall time of the whole run."""
        return sum(self.phases.values())


def prepare(project: Path, file: Path, build: Build) -> Prepared:
    """Read and check everything before anything starts; raises GateRefused."""
    try:
        path = load(project / FILE_NAME)
        gate, promises = load_gate(file, path)
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
                hint="name a module that `python -m` runs from the project's folder, as refpay.app",
            )
    return Prepared(path, gate, promises, build)


async def run_gate(project: Path, prepared: Prepared, run_folder: Path, onlooker: Onlooker) -> GateResult:
    """Start a stack, measure the build, stop the stack.

    Raises BuildEnded when the build does not start or ends by itself, and GateUnmeasured when anything
    else kept the gate from its verdict.
    """
    gate, build = prepared.gate, prepared.build
    settings = LiveSettings(
        prepared.path, run_folder, gate.scale, gate.load.checkouts_per_second, build=build
    )
    phases = _Phases()
    try:
        async with running(settings, onlooker.announce) as live:
            phases.end("start")
            run = _Run(project, prepared, live, onlooker, phases)
            figures, ended_early = await unless_server_dies(live.supervisor, run.measure())
    except (MoneypathError, ExceptionGroup) as error:
        raise _reason_without_verdict(error) from error
    phases.end("stop")
    verdict = judge(figures, gate, prepared.promises, build=build.api, ended_early=ended_early)
    result = GateResult(verdict, run_folder / FOLDER, phases.seconds)
    document = json.dumps(to_document(verdict, phases=phases.seconds), indent=2)
    (result.folder / VERDICT).write_text(document, encoding="utf-8")
    return result


class _Phases:
    """What the time went into."""

    def __init__(self) -> None:
        self.seconds: dict[str, float] = {}
        self._since = time.monotonic()

    def end(self, name: str) -> None:
        now = time.monotonic()
        self.seconds[name], self._since = now - self._since, now


@dataclass(slots=True)
class _Run:
    project: Path
    prepared: Prepared
    live: Live
    onlooker: Onlooker
    phases: _Phases
    prometheus: Prometheus = field(init=False)
    journal_file: Path = field(init=False)

    @property
    def gate(self) -> Gate:
        """Return the gate file."""
        return self.prepared.gate

    def __post_init__(self) -> None:
        folder = self.live.endpoints.run_folder / FOLDER
        folder.mkdir()
        self.journal_file = folder / "journal.jsonl"
        self.prometheus = Prometheus(self.live.endpoints.prometheus)

    async def measure(self) -> tuple[Figures, str]:
        """Return the figures, and why the window was cut short, "" when it was not."""
        gate, say = self.gate, self.onlooker.announce
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
        say("stopping the load, waiting until every payment is settled")
        await supervisor.stop(LOAD)
        return replace(await self._close(start, asked_until), others_share=others), ended_early

    async def _close(self, start: float, asked_until: float) -> Figures:
        """Read everything once the load has ended: no counter of the window moves any more."""
        window, counted = await self._window(start, asked_until)
        drained, undrained = await self._drain()
        reconciliation = await self._reconciled(asked_until)
        self.phases.end("drain")
        self.onlooker.announce("asking the three witnesses")
        checkouts = await self._checkouts(window)
        audit = await self._audit()
        self.phases.end("audit")
        return Figures(window, counted, checkouts, drained, undrained, reconciliation, audit)

    async def _watch(self, start: float) -> tuple[str, float | None]:
        """Look at the figures until the time is up, or until no later figure could save the build.

        Returns why it ended early, "" when it did not, and what share of the machine others used.
        """
        most = float(self.gate.limits.others_at_most_ratio)
        before, others = read_processors(), None
        began = time.time()
        while (left := start + self.gate.duration - time.time()) > 0:
            await asyncio.sleep(min(left, LOOK_EVERY_SECONDS))
            now = time.time()
            others = used_by_others(before, read_processors(), now - began)
            counted = await self._counted(Window(start, now, now))
            self.onlooker.measured(now - start, counted)
            disturbed = others is None or others > most
            if reason := certain_failure(counted, self.gate, self.prepared.promises, disturbed=disturbed):
                return reason, others
        return "", others

    async def _window(self, start: float, asked_until: float) -> tuple[Window, Counted]:
        try:
            end = await self._scraped()
        except SamplesUnread:
            # What was counted last is not known, so nothing of the window is.
            return Window(start, asked_until, time.time()), Counted()
        window = Window(start, asked_until, end)
        return window, await self._counted(window)

    async def _counted(self, window: Window) -> Counted:
        return await read_counted(self.prometheus, self.prepared.promises, window)

    async def _scraped(self) -> float:
        """Wait for a scrape of every process, so that the window's edge is a sample and no guess."""
        jobs = tuple(target.job for target in self.prepared.path.targets)
        return await self.prometheus.await_scrapes(jobs, time.time(), SCRAPED_WITHIN_SECONDS)

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
            journal = await asyncio.to_thread(oracle.read_journal, self.journal_file)
        except MoneypathError:
            return None
        return count_checkouts(journal, window)

    async def _audit(self) -> Audit | None:
        try:
            return Audit.of(await hear_witnesses(self.live.endpoints, self.journal_file))
        except MoneypathError as error:
            self.onlooker.announce(f"a witness could not be heard: {error.what}")
            return None

    def _plan(self) -> LoadPlan:
        load = self.gate.load
        return LoadPlan(
            self.project,
            self.live.endpoints,
            self.journal_file,
            Load(
                checkouts_per_second=load.checkouts_per_second,
                users=load.users,
                card_ranges=load.card_ranges,
            ),
            load.seed,
            float(load.resend_ratio),
        )


def count_checkouts(journal: oracle.Journal, window: Window) -> int:
    """Return how many checkouts were begun while the load was asked for: first answers, any answer at all.

    The client's own count: what it did is no claim of the service.
    """
    first: dict[str, float] = {}
    for answer in journal.acknowledgements:
        if answer.operation is oracle.Operation.AUTHORIZE:
            first.setdefault(answer.idempotency_key, answer.at)
    return sum(window.start < at <= window.asked_until for at in first.values())


def _reason_without_verdict(error: Exception) -> Exception:
    """Return what to raise: the build's own end is a failure, all else is no verdict, a bug stays one."""
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
