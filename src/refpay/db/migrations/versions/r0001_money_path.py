"""Payments, ledger, routing, audit, and the oracle's read-only views."""

from refpay.db.upgrade import run_scripts

revision = "0001"
down_revision = None

SCRIPTS = ("payments", "ledger", "routing", "audit", "oracle", "privileges")


def upgrade() -> None:
    """Create everything."""
    run_scripts("0001", *SCRIPTS)
