"""Recorders that lie: each is found, in the series that it falsifies and by who knows better."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from random import Random
from typing import Final

import pytest
from tests.proof_table import caught_by

from moneypath.oracle.metric_totals import ExpectedTotal, Family, SeenTotals, Witness, compare_totals

from .runs import SINCE, Recorded, Recorder, Run

RUN: Final = Run()
DECLINED: Final = "payments live authorize declined by clients"
SUCCEEDED: Final = "payments live authorize succeeded by clients"
CAPTURES: Final = "payments live capture succeeded by"
LIES: dict[str, tuple[Recorder, set[str]]] = {}


def lie(*series: str) -> Callable[[Recorder], Recorder]:
    """Register a recorder that lies, with each series and witness that have to disagree, and no other."""

    def register(recorder: Recorder) -> Recorder:
        LIES[recorder.__name__.removeprefix("_")] = (recorder, set(series))
        return recorder

    return register


def _is(one: Recorded, family: Family, **labels: str) -> bool:
    return one.family is family and all(one.label(name) == value for name, value in labels.items())


@lie("payments live authorize failed or shed by clients")
def _drops_30_percent_of_failed_payments(recorded: Sequence[Recorded]) -> Iterable[Recorded]:
    draw = Random(7)  # noqa: S311 - which payments a lie drops is no secret
    return [
        one for one in recorded
        if not _is(one, Family.PAYMENTS, outcome="failed") or draw.random() >= 0.3
    ]  # fmt: skip


@lie(DECLINED, SUCCEEDED)
def _counts_declines_as_successes(recorded: Sequence[Recorded]) -> Iterable[Recorded]:
    for one in recorded:
        declined = _is(one, Family.PAYMENTS, outcome="declined")
        yield one.relabelled(outcome="succeeded") if declined else one


@lie(DECLINED, "payments live authorize failed or shed by clients")
def _counts_failures_as_declines(recorded: Sequence[Recorded]) -> Iterable[Recorded]:
    for one in recorded:
        failed = _is(one, Family.PAYMENTS, outcome="failed")
        yield one.relabelled(outcome="declined") if failed else one


@lie(f"{CAPTURES} clients", f"{CAPTURES} ledger")
def _counts_captures_twice(recorded: Sequence[Recorded]) -> Iterable[Recorded]:
    for one in recorded:
        yield replace(one, amount=2.0) if _is(one, Family.PAYMENTS, operation="capture") else one


@lie(*(f"captured {currency} by {who}" for currency in ("EUR", "USD")
       for who in ("clients", "ledger", "providers")))  # fmt: skip
def _counts_amounts_times_100(recorded: Sequence[Recorded]) -> Iterable[Recorded]:
    for one in recorded:
        yield replace(one, amount=one.amount * 100) if one.family is Family.CAPTURED else one


@lie("captured EUR by clients", "captured EUR by ledger", "captured EUR by providers")
def _forgets_one_minor_unit(recorded: Sequence[Recorded]) -> Iterable[Recorded]:
    first = next(one for one in recorded if _is(one, Family.CAPTURED, currency="EUR"))
    return [replace(one, amount=one.amount - 1) if one is first else one for one in recorded]


@lie(*(f"captured {currency} by {who}" for currency in ("EUR", "USD")
       for who in ("clients", "ledger", "providers")))  # fmt: skip
def _counts_dollars_as_euros(recorded: Sequence[Recorded]) -> Iterable[Recorded]:
    for one in recorded:
        yield one.relabelled(currency="EUR") if one.family is Family.CAPTURED else one


@lie("fees north by ledger", "fees south by ledger")
def _does_not_count_fees(recorded: Sequence[Recorded]) -> Iterable[Recorded]:
    return [one for one in recorded if one.family is not Family.FEES]


@lie("fees north by ledger", "fees south by ledger")
def _counts_fees_of_one_provider_for_the_other(recorded: Sequence[Recorded]) -> Iterable[Recorded]:
    for one in recorded:
        yield one.relabelled(provider="south") if one.family is Family.FEES else one


@lie(*(f"attempts {provider} {operation} by providers"
       for provider in ("north", "south") for operation in ("authorize", "capture")))  # fmt: skip
def _does_not_count_attempts(recorded: Sequence[Recorded]) -> Iterable[Recorded]:
    return [one for one in recorded if one.family is not Family.ATTEMPTS]


@lie("attempts south authorize by providers")
def _does_not_count_retries(recorded: Sequence[Recorded]) -> Iterable[Recorded]:
    seen: set[float] = set()
    for one in recorded:
        if not _is(one, Family.ATTEMPTS, outcome="failed"):
            yield one
        elif one.at not in seen:
            seen.add(one.at)
            yield one


@lie("payments canary authorize succeeded by clients", SUCCEEDED)
def _counts_the_canary_as_a_customer(recorded: Sequence[Recorded]) -> Iterable[Recorded]:
    for one in recorded:
        yield one.relabelled(traffic="live") if _is(one, Family.PAYMENTS) else one


@lie("payments live void succeeded by clients")
def _counts_what_nobody_asked_for(recorded: Sequence[Recorded]) -> Iterable[Recorded]:
    one = next(one for one in recorded if _is(one, Family.PAYMENTS, outcome="succeeded"))
    return [*recorded, one.relabelled(operation="void")]


@lie("payments live authorize failed or shed by clients")
def _counts_no_failure_and_seems_to_begin_anew_thirty_times(
    recorded: Sequence[Recorded],
) -> Iterable[Recorded]:
    """One series of another process rises by one and falls again: no process ended."""
    approved = [
        one for one in recorded
        if _is(one, Family.PAYMENTS, operation="authorize", outcome="succeeded", traffic="live")
    ]  # fmt: skip
    elsewhere = approved[:30]
    for one in recorded:
        if one not in elsewhere and not _is(one, Family.PAYMENTS, outcome="failed"):
            yield one
    for number, one in enumerate(elsewhere):
        at = SINCE + 2 + 2 * number
        yield replace(one, at=at, process="refpay-worker")
        yield replace(one, at=at + 1, amount=-1.0, process="refpay-worker")


def test_an_honest_recorder_agrees_with_everybody() -> None:
    """Nothing differs by one, and every family has a witness that saw something."""
    rows = RUN.compare()
    assert [row.describe() for row in rows if not row.equal] == []
    assert {row.series.split()[0] for row in rows if row.least > 0} == {family.value for family in Family}
    assert all(row.lost_at_most == 0 for row in rows)


@pytest.mark.parametrize("name", sorted(LIES))
def test_a_lie_is_found_where_it_was_told(name: str) -> None:
    """Each lie shows in the series that it falsifies, and in no other."""
    recorder, expected = LIES[name]
    lies = RUN.lies(recorder)
    caught_by(lies)
    assert set(lies) == expected


def test_a_process_whose_series_vanish_is_found() -> None:
    """A process that answers scrapes without its series counts less than everybody else."""
    lies = RUN.lies(vanished=1_030.0)
    assert "payments live authorize succeeded by clients" in lies
    assert {line.split()[0] for line in lies} == {family.value for family in Family}


def test_series_that_were_never_there_are_not_known() -> None:
    """No series at all is no zero."""
    rows = RUN.compare(lambda recorded: [one for one in recorded if one.family is not Family.FEES])
    assert [row.describe() for row in rows if row.seen is None] == [
        f"fees {provider}: no series at all, expected {row.least} by ledger"
        for provider in ("north", "south")
        for row in rows
        if row.series == f"fees {provider}"
    ]


def test_a_death_loses_at_most_what_happens_within_one_scrape() -> None:
    """What a process counted since its last scrape is gone; the last scrape before the kill counts."""
    rows = RUN.compare(deaths=[1_030.7])
    assert [row.describe() for row in rows if not row.equal] == []
    lost = [row for row in rows if row.seen is not None and row.seen < row.least]
    assert lost, "the kill loses something, or nothing is tested"
    payments = next(row for row in rows if row.series == "payments live authorize succeeded")
    assert payments.lost_at_most <= 10, "at most the requests of one scrape interval, each once"


def test_a_death_that_the_metrics_do_not_show_excuses_nothing() -> None:
    """Others saw a process end; no counter began anew, so nothing of it is lost."""
    name = "payments live capture succeeded"
    expected = [ExpectedTotal(name, Witness.LEDGER, 10, 10, burst=3)]
    seen = SeenTotals({name: 9.0}, frozenset({Family.PAYMENTS}), deaths=0)
    (row,) = compare_totals(expected, seen, ended=1)
    assert not row.equal


def test_a_death_excuses_no_lie() -> None:
    """A recorder that drops 30 % of failed payments is found although a process died."""
    recorder, _ = LIES["drops_30_percent_of_failed_payments"]
    assert "payments live authorize failed or shed by clients" in RUN.lies(recorder, deaths=[1_030.7])


def test_the_same_loss_without_a_death_is_a_lie() -> None:
    """The tolerance is zero as long as no process died."""

    def skip(recorded: Sequence[Recorded]) -> Iterable[Recorded]:
        return [one for one in recorded if not 1_030.0 < one.at <= 1_030.7]

    assert "payments live authorize succeeded by clients" in RUN.lies(skip)
