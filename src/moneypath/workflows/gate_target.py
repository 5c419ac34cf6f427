"""The gate on a deployed service: its own load, one window, its own objectives, its own witnesses."""

import asyncio
import json
import time
from dataclasses import dataclass, replace
from decimal import Decimal
from pathlib import Path
from typing import Final

from moneypath.alerting.conventions import watchdog_name
from moneypath.alerting.objective_counts import ObjectiveCounts, objective_counts
from moneypath.capacity.counters import Window
from moneypath.capacity.errors import GateRefused, GateUnmeasured
from moneypath.capacity.figures import FiredAlert, Tally
from moneypath.capacity.reading import beats, fired
from moneypath.capacity.target_gate import (
    ObjectiveTally,
    TargetFigures,
    TargetGate,
    TargetVerdict,
    decide_on_target,
    load_target_gate,
    target_document,
)
from moneypath.drills.target_canary import TargetCanary
from moneypath.drills.target_load import LOAD, TargetLoad
from moneypath.drills.target_witnesses import TargetWitnesses
from moneypath.errors import MoneypathError
from moneypath.path.model import MoneyPath
from moneypath.path.objectives import AvailabilitySlo
from moneypath.path.problems import DeclarationInvalid
from moneypath.prometheus import Prometheus, QueryFailed
from moneypath.runbooks.holding import counted
from moneypath.stack.folders import private_files
from moneypath.stack.server import ServerSpec
from moneypath.stack.starters import Announce
from moneypath.stack.supervisor import Supervisor
from moneypath.target.conformance.look import prometheus_of
from moneypath.target.exchange import Exchange
from moneypath.target.loader import Target
from moneypath.workflows.declaration import load_declaration
from moneypath.workflows.drill_target import exchange_to_break, exchange_to_read
from moneypath.workflows.gate_run import FOLDER, Phases
from moneypath.workflows.last_scrapes import await_last_scrapes

VERDICT: Final = "verdict.json"
ANSWERS: Final = "answers.jsonl"
SCRAPED_WITHIN_SECONDS: Final = 90.0
QUERY_SECONDS: Final = 15.0
MAX_ANSWER_BYTES: Final = 64 * 1024 * 1024


@dataclass(frozen=True, slots=True)
class PreparedTargetGate:
    """Everything that was read and checked before anything is driven."""

    path: MoneyPath
    gate: TargetGate
    target: Target


@dataclass(frozen=True, slots=True)
class TargetGateResult:
    """The verdict, the folder of its evidence, and the seconds of each phase."""

    verdict: TargetVerdict
    folder: Path
    phases: dict[str, float]

    @property
    def seconds(self) -> float:
        """Return the wall time of the whole run."""
        return sum(self.phases.values())


def prepare_target_gate(project: Path, file: Path, target: Target) -> PreparedTargetGate:
    """Read and check everything before anything is driven; raises GateRefused."""
    try:
        path = load_declaration(project)
        gate = load_target_gate(file, path)
    except DeclarationInvalid as error:
        raise GateRefused(error.what, hint=error.hint) from None
    if target.document.load is None:
        raise GateRefused(
            f"{target.file}: the target has no `load`, so nothing would be measured.",
            hint="Name a command, or say `live: true` where real traffic serves.",
        )
    if target.document.witnesses is None and gate.ledger_truth == "whole":
        raise GateRefused(
            f"{target.file}: the target has no `witnesses`, so nobody would audit its money.",
            hint=f"Name a file of witnesses, or write `ledger_truth: unknown` into {file}.",
        )
    return PreparedTargetGate(path, gate, target)


async def run_target_gate(
    prepared: PreparedTargetGate, environment: str | None, run_folder: Path, announce: Announce
) -> TargetGateResult:
    """Drive the service, measure one window, audit its money; it keeps running.

    Load is only driven where `environment` says that the target may be broken; live traffic needs none.
    Raises GateUnmeasured when something else than the service prevents a verdict, NotDrillable and what the
    target raises.
    """
    target, folder = prepared.target, run_folder / FOLDER
    live = target.document.load is not None and target.document.load.live
    exchange = await (exchange_to_read if live else exchange_to_break)(target, environment)
    phases = Phases()
    with private_files():
        folder.mkdir(parents=True, exist_ok=True)
        run = _Run(prepared, exchange, await _prometheus(exchange), folder, announce, phases)
        verdict = decide_on_target(await run.measure(), prepared.gate, target=target.document.target)
        result = TargetGateResult(verdict, folder, phases.seconds)
        document = json.dumps(target_document(verdict, phases=phases.seconds), indent=2)
        (folder / VERDICT).write_text(document, encoding="utf-8")
    return result


async def _prometheus(exchange: Exchange) -> Prometheus:
    prometheus = await prometheus_of(exchange)
    return replace(prometheus, timeout_seconds=QUERY_SECONDS, max_answer_bytes=MAX_ANSWER_BYTES)


