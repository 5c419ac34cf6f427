"""One table of the life cycle: the database says the same, and so does the page that shows it."""

import itertools
import re
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING
from uuid import UUID

import pytest

from refpay.errors import InvariantViolation
from refpay.money import Currency
from refpay.payments.lifecycle import (
    AMOUNT_RULES,
    DEADLINES,
    LIFE_CYCLE,
    NOT_AUTHORIZED,
    Initiator,
    apply_operation,
)
from refpay.payments.model import Operation, OperationKind, OperationStatus, Payment, PaymentStatus
from refpay.providers.port import CallKind

if TYPE_CHECKING:
    from tests.refpay.conftest import RefpayDb

AT = datetime(2026, 1, 1, tzinfo=UTC)
SOME_ID = UUID("0198c0de-0000-7000-8000-000000000000")
PAGE = Path(__file__).parents[2] / "docs" / "guides" / "life-cycle.md"
AMOUNT = 2
FIELDS = (
    "captured_minor",
    "refunded_minor",
    "capture_reserved_minor",
    "refund_reserved_minor",
    "released_minor",
    "charged_back_minor",
)


def payment(status: PaymentStatus, **amounts: int) -> Payment:
    """Return a payment of two minor units."""
    made = Payment(SOME_ID, "shop", "order", status, AMOUNT, Currency.EUR, "411111", "north", AT)
    return replace(made, **amounts)  # type: ignore[arg-type]


def operation(kind: OperationKind, status: OperationStatus, amount: int = 1) -> Operation:
    """Return an operation of one minor unit."""
    return Operation(
        SOME_ID, SOME_ID, kind, status, amount, SOME_ID, "ref", None, "shop", "key", "correlation",
        AT, AT, AT, AT, 0, AT,
    )  # fmt: skip


async def definition(db: "RefpayDb", constraint: str) -> str:
    """Return what the database holds a row to."""
    rows = await db.rows(
        f"SELECT pg_get_constraintdef(oid) AS text FROM pg_constraint WHERE conname = '{constraint}'",  # noqa: S608 - a name of ours
        role="refpay_owner",
    )
    return str(rows[0]["text"])


def transitions() -> Iterator[tuple[PaymentStatus, PaymentStatus]]:
    """Yield every change of status that some step makes."""
    for source in LIFE_CYCLE[OperationKind.AUTHORIZE].transitions:
        yield from ((source, target) for target in NOT_AUTHORIZED if target is not source)
    for step in LIFE_CYCLE.values():
        for source, targets in step.transitions.items():
            yield from ((source, target) for target in targets if target is not source)


async def test_the_database_knows_the_same_words(db: "RefpayDb") -> None:
    """Kinds and statuses, none more and none less."""
    for constraint, words in (
        ("payment_status_check", PaymentStatus),
        ("operation_kind_check", OperationKind),
        ("operation_status_check", OperationStatus),
    ):
        found = re.findall(r"'([a-z_]+)'", await definition(db, constraint))
        assert sorted(found) == sorted(words), constraint


async def test_the_database_allows_the_same_changes(db: "RefpayDb") -> None:
    """The trigger's pairs are the table's; and it really refuses another one, to whoever."""
    rows = await db.rows(
        "SELECT pg_get_triggerdef(oid) AS text FROM pg_trigger WHERE tgname = 'transition_allowed'",
        role="refpay_owner",
    )
    pairs = {tuple(pair.split(">")) for pair in re.findall(r"'([a-z_]+>[a-z_]+)'", rows[0]["text"])}
    assert pairs == set(transitions())
    insert = (
        "INSERT INTO payments.payment (id, merchant, merchant_reference, status, amount_minor, currency,"
        " card_range, provider, created_at) VALUES (gen_random_uuid(), 'shop', 'o', 'declined', 1, 'EUR',"
        " '411111', 'north', now())"
    )
    await db.rows(insert)
    with pytest.raises(Exception, match="may not go from declined to authorized"):
        await db.rows("UPDATE payments.payment SET status = 'authorized'")


async def test_the_database_allows_the_same_amounts(db: "RefpayDb") -> None:
    """Every status with every mix of amounts up to two minor units: both say yes, or both say no."""
    values = [dict(zip(FIELDS, mix, strict=True)) for mix in itertools.product(range(AMOUNT + 1), repeat=6)]
    checks = [
        await definition(db, name)
        for name in (
            "captured_within_authorized",
            "refunded_within_captured",
            "charged_back_within_captured",
            "status_fits_amounts",
        )
    ]
    condition = " AND ".join(text.removeprefix("CHECK ") for text in checks)
    arrays = ", ".join(f"ARRAY{[one[name] for one in values]}" for name in FIELDS)
    rows = await db.rows(
        f"SELECT status, {', '.join(FIELDS)}, {condition} AS allowed"  # noqa: S608 - constants of ours
        f" FROM unnest({arrays}) AS mix ({', '.join(FIELDS)}), (VALUES ({AMOUNT})) AS one (amount_minor),"
        f" unnest(ARRAY{[str(status) for status in PaymentStatus]}) AS status",
    )
    assert len(rows) == len(values) * len(PaymentStatus)
    for row in rows:
        amounts = {name: row[name] for name in FIELDS}
        found = payment(PaymentStatus(row["status"]), **amounts)
        within = (
            found.held_minor >= 0
            and amounts["charged_back_minor"] <= amounts["captured_minor"]
            and amounts["refunded_minor"] + amounts["refund_reserved_minor"] <= amounts["captured_minor"]
        )
        assert row["allowed"] == (within and AMOUNT_RULES[found.status](found)), row


