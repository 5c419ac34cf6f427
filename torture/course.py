"""One whole run: a stack of its own, load, kills, healing, rest, and the witnesses."""

import asyncio
import json
import time
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Final

from moneypath import oracle
from moneypath.drills.load import NAME as LOAD
from moneypath.drills.load import LoadPlan
from moneypath.drills.scenario import Load
from moneypath.drills.truth import hear_witnesses
from moneypath.path.loader import FILE_NAME, load
from moneypath.stack.server import ServerSpec
from moneypath.workflows.demo import unless_server_dies
from moneypath.workflows.live import Build, Live, LiveSettings, running
from torture.books import Telling, await_told
from torture.client import Requests, Tail, add_up
from torture.killing import Killer, Recovery
from torture.schedule import Process, Round, draw

PROJECT: Final = Path(__file__).parents[1]
SCALE: Final = 60
PATIENCE_SECONDS: Final = 60.0
# Fewer than are awaited before each round on average, more than a stalled load could show.
CAPTURES_PER_KILL: Final = 3
CHECKOUTS_PER_SECOND: Final = 20
USERS: Final = 20
# A quarter of all answers is asked for again: what is stored has to outlive its process.
RESEND_RATIO: Final = 0.25
# Longer than any outage here; an answer that does not come is not waited for longer than a crash takes.
CLIENT: Final = {"MONEYPATH_RETRY_BUDGET_SECONDS": "60", "MONEYPATH_ANSWER_SECONDS": "5"}
JOURNAL: Final = "journal.jsonl"
POSTINGS: Final = "postings.jsonl"
# What the load test writes when a stored answer was not repeated to the byte.
BROKEN_PROMISE: Final = "were not answered with the stored answer"

Announce = Callable[[str], None]


@dataclass(frozen=True, slots=True)
class Plan:
    """What to do: `kills` SIGKILLs of `processes`, drawn from `seed`, to which build."""

    kills: int
    seed: int
    processes: tuple[Process, ...] = tuple(Process)
    build: Build = field(default_factory=Build)

    @property
    def command(self) -> str:
        """Return what repeats this run's schedule."""
        parts = [f"python -m torture --kills {self.kills} --seed {self.seed}"]
        if len(self.processes) < len(Process):
            parts += [f"--process {each}" for each in self.processes]
        if self.build.folder is not None:
            parts.append(f"--build {self.build.api}")
        return " ".join(parts)


@dataclass(frozen=True, slots=True)
class Result:
    """What came of a run; `under_load_seconds` is the time from the first payment to the last kill's end."""

    plan: Plan
    kills: dict[Process, int]
    in_recovery: int
    refused_starts: int
    recoveries: tuple[Recovery, ...]
    requests: Requests
    telling: Telling
    verdict: oracle.Verdict
    stored_answers_repeated: bool
    under_load_seconds: float
    drained_seconds: float
    seconds: float

    @property
    def findings(self) -> tuple[str, ...]:
        """Say all that keeps it from being whole; empty when nothing does."""
        killed = sum(self.kills.values())
        never = [each for each in self.plan.processes if not self.kills[each]]
        return (
            *(f"{found.kind}: {found.subject}: {found.detail}" for found in self.verdict.discrepancies),
            *(f"too little evidence: {text}" for text in self.verdict.missing_evidence),
            *self.telling.findings,
            *(() if self.stored_answers_repeated else ("a stored answer was not repeated to the byte",)),
            *((f"{killed} kills, wanted: {self.plan.kills}",) if killed != self.plan.kills else ()),
            *((f"never killed: {', '.join(never)}",) if never and killed >= 2 * len(Process) else ()),
        )

    @property
    def whole(self) -> bool:
        """Tell whether nothing was lost, doubled or unbalanced, on enough evidence."""
        return not self.findings


async def torture(plan: Plan, run_folder: Path, announce: Announce) -> Result:
    """Run it; raises a MoneypathError without a verdict, as when a server ends that nobody killed."""
    begun = time.monotonic()
    settings = LiveSettings(
        load(PROJECT / FILE_NAME), run_folder, SCALE, CHECKOUTS_PER_SECOND, build=plan.build
    )
    async with running(settings, announce) as live:
        course = _Course(plan, live, announce)
        return await unless_server_dies(live.supervisor, course.run(begun))


