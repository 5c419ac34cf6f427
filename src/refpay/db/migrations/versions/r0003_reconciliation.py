"""Settlement reports, their lines, breaks and watermarks."""

from refpay.db.upgrade import run_scripts

revision = "0003"
down_revision = "0002"


def upgrade() -> None:
    """Create everything."""
    run_scripts("0003", "reconciliation", "privileges")
