"""Silences are matched as Alertmanager matches them, and for alerts whose labels may take several values."""

import itertools
from collections.abc import Mapping

import pytest
from hypothesis import given
from hypothesis import strategies as st

from moneypath.alerting.names import alert_names
from moneypath.alerting.silences import integrity_alerts
from moneypath.alerting.silences.matchers import Matcher, can_mute
from moneypath.path.model import MoneyPath

DOUBLE_CHARGE = {
    "alertname": ("MoneyPathDoubleCharge",),
    "severity": ("critical",),
    "check": ("single_charge",),
    "stage": ("capture",),
    "roles": ("|eng|ops|support|compliance|",),
}
UNPOSTED = {"alertname": ("MoneyPathCaptureUnposted",), "provider": ("north", "south")}
LABELS = st.sampled_from(["a", "b", "c"])
VALUES = st.sampled_from(["", "x", "y", "xy", "x|y"])
MATCHERS = st.builds(
    Matcher,
    LABELS,
    st.sampled_from(["", "x", "y", "xy", "x|y", "x.*", ".+", ".*", "[xy]"]),
    is_regex=st.booleans(),
    is_equal=st.booleans(),
)


@pytest.mark.parametrize(
    ("matcher", "mutes"),
    [
        (Matcher("alertname", "MoneyPathDoubleCharge"), True),
        (Matcher("alertname", "MoneyPathDouble"), False),
        (Matcher("alertname", "MoneyPathDouble", is_regex=True), False),
        (Matcher("alertname", "DoubleCharge", is_regex=True), False),
        (Matcher("alertname", "MoneyPathDouble.*", is_regex=True), True),
        (Matcher("alertname", "Other|MoneyPathDoubleCharge", is_regex=True), True),
        (Matcher("alertname", "(?i)moneypathdoublecharge", is_regex=True), True),
        (Matcher("alertname", r"\pL+", is_regex=True), True),
        (Matcher("alertname", "[[:alpha:]]+", is_regex=True), True),
        (Matcher("alertname", "MoneyPathWatchdog", is_equal=False), True),
        (Matcher("alertname", "MoneyPathDoubleCharge", is_equal=False), False),
        (Matcher("alertname", "MoneyPath.*", is_regex=True, is_equal=False), False),
        (Matcher("alertname", "Other.*", is_regex=True, is_equal=False), True),
        (Matcher("severity", "critical"), True),
        (Matcher("severity", "none", is_equal=False), True),
        (Matcher("stage", "capture|ledger", is_regex=True), True),
        (Matcher("stage", "ledger"), False),
        (Matcher("roles", r".*\|compliance\|.*", is_regex=True), True),
        (Matcher("roles", "compliance", is_regex=True), False),
        (Matcher("provider", ""), True),
        (Matcher("provider", ".*", is_regex=True), True),
        (Matcher("provider", ".+", is_regex=True), False),
        (Matcher("provider", "north", is_equal=False), True),
        (Matcher("provider", "north"), False),
    ],
)
def test_a_matcher_means_what_alertmanager_means(matcher: Matcher, mutes: bool) -> None:
    """Regular expressions match the whole value, in Go's syntax, and a label that is missing is empty."""
    assert can_mute([matcher], DOUBLE_CHARGE) is mutes


@pytest.mark.parametrize(
    ("matchers", "mutes"),
    [
        ([Matcher("provider", "south")], True),
        ([Matcher("provider", "nor.*", is_regex=True)], True),
        ([Matcher("provider", "north", is_equal=False)], True),
        ([Matcher("provider", "north|south", is_regex=True, is_equal=False)], False),
        ([Matcher("provider", "")], False),
        ([Matcher("provider", "north"), Matcher("provider", "south")], False),
        ([Matcher("provider", "north"), Matcher("alertname", "MoneyPathDoubleCharge")], False),
    ],
)
def test_one_instance_is_enough(matchers: list[Matcher], mutes: bool) -> None:
    """A silence for one provider is one; two matchers have to hold for the same provider."""
    assert can_mute(matchers, UNPOSTED) is mutes


def test_what_cannot_be_read_counts_as_a_silence() -> None:
    """An expression that Alertmanager took and we cannot read must not hide a silence, asked either way."""
    for is_equal in (True, False):
        assert can_mute([Matcher("alertname", "(", is_regex=True, is_equal=is_equal)], DOUBLE_CHARGE)


def test_an_expression_that_takes_for_ever_elsewhere_takes_no_time() -> None:
    """Whoever may write a silence must not be able to stop the exporter."""
    assert not can_mute(
        [Matcher("alertname", "(a+)+$" * 20, is_regex=True)], {"alertname": ("a" * 4000 + "!",)}
    )


@given(
    st.lists(MATCHERS, min_size=1, max_size=5),
    st.dictionaries(LABELS, st.lists(VALUES, min_size=1, max_size=3, unique=True).map(tuple)),
)
def test_labels_that_vary_are_as_all_their_combinations(
    matchers: list[Matcher], labels: Mapping[str, tuple[str, ...]]
) -> None:
    """A silence mutes an instance exactly if it mutes one of the combinations that are written out."""

    def mutes(instance: Mapping[str, str]) -> bool:
        return all(matcher.accepts(instance.get(matcher.label, "")) for matcher in matchers)

    instances = (dict(zip(labels, values, strict=True)) for values in itertools.product(*labels.values()))
    assert can_mute(matchers, labels) is any(mutes(instance) for instance in instances)


def test_every_integrity_alert_is_looked_for_with_every_label(money_path: MoneyPath) -> None:
    """Both alerts of each check, those that tell of silences included, with providers and classes."""
    described = integrity_alerts.describe(money_path)
    assert described is not None
    assert set(described.alerts) == set(money_path.integrity_alerts()) <= alert_names(money_path)
    assert {"MoneyPathIntegrityAlertSilenced", "MoneyPathSilenceCheckStale"} <= set(described.alerts)
    assert described.alerts["MoneyPathDoubleCharge"] == DOUBLE_CHARGE
    assert described.alerts["MoneyPathCaptureUnposted"]["provider"] == money_path.provider_ids()
    assert "duplicate" in described.alerts["MoneyPathSettlementMismatch"]["class"]
    assert described.alerts["MoneyPathIntegrityAlertSilenced"]["alert"] == money_path.integrity_alerts()


def test_a_declaration_without_the_check_has_no_such_file_and_a_plain_watchdog(money_path: MoneyPath) -> None:
    """Who does not ask for silences gets nothing that nobody exports."""
    others = tuple(check for check in money_path.checks if check.id != "alert_silences")
    assert integrity_alerts.describe(money_path.model_copy(update={"checks": others})) is None
