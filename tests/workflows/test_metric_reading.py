"""Growth over a run from raw samples: a process that began anew is seen by any of its series."""

from moneypath.oracle.metric_totals import Family
from moneypath.prometheus import Series
from moneypath.workflows.metric_reading import find_restarts, total_series

SUCCEEDED = {"operation": "authorize", "outcome": "succeeded", "provider": "north", "traffic": "live"}
API, WORKER = {"instance": "refpay-api"}, {"instance": "refpay-worker"}


def series(labels: dict[str, str], *values: float, start: float = 100.0) -> Series:
    """Return one sample a second from `start`."""
    return Series(labels, [(start + offset, value) for offset, value in enumerate(values)])


def test_the_last_value_before_a_kill_counts() -> None:
    """Seven before the kill, three after it."""
    read = {Family.PAYMENTS: [series({**SUCCEEDED, **API}, 0, 5, 7, 1, 3)]}
    seen = total_series(read, 100.0, 104.0)
    assert seen.totals == {"payments live authorize succeeded": 10.0}
    assert seen.deaths == 1


def test_a_series_that_outgrew_its_last_value_is_counted_from_zero() -> None:
    """Only one series fell, and the other one's nine after the kill are nine, not two."""
    fees = {"provider": "north"}
    read = {
        Family.PAYMENTS: [series({**SUCCEEDED, **API}, 0, 5, 7, 9, 9)],
        Family.FEES: [series({**fees, **API}, 0, 500, 700, 100, 100)],
    }
    seen = total_series(read, 100.0, 104.0)
    assert seen.totals == {"payments live authorize succeeded": 16.0, "fees north": 800.0}
    assert seen.deaths == 1


def test_the_death_of_one_process_is_none_of_another() -> None:
    """The worker's series go on while the API begins anew."""
    read = [series({**SUCCEEDED, **API}, 0, 7, 3), series({"provider": "north", **WORKER}, 0, 4, 6)]
    assert find_restarts(read, 100.0, 102.0) == {"refpay-api": [101.0]}


def test_what_was_counted_before_the_run_is_no_part_of_it() -> None:
    """The history before the run ends in a higher value than the run begins with; that is no death."""
    read = {Family.CAPTURED: [series({"currency": "EUR", **API}, 900, 950, 0, 40, start=97.0)]}
    seen = total_series(read, 99.0, 100.0)
    assert seen.totals == {"captured EUR": 40.0}
    read = {Family.CAPTURED: [series({"currency": "EUR", **API}, 900, 950, 0, 40, start=97.5)]}
    seen = total_series(read, 99.0, 101.0)
    assert (seen.totals, seen.deaths) == ({"captured EUR": 40.0}, 0)
