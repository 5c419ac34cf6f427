"""The ledger-write objective counts every kind of entry that the ledger posts."""

import pytest

from moneypath.alerting.analysis import selectors, unscaled_text
from moneypath.alerting.promtool_tests.suite import files
from moneypath.alerting.sli import recordings
from moneypath.path.model import MoneyPath
from moneypath.path.objectives import EventsSlo
from moneypath.telemetry.catalogue.vocabulary import LedgerKind
from refpay.ledger.entries import EntryKind


@pytest.fixture(scope="module")
def objective(money_path: MoneyPath) -> EventsSlo:
    """Return the objective on ledger writes."""
    (slo,) = (slo for slo in money_path.slos if slo.id == "ledger-write-success")
    assert isinstance(slo, EventsSlo)
    return slo


def test_the_series_knows_every_kind_of_entry(money_path: MoneyPath, objective: EventsSlo) -> None:
    """The closed set of the label is the ledger's own closed set."""
    posted = {kind.value for kind in EntryKind}
    assert set(money_path.catalogue()[objective.series].labels["kind"]) == posted
    assert {kind.value for kind in LedgerKind} == posted


def test_no_kind_of_entry_is_left_out(objective: EventsSlo) -> None:
    """The rules select by how a write ended, and by nothing else."""
    read = [
        matcher.name
        for rule in recordings(objective)
        for series, matchers in selectors(unscaled_text(rule.expr))
        if series == objective.series
        for matcher in matchers
    ]
    assert set(read) == {"outcome"}


@pytest.mark.parametrize("kind", EntryKind)
def test_a_failed_write_of_each_kind_is_tested_to_page(money_path: MoneyPath, kind: EntryKind) -> None:
    """promtool runs a case for each kind."""
    text = files(money_path)["MoneyPathLedgerWriteBudgetBurn.fast.test.yml"]
    assert f"name: counts kind {kind}\n" in text
