"""One measured window of a gate on a running stack, and everything that is read after it."""

import asyncio
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Final

from moneypath import oracle
from moneypath.capacity.client import ClientFigures
from moneypath.capacity.client_log import ClientLog, RequestLogInvalid
from moneypath.capacity.counters import Window
from moneypath.capacity.figures import Audit, Comparison, Figures, Reconciliation, WindowCounts
from moneypath.capacity.gate_file import DeclaredObjectives, Gate
from moneypath.capacity.machine import read_processors, used_by_others
from moneypath.capacity.reading import read_counted, read_reconciliation
from moneypath.capacity.tariff import dearest_fees
from moneypath.capacity.verdict import certain_failure
from moneypath.drills.ledger_audit import audit_ledger
from moneypath.drills.load import NAME as LOAD
from moneypath.errors import MoneypathError
from moneypath.oracle.metric_expectations import Sender
from moneypath.path.model import MoneyPath
from moneypath.prometheus import Prometheus, QueryFailed
from moneypath.stack.starters import Announce, LiveStack
from moneypath.workflows.gate_load import GateLoad
from moneypath.workflows.gate_sampling import ResourceSampler
from moneypath.workflows.last_scrapes import await_last_scrapes
from moneypath.workflows.metric_witness import MetricWitness

FOLDER: Final = "gate"
SCRAPED_WITHIN_SECONDS: Final = 10.0
CHECK_EVERY_SECONDS: Final = 2.0
# How long after the load connections may take to close; HTTP clients close what nobody used for 15 s.
REST_SECONDS: Final = 45.0
# The raw samples of a whole window are many.
QUERY_SECONDS: Final = 15.0
MAX_ANSWER_BYTES: Final = 64 * 1024 * 1024


@dataclass(frozen=True, slots=True)
class GateObserver:
    """Callbacks of an observer: what begins, and the figures so far with the seconds measured."""

    announce: Announce
    measured: Callable[[float, WindowCounts], None]


class Phases:
    """Measures how long each phase takes."""

    def __init__(self) -> None:
        self.seconds: dict[str, float] = {}
        self._since = time.monotonic()

    def end(self, name: str) -> None:
        """End the phase that began when the last one ended."""
        now = time.monotonic()
        self.seconds[name], self._since = now - self._since, now


