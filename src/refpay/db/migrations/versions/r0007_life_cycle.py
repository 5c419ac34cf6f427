"""The whole life cycle: voids, expiry, payouts, chargebacks, and what undoes what came too late."""

from alembic import op

from refpay.db.upgrade import run_script

revision = "0007"
down_revision = "0006"
branch_labels = None
depends_on = None

SCRIPTS = ("payments", "carried_over", "claims", "audit", "outbox", "reconciliation", "oracle", "privileges")


def upgrade() -> None:
    """Widen payments and operations, and make room for payouts and what providers say by themselves."""
    for name in SCRIPTS:
        run_script(op.get_bind(), f"0007/{name}.sql")


def downgrade() -> None:
    """Refuse: what is known of money is not taken back."""
    raise NotImplementedError("restore a backup instead of downgrading")
