"""The load of a gate: checkouts on an open schedule, with a log of what their clients felt."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from moneypath.capacity.gate_file import Gate
from moneypath.drills.load import LoadPlan
from moneypath.drills.scenario import Load
from moneypath.stack.endpoints import Endpoints
from moneypath.stack.server import ServerSpec

Interval = tuple[float, float]


@dataclass(frozen=True, slots=True)
class GateLoad:
    """A load test by its name, which no other of its stack has; its logs are in `folder`.

    With `turns` (from and until when, in Unix seconds) checkouts are due in those alone.
    """

    name: str
    project: Path
    folder: Path
    endpoints: Endpoints
    gate: Gate
    turns: Sequence[Interval] = ()

    @property
    def acknowledgement_log_file(self) -> Path:
        """Return the log of every answer."""
        return self.folder / f"{self.name}-acknowledgements.jsonl"

    @property
    def request_log_file(self) -> Path:
        """Return the log of when each request was due, sent and answered."""
        return self.folder / f"{self.name}-requests.jsonl"

    def spec(self) -> ServerSpec:
        """Return the child process."""
        load = self.gate.load
        plan = LoadPlan(
            self.project,
            self.endpoints,
            self.acknowledgement_log_file,
            Load(
                checkouts_per_second=load.checkouts_per_second,
                users=load.users,
                card_ranges=load.card_ranges,
            ),
            load.seed,
            float(load.resend_ratio),
        )
        spec = plan.spec()
        environment = {**spec.env, "MONEYPATH_REQUEST_LOG_FILE": str(self.request_log_file)}
        if self.turns:
            environment["MONEYPATH_TURNS"] = ",".join(f"{begin:.3f}-{end:.3f}" for begin, end in self.turns)
        return replace(spec, name=self.name, env=environment)
