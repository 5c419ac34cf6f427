"""Faults that come as traffic: an attacker's requests, from a process that ends with the drill."""

import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from moneypath.drills.steps import FaultParams, Step
from moneypath.stack.endpoints import Endpoints
from moneypath.stack.server import ServerSpec
from moneypath.stack.supervisor import Supervisor

SCENARIO_FILES: Final[Mapping[str, Path]] = {"traffic.card_testing": Path("loadtests/card_testing.py")}
# Longer than any drill, and still an end: an attack that lost its runner and its supervisor stops by itself.
RUN_SECONDS: Final = 600
STOP_SECONDS: Final = 15.0


@dataclass(frozen=True, slots=True)
class Attacks:
    """The attacks of one drill; all end when the supervisor does, a killed runner included."""

    supervisor: Supervisor
    project: Path
    endpoints: Endpoints
    seed: int
    on_ended: Callable[[str, str], None]
    _running: set[str] = field(default_factory=set)

    async def begin(self, step: Step) -> None:
        """Begin the attack of a timeline entry; raises what the supervisor raises."""
        if step.fault is None or step.id is None or step.params is None:
            raise ValueError(f"timeline entry begins no attack: {step.id}")
        await self.supervisor.start(self._spec(step.id, step.fault, step.params))
        self._running.add(step.id)

    async def end(self, names: Sequence[str]) -> None:
        """End the attacks called `names`; others and those that ended before are left out."""
        for name in names:
            if name in self._running:
                await self.supervisor.stop(_process(name))
                self._running.discard(name)
                self.on_ended(name, "the service")

    def _spec(self, name: str, fault: str, params: FaultParams) -> ServerSpec:
        command = (
            sys.executable, "-m", "locust",
            "--locustfile", str(self.project / SCENARIO_FILES[fault]),
            "--headless", "--only-summary", "--skip-log-setup",
            "--host", self.endpoints.refpay,
            "--run-time", f"{RUN_SECONDS}s",
        )  # fmt: skip
        return ServerSpec(
            name=_process(name),
            command=command,
            env={
                "MONEYPATH_ATTACK_TOKEN_FILE": str(self.endpoints.secrets_folder / "checkout_token"),
                "MONEYPATH_ATTACK_CARD_RANGE": params.card_ranges[0],
                "MONEYPATH_ATTACK_PER_SECOND": str(params.per_second),
                "MONEYPATH_ATTACK_SEED": str(self.seed),
            },
            cwd=self.project,
            ready=_at_once,
            stop_grace_seconds=STOP_SECONDS,
            hint="the attack's own words stand in its log; is the service answering?",
        )


async def _at_once() -> bool:
    """Say ready: that an attack works is what the drill looks for, not what it waits for here."""
    return True


def _process(name: str) -> str:
    return f"attack-{name}"
