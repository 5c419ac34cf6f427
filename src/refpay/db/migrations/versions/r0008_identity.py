"""Nonces of signed requests, and approvals by a second person."""

from alembic import op

from refpay.db.upgrade import run_script

revision = "0008"
down_revision = "0007"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Create everything."""
    run_script(op.get_bind(), "0008/identity.sql")


def downgrade() -> None:
    """Refuse: what is known of money is not taken back."""
    raise NotImplementedError("restore a backup instead of downgrading")
