"""What risk remembers and which card ranges are blocked."""

from refpay.db.upgrade import run_scripts

revision = "0004"
down_revision = "0003"


def upgrade() -> None:
    """Create everything."""
    run_scripts("0004", "risk", "audit", "privileges")
