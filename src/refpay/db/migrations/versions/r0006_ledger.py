"""The ledger in months: entries of one row, sealed in a chain, with old months in cold storage."""

from datetime import UTC, datetime

from alembic import op
from sqlalchemy import text

from refpay.db.upgrade import run_scripts

revision = "0006"
down_revision = "0005"

# In the order in which they refer to each other; nothing is watched before the old entries are carried over.
SCRIPTS = ("entries", "archive", "partitions", "seals", "carried_over", "guards", "checks")
_MONTHS_AHEAD = 3


def upgrade() -> None:
    """Carry the entries over, and make room for those to come."""
    run_scripts("0006", *SCRIPTS)
    op.get_bind().execute(
        text("SELECT ledger.make_partitions(:at, :ahead)"), {"at": datetime.now(UTC), "ahead": _MONTHS_AHEAD}
    )
