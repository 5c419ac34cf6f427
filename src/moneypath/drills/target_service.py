"""Any service that has a target's file: canary, load, pages and witnesses as the file says."""

import asyncio
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Never

from moneypath.drills.context import DrillContext
from moneypath.drills.faults import FaultControlFailed
from moneypath.drills.metric_comparison import UNCOMPARED
from moneypath.drills.runbook_criteria import PROMISES_AS
from moneypath.drills.scenario import Scenario
from moneypath.drills.service import DrillPager, Driven
from moneypath.drills.target_canary import TargetCanary
from moneypath.drills.target_load import TargetLoad
from moneypath.drills.target_pager import TargetPager
from moneypath.drills.target_promises import listed_promises, record_promises
from moneypath.drills.target_witnesses import MoneyFound, TargetWitnesses
from moneypath.drills.timeline_entry import TimelineEntry
from moneypath.incidents.timeline import Kind
from moneypath.prometheus import Prometheus
from moneypath.stack.server import ServerSpec
from moneypath.stack.supervisor import Supervisor
from moneypath.target.exchange import Exchange

ANSWERS: Final = "answers.jsonl"
UNKNOWN: Final = "unknown"


@dataclass(frozen=True, slots=True)
class TargetService:
    """A deployed service, by its exchange, a client of its Prometheus, and its witnesses."""

    exchange: Exchange
    prometheus: Prometheus
    witnesses: TargetWitnesses

    @property
    def beats(self) -> bool:
        """Whether the file says where the watchdog's heartbeat is read."""
        return self.exchange.target.document.look.heartbeat is not None

    def listed(self) -> Mapping[str, object]:
        """Return the target, what its actions promise, and that nobody compares its metrics."""
        document = self.exchange.target.document
        return {
            "target": document.target,
            "environment": document.environment,
            PROMISES_AS: listed_promises(document),
            UNCOMPARED: "the target has no witness of its metrics",
        }

    def load(self, scenario: Scenario, folder: Path) -> ServerSpec | None:
        """Return the load of the target's file, at the rate of the drill."""
        return self._load(scenario, folder).spec()

    def _load(self, scenario: Scenario, folder: Path) -> TargetLoad:
        load = scenario.load
        return TargetLoad(
            self.exchange.target, folder / ANSWERS, load.checkouts_per_second, load.users, scenario.clock.seed
        )

    def customers_log(self, folder: Path) -> None:  # noqa: ARG002 - its form is known to the witnesses alone
        """Return none: only the witnesses' file knows the form of what the load writes."""
        return

    @asynccontextmanager
    async def pager(self) -> AsyncIterator[DrillPager]:
        """Yield the pages of the target."""
        yield TargetPager(self.exchange)

    @asynccontextmanager
    async def canary(self, scenario: Scenario, folder: Path) -> AsyncIterator[TargetCanary]:  # noqa: ARG002
        """Yield the canary of the target."""
        yield TargetCanary(self.exchange)

    def traffic(
        self, scenario: Scenario, supervisor: Supervisor, folder: Path, on_ended: Callable[[str, str], None]
    ) -> "NoTraffic":
        """Return nothing that can begin: a target's traffic faults stand in its file."""
        del scenario, supervisor, folder, on_ended
        return NoTraffic()

    async def begin(self) -> None:
        """Read the witnesses' file, so that a wrong one is refused before anything is broken."""
        await self.witnesses.load()

    async def probe(self, context: DrillContext) -> None:
        """Send nothing: promises are counted on the load."""

    async def record_witnesses(self, context: DrillContext, driven: Driven) -> None:
        """Count what was promised, and audit the money once it has settled."""
        await record_promises(context, self.prometheus)
        found = await self.witnesses.settle(driven.since, context.folder / ANSWERS)
        if found is not None:
            context.log.append(Kind.LOAD_DRAINED, "operations", {"seconds": round(found.seconds, 3)})
        # One order of two hundred is no evidence of the rest.
        load = self._load(context.scenario, context.folder)
        problem = await asyncio.to_thread(load.problem, driven.planned)
        context.log.append(Kind.LEDGER_TRUTH, "ledger", _payload(found, problem), source="oracle")


@dataclass(frozen=True, slots=True)
class NoTraffic:
    """A target's faults are those of its file; traffic is one of them there."""

    acknowledgement_logs: tuple[Path, ...] = ()

    async def begin(self, step: TimelineEntry) -> Never:
        """Refuse; raises FaultControlFailed."""
        raise FaultControlFailed(
            f"{step.fault} is a fault of the reference stack alone.",
            hint="Declare an own fault with a command in the target's file.",
        )

    async def end(self, names: object) -> None:
        """Nothing was begun."""


def _payload(found: MoneyFound | None, problem: str) -> dict[str, object]:
    """Return what is recorded; a `problem` with the load is no money that is whole."""
    first = [problem] if problem else []
    if found is None:
        whole = False if problem else UNKNOWN
        return {"whole": whole, "discrepancies": [*first, "the target has no witnesses"]}
    reasons = [*first, *found.reasons]
    return {
        "whole": found.whole and not problem,
        "discrepancies": reasons,
        "discrepancy_count": len(reasons),
        "summary": found.summary,
        "cannot_know": list(found.cannot_know),
        "totals": [list(total) for total in found.totals],
    }
