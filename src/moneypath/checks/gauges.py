"""What the exporter shows of its checks. What is not known is absent; it is never 0."""

from typing import Final

from moneypath.checks.plan import Plan
from moneypath.checks.results import RunResult
from moneypath.path.sql_checks import VIOLATIONS, VIOLATIONS_MONEY, AmountUnit
from moneypath.telemetry.catalogue import Catalogue
from moneypath.telemetry.catalogue.vocabulary import CheckRunOutcome
from moneypath.telemetry.setup import setup

SERVICE: Final = "ledger-checks"
LAST_SUCCESS: Final = "moneypath_check_last_success_timestamp_seconds"
UNREADABLE: Final = "moneypath_check_unreadable_violations"
OLDEST: Final = "moneypath_check_oldest_violation_timestamp_seconds"
RUNS: Final = "moneypath_check_runs_total"
# Money beyond it is shown as this much: a gauge that is absent would look like no money.
LARGEST_SHOWN: Final = 2**63


class CheckGauges:
    """The metrics of all SQL checks of one exporter."""

    def __init__(self, plan: Plan, catalogue: Catalogue) -> None:
        self._currencies = tuple(plan.exponents)
        self._with_money = {check.id for check in plan.checks if check.amount is not AmountUnit.NONE}
        self.recorder = setup(
            catalogue,
            service=SERVICE,
            metrics=(VIOLATIONS, VIOLATIONS_MONEY, UNREADABLE, OLDEST, LAST_SUCCESS, RUNS),
            shared=False,
        )

    def show(self, result: RunResult) -> None:
        """Show what a run found, and count it."""
        self.count(result.check, result.outcome)
        if not result.is_known:
            self.forget(result.check)
            return
        gauge, check = self.recorder.gauge, result.check
        gauge(VIOLATIONS).set(result.count, check=check)
        gauge(UNREADABLE).set(result.unreadable, check=check)
        for currency in self._currencies if check in self._with_money else ():
            minor = min(result.money.get(currency, 0), LARGEST_SHOWN)
            gauge(VIOLATIONS_MONEY).set(minor, check=check, currency=currency)
        if result.oldest_since is None:
            gauge(OLDEST).clear(check=check)
        else:
            gauge(OLDEST).set(result.oldest_since, check=check)
        gauge(LAST_SUCCESS).set(result.began_at, check=check)

    def count(self, check: str, outcome: CheckRunOutcome) -> None:
        """Count a run by how it ended."""
        self.recorder.counter(RUNS).inc(check=check, outcome=outcome.value)

    def forget(self, check: str) -> None:
        """Show that nothing is known of a check; the time of its last success stays, and ages."""
        for name in (VIOLATIONS, UNREADABLE, OLDEST):
            self.recorder.gauge(name).clear(check=check)
        for currency in self._currencies if check in self._with_money else ():
            self.recorder.gauge(VIOLATIONS_MONEY).clear(check=check, currency=currency)

    def stand_by(self, check: str) -> None:
        """Show nothing of a check that another exporter runs."""
        self.forget(check)
        self.recorder.gauge(LAST_SUCCESS).clear(check=check)
