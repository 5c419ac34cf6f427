"""The outbox: events written in the transaction of the change that they tell of."""

from refpay.db.upgrade import run_scripts

revision = "0002"
down_revision = "0001"


def upgrade() -> None:
    """Create everything."""
    run_scripts("0002", "outbox", "messages", "audit_subjects", "privileges")
