"""The door at which a second person decides what somebody else asked for."""

from dataclasses import dataclass
from uuid import UUID

from refpay.clock import Clock
from refpay.db.pool import Connection, Database
from refpay.encoding import encode
from refpay.identity import approvals
from refpay.identity.approvals import Asker
from refpay.identity.errors import ApprovalRefused
from refpay.payments.claims import Command, Reply, StoredAnswer
from refpay.payments.once import pull_once


@dataclass(frozen=True, slots=True)
class Approving:
    """Shows what is pending, and takes decisions."""

    database: Database
    clock: Clock

    async def read(self) -> bytes:
        """Return what waits for a second person as JSON."""
        async with self.database.transaction() as connection:
            pending = await approvals.read_pending(connection, self.clock.now())
        return encode({"approvals": pending})

    async def decide(self, command: Command, approval_id: UUID, *, agreed: bool, reason: str) -> Reply:
        """Agree or refuse; a refusal to take the decision is an answer. Raises ApprovalUnknown, KeyReused."""
        now = self.clock.now()

        async def pull(connection: Connection) -> StoredAnswer:
            decider = Asker(command.principal.name, command.correlation_id, now)
            decided = await approvals.decide(connection, approval_id, decider, agreed=agreed, reason=reason)
            return StoredAnswer.of(200, decided)

        return await pull_once(self.database, command, pull, now=now, answered=ApprovalRefused)
