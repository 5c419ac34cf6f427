"""Expire old authorizations, and delete answers whose retention period is over."""

from dataclasses import dataclass
from datetime import timedelta
from typing import Final

from refpay.clock import Clock
from refpay.db.pool import Database
from refpay.payments import claims_repository, repository
from refpay.payments.initiation import initiate, internal_operation
from refpay.payments.intents import find_authorization
from refpay.payments.model import OperationKind

_BATCH: Final = 64
_KEYS: Final = 500
_EVENTS: Final = 10_000
# The pause before a hold that a provider refused to release is tried again.
_EXPIRE_AGAIN: Final = timedelta(hours=1)


@dataclass(frozen=True, slots=True)
class Retention:
    """Runs in the worker; any number of workers may run it at the same time."""

    database: Database
    clock: Clock
    authorization_lifetime: timedelta
    key_retention: timedelta

    async def expire(self) -> int:
        """Initiate the release of what is left of old authorizations; return how many."""
        begun = 0
        while True:
            now = self.clock.now()
            async with self.database.transaction() as connection:
                payments = await repository.lock_expired(
                    connection,
                    before=now - self.authorization_lifetime,
                    tried_before=now - _EXPIRE_AGAIN,
                    limit=_BATCH,
                )
                for payment in payments:
                    parent = find_authorization(await repository.read_operations(connection, payment.id))
                    what = (OperationKind.EXPIRY, payment, payment.held_minor)
                    expiry = internal_operation(*what, parent=parent, now=now)
                    await initiate(connection, expiry, payment)
            begun += len(payments)
            if len(payments) < _BATCH:
                return begun

    async def reap(self) -> int:
        """Delete answers whose retention period is over; return how many. Their keys stay and are refused.

        Providers' events are deleted with them: one that comes again is then decided by its operation's row.
        """
        now = self.clock.now()
        before = now - self.key_retention
        async with self.database.transaction() as connection:
            await repository.delete_events(connection, before=before, limit=_EVENTS)
            return await claims_repository.reap(connection, now, claimed_before=before, limit=_KEYS)
