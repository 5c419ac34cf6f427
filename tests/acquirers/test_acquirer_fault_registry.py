"""Faults are leases, hit by a deterministic draw, and stay within their scope."""

import pytest

from acquirers.errors import FaultsTooMany, FaultUnknown
from acquirers.faults import FAULTS_MAX, Fault, FaultKind, FaultRegistry, Operation, Scope, Subject
from acquirers.issuer import draw, issuer_decline
from acquirers.operations import DeclineCode

REFERENCES = [f"order-{number}" for number in range(5000)]


class Clock:
    """Seconds that pass only when told."""

    def __init__(self) -> None:
        self.seconds = 50.0

    def __call__(self) -> float:
        return self.seconds


def subject(
    reference: str = "order-1",
    *,
    operation: Operation = Operation.AUTHORIZE,
    currency: str = "EUR",
    card_range: str = "411111",
) -> Subject:
    """Return a subject that differs from the usual one in what is given."""
    return Subject(operation, reference, currency, card_range)


def test_a_draw_depends_on_seed_and_reference_alone() -> None:
    """The value is fixed for all versions and machines, within [0, 1), and changes with the seed."""
    assert draw(7, "order-1") == draw(7, "order-1") == pytest.approx(0.27714578, abs=1e-8)
    assert draw(8, "order-1") != draw(7, "order-1")
    assert all(0 <= draw(7, reference) < 1 for reference in REFERENCES)


@pytest.mark.parametrize("rate", [0.0, 0.03, 0.3, 0.5, 1.0])
@pytest.mark.parametrize("seed", [0, 1, 2**63 - 1])
def test_the_share_hit_is_close_to_the_rate(rate: float, seed: int) -> None:
    """Of 5000 references the share is within four standard deviations; 0 and 1 are exact."""
    fault = Fault(FaultKind.REFUSE, rate, seed=seed)
    share = sum(fault.hits(subject(reference)) for reference in REFERENCES) / len(REFERENCES)
    assert abs(share - rate) <= 4 * (rate * (1 - rate) / len(REFERENCES)) ** 0.5


def test_all_operations_of_a_reference_share_one_draw() -> None:
    """Whoever's authorization is hit is hit in captures, refunds and queries too, and nobody else is."""
    fault = Fault(FaultKind.DROP, 0.5, scope=Scope(operations=frozenset()))
    hit = {
        operation: [fault.hits(subject(reference, operation=operation)) for reference in REFERENCES[:200]]
        for operation in Operation
    }
    assert all(hits == hit[Operation.AUTHORIZE] for hits in hit.values())
    assert 70 <= sum(hit[Operation.AUTHORIZE]) <= 130


def test_two_faults_of_one_seed_share_their_draw() -> None:
    """Refuse 0.2 then drop 0.3 is 20 % refused and 10 % dropped; of two seeds it is 20 % and 24 %."""
    shares = {}
    for seed in (1, 2):
        board = FaultRegistry(Clock())
        board.add(Fault(FaultKind.REFUSE, 0.2, seed=1), 60)
        board.add(Fault(FaultKind.DROP, 0.3, seed=seed), 60)
        leases = [board.match(subject(reference)) for reference in REFERENCES]
        kinds = [lease.fault.kind for lease in leases if lease]
        shares[seed] = (kinds.count(FaultKind.REFUSE) / 5000, kinds.count(FaultKind.DROP) / 5000)
    assert shares[1] == pytest.approx((0.2, 0.1), abs=0.02)
    assert shares[2] == pytest.approx((0.2, 0.24), abs=0.025)


def test_the_oldest_fault_wins_even_after_a_renewal() -> None:
    """Order is that of arrival, and a renewed lease keeps its place."""
    board = FaultRegistry(Clock())
    first = board.add(Fault(FaultKind.DROP, 1.0), 60)
    board.add(Fault(FaultKind.REFUSE, 1.0), 60)
    board.renew(first.id, 30)
    assert board.match(subject()) is first


