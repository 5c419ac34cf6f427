"""What is settled in another currency is in the ledger, once, and by what a correction changes of it."""

import json
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any
from uuid import UUID

import asyncpg
import pytest
from hypothesis import given
from hypothesis import strategies as st

import refpay
from refpay.costs import CostModel
from refpay.ledger.entries import Entry, EntryKind
from refpay.money import MAXIMUM_MINOR, Currency
from refpay.operations.checks import Checks
from refpay.providers.reports import MovementKind, ReportInvalid, ReportLine, SettlementReport
from refpay.providers.south_reports import SouthReports
from refpay.reconciliation.matching import Matcher, MatchingInput
from refpay.reconciliation.model import LedgerOperation, Repair, ReportedLine
from refpay.reconciliation.report_entries import report_entries

from .bench import START, FakeAcquirer, ManualClock, Op, Row, Served, capture

if TYPE_CHECKING:
    from .bench import Bench

Sums = dict[tuple[str, str], int]
COSTS = CostModel.load(Path(refpay.__file__).with_name("costs.json"))
EACH = pytest.mark.parametrize("provider", ["north", "south"])
LINE = ReportLine("k", "m", "r", MovementKind.CAPTURE, 1000, Currency.EUR, 24, START)


def report(*lines: ReportLine) -> SettlementReport:
    """Return a report."""
    return SettlementReport(1, START, START + timedelta(seconds=10), lines)


@st.composite
def lines(draw: Any) -> ReportLine:
    """Draw a line, of any kind; settled in another currency, in its own, or nothing said of it."""
    amount, currency = draw(st.integers(1, 10**12)), draw(st.sampled_from(Currency))
    into = draw(st.none() | st.sampled_from(Currency))
    minor = amount if into is currency else into and draw(st.integers(1, 10**12))
    kind = draw(st.sampled_from(MovementKind))
    return ReportLine("k", "m", "r", kind, amount, currency, draw(st.integers(0, 9)), START, into, minor)


def owed(said: Iterable[ReportLine]) -> Sums:
    """Return what lines make a provider owe us, and our positions, by the plain rule; fees apart."""
    sums: Counter[tuple[str, str]] = Counter()
    for line in said:
        if line.settled_currency in (None, line.currency):
            continue
        way = -1 if line.kind in (MovementKind.REFUND, MovementKind.CHARGEBACK) else 1
        for currency, minor in (
            (line.currency, -line.amount_minor),
            (line.settled_currency, line.settled_minor),
        ):
            assert currency is not None
            assert minor is not None
            sums["provider_receivable:north", currency] += way * minor
            sums[f"fx_position:{currency}", currency] -= way * minor
    return {place: minor for place, minor in sums.items() if minor}


def exchanged(entries: Iterable[Entry]) -> Sums:
    """Return what entries of exchanges come to."""
    sums: Counter[tuple[str, str]] = Counter()
    for entry in entries:
        if entry.kind is EntryKind.FX:
            for line in entry.lines:
                sums[line.account, line.currency] += line.amount_minor
    return {place: minor for place, minor in sums.items() if minor}


@given(revisions=st.lists(st.lists(lines(), max_size=6), min_size=1, max_size=5))
def test_each_revision_books_just_what_it_changes(revisions: list[list[ReportLine]]) -> None:
    """After each of them the ledger has what that one says, and a pair of currencies one entry at most."""
    booked: list[Entry] = []
    before: Sequence[ReportLine] = ()
    for number, said in enumerate(revisions, 1):
        new = list(report_entries("north", report(*said), before, revision=number, now=START))
        again = list(report_entries("north", report(*said), before, revision=number, now=START))
        assert [one.operation_id for one in new] == [one.operation_id for one in again]
        assert list(report_entries("north", report(*said), said, revision=number, now=START)) == []
        for entry in new:
            for currency in Currency:
                assert sum(one.amount_minor for one in entry.lines if one.currency is currency) == 0
        pairs = {(one.currency, one.settled_currency) for one in (*before, *said) if one.settled is not None}
        assert sum(entry.kind is EntryKind.FX for entry in new) <= len(pairs)
        booked, before = booked + new, said
        assert exchanged(booked) == owed(said)
    assert len({entry.operation_id for entry in booked}) == len(booked)


