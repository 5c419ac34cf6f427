"""Any service that has a target's file: canary, load, pages and witnesses as the file says."""

import os
import sys
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final, Never

from moneypath.drills.context import DrillContext
from moneypath.drills.faults import FaultControlFailed
from moneypath.drills.metric_comparison import UNCOMPARED
from moneypath.drills.runbook_criteria import PROMISES_AS
from moneypath.drills.scenario import Scenario
from moneypath.drills.service import DrillPager, Driven
from moneypath.drills.target_canary import TargetCanary
from moneypath.drills.target_pager import TargetPager
from moneypath.drills.target_promises import listed_promises, record_promises
from moneypath.drills.target_witnesses import TargetWitnesses
from moneypath.drills.timeline_entry import TimelineEntry
from moneypath.prometheus import Prometheus
from moneypath.stack.server import ServerSpec
from moneypath.stack.supervisor import Supervisor
from moneypath.target.exchange import Exchange
from moneypath.target.placeholders import Argument, arguments_in, fill

LOAD: Final = "load"
ANSWERS_FILE: Final = "answers_file"
# Longer than any drill, and still an end for a load that lost its runner.
LOAD_SECONDS: Final = 3600
READY_SECONDS: Final = 60.0
STOP_SECONDS: Final = 30.0
_FIRST_BYTES: Final = 256 * 1024
# What a load may need of whoever runs the drill; a secret stands in none of these.
_KEPT: Final = ("PATH", "HOME", "LANG", "LC_ALL", "TMPDIR", "VIRTUAL_ENV", "PYTHONPATH")


@dataclass(frozen=True, slots=True)
class TargetService:
    """A deployed service, by its exchange and a client of its Prometheus."""

    exchange: Exchange
    prometheus: Prometheus
    witnesses: TargetWitnesses
    _own: Mapping[str, object] = field(default_factory=dict)

    @property
    def beats(self) -> bool:
        return self.exchange.target.document.look.heartbeat is not None

    def listed(self) -> Mapping[str, object]:
        document = self.exchange.target.document
        return {
            "target": document.target,
            "environment": document.environment,
            PROMISES_AS: listed_promises(document),
            UNCOMPARED: "the target has no witness of its metrics",
        }

    def load(self, scenario: Scenario, folder: Path) -> ServerSpec | None:
        load = self.exchange.target.document.load
        if load is None or load.command is None:
            return None
        answers = folder / self.witnesses.answers_name
        given: dict[str, Argument] = {
            "python": sys.executable,
            "users": scenario.load.users,
            "per_second": scenario.load.checkouts_per_second,
            "seconds": LOAD_SECONDS,
            "seed": scenario.clock.seed,
            ANSWERS_FILE: str(answers),
        }
        used = arguments_in([*load.command, *load.environment.values()])

        async def is_driving() -> bool:
            return ANSWERS_FILE not in used_names or _has_line(answers)

        used_names = frozenset(used)
        kept = {name: os.environ[name] for name in _KEPT if name in os.environ}
        return ServerSpec(
            name=LOAD,
            command=tuple(str(fill(word, given)) for word in load.command),
            env={**kept, **{name: str(fill(text, given)) for name, text in load.environment.items()}},
            cwd=self.exchange.target.folder,
            ready=is_driving,
            ready_within_seconds=READY_SECONDS,
            stop_grace_seconds=STOP_SECONDS,
            hint="Read the load's log, and check whether the service answers.",
        )

    def customers_log(self, folder: Path) -> None:  # noqa: ARG002 - whose form it has, only the file knows
        return None

    @asynccontextmanager
    async def pager(self) -> AsyncIterator[DrillPager]:
        yield TargetPager(self.exchange)

    @asynccontextmanager
    async def canary(self, scenario: Scenario, folder: Path) -> AsyncIterator[TargetCanary]:  # noqa: ARG002
        yield TargetCanary(self.exchange)

    def traffic(
        self, scenario: Scenario, supervisor: Supervisor, folder: Path, on_ended: Callable[[str, str], None]
    ) -> "NoTraffic":
        del scenario, supervisor, folder, on_ended
        return NoTraffic()

    async def begin(self) -> None:
        """Refuse a target without what a drill cannot do without, before anything is broken."""
        await self.witnesses.load()

    async def probe(self, context: DrillContext) -> None:
        """Send nothing: promises are counted on the load."""

    async def record_witnesses(self, context: DrillContext, driven: Driven) -> None:
        await record_promises(context, self.prometheus)
        await self.witnesses.record(context, driven)


@dataclass(frozen=True, slots=True)
class NoTraffic:
    """A target's faults are those of its file; traffic is one of them there."""

    acknowledgement_logs: tuple[Path, ...] = ()

    async def begin(self, step: TimelineEntry) -> Never:
        raise FaultControlFailed(
            f"{step.fault} is a fault of the reference stack alone.",
            hint="Declare an own fault with a command in the target's file.",
        )

    async def end(self, names: object) -> None:
        """Nothing was begun."""


def _has_line(file: Path) -> bool:
    try:
        with file.open("rb") as stream:
            return b"\n" in stream.read(_FIRST_BYTES)
    except FileNotFoundError:
        return False
