"""Run one crash test: start a stack, load it, kill, let it recover, drain, audit."""

import asyncio
import json
import time
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Final

from proofs.crash_test.client_answers import AcknowledgementTail, RequestCounts, count_requests
from proofs.crash_test.killing import Killer, Recovery
from proofs.crash_test.message_effects import MessageEffects, await_effects
from proofs.crash_test.schedule import Process, Round, draw

from moneypath import oracle
from moneypath.drills.ledger_audit import audit_ledger
from moneypath.drills.load import NAME as LOAD
from moneypath.drills.load import LoadPlan
from moneypath.drills.scenario import Load
from moneypath.path.loader import FILE_NAME, load
from moneypath.stack.server import ServerSpec
from moneypath.stack.starters import Build, LiveStack, LiveStackSettings
from moneypath.workflows.server_deaths import unless_server_dies
from refstack.live_stack import REFERENCE, running_stack

PROJECT: Final = Path(__file__).parents[2]
SCALE: Final = 60
PATIENCE_SECONDS: Final = 60.0
# Below the average number awaited before each round, above what a stalled load could reach.
CAPTURES_PER_KILL: Final = 3
CHECKOUTS_PER_SECOND: Final = 20
USERS: Final = 20
# A quarter of all requests is repeated, because stored answers must survive a crash.
RESEND_RATIO: Final = 0.25
# The budget is longer than any outage here; one answer is not awaited longer than a crash takes.
CLIENT: Final = {"MONEYPATH_RETRY_BUDGET_SECONDS": "60", "MONEYPATH_ANSWER_SECONDS": "5"}
ACKNOWLEDGEMENT_LOG: Final = "acknowledgements.jsonl"
POSTINGS: Final = "postings.jsonl"
# The log line of the load test for a stored answer that was not repeated.
REPLAY_MISMATCH: Final = "were not answered with the stored answer"

Announce = Callable[[str], None]


@dataclass(frozen=True, slots=True)
class Plan:
    """The plan: `kills` SIGKILLs of `processes`, drawn from `seed`, against a build."""

    kills: int
    seed: int
    processes: tuple[Process, ...] = tuple(Process)
    build: Build = REFERENCE.build

    @property
    def command(self) -> str:
        """Return the command that repeats this schedule."""
        parts = [f"python -m proofs.crash_test --kills {self.kills} --seed {self.seed}"]
        if len(self.processes) < len(Process):
            parts += [f"--process {each}" for each in self.processes]
        if self.build.folder is not None:
            parts.append(f"--build {self.build.api}")
        return " ".join(parts)


@dataclass(frozen=True, slots=True)
class Result:
    """The result of a run; `under_load_seconds` is from the first payment to the end of the last round."""

    plan: Plan
    kills: dict[Process, int]
    in_recovery: int
    refused_starts: int
    recoveries: tuple[Recovery, ...]
    requests: RequestCounts
    effects: MessageEffects
    audit: oracle.AuditReport
    stored_answers_repeated: bool
    under_load_seconds: float
    drained_seconds: float
    seconds: float

    @property
    def findings(self) -> tuple[str, ...]:
        """Return one sentence for everything that makes the run fail."""
        audit = self.audit
        found = [f"{each.kind}: {each.subject}: {each.detail}" for each in audit.discrepancies]
        found += [f"too little evidence: {text}" for text in audit.missing_evidence]
        found += self.effects.findings
        if not self.stored_answers_repeated:
            found.append("a stored answer was not repeated to the byte")
        killed = sum(self.kills.values())
        if killed != self.plan.kills:
            found.append(f"{killed} kills, wanted: {self.plan.kills}")
        spared = [each for each in self.plan.processes if not self.kills[each]]
        if spared and killed >= 2 * len(Process):
            found.append(f"never killed: {', '.join(spared)}")
        return tuple(found)

    @property
    def whole(self) -> bool:
        """Whether nothing was lost, doubled or unbalanced, on enough evidence."""
        return not self.findings


