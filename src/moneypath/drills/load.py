"""Drive the service with Locust, as a child process that writes the client's own journal."""

import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from moneypath.drills.scenario import Load
from moneypath.stack.endpoints import Endpoints
from moneypath.stack.server import ServerSpec

NAME: Final = "load"
READY_SECONDS: Final = 30.0
STOP_SECONDS: Final = 30.0
SCENARIO_FILE: Final = Path("loadtests/checkout.py")


@dataclass(frozen=True, slots=True)
class LoadPlan:
    """Where the load test lies, whom it drives, and where its journal goes."""

    project: Path
    endpoints: Endpoints
    journal_file: Path
    load: Load
    seed: int
    resend_ratio: float = 0.05

    def spec(self) -> ServerSpec:
        """Return the child process; it is ready once the first answer stands in the journal."""
        command = (
            sys.executable, "-m", "locust",
            "--locustfile", str(self.project / SCENARIO_FILE),
            "--headless", "--only-summary", "--skip-log-setup",
            "--host", self.endpoints.refpay,
            "--users", str(self.load.users),
            "--spawn-rate", str(self.load.users),
            "--stop-timeout", "20",
        )  # fmt: skip
        return ServerSpec(
            name=NAME,
            command=command,
            env=self._environment(),
            cwd=self.project,
            ready=self._journal_begun,
            ready_within_seconds=READY_SECONDS,
            stop_grace_seconds=STOP_SECONDS,
            hint="the load test's own words stand in its log; is the service answering?",
        )

    def _environment(self) -> Mapping[str, str]:
        weights = ",".join(f"{card_range}={weight}" for card_range, weight in self.load.card_ranges.items())
        return {
            "MONEYPATH_JOURNAL_FILE": str(self.journal_file),
            "MONEYPATH_CHECKOUT_CLIENT_FILE": str(self.endpoints.secrets_folder / "checkout_client"),
            "MONEYPATH_SEED": str(self.seed),
            "MONEYPATH_CARD_RANGE_WEIGHTS": weights,
            "MONEYPATH_CHECKOUTS_PER_SECOND": str(self.load.checkouts_per_second),
            "MONEYPATH_USERS": str(self.load.users),
            "MONEYPATH_RESEND_RATIO": str(self.resend_ratio),
        }

    async def _journal_begun(self) -> bool:
        return self.journal_file.exists() and self.journal_file.stat().st_size > 0
