"""The outbox: events written in the transaction of the change that they tell of."""

from alembic import op

from refpay.db.upgrade import run_script

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None

# In the order in which they refer to each other.
SCRIPTS = ("outbox.sql", "messages.sql", "audit_subjects.sql", "privileges.sql")


def upgrade() -> None:
    """Create everything."""
    for script in SCRIPTS:
        run_script(op.get_bind(), f"0002/{script}")


def downgrade() -> None:
    """Refuse: what is known of money is not taken back."""
    raise NotImplementedError("restore a backup instead of downgrading")
