"""Require a second person's approval before money leaves."""

from datetime import datetime
from typing import Final

from refpay.audit.events import SubjectKind
from refpay.db.pool import Connection, Database
from refpay.identity import approvals
from refpay.identity.approvals import Actor, Approval, ApprovalCommand
from refpay.payments.answers import ACCEPTED
from refpay.payments.claims import Command, StoredAnswer
from refpay.payments.errors import ApprovalNeeded, ApprovalUnasked
from refpay.payments.intents import Approve
from refpay.payments.model import PayoutOrder

PAYOUT_ALONE_MINOR: Final = 1_000_000


def require_approval(database: Database, above_minor: int) -> Approve:
    """Return a function that refuses payouts over a limit until a second person has approved them.

    An approval is used up in the payout's own transaction. The request for approval has to outlast the
    refusal, so it is written to `database` in another transaction, after this one.
    """

    async def approve(connection: Connection, command: Command, order: PayoutOrder, now: datetime) -> None:
        amount = order.money.amount_minor
        if amount <= above_minor:
            return
        name, reference = command.principal.name, order.merchant_reference
        content = {"merchant_reference": reference, "amount_minor": amount, "currency": order.money.currency}
        # Merchant and reference identify a payout that does not exist yet.
        requested = ApprovalCommand("payouts.create", SubjectKind.PAYOUT, f"{name}/{reference}", content)
        requester = Actor(name, command.correlation_id, now)
        found = await approvals.find_open(connection, requested, requester)
        if found is not None and await approvals.use(connection, found, requested, requester):
            return

        async def ask() -> ApprovalNeeded:
            async with database.transaction() as own:
                asked = await approvals.request(own, requested, requester, reason=f"payout {reference}")
            return ApprovalNeeded(
                f"amount_minor is {amount}, allowed alone: {above_minor}; a second person has to decide on"
                f" {asked.approval_id}"
            )

        raise ApprovalUnasked(ask)

    return approve


def await_approval(provider: str, approval: Approval) -> StoredAnswer:
    """Return the answer for an action that waits for a second person's approval."""
    awaited = {"awaits": "approval", "approval_id": approval.approval_id}
    return StoredAnswer.of(ACCEPTED, {"provider": provider, **awaited, "changed": False})