@dataclass(slots=True)
class _Course:
    plan: Plan
    live: Live
    announce: Announce
    journal: Path = field(init=False)
    killer: Killer = field(init=False)

    def __post_init__(self) -> None:
        self.journal = self.live.endpoints.run_folder / JOURNAL
        self.killer = Killer(self.live.supervisor)

    async def run(self, begun: float) -> Result:
        await self.live.supervisor.start(self._client())
        under_load = await self._kill()
        self.announce("all is alive again: stopping the load, waiting until every payment is settled")
        await self.live.supervisor.stop(LOAD)
        drained = await oracle.await_drained(self.live.endpoints.oracle_dsn, PATIENCE_SECONDS)
        self.announce("asking the three witnesses")
        minimum = oracle.MinimumEvidence(*[CAPTURES_PER_KILL * self.plan.kills] * 3)
        verdict = replace(await hear_witnesses(self.live.endpoints, self.journal), minimum=minimum)
        if verdict.discrepancies:
            await self._keep_postings()
        # What was lost with its commit nobody will ever be told of.
        telling = await await_told(self.live.endpoints, 0 if verdict.discrepancies else PATIENCE_SECONDS)
        answers = (await asyncio.to_thread(oracle.read_journal, self.journal)).acknowledgements
        log = self.live.supervisor.log_file(LOAD).read_text(encoding="utf-8", errors="replace")
        killer = self.killer
        return Result(
            plan=self.plan,
            kills=dict(killer.kills),
            in_recovery=killer.in_recovery,
            refused_starts=killer.refused_starts,
            recoveries=tuple(killer.recoveries),
            requests=add_up(answers),
            telling=telling,
            verdict=verdict,
            stored_answers_repeated=BROKEN_PROMISE not in log,
            under_load_seconds=under_load,
            drained_seconds=drained,
            seconds=time.monotonic() - begun,
        )

    async def _kill(self) -> float:
        rounds = draw(self.plan.kills, self.plan.seed, self.plan.processes)
        tail, begun = Tail(self.journal), time.monotonic()
        for number, each in enumerate(rounds, start=1):
            await tail.await_captures(each.captures_before, PATIENCE_SECONDS)
            returned = await self.killer.run(each)
            self._tell(number, len(rounds), each, returned)
        # The last ones have to take payments too.
        await tail.await_captures(rounds[-1].captures_before, PATIENCE_SECONDS)
        return time.monotonic() - begun

    def _tell(self, number: int, rounds: int, each: Round, returned: list[Recovery]) -> None:
        killed = sum(self.killer.kills.values())
        back = ", ".join(f"{one.started_seconds:.1f} s" for one in returned)
        self.announce(
            f"round {number} of {rounds}, {killed} of {self.plan.kills} kills: {' and '.join(each.victims)} "
            f"({each.form}), dead for {each.dead_seconds:.1f} s, answered {back} after the start"
        )

    def _client(self) -> ServerSpec:
        load_ = Load(
            checkouts_per_second=CHECKOUTS_PER_SECOND, users=USERS, card_ranges={"411111": 6, "550000": 4}
        )
        plan = LoadPlan(PROJECT, self.live.endpoints, self.journal, load_, self.plan.seed, RESEND_RATIO)
        spec = plan.spec()
        return replace(spec, env={**spec.env, **CLIENT})

    async def _keep_postings(self) -> None:
        """Write the ledger down, since the database goes with the stack."""
        lines = await oracle.read_postings(self.live.endpoints.oracle_dsn)
        names = oracle.PostingLine.__slots__
        text = "".join(json.dumps({name: getattr(line, name) for name in names}) + "\n" for line in lines)
        file = self.live.endpoints.run_folder / POSTINGS
        file.touch(mode=0o600)
        file.write_text(text, encoding="utf-8")
