"""What the parts of an audit hand on: counts, totals, and the names that two parts may share."""

from collections import Counter

import pytest

from moneypath.oracle import (
    Balance,
    DiscrepancyKind,
    LoadDriven,
    MinimumEvidence,
    MoneyTotal,
    Outcome,
    RowCounts,
    Scope,
    audit,
)
from moneypath.oracle.evidence import collect
from moneypath.oracle.partial_audit import BUCKETS, Inputs, PartialAudit, audit_part, names_in
from moneypath.oracle.spool import Rows as PartRows

from .test_oracle_large_audit import one_process, report_of  # noqa: F401 - a fixture
from .world import (
    AUTHORIZE,
    CAPTURE,
    CHARGEBACK,
    PAYOUT,
    REFUND,
    REVERSAL,
    VOIDING,
    Rows,
    Step,
    paid,
    replace,
    whole_world,
)

COUNTED = RowCounts(
    posting_lines=32, charges=17, acknowledgements=15, posted_captures=5, booked_captures=5,
    acknowledged_captures=4, requests=15, unanswered=0,
)  # fmt: skip
TOTALS = (
    MoneyTotal(AUTHORIZE, "EUR", 0, 3000, 3000),
    MoneyTotal(AUTHORIZE, "USD", 0, 3000, 3000),
    MoneyTotal(CAPTURE, "EUR", 3000, 3000, 2000),
    MoneyTotal(CAPTURE, "USD", 2500, 2500, 2500),
    MoneyTotal(CHARGEBACK, "EUR", 1000, 1000, 0),
    MoneyTotal(REVERSAL, "EUR", 1000, 1000, 0),
    MoneyTotal(PAYOUT, "EUR", 800, 800, 800),
    MoneyTotal(REFUND, "EUR", 1250, 1250, 0),
    MoneyTotal(REFUND, "USD", 700, 700, 700),
    MoneyTotal(VOIDING, "USD", 0, 500, 500),
)
BALANCES = (Balance("shop", "EUR", 950), Balance("shop", "USD", 1800))


@pytest.mark.usefixtures("one_process")
@pytest.mark.parametrize("rows_in_memory", [1_000_000, 10])
def test_a_report_counts_what_was_seen(rows_in_memory: int) -> None:
    """Rows, captures and money of the whole world, counted by hand; at once and in parts."""
    report = report_of(whole_world(), rows_in_memory)
    assert (report.rows, report.totals, report.balances) == (COUNTED, TOTALS, BALANCES)
    assert report.whole


@pytest.mark.usefixtures("one_process")
@pytest.mark.parametrize("rows_in_memory", [1_000_000, 2])
def test_a_scope_and_a_load_reach_every_part(rows_in_memory: int) -> None:
    """What came before the clients' first request is left out, and the plan is asked for."""
    early = replace(Step("early", CAPTURE, at=9.0).done(), answers=())
    rows = paid("a") + Step("early", AUTHORIZE, at=8.0).done() + early
    load = LoadDriven(planned=2, asked=9)
    report = audit(
        rows.postings, rows.book, rows.answers, scope=Scope(asked_since=9.5), load=load,
        rows_in_memory=rows_in_memory,
    )  # fmt: skip
    assert report.discrepancies == ()
    assert report.missing_evidence == (load.problem,)
    late = audit(rows.postings, rows.book, rows.answers, rows_in_memory=rows_in_memory)
    assert [one.kind for one in late.discrepancies] == [DiscrepancyKind.MOVED_UNASKED]


@pytest.mark.usefixtures("one_process")
@pytest.mark.parametrize("rows_in_memory", [1_000_000, 2])
def test_requests_without_answers_are_counted_in_every_part(rows_in_memory: int) -> None:
    """Two of four requests have no answer on record."""
    rows = (paid("a") + paid("b")).recorded()
    rows = replace(rows, answers=rows.answers[:2])
    report = report_of(rows, rows_in_memory)
    assert (report.rows.requests, report.rows.unanswered) == (4, 2)
    assert report.missing_evidence == ("the clients' requests: 2 of 4 have no answer on record, allowed: 0",)


