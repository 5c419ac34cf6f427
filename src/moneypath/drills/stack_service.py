"""A stack whose books we know: its ledger in PostgreSQL, its providers' books over HTTP, its metrics."""

from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from moneypath.drills import ledger_audit
from moneypath.drills.attacks import Attacks
from moneypath.drills.canary import TRAFFIC as CANARY
from moneypath.drills.canary import Canary
from moneypath.drills.context import DrillContext
from moneypath.drills.load import LoadPlan
from moneypath.drills.metric_comparison import MetricWitness, compare_metrics
from moneypath.drills.promises import probe, record_promises
from moneypath.drills.scenario import Scenario
from moneypath.drills.service import CUSTOMERS_LOG, DRAIN_SECONDS, DrillPager, Driven
from moneypath.incidents.paging import Pager
from moneypath.oracle.metric_expectations import LIVE
from moneypath.prometheus import Prometheus
from moneypath.stack.endpoints import Endpoints
from moneypath.stack.server import ServerSpec
from moneypath.stack.supervisor import Supervisor
from moneypath.target.exchange import Exchange

CANARY_LOG: Final = "canary.jsonl"


@dataclass(frozen=True, slots=True)
class StackService:
    """A running stack by its addresses; `metrics` compares what it says of itself with its books."""

    project: Path
    endpoints: Endpoints
    exchange: Exchange
    metrics: MetricWitness
    beats: bool = True

    @property
    def prometheus(self) -> Prometheus:
        return Prometheus(self.endpoints.prometheus)

    def listed(self) -> Mapping[str, object]:
        return {}

    def load(self, scenario: Scenario, folder: Path) -> ServerSpec:
        log = folder / CUSTOMERS_LOG
        return LoadPlan(self.project, self.endpoints, log, scenario.load, scenario.clock.seed).spec()

    def customers_log(self, folder: Path) -> Path:
        return folder / CUSTOMERS_LOG

    @asynccontextmanager
    async def pager(self) -> AsyncIterator[DrillPager]:
        async with Pager(self.endpoints.pager, self.endpoints.secrets_folder) as pager:
            yield pager

    def canary(self, scenario: Scenario, folder: Path) -> AbstractAsyncContextManager[Canary]:
        client_file = self.endpoints.secrets_folder / "canary_client"
        return Canary(self.endpoints.service, client_file, scenario.card_range, folder / CANARY_LOG)

    def traffic(
        self, scenario: Scenario, supervisor: Supervisor, folder: Path, on_ended: Callable[[str, str], None]
    ) -> Attacks:
        seed = scenario.clock.seed
        return Attacks(supervisor, self.project, self.endpoints, folder, seed, on_ended=on_ended)

    async def begin(self) -> None:
        await self.metrics.begin()

    async def probe(self, context: DrillContext) -> None:
        # The canary of this service, as `canary` made it.
        if isinstance(context.canary, Canary):
            await probe(context, context.canary)

    async def record_witnesses(self, context: DrillContext, driven: Driven) -> None:
        logs = (context.folder / CUSTOMERS_LOG, *context.traffic.acknowledgement_logs)
        await ledger_audit.record(
            self.endpoints, logs, context.log, drain_seconds=DRAIN_SECONDS, driven=driven
        )
        await record_promises(context, self.endpoints)
        senders = {**dict.fromkeys(logs, LIVE), context.folder / CANARY_LOG: CANARY}
        (await compare_metrics(self.metrics, senders)).record(context.log)