def test_the_fee_of_what_is_exchanged_stays_in_its_own_currency() -> None:
    """The provider owes us the yen for all that was captured, and we owe it the euros of its fee."""
    line = replace(LINE, settled_currency=Currency.JPY, settled_minor=1635)
    fee, fx = report_entries("north", report(line), (), revision=1, now=START)
    assert [(leg.account, leg.currency, leg.amount_minor) for leg in fee.lines] == [
        ("provider_receivable:north", "EUR", -24),
        ("provider_fees:north", "EUR", 24),
    ]
    assert [(leg.account, leg.currency, leg.amount_minor) for leg in fx.lines] == [
        ("provider_receivable:north", "EUR", -1000),
        ("fx_position:EUR", "EUR", 1000),
        ("provider_receivable:north", "JPY", 1635),
        ("fx_position:JPY", "JPY", -1635),
    ]


def test_the_ids_of_fees_are_as_they_were() -> None:
    """What was booked before exchanges were known must not be booked again."""
    (fee,) = report_entries("north", report(LINE), (), revision=1, now=START)
    assert str(fee.operation_id) == "41693123-9201-5a92-9154-9e4708e403ba"


@pytest.mark.parametrize("settled", [1, MAXIMUM_MINOR])
def test_exchanges_beyond_any_account_are_refused(settled: int) -> None:
    """Each fits, and their sum does not: of what is sold, or of what is bought."""
    line = replace(
        LINE, amount_minor=MAXIMUM_MINOR + 1 - settled, settled_currency=Currency.JPY, settled_minor=settled
    )
    list(report_entries("north", report(line), (), revision=1, now=START))
    with pytest.raises(ReportInvalid, match=r"sum of fx in (EUR|JPY)"):
        list(report_entries("north", report(line, line), (), revision=1, now=START))


def settled(op: Op, currency: str, minor: int, **changed: Any) -> Row:
    """Return the line that settles an operation in another currency."""
    return op.row(settled=(currency, minor), **changed)


async def booked(bench: "Bench", provider: str) -> Sums:
    """Return what the ledger has of exchanges, without what is even."""
    rows = await bench.db.rows(
        "SELECT account, currency, sum(amount_minor) AS minor FROM ledger.line WHERE kind = 'fx'"
        " GROUP BY account, currency HAVING sum(amount_minor) <> 0"
    )
    return {(row["account"].replace(provider, "north"), row["currency"]): int(row["minor"]) for row in rows}


async def entries(bench: "Bench") -> int:
    """Return how many entries of exchanges there are."""
    return int((await bench.db.rows("SELECT count(*) AS n FROM ledger.entry WHERE kind = 'fx'"))[0]["n"])


def both(sold: str, sold_minor: int, bought: str, bought_minor: int) -> Sums:
    """Return what selling and buying leaves."""
    return {
        ("provider_receivable:north", sold): -sold_minor,
        (f"fx_position:{sold}", sold): sold_minor,
        ("provider_receivable:north", bought): bought_minor,
        (f"fx_position:{bought}", bought): -bought_minor,
    }


@EACH
async def test_a_report_books_its_exchanges_once(bench: "Bench", provider: str) -> None:
    """An entry a pair, refunds taken off; nothing is a break, and served again it adds nothing."""
    euros, back = capture(provider), replace(capture(provider, 6, 400), kind="refund")
    yen, plain = capture(provider, amount=5000, currency="JPY"), capture(provider, currency="USD")
    own = capture(provider, amount=77, currency="KWD")
    ops = (euros, back, yen, plain, own)
    await bench.have(*ops)
    rows = [
        settled(euros, "USD", 1087),
        settled(back, "USD", 435),
        settled(yen, "KWD", 10133),
        plain.row(),
        settled(own, "KWD", 77),
    ]
    bench.acquirers[provider].publish(0, rows)
    for second in (25, 26, 27):
        await bench.round(second)
    assert await bench.breaks() == []
    assert bench.counters.rows[provider, "matched"] == len(ops)
    expected = {**both("EUR", 600, "USD", 652), **both("JPY", 5000, "KWD", 10133)}
    assert await booked(bench, provider) == expected
    assert await entries(bench) == 2


