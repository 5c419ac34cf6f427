"""Faults that are traffic: an attacker's requests, sent by a process that ends with the drill."""

import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from moneypath.drills.load import has_answer
from moneypath.drills.timeline_entry import FaultParams, TimelineEntry
from moneypath.stack.endpoints import Endpoints
from moneypath.stack.server import Probe, ServerSpec
from moneypath.stack.supervisor import Supervisor

SCENARIO_FILES: Final[Mapping[str, Path]] = {"traffic.card_testing": Path("loadtests/card_testing.py")}
# Longer than any drill, and still an end: an attack that lost its runner and its supervisor stops by itself.
RUN_SECONDS: Final = 600
# The most that an attack may try in its life; the load test refuses more.
CARDS_MOST: Final = 10_000
# So many that one slow answer does not slow the attack, and never more than the load test allows.
USERS_LEAST: Final = 5
USERS_MOST: Final = 50
ANSWER_SECONDS: Final = 5
READY_SECONDS: Final = 30.0
STOP_SECONDS: Final = 15.0


@dataclass(frozen=True, slots=True)
class Attacks:
    """The attacks of one drill; all end when the supervisor does, also when the runner is killed.

    Each attack writes an acknowledgement log into `folder`: the audit checks its answers as well.
    """

    supervisor: Supervisor
    project: Path
    endpoints: Endpoints
    folder: Path
    seed: int
    on_ended: Callable[[str, str], None]
    _running: set[str] = field(default_factory=set)
    _begun: list[Path] = field(default_factory=list)

    @property
    def acknowledgement_logs(self) -> tuple[Path, ...]:
        """Return the acknowledgement log of each attack that was begun."""
        return tuple(self._begun)

    async def begin(self, step: TimelineEntry) -> None:
        """Begin the attack of a timeline entry and wait for its first answer.

        Raises what the supervisor raises.
        """
        if step.fault is None or step.id is None or step.params is None:
            raise ValueError(f"timeline entry begins no attack: {step.id}")
        acknowledgement_log = self.folder / f"{_process(step.id)}.jsonl"
        await self.supervisor.start(self._spec(step.id, step.fault, step.params, acknowledgement_log))
        self._running.add(step.id)
        self._begun.append(acknowledgement_log)

    async def end(self, names: Sequence[str]) -> None:
        """End the attacks called `names`; names of other faults and of ended attacks are ignored."""
        for name in names:
            if name in self._running:
                await self.supervisor.stop(_process(name))
                self._running.discard(name)
                self.on_ended(name, "the service")

    def _spec(self, name: str, fault: str, params: FaultParams, acknowledgement_log: Path) -> ServerSpec:
        command = (
            sys.executable, "-m", "locust",
            "--locustfile", str(self.project / SCENARIO_FILES[fault]),
            "--headless", "--only-summary", "--skip-log-setup",
            "--host", self.endpoints.service,
            "--run-time", f"{RUN_SECONDS}s",
        )  # fmt: skip
        return ServerSpec(
            name=_process(name),
            command=command,
            env={
                "MONEYPATH_CHECKOUT_CLIENT_FILE": str(self.endpoints.secrets_folder / "checkout_client"),
                "MONEYPATH_ACKNOWLEDGEMENT_LOG_FILE": str(acknowledgement_log),
                "MONEYPATH_SEED": str(self.seed),
                "MONEYPATH_CARD_RANGE": params.card_ranges[0],
                "MONEYPATH_CARDS_PER_SECOND": str(params.per_second),
                "MONEYPATH_CARDS_MAX": str(min(CARDS_MOST, params.per_second * RUN_SECONDS)),
                "MONEYPATH_USERS": str(min(max(USERS_LEAST, params.per_second), USERS_MOST)),
                "MONEYPATH_ANSWER_SECONDS": str(ANSWER_SECONDS),
            },
            cwd=self.project,
            ready=_answered(acknowledgement_log),
            ready_within_seconds=READY_SECONDS,
            stop_grace_seconds=STOP_SECONDS,
            hint="Read the attack's log, and check whether the service answers.",
        )


def _answered(acknowledgement_log: Path) -> Probe:
    """Return a probe that waits for the first answer: only then is the service under attack."""

    async def probe() -> bool:
        return has_answer(acknowledgement_log)

    return probe


def _process(name: str) -> str:
    return f"attack-{name}"
