"""The context that an event carries out of the database."""

from refpay.db.upgrade import run_scripts

revision = "0005"
down_revision = "0004"


def upgrade() -> None:
    """Give events their headers."""
    run_scripts("0005", "outbox")
