"""References of payouts, names of chargebacks, and attempts under one reference."""

from refpay.db.upgrade import run_scripts

revision = "0011"
down_revision = "0010"


def upgrade() -> None:
    """Index them."""
    run_scripts("0011", "names")
