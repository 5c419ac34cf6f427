"""The declaration with its defaults, free of contradictions."""

from typing import Self

from pydantic import model_validator

from moneypath.path.contradictions import decimals_issues, issues
from moneypath.path.declaration import AlertingPart, Declaration
from moneypath.path.declared_series import with_declared
from moneypath.path.defaults import completed
from moneypath.path.objectives import LatencySlo
from moneypath.path.problems import DeclarationIssues
from moneypath.telemetry.catalogue import Catalogue

__all__ = ["AlertingPart", "MoneyPath"]


class MoneyPath(Declaration):
    """One money path, complete and free of contradictions."""

    @model_validator(mode="after")
    def _complete(self) -> Self:
        whole = self.model_copy(update=completed(self))
        if found := (*decimals_issues(self), *issues(whole)):
            raise DeclarationIssues(found)
        return whole

    def catalogue(self) -> Catalogue:
        """Return the catalogue of what services record, closed over what is declared.

        Thresholds become bucket edges.
        """
        thresholds: dict[str, list[float]] = {}
        for slo in self.slos:
            if isinstance(slo, LatencySlo) and slo.histogram.series not in self.series:
                thresholds.setdefault(slo.histogram.series, []).append(float(slo.threshold_seconds))
        slots = self.vocabulary()
        return Catalogue.build(
            {**slots, **self.derived()},
            latency_thresholds=thresholds,
            own=self.telemetry.specs(slots),
            series_limit=self.telemetry.series_limit,
            may_be_empty=("providers", "checks"),
        )

    def known_metrics(self) -> Catalogue:
        """Return every metric that rules may read: the catalogue, and the declared series."""
        return with_declared(self.catalogue(), self.declared_metrics()) if self.series else self.catalogue()
