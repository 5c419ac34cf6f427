"""Variables become what Grafana makes of them, and then every query is sound PromQL over known series."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from moneypath.alerting.analysis import selectors
from moneypath.dashboards.model import Board
from moneypath.dashboards.queries import Choices, TimeRange, VariableUnknown, queries, regex, substitute

CHOICES: tuple[Choices, ...] = (
    {},
    {"provider": ("north",)},
    {"provider": ("north", "south"), "currency": ("EUR", "JPY")},
)


@pytest.mark.parametrize(
    ("times", "interval", "rate_interval"),
    [
        # An hour on 600 points is 6 s, which the ladder makes 5 s; four scrapes are the longer.
        (TimeRange(), "5s", "20s"),
        # Thirty days on 600 points: the interval decides.
        (TimeRange(range_seconds=30 * 86_400), "3600s", "3605s"),
        # Five minutes on 600 points would be 500 ms: the scrape interval is the least.
        (TimeRange(range_seconds=300), "5s", "20s"),
        (TimeRange(range_seconds=300, scrape_seconds=1), "1s", "4s"),
        (TimeRange(range_seconds=86_400, points=1000), "60s", "65s"),
        (TimeRange(range_seconds=86_400 * 365, points=100), "43200s", "43205s"),
    ],
)
def test_intervals_follow_the_written_rules(times: TimeRange, interval: str, rate_interval: str) -> None:
    """The worked examples of Grafana's manual and ladder."""
    assert substitute("[$__interval]", {}, times) == f"[{interval}]"
    assert substitute("[$__rate_interval]", {}, times) == f"[{rate_interval}]"
    assert substitute("[$__range]", {}, times) == f"[{times.range_seconds}s]"


@given(st.integers(60, 90 * 86_400), st.integers(50, 4000), st.integers(1, 120))
def test_a_rate_always_has_its_four_scrapes(range_seconds: int, points: int, scrape: int) -> None:
    """`$__rate_interval` is at least four scrapes, and the step plus a scrape: no sample is skipped."""
    times = TimeRange(range_seconds, points, scrape)
    assert times.rate_interval_milliseconds >= 4000 * scrape
    assert times.rate_interval_milliseconds >= times.interval_milliseconds + 1000 * scrape
    assert times.interval_milliseconds >= 1000 * scrape


def test_choices_become_regular_expressions() -> None:
    """One value stands alone, several in brackets, special characters are escaped, All is not."""
    assert regex(("north",)) == "north"
    assert regex(("north", "south")) == "(north|south)"
    assert regex(("a.b", "c|d")) == r"(a\.b|c\|d)"


def test_all_takes_in_what_is_nobodys_id(board: Board) -> None:
    """All is `.*`, so that payments without a provider stay in view."""
    (bad,) = (asked for asked in queries(board, TimeRange()) if "Bad authorizations" in asked.where)
    assert bad.expr == 'provider:authorization_bad:ratio_rate5m{provider=~".*"}'
    (bad,) = (
        asked for asked in queries(board, TimeRange(), CHOICES[1]) if "Bad authorizations" in asked.where
    )
    assert bad.expr == 'provider:authorization_bad:ratio_rate5m{provider=~"north"}'


@pytest.mark.parametrize("expr", ['up{job=~"${jobs:regex}"}', 'up{job="$provider"}', "rate(a[$__rate])"])
def test_a_variable_that_nobody_fills_is_refused(expr: str) -> None:
    """Prometheus would take `$provider` for a value and find nothing."""
    with pytest.raises(VariableUnknown):
        substitute(expr, {"provider": ".*"}, TimeRange())


@pytest.mark.parametrize("choices", CHOICES)
def test_every_query_is_sound_and_reads_known_series(
    choices: Choices, board: Board, known: frozenset[str]
) -> None:
    """Each parses, and each name is in the catalogue, recorded by a rule, or Prometheus' own."""
    asked = queries(board, TimeRange(), choices)
    assert len(asked) > 50
    for query in asked:
        read = {name for name, _ in selectors(query.expr)}
        assert read, query.where
        assert read <= known, query.where


def test_a_name_that_nobody_exports_would_be_found(known: frozenset[str]) -> None:
    """The negative twin: the set of names is not everything."""
    assert "moneypath_payment_total" not in known
    assert "" not in known


def test_minor_units_are_never_added_across_currencies(board: Board) -> None:
    """Every selector of an amount is held to one currency, and is divided by that currency's unit."""
    amounts = [
        (query.expr, matchers)
        for query in queries(board, TimeRange())
        for name, matchers in selectors(query.expr)
        if name.endswith("_minor_units") and "variable" not in query.where
    ]
    assert len(amounts) > 8
    for expr, matchers in amounts:
        assert any(each.name == "currency" and str(each.op) == "MatchOp.Equal" for each in matchers), expr