def test_a_part_names_what_only_one_reference_may_have() -> None:
    """Charges, entries, posted keys and asked keys, each with whose it is; a report's entry has no key."""
    rows = whole_world() + Rows((), (), (Step("z", AUTHORIZE).answer(Outcome.UNKNOWN),))
    named = set(names_in(collect(rows.postings, rows.book, rows.answers)))
    assert {
        (("charge", CAPTURE, "pk-capture-a"), "a"),
        (("charge", CHARGEBACK, "chb-c"), "c"),
        (("entry", "entry-capture-a"), "a"),
        (("entry", "fee-1"), ""),
        (("posted", CAPTURE, "capture-a"), "a"),
        (("asked", AUTHORIZE, "authorize-z"), "z"),
    } <= named
    assert Counter(name[0] for name, _ in named) == {"charge": 16, "entry": 14, "posted": 11, "asked": 16}


def test_names_are_handed_on_as_hashes_only_where_parts_are_compared() -> None:
    """Each once, in the bucket of its remainder."""
    world = whole_world()
    rows = PartRows(world.postings, world.book, world.answers, world.requests)
    inputs = Inputs(world.reports, Scope(), recorded=True)
    assert audit_part(rows, inputs, world.reports).names == []
    buckets = audit_part(rows, inputs, world.reports, with_names=True).names
    evidence = collect(rows.postings, rows.book, rows.answers, requests=rows.requests)
    hashes = {hash(name) for name, _ in names_in(evidence)}
    assert [set(bucket) for bucket in buckets] == [
        {one for one in hashes if one % BUCKETS == number} for number in range(BUCKETS)
    ]


def test_parts_add_up() -> None:
    """Into an empty whole: what each part found, counted and summed up."""
    world = whole_world()
    inputs = Inputs(world.reports, Scope(), recorded=False)
    rows = PartRows(world.postings, world.book, world.answers[1:])
    whole = PartialAudit()
    for _ in range(2):
        whole.add(audit_part(rows, inputs, world.reports))
    one = audit_part(rows, inputs, world.reports)
    assert audit_part(PartRows(world.postings[1:]), inputs, ()).currencies == {"EUR": -1000}
    assert whole.discrepancies == one.discrepancies * 2
    assert whole.rows.posting_lines == 64
    assert {group: [2 * minor for minor in sums] for group, sums in one.sums.items()} == whole.sums
    assert whole.accounts["shop", "EUR"].owed_minor == 2 * 950
    off = PartialAudit(currencies=Counter(EUR=3))
    off.add(PartialAudit(currencies=Counter(EUR=4, USD=0)))
    assert off.currencies == {"EUR": 7, "USD": 0}
    assert [found.amount_minor for found in off.finish().discrepancies] == [7]


def test_a_summary_says_what_an_engineer_needs() -> None:
    """Whole or not, how much evidence, the money, what merchants are owed, and each contradiction."""
    assert report_of(paid("a").recorded()).summary().splitlines() == [
        "whole: every unit of money is accounted for",
        "evidence: 2 posting lines, 2 provider operations, 2 answers to 2 requests",
        "authorize EUR: posted 0, in the books 1000, acknowledged 1000 (minor units)",
        "capture EUR: posted 1000, in the books 1000, acknowledged 1000 (minor units)",
        "owed to shop: 1000 EUR (minor units)",
    ]
    broken = replace(paid("a"), postings=())
    said = audit(broken.postings, broken.book, broken.answers, minimum=MinimumEvidence(1, 1, 1)).summary()
    assert said.splitlines()[0] == "NOT whole"
    assert "too little evidence: the ledger: 0 captures seen, needed: at least 1" in said.splitlines()


@pytest.mark.parametrize(("missing", "more"), [(20, ""), (21, "and 1 more"), (22, "and 2 more")])
def test_a_summary_says_how_many_contradictions_it_leaves_out(missing: int, more: str) -> None:
    """Twenty are shown."""
    book = tuple(Step(f"r{number}", AUTHORIZE).charge() for number in range(missing))
    answers = tuple(Step(f"r{number}", AUTHORIZE).answer(Outcome.FAILED) for number in range(missing))
    last = audit((), book, answers).summary().splitlines()[-1]
    assert last == more if more else last.startswith("refused_but_charged: r")