async def run_crash_test(plan: Plan, run_folder: Path, announce: Announce) -> Result:
    """Run a crash test; raises a MoneypathError if there is no result, as when a server ends that was not
    killed.
    """
    begun = time.monotonic()
    settings = LiveStackSettings(
        load(PROJECT / FILE_NAME), run_folder, SCALE, CHECKOUTS_PER_SECOND, build=plan.build
    )
    async with running_stack(settings, announce) as live:
        run = CrashTestRun(plan, live, announce)
        return await unless_server_dies(live.supervisor, run.run(begun))


@dataclass(slots=True)
class CrashTestRun:
    plan: Plan
    live: LiveStack
    announce: Announce
    acknowledgement_log: Path = field(init=False)
    killer: Killer = field(init=False)

    def __post_init__(self) -> None:
        self.acknowledgement_log = self.live.endpoints.run_folder / ACKNOWLEDGEMENT_LOG
        self.killer = Killer(self.live.supervisor)

    async def run(self, begun: float) -> Result:
        await self.live.supervisor.start(self._client())
        under_load = await self._kill()
        self.announce(
            "all processes run again: stopping the load and waiting until every payment is resolved"
        )
        await self.live.supervisor.stop(LOAD)
        drained = await oracle.await_drained(self.live.endpoints.oracle_dsn, PATIENCE_SECONDS)
        self.announce("auditing the money")
        minimum = oracle.MinimumEvidence(*[CAPTURES_PER_KILL * self.plan.kills] * 3)
        audit = replace(await audit_ledger(self.live.endpoints, self.acknowledgement_log), minimum=minimum)
        if audit.discrepancies:
            await self._keep_postings()
        # With a discrepancy, lost operations never have effects, so do not wait.
        effects = await await_effects(self.live.endpoints, 0 if audit.discrepancies else PATIENCE_SECONDS)
        answers = (
            await asyncio.to_thread(oracle.read_acknowledgement_log, self.acknowledgement_log)
        ).acknowledgements
        log = self.live.supervisor.log_file(LOAD).read_text(encoding="utf-8", errors="replace")
        killer = self.killer
        return Result(
            plan=self.plan,
            kills=dict(killer.kills),
            in_recovery=killer.in_recovery,
            refused_starts=killer.refused_starts,
            recoveries=tuple(killer.recoveries),
            requests=count_requests(answers),
            effects=effects,
            audit=audit,
            stored_answers_repeated=REPLAY_MISMATCH not in log,
            under_load_seconds=under_load,
            drained_seconds=drained,
            seconds=time.monotonic() - begun,
        )

    async def _kill(self) -> float:
        rounds = draw(self.plan.kills, self.plan.seed, self.plan.processes)
        tail, begun = AcknowledgementTail(self.acknowledgement_log), time.monotonic()
        for number, each in enumerate(rounds, start=1):
            await tail.await_captures(each.captures_before, PATIENCE_SECONDS)
            returned = await self.killer.run(each)
            self._tell(number, len(rounds), each, returned)
        # The processes of the last round must take payments again too.
        await tail.await_captures(rounds[-1].captures_before, PATIENCE_SECONDS)
        return time.monotonic() - begun

    def _tell(self, number: int, rounds: int, each: Round, returned: list[Recovery]) -> None:
        killed = sum(self.killer.kills.values())
        back = ", ".join(f"{one.started_seconds:.1f} s" for one in returned)
        self.announce(
            f"round {number} of {rounds}, {killed} of {self.plan.kills} kills: {' and '.join(each.victims)} "
            f"({each.pattern}), dead for {each.dead_seconds:.1f} s, answered {back} after the start"
        )

    def _client(self) -> ServerSpec:
        load_ = Load(
            checkouts_per_second=CHECKOUTS_PER_SECOND, users=USERS, card_ranges={"411111": 6, "550000": 4}
        )
        plan = LoadPlan(
            PROJECT, self.live.endpoints, self.acknowledgement_log, load_, self.plan.seed, RESEND_RATIO
        )
        spec = plan.spec()
        return replace(spec, env={**spec.env, **CLIENT})

    async def _keep_postings(self) -> None:
        """Save the ledger to a file, because the database is removed with the stack."""
        lines = await oracle.read_postings(self.live.endpoints.oracle_dsn)
        text = "".join(json.dumps(line._asdict()) + "\n" for line in lines)
        file = self.live.endpoints.run_folder / POSTINGS
        file.touch(mode=0o600)
        file.write_text(text, encoding="utf-8")