CORRECTIONS: dict[str, tuple[Callable[[Row], Row], Sums, int]] = {
    "another rate": (lambda row: replace(row, settled=("USD", 1080)), both("EUR", 1000, "USD", 1080), 2),
    "another currency": (lambda row: replace(row, settled=("JPY", 1639)), both("EUR", 1000, "JPY", 1639), 3),
    "no exchange": (lambda row: replace(row, settled=None), {}, 2),
    "its own currency": (lambda row: replace(row, settled=("EUR", 1000)), {}, 2),
    "something else": (lambda row: replace(row, reference="x"), both("EUR", 1000, "USD", 1087), 1),
    "a fee": (lambda row: replace(row, fee=row.fee + 1), both("EUR", 1000, "USD", 1087), 1),
}


@EACH
@pytest.mark.parametrize("name", sorted(CORRECTIONS))
async def test_a_correction_books_the_difference(bench: "Bench", provider: str, name: str) -> None:
    """What was booked stays as it was, and with the new entries it is what the report says now."""
    change, expected, count = CORRECTIONS[name]
    op = capture(provider)
    await bench.have(op)
    row = settled(op, "USD", 1087)
    bench.acquirers[provider].publish(0, [row])
    await bench.round(25)
    assert await booked(bench, provider) == both("EUR", 1000, "USD", 1087)
    bench.acquirers[provider].publish(0, [change(row)])
    for second in (26, 27):
        await bench.round(second)
    assert await booked(bench, provider) == expected
    assert await entries(bench) == count
    # And back again: a third revision, which is no replay of the first.
    bench.acquirers[provider].publish(0, [row])
    await bench.round(28)
    assert await booked(bench, provider) == both("EUR", 1000, "USD", 1087)


async def test_a_late_exchange_is_booked_when_it_is_known(bench: "Bench") -> None:
    """First without its currency, later with it, while reports after it have come; each once."""
    one, two = capture(), capture(second=15)
    await bench.have(one, two)
    bench.north.publish(0, [one.row()])
    bench.north.publish(1, [settled(two, "USD", 1087)])
    await bench.round(35)
    assert await booked(bench, "north") == both("EUR", 1000, "USD", 1087)
    bench.north.publish(0, [settled(one, "USD", 1090)])
    await bench.round(36)
    assert await booked(bench, "north") == both("EUR", 2000, "USD", 2177)
    assert await entries(bench) == 2


@EACH
async def test_no_integrity_check_flags_an_exchange(bench: "Bench", provider: str) -> None:
    """Neither its entry nor the captures that it is about, however long ago."""
    ops = [capture(provider), capture(provider, amount=5000, currency="JPY")]
    await bench.have(*ops)
    bench.acquirers[provider].publish(0, [settled(ops[0], "JPY", 1639), settled(ops[1], "EUR", 3050)])
    await bench.round(25)
    assert await entries(bench) == 2
    clock = ManualClock(START + timedelta(days=1))
    checks = Checks(bench.database, clock=clock, outcome_deadline=timedelta(seconds=8))
    assert (await checks.run_once()).at_risk == []


@EACH
@pytest.mark.parametrize(
    ("minor", "off"),
    [
        (1032, 0),
        (1031, 56),
        (1142, 0),
        (1143, 56),
        (1, 1086),
        (108700, 107613),
        (MAXIMUM_MINOR, 2**63 - 1088),
    ],
)
async def test_a_rate_far_off_the_declared_one_is_a_break(
    bench: "Bench", provider: str, minor: int, off: int
) -> None:
    """1000 EUR cents are worth 1087 USD cents: a twentieth and one unit are free, as is no lost decimal."""
    op = capture(provider)
    await bench.have(op)
    bench.acquirers[provider].publish(0, [settled(op, "USD", minor)])
    await bench.round(25)
    assert await bench.breaks() == ([("amount", "USD", off)] if off else [])
    assert await booked(bench, provider) == both("EUR", 1000, "USD", minor)
    bench.acquirers[provider].publish(0, [settled(op, "USD", 1087)])
    await bench.round(26)
    assert await bench.breaks() == []


