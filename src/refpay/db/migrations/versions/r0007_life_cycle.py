"""The whole life cycle: voids, expiry, payouts, chargebacks, and what undoes what came too late."""

from refpay.db.upgrade import run_scripts

revision = "0007"
down_revision = "0006"

SCRIPTS = ("payments", "carried_over", "claims", "audit", "outbox", "reconciliation", "oracle", "privileges")


def upgrade() -> None:
    """Widen payments and operations, and make room for payouts and what providers say by themselves."""
    run_scripts("0007", *SCRIPTS)
