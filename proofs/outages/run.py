"""Run one outage: start a stack, load it, take a server away, give it back, wait, drain, audit."""

import asyncio
import contextlib
import time
from collections import Counter
from collections.abc import AsyncIterator, Callable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Final

from proofs.crash_test.client_answers import AcknowledgementTail, RequestCounts, count_requests
from proofs.crash_test.message_effects import MessageEffects, await_effects
from proofs.crash_test.report import classify
from proofs.crash_test.run import CLIENT, PROJECT, SCALE
from proofs.outages.errors import OutageFailed
from proofs.outages.healing import Healing, StackParts, await_whole
from proofs.outages.outage import Outage, Way, start_again, taken_away
from proofs.outages.pages import Delivered, PageCount, count_pages
from proofs.outages.small_disk import SmallDisk, small_disk

from moneypath import oracle
from moneypath.drills.ledger_audit import audit_ledger
from moneypath.drills.load import NAME as LOAD
from moneypath.drills.load import LoadPlan
from moneypath.drills.scenario import Load
from moneypath.incidents.paging import Pager
from moneypath.path.loader import FILE_NAME, load
from moneypath.stack.errors import ServerDied
from moneypath.stack.server import ServerSpec
from moneypath.stack.starters import LiveStack, LiveStackSettings
from moneypath.stack.supervisor import Supervisor
from moneypath.workflows.server_deaths import unless_server_dies
from refstack.live_stack import running_stack

# The goal, and how much longer we look to say what is missing.
HEALED_WITHIN_SECONDS: Final = 60.0
LOOKED_AT_SECONDS: Final = 90.0
DRAINED_WITHIN_SECONDS: Final = 60.0
CAPTURES_BEFORE: Final = 40
CAPTURES_LEAST: Final = 20
# Above what the alert for missing traffic asks for, and little for a machine that does other work too.
CHECKOUTS_PER_SECOND: Final = 6
USERS: Final = 20
ACKNOWLEDGEMENT_LOG: Final = "acknowledgements.jsonl"
# A process manager starts them again if they end; all others have to stay.
MANAGED: Final = frozenset({"postgres", "nats", "refpay-api", "refpay-worker"})

Announce = Callable[[str], None]


@dataclass(frozen=True, slots=True)
class Result:
    """What an outage did. `captures` are those acknowledged to the client before, during and after it.

    `deaths` are servers that ended by themselves and were started again.
    """

    outage: Outage
    captures: tuple[int, int, int]
    pages: PageCount
    healing: Healing
    requests: RequestCounts
    effects: MessageEffects
    audit: oracle.AuditReport
    deaths: Mapping[str, int]

    @property
    def classes(self) -> Mapping[str, int]:
        """Return how many discrepancies of the money there are of each class."""
        found = Counter(classify(each.kind) for each in self.audit.discrepancies)
        return {name: found[name] for name in ("lost", "doubled", "unbalanced", "different")}

    @property
    def findings(self) -> tuple[str, ...]:
        """Return one sentence for everything that must not be."""
        found = [f"{each.kind}: {each.subject}: {each.detail}" for each in self.audit.discrepancies]
        found += [f"too little evidence: {text}" for text in self.audit.missing_evidence]
        found += self.effects.findings
        found += self._unhealed()
        found += self._pages()
        if self.outage.pays and not self.captures[1]:
            found.append("nothing was captured during the outage")
        if self.deaths and self.outage.way is not Way.DISK_FULL:
            found.append(f"ended by themselves: {', '.join(sorted(self.deaths))}")
        return tuple(found)

    def _unhealed(self) -> list[str]:
        seconds = self.healing.seconds
        if seconds is None:
            return [f"not whole after {LOOKED_AT_SECONDS:g} s: {self.healing.last}"]
        if seconds > HEALED_WITHIN_SECONDS:
            return [f"whole after {seconds:.1f} s only, the last was: {self.healing.last}"]
        return []

    def _pages(self) -> list[str]:
        wanted, paged = self.outage.pages, self.pages.names
        if wanted and not wanted & paged:
            return [f"nobody was paged for any of {', '.join(sorted(wanted))}"]
        if not wanted and paged:
            return [f"paged although the service was well: {', '.join(sorted(paged))}"]
        return []


async def run_outage(outage: Outage, run_folder: Path, announce: Announce) -> Result:
    """Run one outage on a stack of its own; raises a MoneypathError if there is no result."""
    settings = LiveStackSettings(load(PROJECT / FILE_NAME), run_folder, SCALE, CHECKOUTS_PER_SECOND)
    async with (
        _disk_for(outage, run_folder) as disk,
        running_stack(settings, announce) as live,
        Pager(live.endpoints.pager) as pager,
    ):
        if disk is not None:
            _require_on(disk, live, outage)
        run = OutageRun(outage, live, pager, disk, announce)
        await live.supervisor.start(run.client())
        return await _managed(live.supervisor, run)