async def test_the_smallest_amounts_may_be_rounded(bench: "Bench") -> None:
    """A fil is worth half a yen and is settled as one; two yen for it are none of its rate."""
    ops = [capture(amount=1, currency="KWD"), capture(amount=1, currency="KWD", second=6)]
    await bench.have(*ops)
    bench.north.publish(0, [settled(ops[0], "JPY", 1), settled(ops[1], "JPY", 2)])
    await bench.round(25)
    assert await bench.breaks() == [("amount", "JPY", 2)]


MATCHER = Matcher("north", START, None, timedelta(0), COSTS)
DEAR = replace(LINE, settled_currency=Currency.JPY, settled_minor=1000)
OURS = LedgerOperation(UUID(int=1), "succeeded", "m", START, START, 1000, "EUR", None)


def test_a_chargeback_is_judged_by_its_rate_too() -> None:
    """Each line for itself, though both have one name with the provider and one key."""
    lines = [
        replace(DEAR, movement="cb", kind=MovementKind.CHARGEBACK),
        replace(DEAR, movement="cb", kind=MovementKind.CHARGEBACK_REVERSAL),
    ]
    known = frozenset(("cb", line.kind, 1000, Currency.EUR) for line in lines)
    theirs = [ReportedLine(1, place, line) for place, line in enumerate(lines)]
    found = MATCHER.match(MatchingInput("k", theirs, OURS, chargebacks=known)).breaks
    assert [(one.id.break_class, one.currency, one.value_minor, one.id.occurrence) for one in found] == [
        ("amount", "JPY", 639, 0),
        ("amount", "JPY", 639, 1),
    ]
    fair = [ReportedLine(1, place, replace(line, settled_minor=1639)) for place, line in enumerate(lines)]
    assert MATCHER.match(MatchingInput("k", fair, OURS, chargebacks=known)).breaks == ()
    unknown = MATCHER.match(MatchingInput("k", theirs, OURS)).breaks
    assert [(one.id.break_class, one.value_minor, one.id.occurrence) for one in unknown] == [
        ("missing_ours", 1000, 0),
        ("missing_ours", 1000, 1),
    ]


def test_what_a_rate_is_off_by_fits_into_63_bits() -> None:
    """The largest amount of euro cents is worth more yen than any account can hold."""
    fee = COSTS.fee_minor("north", "card", "EUR", MAXIMUM_MINOR)
    line = replace(DEAR, amount_minor=MAXIMUM_MINOR, fee_minor=fee)
    (found,) = MATCHER.match(
        MatchingInput("k", [ReportedLine(1, 0, line)], replace(OURS, posted_minor=MAXIMUM_MINOR))
    ).breaks
    assert (found.id.break_class, found.currency, found.value_minor) == ("amount", "JPY", MAXIMUM_MINOR)


@pytest.mark.parametrize("ours", [OURS, None])
def test_no_two_breaks_are_the_same_one(ours: LedgerOperation | None) -> None:
    """The database holds each once, and a round must not fail for what a provider calls its movements."""
    kinds = (MovementKind.CAPTURE, MovementKind.CHARGEBACK, MovementKind.CHARGEBACK_REVERSAL)
    theirs = [ReportedLine(1, place, replace(DEAR, kind=kind)) for place, kind in enumerate(kinds)]
    known = frozenset(("m", kind, 1000, Currency.EUR) for kind in kinds)
    found = MATCHER.match(MatchingInput("k", theirs, ours, chargebacks=known if ours else frozenset())).breaks
    assert len({one.id for one in found}) == len(found) == 3


