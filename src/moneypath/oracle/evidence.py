"""Index the rows of the three witnesses once, so that each check is one pass or one lookup."""

import math
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import NamedTuple

from moneypath.oracle.claims import Attribution, Claim, ClaimStatus, attribute, read_claims
from moneypath.oracle.entry_kinds import ENTRY_RULES, EntryRule
from moneypath.oracle.records import Acknowledgement, Charge, Operation, PostingLine, ReportTaken, Request
from moneypath.oracle.repairs import find_undone, without_repaired
from moneypath.oracle.requests import Requests, read_requests

_SUSPENSE, _RELEASE = "suspense", "suspense_release"


class Movement(NamedTuple):
    """What joins a ledger entry to a provider's charge: all four fields must agree.

    The `name` of a chargeback is the provider's id of the case.
    """

    operation: Operation
    provider: str
    name: str
    reference: str


@dataclass(slots=True)
class Entry:
    """One ledger entry: net debit per currency of the account that its rule states the amount on, and of all
    other accounts.

    The stated account is the provider's receivable. Of a payout it is the clearing account instead, because a
    payout is a transfer and not a debt of the provider; of a release from suspense it is the suspense
    account.
    """

    head: PostingLine
    rule: EntryRule | None
    operation: Operation | None
    lines: list[PostingLine] = field(default_factory=list)
    receivable: dict[str, int] = field(default_factory=dict)
    others: dict[str, int] = field(default_factory=dict)

    @property
    def is_suspense(self) -> bool:
        """Whether it books money that the service cannot explain yet and owes to no merchant so far."""
        return self.head.entry_kind == _SUSPENSE

    @property
    def is_release(self) -> bool:
        """Whether it takes money out of suspense because it is explained now."""
        return self.head.entry_kind == _RELEASE

    @property
    def subject(self) -> str:
        """The merchant reference, or the entry's id if the ledger has no reference."""
        return self.head.merchant_reference or self.head.entry_id

    def add(self, line: PostingLine) -> None:
        """Add a line to the side to which its account belongs."""
        if line.account or line.amount_minor or line.misstated:
            self.lines.append(line)
        if line.amount_minor:
            stated = self.rule is not None and self.rule.states(line)
            side = self.receivable if stated else self.others
            side[line.currency] = side.get(line.currency, 0) + line.amount_minor

    def net(self) -> dict[str, int]:
        """Return debits minus credits per currency: all 0 if balanced, empty without lines."""
        totals = dict(self.receivable)
        for currency, minor in self.others.items():
            totals[currency] = totals.get(currency, 0) + minor
        return totals


@dataclass(frozen=True, slots=True)
class Scope:
    """What of the books an audit can judge; times are Unix seconds.

    Nobody has the requests of movements before `asked_since`, nor of other operations than `asked_for`. A
    report that was served after `reports_until` need not be booked yet.
    """

    asked_since: float = -math.inf
    reports_until: float = math.inf
    asked_for: frozenset[Operation] = frozenset((Operation.CAPTURE, Operation.REFUND, Operation.PAYOUT))


@dataclass(frozen=True, slots=True)
class Evidence:
    """All that the checks read. `charges` are the effective ones, without extra captures that were refunded
    in full.

    `undone` are late charges that the service reversed in full by itself, and late refunds that their
    merchants bear. `reports` are what settlement reports take, `misstated` the charges without a whole
    amount. `late_captures` names the captures in suspense as their providers do, `given_back` the refunds in
    suspense that take such a capture back, by provider and provider key.
    """

    entries: tuple[Entry, ...]
    charges: tuple[Charge, ...]
    claims: tuple[Claim, ...]
    undone: frozenset[Charge]
    entries_of: dict[Movement, list[Entry]]
    charges_of: dict[Movement, list[Charge]]
    posted_keys: frozenset[tuple[Operation, str, str]]
    attributions: tuple[Attribution, ...]
    requests: Requests
    reports: tuple[ReportTaken, ...]
    misstated: tuple[Charge, ...]
    late_captures: frozenset[tuple[str, str]]
    given_back: frozenset[tuple[str, str]]
    scope: Scope


