"""Where a second person's word is needed before money leaves."""

from datetime import datetime

from refpay.db.pool import Connection
from refpay.payments.claims import Command
from refpay.payments.errors import ApprovalNeeded
from refpay.payments.intents import Approve
from refpay.payments.model import PayoutOrder


def require_approval(above_minor: int) -> Approve:
    """Return what refuses payouts over a limit in minor units, for nobody else has approved them."""

    async def approve(_connection: Connection, _command: Command, order: PayoutOrder, _now: datetime) -> None:
        amount = order.money.amount_minor
        if amount > above_minor:
            raise ApprovalNeeded(f"amount_minor is {amount}, allowed alone: {above_minor}")

    return approve