def test_a_double_charge_that_was_given_back_is_judged_by_its_rate_too() -> None:
    """Charged at one rate and given back at another leaves somebody with the difference."""
    theirs = [ReportedLine(1, 0, replace(LINE)), ReportedLine(1, 1, replace(DEAR, movement="extra"))]
    given_back = MatchingInput("k", theirs, OURS, repaired=frozenset({"extra"}))
    (found,) = MATCHER.match(given_back).breaks
    assert (found.id.break_class, found.id.movement, found.currency) == ("amount", "extra", "JPY")
    (doubled,) = MATCHER.match(replace(given_back, repaired=frozenset())).breaks
    assert (doubled.id.break_class, doubled.currency) == ("duplicate", "EUR")
    refund = replace(DEAR, key="back", kind=MovementKind.REFUND)
    repair = Repair("extra", "k", "back", 1000, "EUR")
    (found,) = MATCHER.match(MatchingInput("back", [ReportedLine(1, 2, refund)], repairs=repair)).breaks
    assert (found.id.break_class, found.value_minor) == ("amount", 639)
    fair = replace(refund, settled_minor=1639)
    assert MATCHER.match(MatchingInput("back", [ReportedLine(1, 2, fair)], repairs=repair)).breaks == ()


BAD: dict[str, tuple[dict[str, Any], tuple[str, ...], str]] = {
    "nothing": ({"settled_currency": "USD", "settled_amount": 0}, ("USD", "0.00"), "settled_amount: "),
    "negative": ({"settled_currency": "USD", "settled_amount": -1}, ("USD", "-0.01"), "settled_amount: "),
    "a float": ({"settled_currency": "USD", "settled_amount": 1.0}, ("USD", "1.001"), "settled_amount: "),
    "a word": ({"settled_currency": "USD", "settled_amount": "9"}, ("USD", "x"), "settled_amount: "),
    "true": ({"settled_currency": "USD", "settled_amount": True}, ("USD", "true"), "settled_amount: "),
    "too much": (
        {"settled_currency": "USD", "settled_amount": 2**63},
        ("USD", "92233720368547758.08"),
        "settled_amount: ",
    ),
    "unknown": ({"settled_currency": "CHF", "settled_amount": 9}, ("CHF", "0.09"), "settled_currency: "),
    "lower case": ({"settled_currency": "usd", "settled_amount": 9}, ("usd", "0.09"), "settled_currency: "),
    "its own": ({"settled_currency": "EUR", "settled_amount": 999}, ("EUR", "9.99"), "settled_amount: "),
    "no amount": ({"settled_currency": "USD"}, ("USD", ""), "settled_amount: "),
    "no currency": ({"settled_amount": 9}, ("", "0.09"), "settled_currency"),
}


def spoil(provider: str, body: bytes, more: dict[str, Any], fields: Sequence[str]) -> bytes:
    """Return a report whose second line of two has more."""
    if provider == "north":
        content = json.loads(body)
        content["lines"][1] |= more
        return json.dumps(content).encode()
    rows = body.decode().splitlines()
    rows[2] += "," + ",".join(fields)
    return "\n".join(rows).encode()


@EACH
@pytest.mark.parametrize("name", sorted(BAD))
async def test_what_is_implausible_is_refused(bench: "Bench", provider: str, name: str) -> None:
    """With the line and the key, nothing of the report is taken, and a correction is taken after all."""
    more, fields, said = BAD[name]
    ops = [capture(provider), capture(provider, second=6)]
    await bench.have(*ops)
    fake = bench.acquirers[provider]
    fake.publish(0, [op.row() for op in ops])
    (number,) = fake.reports
    fake.reports[number].body = spoil(provider, fake.body(number), more, fields)
    await bench.round(25)
    (row,) = await bench.db.rows("SELECT state, problem FROM reconciliation.report")
    assert row["state"] == "invalid"
    assert "lines.1" in row["problem"]
    assert said in row["problem"]
    assert await bench.db.rows("SELECT 1 FROM reconciliation.line") == []
    assert await bench.db.rows("SELECT 1 FROM ledger.entry WHERE kind IN ('fx', 'fee')") == []
    fake.publish(0, [settled(ops[0], "USD", 1087), ops[1].row()])
    await bench.round(26)
    assert await booked(bench, provider) == both("EUR", 1000, "USD", 1087)


