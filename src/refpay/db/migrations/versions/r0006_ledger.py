"""The ledger in months: entries of one row, sealed in a chain, with old months in cold storage."""

from datetime import UTC, datetime

from alembic import op
from sqlalchemy import text

from refpay.db.upgrade import run_script

revision = "0006"
down_revision = "0005"
branch_labels = None
depends_on = None

# In the order in which they refer to each other; nothing is watched before the old entries are carried over.
SCRIPTS = (
    "entries.sql",
    "archive.sql",
    "partitions.sql",
    "seals.sql",
    "carried_over.sql",
    "guards.sql",
    "checks.sql",
)
_MONTHS_AHEAD = 3


def upgrade() -> None:
    """Carry the entries over, and make room for those to come."""
    for script in SCRIPTS:
        run_script(op.get_bind(), f"0006/{script}")
    op.get_bind().execute(
        text("SELECT ledger.make_partitions(:at, :ahead)"),
        {"at": datetime.now(UTC), "ahead": _MONTHS_AHEAD},
    )


def downgrade() -> None:
    """Refuse: a ledger is not taken back."""
    raise NotImplementedError("a ledger is append-only: restore a backup instead of downgrading")