@dataclass(slots=True)
class GateRun:
    """Measures the build of one running stack; `earlier` are loads that it carried before."""

    project: Path
    path: MoneyPath
    gate: Gate
    objectives: DeclaredObjectives
    live: LiveStack
    observer: GateObserver
    phases: Phases
    comparison: Comparison | None = None
    earlier: Sequence[GateLoad] = ()
    prometheus: Prometheus = field(init=False)
    load: GateLoad = field(init=False)
    client_log: ClientLog = field(init=False)

    def __post_init__(self) -> None:
        endpoints = self.live.endpoints
        folder = endpoints.run_folder / FOLDER
        folder.mkdir(exist_ok=True)
        self.load = GateLoad(LOAD, self.project, folder, endpoints, self.gate)
        self.client_log = ClientLog(self.load.request_log_file)
        self.prometheus = open_prometheus(self.live)

    async def measure(self) -> tuple[Figures, str]:
        """Return the figures, and why the window was cut short, "" when it was not."""
        gate, say = self.gate, self.observer.announce
        supervisor = self.live.supervisor
        witness = MetricWitness(self.path, self.live.endpoints)
        await witness.begin()
        sampler = ResourceSampler(supervisor, self.live.build_servers)
        connections = await sampler.count_open()
        await supervisor.start(self.load.spec())
        say(f"warming up for {gate.warm_up:g} s at {gate.load.checkouts_per_second} checkouts/s")
        await asyncio.sleep(gate.warm_up)
        start = await self._scraped()
        self.phases.end("warm-up")
        say(f"measuring for {gate.duration:g} s")
        async with sampler.sampling():
            ended_early, others = await self._watch(start)
        asked_until = time.time()
        self.phases.end("window")
        if ended_early:
            say(f"ended early, the verdict is certain: {ended_early}")
        say("stopping the load, waiting until every payment is resolved")
        await supervisor.stop(LOAD)
        client = self._client(start, asked_until)
        figures = await self._close(start, asked_until, witness)
        patience = 0.0 if ended_early else asked_until + REST_SECONDS - time.time()
        limit = gate.limits.connections_left_open
        left = await sampler.count_left_open(connections, limit, patience_seconds=patience)
        self.phases.end("rest")
        return replace(
            figures,
            others_share=others,
            client=client,
            resources=sampler.samples,
            connections=left,
            comparison=self.comparison,
        ), ended_early

    async def _close(self, start: float, asked_until: float, witness: MetricWitness) -> Figures:
        """Read everything after the load has ended, when no counter of the window grows any more."""
        window, counted = await self._window(start, asked_until)
        drained, undrained = await self._drain()
        reconciliation = await self._reconciled(asked_until)
        self.phases.end("drain")
        self.observer.announce("asking the three witnesses")
        acknowledgement_log = await self._acknowledgement_log()
        checkouts, tariff, lies = None, None, None
        if acknowledgement_log is not None:
            compared = await witness.compare([Sender(acknowledgement_log.acknowledgements)])
            lies = None if compared.reason else compared.lies
            checkouts = count_checkouts(acknowledgement_log, window)
            tariff = dearest_fees(self.path, acknowledgement_log.acknowledgements, window)
        audit = await self._audit()
        self.phases.end("audit")
        return Figures(
            window,
            counted,
            checkouts,
            drained,
            undrained,
            reconciliation,
            audit,
            metric_lies=lies,
            tariff_micro_units=tariff,
        )

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
            client = self._client(start, now)
            reason = certain_failure(counted, self.gate, self.objectives, client=client, disturbed=disturbed)
            if reason:
                return reason, others
        return "", others

    def _client(self, start: float, until: float) -> ClientFigures | None:
        try:
            requests = self.client_log.read()
        except RequestLogInvalid as error:
            self.observer.announce(f"what clients felt could not be read: {error.what}")
            return None
        return ClientFigures(requests, start=start, until=until, now=time.time())

    async def _window(self, start: float, asked_until: float) -> tuple[Window, WindowCounts]:
        try:
            end = await self._scraped()
        except QueryFailed:
            # What was counted last is not known, so nothing of the window is.
            return Window(start, asked_until, time.time()), WindowCounts()
        window = Window(start, asked_until, end)
        return window, await self._counted(window)

    async def _counted(self, window: Window) -> WindowCounts:
        return await read_counted(self.prometheus, self.objectives, window)

    async def _scraped(self) -> float:
        """Wait for a scrape of every process, so that the edge of the window is a sample."""
        jobs = tuple(target.job for target in self.path.targets)
        return await await_last_scrapes(self.prometheus, jobs, time.time(), SCRAPED_WITHIN_SECONDS)

    async def _drain(self) -> tuple[float | None, str]:
        try:
            return await oracle.await_drained(self.live.endpoints.oracle_dsn, self.gate.drain), ""
        except MoneypathError as error:
            return None, error.what

    async def _reconciled(self, up_to: float) -> Reconciliation | None:
        return await read_reconciliation(
            self.prometheus, self.path.provider_ids(), up_to=up_to, patience_seconds=self.gate.drain
        )

    async def _acknowledgement_log(self) -> oracle.AcknowledgementLog | None:
        try:
            return await asyncio.to_thread(
                oracle.read_acknowledgement_log, self.load.acknowledgement_log_file
            )
        except MoneypathError:
            return None

    async def _audit(self) -> Audit | None:
        files = [each.acknowledgement_log_file for each in (*self.earlier, self.load)]
        try:
            return Audit.of(await audit_ledger(self.live.endpoints, *files))
        except MoneypathError as error:
            self.observer.announce(f"the audit could not read a witness: {error.what}")
            return None


def open_prometheus(live: LiveStack) -> Prometheus:
    """Return the stack's Prometheus, for answers as large as the raw samples of a whole window."""
    return Prometheus(
        live.endpoints.prometheus, timeout_seconds=QUERY_SECONDS, max_answer_bytes=MAX_ANSWER_BYTES
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