def test_a_record_with_half_an_exchange_is_none() -> None:
    """South's details have nine fields or eleven."""
    rows = [capture("south").row(), capture("south").row()]
    body = FakeAcquirer("south", "", reports={7: Served(rows)}).body(7)
    assert len(SouthReports.read(body).lines) == 2
    with pytest.raises(ReportInvalid, match="not of the agreed form"):
        SouthReports.read(spoil("south", body, {}, ("USD",)))


@pytest.mark.parametrize(
    ("currency", "minor"), [("USD", None), (None, 5), ("USD", 0), ("usd", 5), ("EUR", 999)]
)
async def test_the_database_refuses_it_too(bench: "Bench", currency: str | None, minor: int | None) -> None:
    """What no reader lets through is not written by another way either."""
    op = capture()
    await bench.have(op)
    bench.north.publish(0, [settled(op, "USD", 1087)])
    await bench.round(25)
    copy = (
        "INSERT INTO reconciliation.line SELECT provider, sequence, revision, 1, key, movement, reference,"
        " kind, amount_minor, currency, fee_minor, booked_at, $1::text, $2::bigint FROM reconciliation.line"
    )
    with pytest.raises(asyncpg.CheckViolationError):
        await bench.db.rows(copy, currency, minor, role="postgres")
    await bench.db.tamper(copy.replace("$1::text, $2::bigint", "'USD', 5"))


_COPY = (
    "INSERT INTO ledger.entry SELECT (left(id::text, 24) || 'ffffffffffff')::uuid, kind, gen_random_uuid(),"
    " payment_id, posted_at, written_in, accounts, currencies, amounts_minor FROM ledger.entry"
)
FORGED = {
    "a copy of a fee": f"{_COPY} WHERE kind = 'fee'",
    "a copy of an exchange": f"{_COPY} WHERE kind = 'fx'",
    "another fee": "UPDATE ledger.entry SET amounts_minor = '{-25, 25}' WHERE kind = 'fee'",
    "a fee the other way": "UPDATE ledger.entry SET amounts_minor = '{24, -24}' WHERE kind = 'fee'",
    "a fee at another time": (
        "UPDATE ledger.entry SET posted_at = posted_at + interval '1 us' WHERE kind = 'fee'"
    ),
    "a fee of another provider": (
        "UPDATE ledger.entry SET accounts = '{provider_receivable:south, provider_fees:south}'"
        " WHERE kind = 'fee'"
    ),
    "a fee to a merchant": "UPDATE ledger.entry SET accounts[2] = 'merchant_payable:shop' WHERE kind = 'fee'",
    "another rate": "UPDATE ledger.entry SET amounts_minor[3:4] = '{1088, -1088}' WHERE kind = 'fx'",
    "half an exchange": (
        "UPDATE ledger.entry SET accounts = accounts[:2], currencies = currencies[:2],"
        " amounts_minor = amounts_minor[:2] WHERE kind = 'fx'"
    ),
}


@pytest.mark.parametrize("forgery", FORGED.values(), ids=list(FORGED))
async def test_what_a_report_does_not_say_has_no_cause(bench: "Bench", forgery: str) -> None:
    """A fee and an exchange are the report's own, to the minor unit, and each is booked once."""
    op = capture()
    await bench.have(op)
    bench.north.publish(0, [settled(op, "USD", 1087)])
    await bench.round(25)
    assert await bench.db.unexplained() == []
    posted = "INSERT INTO ledger.posted SELECT operation_id, id FROM ledger.entry ON CONFLICT DO NOTHING"
    await bench.db.tamper(forgery, posted)
    assert len(await bench.db.unexplained()) == 1


async def test_a_correction_of_the_settled_amount_alone_has_its_cause(bench: "Bench") -> None:
    """Then only the currency that it is settled in is booked."""
    op = capture()
    await bench.have(op)
    bench.north.publish(0, [settled(op, "USD", 1087)])
    await bench.round(25)
    bench.north.publish(0, [settled(op, "USD", 1090)])
    await bench.round(26)
    assert await booked(bench, "north") == both("EUR", 1000, "USD", 1090)
    assert await bench.db.unexplained() == []