@dataclass(frozen=True, slots=True)
class _Run:
    prepared: PreparedTargetGate
    exchange: Exchange
    prometheus: Prometheus
    folder: Path
    announce: Announce
    phases: Phases

    async def measure(self) -> TargetFigures:
        gate, target = self.prepared.gate, self.prepared.target
        witnesses = TargetWitnesses(target, gate.drain)
        await witnesses.load()
        await self._require_well()
        began, answers = time.time(), self.folder / ANSWERS
        load = TargetLoad(target, answers, gate.load.per_second, gate.load.users, gate.load.seed)
        spec = load.spec()
        try:
            async with Supervisor(self.folder) as supervisor:
                await self._start(supervisor, spec)
                driven_since = time.monotonic()
                self.announce(f"warming up for {gate.warm_up:g} s at {gate.load.per_second}/s")
                start = await self._after(supervisor, gate.warm_up)
                self.phases.end("warm-up")
                self.announce(f"measuring for {gate.duration:g} s")
                end = await self._after(supervisor, gate.duration)
                self.phases.end("window")
                planned = round((time.monotonic() - driven_since) * gate.load.per_second)
                if spec is not None:
                    await supervisor.stop(LOAD)
        except QueryFailed as error:
            raise GateUnmeasured(error.what, hint=error.hint) from None
        if spec is not None and (problem := await asyncio.to_thread(load.problem, planned)):
            # What was counted meanwhile is of somebody else.
            raise GateUnmeasured(problem, hint=spec.hint)
        figures = await self._read(Window(start, end, end))
        self.announce("asking the witnesses")
        found = await witnesses.settle(began, answers)
        self.phases.end("audit")
        if found is None:
            return replace(figures, unaudited=True)
        return replace(figures, money=found.whole, reasons=found.reasons)

    @staticmethod
    async def _start(supervisor: Supervisor, load: ServerSpec | None) -> None:
        if load is not None:
            try:
                await supervisor.start(load)
            except MoneypathError as error:
                raise GateUnmeasured(error.what, hint=error.hint) from None

    async def _require_well(self) -> None:
        """Raise GateUnmeasured when the canary is not answered well before anything is driven."""
        if self.prepared.target.document.canary is None:
            return
        results = await TargetCanary(self.exchange).batch()
        bad = [each.status for each in results if not each.is_good]
        if bad:
            raise GateUnmeasured(
                f"{len(bad)} of {len(results)} canaries were not answered well, the first with {bad[0]}.",
                hint="Heal the service first: the gate measures one that is well.",
            )

    async def _after(self, supervisor: Supervisor, seconds: float) -> float:
        """Return the instant of the last scrape after some seconds of load; its end ends the gate."""
        watching = asyncio.create_task(supervisor.watch(), name="load")
        waiting = asyncio.create_task(asyncio.sleep(seconds), name="window")
        try:
            await asyncio.wait({watching, waiting}, return_when=asyncio.FIRST_COMPLETED)
            if watching.done():
                watching.result()
        except MoneypathError as error:
            raise GateUnmeasured(error.what, hint=error.hint) from None
        finally:
            watching.cancel()
            waiting.cancel()
            await asyncio.gather(watching, waiting, return_exceptions=True)
        jobs = tuple(target.job for target in self.prepared.path.targets)
        return await await_last_scrapes(self.prometheus, jobs, time.time(), SCRAPED_WITHIN_SECONDS)

    async def _read(self, window: Window) -> TargetFigures:
        path, chosen = self.prepared.path, self.prepared.gate.objectives
        counts = objective_counts(path)
        tallies = {one.id: await self._tally(one, window) for one in counts}
        payments = [slo.id for slo in path.slos if isinstance(slo, AvailabilitySlo)]
        asked = [tallies[name] for name in payments]
        known = [one.valid for one in asked if one is not None]
        return TargetFigures(
            seconds=window.end - window.start,
            asked=sum(known) if known and len(known) == len(asked) else None,
            objectives=tuple(
                ObjectiveTally(one.id, Decimal(one.objective), tallies[one.id])
                for one in counts
                if not chosen or one.id in chosen
            ),
            alerts=await self._alerts(window),
            money=None,
        )

    async def _tally(self, one: ObjectiveCounts, window: Window) -> Tally | None:
        seconds = f"{max(1, round(window.end - window.start))}s"
        try:
            valid = counted(await self.prometheus.query(one.valid_query(seconds), at=window.end))
            bad = counted(await self.prometheus.query(one.bad_query(seconds), at=window.end))
        except QueryFailed:
            return None
        # Where there are events and none of them is known to be bad, none is.
        return Tally(valid or 0.0, bad or 0.0)

    async def _alerts(self, window: Window) -> tuple[FiredAlert, ...] | None:
        try:
            series = await self.prometheus.raw_samples(
                'ALERTS{alertstate="firing"}', window.start, window.end
            )
        except QueryFailed:
            return None
        violations = frozenset(check.alerts.violated for check in self.prepared.path.checks)
        beating = beats(series, window, watchdog_name(self.prepared.path))
        return fired(series, window, violations) if beating else None
