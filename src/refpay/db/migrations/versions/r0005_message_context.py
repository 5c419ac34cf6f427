"""The context that an event carries out of the database."""

from alembic import op

from refpay.db.upgrade import run_script

revision = "0005"
down_revision = "0004"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Give events their headers."""
    run_script(op.get_bind(), "0005/outbox.sql")


def downgrade() -> None:
    """Refuse: what is known of money is not taken back."""
    raise NotImplementedError("restore a backup instead of downgrading")
