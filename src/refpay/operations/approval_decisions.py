"""Let a second person decide on what somebody else asked for."""

from dataclasses import dataclass
from uuid import UUID

from refpay.clock import Clock
from refpay.db.pool import Connection, Database
from refpay.encoding import encode
from refpay.identity import approvals
from refpay.identity.approvals import Actor
from refpay.identity.errors import ApprovalRefused
from refpay.payments.claims import Command, Reply, StoredAnswer
from refpay.payments.idempotent_actions import execute_once


@dataclass(frozen=True, slots=True)
class ApprovalDecisions:
    """Reads pending approvals and records decisions."""

    database: Database
    clock: Clock

    async def read(self) -> bytes:
        """Return pending approvals as JSON."""
        async with self.database.transaction() as connection:
            pending = await approvals.read_pending(connection, self.clock.now())
        return encode({"approvals": pending})

    async def decide(self, command: Command, approval_id: UUID, *, agreed: bool, reason: str) -> Reply:
        """Approve or refuse.

        The refusal of a decision is stored as the answer. Raises ApprovalUnknown or KeyReused.
        """
        now = self.clock.now()

        async def execute(connection: Connection) -> StoredAnswer:
            decider = Actor(command.principal.name, command.correlation_id, now)
            decided = await approvals.decide(connection, approval_id, decider, agreed=agreed, reason=reason)
            return StoredAnswer.of(200, decided)

        return await execute_once(self.database, command, execute, now=now, answered=ApprovalRefused)