def collect(
    postings: Iterable[PostingLine],
    provider_book: Iterable[Charge],
    acknowledgements: Iterable[Acknowledgement],
    *,
    requests: Iterable[Request] | None = None,
    reports: Iterable[ReportTaken] = (),
    scope: Scope | None = None,
    rules: Mapping[str, EntryRule] = ENTRY_RULES,
) -> Evidence:
    """Index the rows of all witnesses. Time and memory grow linearly with the rows."""
    entries = _group_lines(postings, rules)
    entries_of: dict[Movement, list[Entry]] = defaultdict(list)
    for entry in entries:
        if entry.operation is not None:
            entries_of[movement_of_entry(entry, entry.operation)].append(entry)
    book = tuple(provider_book)
    effective = [charge for charge in book if charge.effective]
    posted = {
        charge
        for charge in effective
        if charge.operation is Operation.REFUND and movement_of(charge) in entries_of
    }
    charges = without_repaired(effective, posted)
    movements = [movement_of(charge) for charge in charges]
    charges_of: dict[Movement, list[Charge]] = defaultdict(list)
    for movement, charge in zip(movements, charges, strict=True):
        charges_of[movement].append(charge)
    asked = read_requests(acknowledgements, requests)
    claims = read_claims(asked.answers)
    in_suspense = [
        (charge, movement)
        for charge, movement in zip(charges, movements, strict=True)
        if any(entry.is_suspense for entry in entries_of.get(movement, ()))
    ]
    late_captures = frozenset(
        (charge.provider, charge.provider_reference)
        for charge, _ in in_suspense
        if charge.operation is Operation.CAPTURE
    )
    late_refunds = [charge for charge, _ in in_suspense if charge.operation is Operation.REFUND]
    given_back = frozenset(
        (charge.provider, charge.key)
        for charge in late_refunds
        if (charge.provider, charge.parent) in late_captures
    )
    undone = find_undone(charges, _own_orders(charges, late_refunds, claims))
    undone |= frozenset(_released(late_refunds, entries))
    owned = [
        (charge, _owner(entries_of.get(movement)))
        for charge, movement in zip(charges, movements, strict=True)
    ]
    if undone:
        # They come first and are taken last: they explain an acknowledgement only if nothing else does.
        owned.sort(key=lambda one: one[0] not in undone)
    return Evidence(
        entries=entries,
        charges=charges,
        claims=claims,
        undone=undone,
        entries_of=dict(entries_of),
        charges_of=dict(charges_of),
        posted_keys=frozenset(
            (movement.operation, entry.head.idempotency_key, movement.reference)
            for movement, posted in entries_of.items()
            for entry in posted
            if not entry.is_suspense
        ),
        attributions=tuple(attribute(claims, owned)),
        requests=asked,
        reports=tuple(reports),
        late_captures=late_captures,
        given_back=given_back,
        misstated=tuple(charge for charge in book if charge.misstated),
        scope=scope or Scope(),
    )


def releases(entries: Iterable[Entry]) -> dict[tuple[str, str], Counter[str]]:
    """Return the releases from suspense, by provider and by the provider key of the late refund."""
    released: dict[tuple[str, str], Counter[str]] = defaultdict(Counter)
    for entry in entries:
        if entry.is_release:
            released[entry.head.provider, entry.head.idempotency_key].update(entry.receivable)
    return released


def movement_of(charge: Charge) -> Movement:
    """Return the movement that an entry for this charge must have."""
    return Movement(charge.operation, charge.provider, charge.name, charge.reference)


def movement_of_entry(entry: Entry, operation: Operation) -> Movement:
    """Return the movement that an entry posts."""
    head = entry.head
    # A chargeback has no idempotency key; the ledger stores the provider's case id in that field.
    name = head.idempotency_key if operation.is_case else head.provider_key
    return Movement(operation, head.provider, name, head.merchant_reference)


def _own_orders(
    charges: Iterable[Charge], late_refunds: Iterable[Charge], claims: Iterable[Claim]
) -> Iterator[Charge]:
    """Yield what the service ordered by itself: refunds from suspense, and voids that no client asked for."""
    wanted = {
        claim.answer.merchant_reference
        for claim in claims
        if claim.answer.operation is Operation.VOID and claim.status is not ClaimStatus.REFUSED
    }
    yield from late_refunds
    for charge in charges:
        if charge.operation is Operation.VOID and charge.reference not in wanted:
            yield charge


def _released(late_refunds: Iterable[Charge], entries: Iterable[Entry]) -> Iterator[Charge]:
    """Yield the refunds that were in suspense and are released in full; a release carries the refund's
    key.
    """
    released = releases(entries)
    for charge in late_refunds:
        taken = released.get((charge.provider, charge.key))
        if taken == {charge.currency: charge.operation.sign * charge.amount_minor}:
            yield charge


def _owner(posted: list[Entry] | None) -> str | None:
    return (posted[0].head.idempotency_key or None) if posted else None


def _group_lines(postings: Iterable[PostingLine], rules: Mapping[str, EntryRule]) -> tuple[Entry, ...]:
    entries: dict[str, Entry] = {}
    for line in postings:
        entry = entries.get(line.entry_id)
        if entry is None:
            rule = rules.get(line.entry_kind)
            entry = entries[line.entry_id] = Entry(line, rule, rule.operation if rule else None)
        entry.add(line)
    for entry in entries.values():
        if entry.is_suspense:
            received = sum(entry.receivable.values()) > 0
            entry.operation = Operation.CAPTURE if received else Operation.REFUND
    return tuple(entries.values())
