"""Payments, ledger, routing, audit, and the oracle's read-only views."""

from alembic import op

from refpay.db.upgrade import run_script

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None

# In the order in which they refer to each other.
SCRIPTS = ("payments.sql", "ledger.sql", "routing.sql", "audit.sql", "oracle.sql", "privileges.sql")


def upgrade() -> None:
    """Create everything."""
    for script in SCRIPTS:
        run_script(op.get_bind(), f"0001/{script}")


def downgrade() -> None:
    """Refuse: a ledger is not taken back."""
    raise NotImplementedError("a ledger is append-only: restore a backup instead of downgrading")
