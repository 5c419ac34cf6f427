"""Indexes for listing payments."""

from alembic import op

from refpay.db.upgrade import run_script

revision = "0010"
down_revision = "0008"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Add them."""
    run_script(op.get_bind(), "0010/listing.sql")


def downgrade() -> None:
    """Refuse: what is known of money is not taken back."""
    raise NotImplementedError("restore a backup instead of downgrading")
