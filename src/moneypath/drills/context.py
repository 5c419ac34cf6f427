"""What the parts of a running drill share."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from moneypath.drills.attacks import Attacks
from moneypath.drills.business import BusinessWatcher
from moneypath.drills.canary import Canary
from moneypath.drills.faults import Leases
from moneypath.drills.scenario import Scenario
from moneypath.incidents.events import EventLog
from moneypath.incidents.paging import Pager
from moneypath.runbooks import ExecutionContext, OperatorAction, PendingUndos, Query, Runbook
from moneypath.stack.endpoints import Endpoints


@dataclass(frozen=True, slots=True)
class DrillContext:
    """One drill under way.

    `pending_undos` outlives a cancelled runbook, so that its mitigations can still be undone.
    """

    scenario: Scenario
    log: EventLog
    endpoints: Endpoints
    runbook: Runbook
    actions: Mapping[str, OperatorAction]
    query: Query
    pager: Pager
    canary: Canary
    leases: Leases
    attacks: Attacks
    business: BusinessWatcher
    pending_undos: PendingUndos = field(default_factory=PendingUndos)

    async def end_faults(self, names: Sequence[str]) -> None:
        """End the faults called `names`; those that have ended already are ignored."""
        await self.attacks.end(names)
        await self.leases.end(list(names))

    def real(self, seconds: float) -> float:
        """Return production seconds as real seconds."""
        return seconds / self.scenario.clock.scale

    def role_token(self, role: str) -> Path:
        """Return the file with the token that a role acknowledges its pages with."""
        return self.endpoints.secrets_folder / f"role_{role}_token"

    def execution_context(self, labels: Mapping[str, str]) -> ExecutionContext:
        """Return the context in which the runbook is followed for an alert with `labels`."""
        return ExecutionContext(
            labels=labels, scale=self.scenario.clock.scale, incident=self.scenario.title.replace(" ", "-")
        )
