"""Nonces of signed requests, and approvals by a second person."""

from refpay.db.upgrade import run_scripts

revision = "0008"
down_revision = "0007"


def upgrade() -> None:
    """Create everything."""
    run_scripts("0008", "identity")
