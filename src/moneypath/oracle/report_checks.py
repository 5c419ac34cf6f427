"""Check fees and exchanges against what the providers' settlement reports take."""

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping

from moneypath.oracle.evidence import Entry, Evidence
from moneypath.oracle.ledger_checks import list_money
from moneypath.oracle.records import Discrepancy, DiscrepancyKind, ReportTaken

_FEE, _EXCHANGE = "fee", "fx"
_Report = tuple[str, str]
# Minor units by currency, in the order of the currencies and without zeros.
_Money = tuple[tuple[str, int], ...]


def check_fees_are_taken(evidence: Evidence) -> Iterator[Discrepancy]:
    """Find fees that the ledger books and the report of their provider does not take, and the reverse."""
    taken = {report: [_negated(one.fees) for one in served] for report, served in _served(evidence).items()}
    yield from _compare(evidence, _FEE, taken, DiscrepancyKind.FEE_DIFFERS)


def check_exchanges_are_made(evidence: Evidence) -> Iterator[Discrepancy]:
    """Find exchanges of which a side differs from the report of their provider."""
    made = {report: [_money(one.exchanged) for one in served] for report, served in _served(evidence).items()}
    yield from _compare(evidence, _EXCHANGE, made, DiscrepancyKind.EXCHANGE_DIFFERS)


def _served(evidence: Evidence) -> Mapping[_Report, list[ReportTaken]]:
    """Return what may be booked of each report: as it was last served, or as it was served since then.

    A report that was served too late to be booked by now may be booked or not.
    """
    served: dict[_Report, list[ReportTaken]] = defaultdict(list)
    # By provider, number and time.
    for report in sorted(one for one in evidence.reports if one.whole):
        versions = served[report.provider, str(report.sequence)]
        if report.at <= evidence.scope.reports_until:
            versions.clear()
        elif not versions:
            versions.append(report._replace(fees=(), exchanged=()))
        versions.append(report)
    return served


def _compare(
    evidence: Evidence, entry_kind: str, expected: Mapping[_Report, list[_Money]], kind: DiscrepancyKind
) -> Iterator[Discrepancy]:
    booked: dict[_Report, list[Entry]] = defaultdict(list)
    for entry in evidence.entries:
        if entry.head.entry_kind == entry_kind:
            booked[entry.head.provider, entry.head.report].append(entry)
    for report in sorted({*booked, *expected}):
        provider, number = report
        allowed = expected.get(report, [()])
        found = _sum(booked.get(report, ()))
        if found in allowed:
            continue
        detail = (
            f"the ledger books {list_money(found)} of report {number or '(none)'} of {provider or 'nobody'} "
            f"({entry_kind}), the report says {list_money(allowed[-1])}"
        )
        currency, at_stake = _largest_difference(found, allowed[-1])
        yield Discrepancy(kind, f"{provider} report {number}", detail, at_stake, currency)


def _sum(entries: Iterable[Entry]) -> _Money:
    """Return what the provider owes more after these entries, or less."""
    owed: dict[str, int] = defaultdict(int)
    for entry in entries:
        for currency, minor in entry.receivable.items():
            owed[currency] += minor
    return _money(owed.items())


def _money(amounts: Iterable[tuple[str, int]]) -> _Money:
    return tuple(sorted((currency, minor) for currency, minor in amounts if minor))


def _negated(fees: Iterable[tuple[str, int]]) -> _Money:
    return _money((currency, -minor) for currency, minor in fees)


def _largest_difference(found: _Money, wanted: _Money) -> tuple[str, int]:
    mine, theirs = dict(found), dict(wanted)
    differences = {name: abs(mine.get(name, 0) - theirs.get(name, 0)) for name in (*mine, *theirs)}
    currency = max(sorted(differences), key=lambda name: differences[name])
    return currency, differences[currency]
