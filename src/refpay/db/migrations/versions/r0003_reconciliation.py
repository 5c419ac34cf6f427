"""Settlement reports, their lines, breaks and watermarks."""

from alembic import op

from refpay.db.upgrade import run_script

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None

# In the order in which they refer to each other.
SCRIPTS = ("reconciliation.sql", "privileges.sql")


def upgrade() -> None:
    """Create everything."""
    for script in SCRIPTS:
        run_script(op.get_bind(), f"0003/{script}")


def downgrade() -> None:
    """Refuse: what is known of money is not taken back."""
    raise NotImplementedError("restore a backup instead of downgrading")
