"""Run a Locust load test as a child process that writes an acknowledgement log."""

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
# Of all users' first requests, which are logged before the first answer is.
_FIRST_BYTES: Final = 256 * 1024
SCENARIO_FILE: Final = Path("loadtests/checkout.py")


@dataclass(frozen=True, slots=True)
class LoadPlan:
    """What a load test needs: the project, the stack to drive, and the file of its acknowledgement log."""

    project: Path
    endpoints: Endpoints
    acknowledgement_log_file: Path
    load: Load
    seed: int
    resend_ratio: float = 0.05

    def spec(self) -> ServerSpec:
        """Return the child process; it is ready once the acknowledgement log holds the first answer."""
        command = (
            sys.executable, "-m", "locust",
            "--locustfile", str(self.project / SCENARIO_FILE),
            "--headless", "--only-summary", "--skip-log-setup",
            "--host", self.endpoints.service,
            "--users", str(self.load.users),
            "--spawn-rate", str(self.load.users),
            "--stop-timeout", "20",
        )  # fmt: skip
        return ServerSpec(
            name=NAME,
            command=command,
            env=self._environment(),
            cwd=self.project,
            ready=self._first_answer_is_logged,
            ready_within_seconds=READY_SECONDS,
            stop_grace_seconds=STOP_SECONDS,
            hint="Read the load test's log, and check whether the service answers.",
        )

    def _environment(self) -> Mapping[str, str]:
        weights = ",".join(f"{card_range}={weight}" for card_range, weight in self.load.card_ranges.items())
        return {
            "MONEYPATH_ACKNOWLEDGEMENT_LOG_FILE": str(self.acknowledgement_log_file),
            "MONEYPATH_CHECKOUT_CLIENT_FILE": str(self.endpoints.secrets_folder / "checkout_client"),
            "MONEYPATH_SEED": str(self.seed),
            "MONEYPATH_CARD_RANGE_WEIGHTS": weights,
            "MONEYPATH_CHECKOUTS_PER_SECOND": str(self.load.checkouts_per_second),
            "MONEYPATH_USERS": str(self.load.users),
            "MONEYPATH_RESEND_RATIO": str(self.resend_ratio),
        }

    async def _first_answer_is_logged(self) -> bool:
        return has_answer(self.acknowledgement_log_file)


def has_answer(acknowledgement_log_file: Path) -> bool:
    """Tell whether a client got an answer; a request is logged before it is sent."""
    try:
        with acknowledgement_log_file.open("rb") as stream:
            return b'"outcome"' in stream.read(_FIRST_BYTES)
    except FileNotFoundError:
        return False