@contextlib.asynccontextmanager
async def _disk_for(outage: Outage, run_folder: Path) -> AsyncIterator[SmallDisk | None]:
    if outage.way is not Way.DISK_FULL:
        yield None
        return
    async with small_disk(run_folder / outage.server) as disk:
        yield disk


def _require_on(disk: SmallDisk, live: LiveStack, outage: Outage) -> None:
    """Refuse to fill a disk that the server does not use."""
    process = live.supervisor.pids()[outage.server]
    if not disk.holds(Path(f"/proc/{process}/cwd")):
        raise OutageFailed(f"{outage.name}: its data lies elsewhere", hint="Use a folder that all may enter.")


async def _managed(supervisor: Supervisor, run: "OutageRun") -> Result:
    """Run, and start servers again that end by themselves, as a process manager would."""
    running = asyncio.ensure_future(run.run())
    try:
        while True:
            try:
                return await unless_server_dies(supervisor, asyncio.shield(running))
            except ServerDied as death:
                if running.done() or death.name not in MANAGED:
                    raise
                run.deaths[death.name] += 1
                run.announce(f"{death.name} ended by itself, starting it again")
                await start_again(supervisor, death.name)
    finally:
        running.cancel()
        await asyncio.wait({running})


@dataclass(slots=True)
class OutageRun:
    """One outage on a stack that runs already."""

    outage: Outage
    live: LiveStack
    pager: Pager
    disk: SmallDisk | None
    announce: Announce
    deaths: Counter[str] = field(default_factory=Counter)
    delivered: Delivered = field(default_factory=Delivered)

    async def run(self) -> Result:
        """Run it; raises a MoneypathError if there is no result."""
        tail = AcknowledgementTail(self._log)
        parts = StackParts(self.live.endpoints, self.pager, tail, self.delivered)
        before = await self._begin(tail, parts)
        self.announce(f"{self.outage.name} for {self.outage.seconds:g} s")
        async with taken_away(self.outage, self.live.supervisor, self.disk):
            await asyncio.sleep(self.outage.seconds)
            during = tail.read() - before
            # Before the block is left: a start takes its time, and belongs to the healing.
            ended = time.monotonic()
            parts.begin()
        healing = await await_whole(parts.parts(), ended, LOOKED_AT_SECONDS)
        self.announce(f"whole again after {healing.seconds} s, the last was: {healing.last}")
        after = tail.read() - before - during
        await self.live.supervisor.stop(LOAD)
        await self.delivered.read(self.pager)
        pages = count_pages(self.delivered.pages)
        await oracle.await_drained(self.live.endpoints.oracle_dsn, DRAINED_WITHIN_SECONDS)
        audit = await audit_ledger(self.live.endpoints, self._log)
        minimum = oracle.MinimumEvidence(*[CAPTURES_LEAST] * 3)
        log = await asyncio.to_thread(oracle.read_acknowledgement_log, self._log)
        return Result(
            outage=self.outage,
            captures=(before, during, after),
            pages=pages,
            healing=healing,
            requests=count_requests(log.acknowledgements),
            effects=await await_effects(self.live.endpoints, DRAINED_WITHIN_SECONDS),
            audit=replace(audit, minimum=minimum),
            deaths=dict(self.deaths),
        )

    async def _begin(self, tail: AcknowledgementTail, parts: StackParts) -> int:
        """Wait until the stack is whole under load; return the captures so far."""
        parts.begin()
        healthy = await await_whole(parts.parts(), time.monotonic(), LOOKED_AT_SECONDS)
        if healthy.seconds is None:
            raise OutageFailed(f"the stack was not whole before the outage: {healthy.last}")
        await tail.await_captures(CAPTURES_BEFORE, LOOKED_AT_SECONDS)
        await self.delivered.read(self.pager)
        self.delivered.forget()
        return tail.read()

    def client(self) -> ServerSpec:
        """Return the load: honest clients that ask again with the same key."""
        load_ = Load(
            checkouts_per_second=CHECKOUTS_PER_SECOND, users=USERS, card_ranges={"411111": 6, "550000": 4}
        )
        spec = LoadPlan(PROJECT, self.live.endpoints, self._log, load_, 1).spec()
        return replace(spec, env={**spec.env, **CLIENT})

    @property
    def _log(self) -> Path:
        return self.live.endpoints.run_folder / ACKNOWLEDGEMENT_LOG
