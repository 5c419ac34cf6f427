"""Require a second person's approval before money leaves."""

from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Final

from refpay.audit.events import SubjectKind
from refpay.db.pool import Connection, Database
from refpay.identity import approvals
from refpay.identity.approvals import Actor, Approval, ApprovalCommand
from refpay.money import Currency
from refpay.payments import repository
from refpay.payments.answers import ACCEPTED
from refpay.payments.claims import Command, StoredAnswer
from refpay.payments.errors import ApprovalNeeded, ApprovalUnasked
from refpay.payments.intents import Approve
from refpay.payments.model import PayoutOrder

# It rolls: around midnight, a calendar day would let twice the limit through.
DAY: Final = timedelta(hours=24)


def require_approval(database: Database, alone_minor: Mapping[Currency, int]) -> Approve:
    """Return a function that refuses payouts over a limit until a second person has approved them.

    The limit is in minor units of each currency, and holds for all payouts to one merchant in 24 hours
    together. The caller holds the merchant's lock (`repository.lock_payouts`), so that two at once count
    each other.

    An approval is used up in the payout's own transaction. The request for approval has to outlast the
    refusal, so it is written to `database` in another transaction, after this one.
    """

    async def approve(connection: Connection, command: Command, order: PayoutOrder, now: datetime) -> None:
        amount, currency = order.money.amount_minor, order.money.currency
        name, reference = command.principal.name, order.merchant_reference
        alone = alone_minor[currency]
        sent = await repository.read_sent_payouts(connection, name, currency, now - DAY)
        if sent + amount <= alone:
            return
        content = {"merchant_reference": reference, "amount_minor": amount, "currency": currency}
        # Merchant and reference identify a payout that does not exist yet.
        requested = ApprovalCommand("payouts.create", SubjectKind.PAYOUT, f"{name}/{reference}", content)
        requester = Actor(name, command.correlation_id, now)
        found = await approvals.find_open(connection, requested, requester)
        if found is not None and await approvals.use(connection, found, requested, requester):
            return
        # Outside the content: what is approved is this payout, even if others go out meanwhile.
        reason = (
            f"payout {reference}: {amount} {currency} minor units after {sent} in 24 h,"
            f" allowed alone: {alone}"
        )

        async def ask() -> ApprovalNeeded:
            async with database.transaction() as own:
                asked = await approvals.request(own, requested, requester, reason=reason)
            return ApprovalNeeded(
                f"amount_minor is {amount}, paid out in 24 h: {sent}, allowed alone: {alone}; a second person"
                f" has to decide on {asked.approval_id}"
            )

        raise ApprovalUnasked(ask)

    return approve


def await_approval(provider: str, approval: Approval) -> StoredAnswer:
    """Return the answer for an action that waits for a second person's approval."""
    awaited = {"awaits": "approval", "approval_id": approval.approval_id}
    return StoredAnswer.of(ACCEPTED, {"provider": provider, **awaited, "changed": False})
