"""What is said of a metric is what the rules and the board really read."""

import json
from pathlib import Path

import pytest

from moneypath.cli.main import moneypath as command
from moneypath.path.loader import load
from moneypath.workflows.metrics import METRICS_PAGE, MetricFacts, describe_metrics, metrics_page

PROJECT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def facts() -> dict[str, MetricFacts]:
    """Return what is said of each metric of the repository."""
    return {fact.spec.name: fact for fact in describe_metrics(load(PROJECT / "moneypath.yaml"))}


def test_every_metric_of_the_catalogue_is_described_once(facts: dict[str, MetricFacts]) -> None:
    """None is left out, none is made up."""
    assert list(facts) == [spec.name for spec in load(PROJECT / "moneypath.yaml").catalogue()]


def test_readers_are_found_through_recorded_series(facts: dict[str, MetricFacts]) -> None:
    """An alert on a recorded ratio reads what the ratio is made of; a histogram is read by its buckets."""
    payments = facts["moneypath_payments_total"]
    assert "MoneyPathAuthorizationBudgetBurn" in payments.alerts
    assert "MoneyPathAuthorizationLatencyBurn" in facts["moneypath_payment_duration_seconds"].alerts
    assert "MoneyPathAuthorizationLatencyBurn" not in payments.alerts
    assert facts["moneypath_reconciliation_breaks"].alerts == ("MoneyPathSettlementMismatch",)
    assert "Reconciliation lag" in facts["moneypath_reconciliation_watermark_timestamp_seconds"].panels


def test_every_alert_but_those_on_the_scrape_itself_reads_a_metric(facts: dict[str, MetricFacts]) -> None:
    """An alert that reads nothing of ours would be missed by this table."""
    rules = (PROJECT / "alerts/rules/moneypath.rules.yml").read_text(encoding="utf-8")
    named = {line.split(":")[1].strip() for line in rules.splitlines() if "alert:" in line}
    read = {alert for fact in facts.values() for alert in fact.alerts}
    assert named - read == {"MoneyPathTargetDown"}


def test_the_page_holds_every_metric(facts: dict[str, MetricFacts]) -> None:
    """And is the committed one."""
    page = metrics_page(tuple(facts.values()))
    assert (PROJECT / "docs" / METRICS_PAGE).read_text(encoding="utf-8") == page
    for name in facts:
        assert page.count(f"| `{name}` |") == 1


def test_the_command_narrows_and_speaks_json(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Name, type, labels, budget, what it tells, alerts, panels."""
    monkeypatch.setenv("COLUMNS", "120")
    arguments = ["metrics", "reconciliation", "breaks", "--json", "--project", str(PROJECT)]
    command.main(arguments, standalone_mode=False)
    (only,) = json.loads(capsys.readouterr().out)
    assert only["name"] == "moneypath_reconciliation_breaks"
    assert (only["type"], only["series_budget"], list(only["labels"])) == (
        "gauge",
        14,
        ["provider", "class"],
    )
    assert only["alerts"] == ["MoneyPathSettlementMismatch"]
    command.main(["metrics", "settlement", "--project", str(PROJECT)], standalone_mode=False)
    assert "moneypath_settlement_files_total" in capsys.readouterr().out


def test_a_word_that_no_metric_holds_is_said(capsys: pytest.CaptureFixture[str]) -> None:
    """An empty table would read as 'nothing is measured'."""
    with pytest.raises(SystemExit) as ended:
        command.main(["metrics", "nonsense", "--project", str(PROJECT)])
    assert ended.value.code == 2
    assert "no metric's name holds nonsense" in capsys.readouterr().err
