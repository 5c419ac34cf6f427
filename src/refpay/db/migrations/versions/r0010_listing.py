"""Indexes for listing payments."""

from refpay.db.upgrade import run_scripts

revision = "0010"
down_revision = "0008"


def upgrade() -> None:
    """Add them."""
    run_scripts("0010", "listing")
