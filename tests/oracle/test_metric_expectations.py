"""What each witness expects of the metrics, worked out by hand for a few payments."""

from collections.abc import Sequence

from moneypath.oracle import Acknowledgement, Charge, ChargeStatus, Operation, Outcome, PostingLine
from moneypath.oracle.metric_expectations import RunRecords, Sender, expect_totals
from moneypath.oracle.metric_totals import ExpectedTotal, SeenTotals, Witness

from .world import AUTHORIZE, CAPTURE, Step, replace

S, D, F = Outcome.SUCCEEDED, Outcome.DECLINED, Outcome.FAILED
R, U, P = Outcome.REJECTED, Outcome.UNKNOWN, Outcome.INDETERMINATE


def told(
    key: str, outcome: Outcome, status: int, at: float, minor: int = 100, currency: str = "EUR",
    operation: Operation = CAPTURE, *, replayed: bool = False,
) -> Acknowledgement:  # fmt: skip
    """One answer to the request of a key."""
    return Acknowledgement(at, operation, key, key, None, minor, currency, status, outcome, replayed, "shop")


LIVE = Sender(
    [
        told("k1", S, 200, 1.0),
        told("k2", S, 200, 1.5, 250),
        told("k3", U, 0, 9.0, 30),  # without an answer; its provider captured it
        told("k4", R, 422, 20.0, 7),
        told("k5", P, 202, 30.0, 11),  # nobody knows
        told("k6", U, 0, 40.0, 5),
        told("k6", S, 200, 41.0, 6, replayed=True),
        told("k7", R, 422, 50.0, 8),
        told("k7", U, 0, 51.0, 9),
        told("k8", F, 502, 60.0, 13),
        told("k9", S, 200, 70.0, 1000, "JPY"),
        told("k10", D, 402, 80.0, 1),
        told("k10", R, 409, 81.0, 2),
    ]
)
# The canary has keys of its own, which may be equal to those of others.
CANARY = Sender(
    [
        told("c1", R, 403, 100.0, operation=AUTHORIZE),
        told("c2", S, 201, 101.0, operation=AUTHORIZE),
        told("k1", S, 200, 102.0, 400),
    ],
    "canary",
)
CAPTURES = (
    Step("k1", CAPTURE, "north", 100, at=1.0),
    Step("k2", CAPTURE, "north", 250, at=1.5),
    Step("k6", CAPTURE, "south", 6, at=41.0),
    Step("k9", CAPTURE, "south", 1000, "JPY", at=70.0),
    Step("c", CAPTURE, "north", 400, at=102.0),
)
POSTINGS: Sequence[PostingLine] = [line for step in CAPTURES for line in step.lines()]
CHARGES: Sequence[Charge] = [
    *(step.charge() for step in CAPTURES),
    Step("k3", CAPTURE, "north", 30, at=9.0).charge(),
    Step("x", CAPTURE, "south", 77, at=12.0).charge(ChargeStatus.DECLINED),
    Step("k1", AUTHORIZE, at=0.5).charge(),
    replace(CAPTURES[0].charge(), seq=9),  # one key charged twice: our money moved once
]
RECEIVED = {"north": {"capture": 9, "authorize": 4}, "south": None, "west": {"capture": 3}}
SEEN = SeenTotals(
    {
        "attempts south capture": 5.0,
        "attempts south authorize": 2.0,
        "attempts southern capture": 1.0,
        "attempts north capture": 9.0,
    },
    frozenset(("attempts",)),
    {"attempts north capture": 2.0},
)


def fee_of(provider: str, currency: str, minor: int) -> int:
    """Another share at each provider, and another rate for yen."""
    return {"north": 3, "south": 5}[provider] * minor * (100 if currency == "JPY" else 1)


def expected(records: RunRecords, seen: SeenTotals = SEEN) -> list[tuple[str, Witness, int, int | None, int]]:
    """Return series, witness, least, most and burst of each row."""
    rows: Sequence[ExpectedTotal] = list(expect_totals(records, fee_of, seen))
    return [(row.series, row.witness, row.least, row.most, row.burst) for row in rows]


def test_each_witness_expects_what_it_saw() -> None:
    """Certain payments are least, possible ones most; a burst is the most within one scrape interval."""
    clients, ledger, providers = Witness.CLIENTS, Witness.LEDGER, Witness.PROVIDERS
    assert expected(RunRecords((LIVE, CANARY), POSTINGS, CHARGES, RECEIVED, 1.0)) == [
        ("payments canary authorize rejected or blocked", clients, 0, 1, 1),
        ("payments canary authorize succeeded", clients, 1, 1, 1),
        ("payments canary capture succeeded", clients, 1, 1, 1),
        # The canary's, turned away perhaps before anybody knew whose traffic it is.
        ("payments live authorize rejected or blocked", clients, 0, 1, 1),
        ("payments live capture declined", clients, 1, 3, 1),
        ("payments live capture failed or shed", clients, 1, 4, 1),
        ("payments live capture indeterminate", clients, 1, 4, 1),
        ("payments live capture rejected or blocked", clients, 2, 6, 2),
        ("payments live capture succeeded", clients, 3, 6, 2),
        # All five entries may be of payments that had failed or were open at first.
        ("payments live capture succeeded", ledger, 0, 5, 2),
        ("captured EUR", ledger, 756, 756, 400),
        ("captured JPY", ledger, 1000, 1000, 1000),
        ("captured EUR", providers, 756, 786, 400),
        ("captured JPY", providers, 1000, 1000, 1000),
        # k3, k5 and k7 beside what succeeded.
        ("captured EUR", clients, 756, 806, 400),
        ("captured JPY", clients, 1000, 1000, 1000),
        ("fees north", ledger, 2250, 2250, 1200),
        ("fees south", ledger, 500_030, 500_030, 500_000),
        ("attempts north authorize", providers, 4, 4, 1),
        ("attempts north capture", providers, 9, 11, 2),
        # It began anew meanwhile: nobody knows how many it received.
        ("attempts south authorize", providers, 0, None, 0),
        ("attempts south capture", providers, 0, None, 0),
        ("attempts west capture", providers, 3, 3, 1),
    ]


def test_what_was_resolved_later_is_taken_off_the_entries() -> None:
    """One of two captured payments was open at first: the metrics show one success at least."""
    records = RunRecords(
        [Sender([told("k1", S, 200, 1.0), told("k2", P, 202, 1.2)])], POSTINGS[:4], (), {}, 1.0
    )
    assert ("payments live capture succeeded", Witness.LEDGER, 1, 2, 2) in expected(records)


def test_the_first_final_answer_of_a_capture_counts() -> None:
    """A conflict that came later takes nothing back."""
    records = RunRecords([Sender([told("k1", S, 200, 1.0), told("k1", R, 409, 2.0, 7)])], (), (), {}, 1.0)
    assert ("captured EUR", Witness.CLIENTS, 100, 100, 100) in expected(records)


def test_attempts_of_one_client_burst_at_once() -> None:
    """A single answer: all requests of its provider may lie within one scrape interval."""
    records = RunRecords([Sender([told("k1", S, 200, 1.0)])], (), (), {"north": {"capture": 6}}, 1.0)
    nothing = SeenTotals({}, frozenset())
    assert ("attempts north capture", Witness.PROVIDERS, 6, 6, 6) in expected(records, nothing)
