"""What a drill needs of the service that it breaks: a target by its file, or a stack whose books we know."""

from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final, Protocol

from moneypath.drills.effect import Canaries
from moneypath.drills.scenario import Scenario
from moneypath.drills.timeline_entry import TimelineEntry
from moneypath.incidents.events import LogHead
from moneypath.incidents.paging import Page
from moneypath.prometheus import Prometheus
from moneypath.stack.server import ServerSpec
from moneypath.stack.supervisor import Supervisor
from moneypath.target.exchange import Exchange

if TYPE_CHECKING:
    from moneypath.drills.context import DrillContext

CUSTOMERS_LOG: Final = "acknowledgements.jsonl"
DRAIN_SECONDS: Final = 45.0
"""How long what is under way may take once the load has ended, before the money is counted."""


@dataclass(frozen=True, slots=True)
class Driven:
    """The load of an audited time: from when, in Unix seconds, and how many checkouts were planned."""

    since: float
    planned: int


class DrillPager(Protocol):
    """Reads the pages that were delivered, and takes acknowledgements."""

    async def pages_after(self, seq: int, *, wait_seconds: float = ...) -> tuple[Page, ...]:
        """Return the pages with a number above `seq`; wait for the first."""
        ...

    async def heartbeat_at(self) -> float | None:
        """Return when the watchdog's last heartbeat arrived, in Unix seconds."""
        ...

    async def acknowledge(self, page: Page, role: str, head: LogHead) -> str:
        """Acknowledge `page` as `role`; return the principal that the pager saw."""
        ...


class TrafficFaults(Protocol):
    """Faults that are traffic."""

    @property
    def acknowledgement_logs(self) -> tuple[Path, ...]:
        """Return the log of each that was begun."""
        ...

    async def begin(self, step: TimelineEntry) -> None:
        """Begin one and wait for its first answer."""

    async def end(self, names: Sequence[str]) -> None:
        """End those called `names`; names of other faults are ignored."""


class DrilledService(Protocol):
    """The service that a drill breaks, reads and audits.

    Its exchange breaks and repairs it. `listed` is what the first event of the log says of it, so that no
    later event can make a criterion easier.
    """

    @property
    def exchange(self) -> Exchange: ...

    @property
    def prometheus(self) -> Prometheus: ...

    @property
    def beats(self) -> bool:
        """Whether it can be asked for the watchdog's heartbeat."""
        ...

    def listed(self) -> Mapping[str, object]: ...

    def load(self, scenario: Scenario, folder: Path) -> ServerSpec | None:
        """Return what drives the service, None where live traffic does."""
        ...

    def customers_log(self, folder: Path) -> Path | None:
        """Return what customers asked and were told, in our own form, if the load writes that."""
        ...

    def pager(self) -> AbstractAsyncContextManager[DrillPager]: ...

    def canary(self, scenario: Scenario, folder: Path) -> AbstractAsyncContextManager[Canaries]: ...

    def traffic(
        self, scenario: Scenario, supervisor: Supervisor, folder: Path, on_ended: Callable[[str, str], None]
    ) -> TrafficFaults: ...

    async def begin(self) -> None:
        """Note where every count stands before the first request."""

    async def probe(self, context: "DrillContext") -> None:
        """Send what a promise needs to be looked at, while the load still runs."""

    async def record_witnesses(self, context: "DrillContext", driven: Driven) -> None:
        """Drain, and record what the witnesses say of the money, of promises and of the metrics."""