@pytest.mark.parametrize("kind", [kind for kind in OperationKind if kind is not OperationKind.PAYOUT])
@pytest.mark.parametrize("status", PaymentStatus)
def test_what_is_not_in_the_table_is_refused(kind: OperationKind, status: PaymentStatus) -> None:
    """Settled from any status: it leads where the table says, or it is a broken invariant."""
    captured = status in AMOUNT_RULES and status.value in ("captured", "refunded", "charged_back")
    before = payment(
        status,
        captured_minor=1 if captured else 0,
        refunded_minor=1 if status is PaymentStatus.REFUNDED else 0,
        charged_back_minor=1 if status is PaymentStatus.CHARGED_BACK else 0,
        released_minor=AMOUNT if status in (PaymentStatus.VOIDED, PaymentStatus.EXPIRED) else 0,
        capture_reserved_minor=1
        if kind is OperationKind.CAPTURE and status in LIFE_CYCLE[kind].transitions
        else 0,
    )
    release = kind in (OperationKind.VOID, OperationKind.EXPIRY)
    done = operation(kind, OperationStatus.SUCCEEDED, before.held_minor if release else 1)
    step = LIFE_CYCLE[kind]
    if status in step.transitions:
        if kind is OperationKind.REFUND:
            before = replace(before, captured_minor=2, refund_reserved_minor=1)
        assert apply_operation(before, done).status in step.transitions[status]
    else:
        with pytest.raises(InvariantViolation, match="does not allow"):
            apply_operation(before, done)


def test_every_step_has_its_place_in_the_saga() -> None:
    """What undoes a step is a step of the worker's, and what each says of its compensation."""
    assert list(LIFE_CYCLE) == list(OperationKind)
    for step in LIFE_CYCLE.values():
        if step.compensated_by is not None:
            assert LIFE_CYCLE[step.compensated_by].initiated_by is Initiator.WORKER
            assert step.compensated_by.value in step.compensation


def test_the_page_shows_the_table() -> None:
    """Generated from the table: a change of either without the other fails here, and shows what is meant."""
    text = PAGE.read_text()
    for wanted in (render_diagram(), render_steps(), render_saga()):
        assert wanted in text, f"docs/guides/life-cycle.md lacks:\n{wanted}"


def render_diagram() -> str:
    """Return the statuses as a state diagram."""
    by_pair: dict[tuple[PaymentStatus, PaymentStatus], list[str]] = {}
    for source, target in transitions():
        by_pair.setdefault((source, target), [])
    for kind, step in LIFE_CYCLE.items():
        for source, targets in step.transitions.items():
            for target in targets - {source}:
                by_pair[source, target].append(kind.value)
    lines = [
        f"    {source} --> {target}: {', '.join(sorted(set(kinds))) or 'authorize'}"
        for (source, target), kinds in sorted(by_pair.items())
    ]
    return "\n".join(["stateDiagram-v2", "    [*] --> authorizing", *lines])


def render_steps() -> str:
    """Return the steps as a table."""
    head = "| step | begun by | call | may begin in | waits for | sets aside | changes |"
    lines = [head, "|---|---|---|---|---|---|---|"]
    for kind, step in LIFE_CYCLE.items():
        call = (step.call or CallKind.QUERY).value if step.call else "none"
        changes = step.adds or (f"less {step.subtracts}" if step.subtracts else "")
        cells = (
            kind.value,
            step.initiated_by.value,
            call,
            ", ".join(sorted(status.value for status in step.transitions)),
            ", ".join(sorted(other.value for other in step.blocked_by)),
            step.reserves or "",
            changes,
        )
        lines.append(f"| {' | '.join(cells)} |".replace("|  |", "| |").replace("|  |", "| |"))
    return "\n".join(lines)


def run_by(beginner: Initiator) -> str:
    """Return who sees a step to its end: what a merchant began is looked after by the worker."""
    return Initiator.WORKER if beginner is Initiator.MERCHANT else beginner


def render_saga() -> str:
    """Return the saga as a table."""
    head = "| step | definitive | compensation | run by | deadline |"
    cells = [
        (
            kind.value,
            step.definitive,
            step.compensation,
            run_by(step.initiated_by),
            DEADLINES[step.initiated_by],
        )
        for kind, step in LIFE_CYCLE.items()
    ]
    return "\n".join([head, "|---|---|---|---|---|", *(f"| {' | '.join(row)} |" for row in cells)])


def test_only_an_authorization_that_is_not_done_changes_the_payment() -> None:
    """Whatever else was declined or failed leaves the payment as it was."""
    for kind, step in LIFE_CYCLE.items():
        for status in step.transitions:
            if kind is not OperationKind.AUTHORIZE and status in (
                PaymentStatus.AUTHORIZED,
                PaymentStatus.DECLINED,
                PaymentStatus.FAILED,
            ):
                before = payment(status, **({step.reserves: 1} if step.reserves else {}))
                after = apply_operation(before, operation(kind, OperationStatus.FAILED))
                assert after == payment(status)
    unknown = operation(OperationKind.AUTHORIZE, OperationStatus.INDETERMINATE)
    assert apply_operation(payment(PaymentStatus.AUTHORIZING), unknown).status in NOT_AUTHORIZED