@pytest.mark.parametrize(
    ("scope", "hit", "missed"),
    [
        (Scope(card_ranges=frozenset({"411111"})), subject(), subject(card_range="550000")),
        (Scope(card_ranges=frozenset({"411111"})), subject(), subject(card_range="")),
        (Scope(currencies=frozenset({"EUR", "KWD"})), subject(currency="KWD"), subject(currency="USD")),
        (
            Scope(operations=frozenset({Operation.CAPTURE})),
            subject(operation=Operation.CAPTURE),
            subject(operation=Operation.REFUND),
        ),
        (Scope(), subject(operation=Operation.REFUND), subject(operation=Operation.QUERY)),
    ],
)
def test_a_scope_keeps_a_fault_to_itself(scope: Scope, hit: Subject, missed: Subject) -> None:
    """Range, currency and operation narrow a fault; queries are only hit when named."""
    fault = Fault(FaultKind.DROP, 1.0, scope=scope)
    assert fault.hits(hit)
    assert not fault.hits(missed)


def test_an_empty_list_of_operations_means_all_of_them() -> None:
    """Queries included, unlike the default."""
    fault = Fault(FaultKind.DROP, 1.0, scope=Scope(operations=frozenset()))
    assert all(fault.hits(subject(operation=operation)) for operation in Operation)


def test_issuers_decline_authorizations_only() -> None:
    """A decline fault lets captures, refunds and queries pass to the next fault."""
    board = FaultRegistry(Clock())
    decline = board.add(Fault(FaultKind.DECLINE, 1.0, scope=Scope(operations=frozenset())), 60)
    drop = board.add(Fault(FaultKind.DROP, 1.0), 60)
    assert board.match(subject()) is decline
    assert board.match(subject(operation=Operation.CAPTURE)) is drop
    assert board.match(subject(operation=Operation.QUERY)) is None


def test_a_lease_ends_by_itself_and_can_be_renewed() -> None:
    """Just before its end a fault hits, at its end it is gone and cannot be renewed."""
    clock = Clock()
    board = FaultRegistry(clock)
    lease = board.add(Fault(FaultKind.DROP, 1.0), 10)
    clock.seconds += 9.999
    assert board.match(subject()) is lease
    board.renew(lease.id, 5)
    clock.seconds += 4.999
    assert board.remaining_seconds(lease) == pytest.approx(0.001)
    assert board.active() == [lease]
    clock.seconds += 0.001
    assert board.match(subject()) is None
    assert board.active() == []
    assert board.remaining_seconds(lease) == 0
    with pytest.raises(FaultUnknown):
        board.renew(lease.id, 5)


def test_clearing_ends_one_or_all_and_can_be_repeated() -> None:
    """An undo counts what it ended, and a second undo is no error."""
    board = FaultRegistry(Clock())
    leases = [board.add(Fault(FaultKind.DROP, 1.0), 60) for _ in range(3)]
    assert board.clear(leases[0].id) == 1
    assert board.clear(leases[0].id) == 0
    assert board.active() == leases[1:]
    assert board.clear() == 2
    assert board.clear() == 0


def test_faults_are_bounded_and_expired_ones_make_room() -> None:
    """The hundred and first is refused until a lease has run out."""
    clock = Clock()
    board = FaultRegistry(clock)
    for number in range(FAULTS_MAX):
        board.add(Fault(FaultKind.DROP, 0.0), 1 if number == 0 else 60)
    with pytest.raises(FaultsTooMany, match="100"):
        board.add(Fault(FaultKind.DROP, 0.0), 60)
    clock.seconds += 1
    board.add(Fault(FaultKind.DROP, 0.0), 60)


def test_the_issuer_declines_its_share_for_ordinary_reasons() -> None:
    """The share is close to the rate, the same in every run, and never a technical failure."""
    codes = [issuer_decline("north", reference, 0.1) for reference in REFERENCES]
    declined = [code for code in codes if code is not None]
    assert len(declined) / len(codes) == pytest.approx(0.1, abs=0.02)
    assert set(declined) == set(DeclineCode) - {DeclineCode.ISSUER_UNAVAILABLE}
    assert codes == [issuer_decline("north", reference, 0.1) for reference in REFERENCES]
    others = [issuer_decline("south", reference, 0.1) is None for reference in REFERENCES]
    assert others != [code is None for code in codes]
    assert not any(issuer_decline("north", reference, 0.0) for reference in REFERENCES)
    assert all(issuer_decline("north", reference, 1.0) for reference in REFERENCES)
