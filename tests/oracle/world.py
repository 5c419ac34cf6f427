"""The world of the oracle's tests: payments, from which the rows of every witness are made."""

import dataclasses
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any, TypeVar

from moneypath.oracle import (
    CHECKS,
    Acknowledgement,
    Charge,
    ChargeStatus,
    Discrepancy,
    DiscrepancyKind,
    Operation,
    Outcome,
    PostingLine,
    ReportTaken,
    Request,
    Scope,
    find_discrepancies,
)

Value = TypeVar("Value")


def replace(value: Value, **changes: Any) -> Value:
    """Return a row or another value with some of its fields changed."""
    if isinstance(value, tuple):
        return value._replace(**changes)  # type: ignore[attr-defined,no-any-return]  # every tuple here is named
    return dataclasses.replace(value, **changes)  # type: ignore[type-var]  # a dataclass


AUTHORIZE, CAPTURE, REFUND = Operation.AUTHORIZE, Operation.CAPTURE, Operation.REFUND
VOIDING, PAYOUT = Operation.VOID, Operation.PAYOUT
CHARGEBACK, REVERSAL = Operation.CHARGEBACK, Operation.CHARGEBACK_REVERSAL
KIND = DiscrepancyKind
EFFECT = {
    AUTHORIZE: ChargeStatus.APPROVED, CAPTURE: ChargeStatus.CAPTURED, REFUND: ChargeStatus.REFUNDED,
    VOIDING: ChargeStatus.VOIDED, PAYOUT: ChargeStatus.PAID, CHARGEBACK: ChargeStatus.CHARGED_BACK,
    REVERSAL: ChargeStatus.REVERSED,
}  # fmt: skip
ENTRY_KIND = {
    CAPTURE: "posting", REFUND: "reversal", PAYOUT: "payout", CHARGEBACK: "chargeback",
    REVERSAL: "chargeback_reversal",
}  # fmt: skip
GIVEN_AWAY = (REFUND, PAYOUT, CHARGEBACK)


MERCHANT = "shop"


@dataclass(frozen=True, slots=True)
class Rows:
    """What all witnesses saw. Without `requests` the clients recorded their answers alone."""

    postings: tuple[PostingLine, ...] = ()
    book: tuple[Charge, ...] = ()
    answers: tuple[Acknowledgement, ...] = ()
    reports: tuple[ReportTaken, ...] = ()
    requests: tuple[Request, ...] | None = None

    def __add__(self, other: "Rows") -> "Rows":
        requests = None if self.requests is None else self.requests + (other.requests or ())
        return Rows(
            self.postings + other.postings,
            self.book + other.book,
            self.answers + other.answers,
            self.reports + other.reports,
            requests,
        )

    def audit(self, without: str = "", scope: Scope | None = None) -> tuple[Discrepancy, ...]:
        checks = [check for check in CHECKS if check.__name__ != without]
        return find_discrepancies(
            self.postings,
            self.book,
            self.answers,
            requests=self.requests,
            reports=self.reports,
            scope=scope,
            checks=checks,
        )

    def found(self, without: str = "", scope: Scope | None = None) -> set[tuple[DiscrepancyKind, str]]:
        return {(found.kind, found.subject) for found in self.audit(without, scope)}

    def recorded(self) -> "Rows":
        """Have the clients record a request for each of their answers."""
        return replace(self, requests=tuple(request_of(answer) for answer in self.answers))


def request_of(answer: Acknowledgement) -> Request:
    """The request that an answer answers."""
    return Request(
        answer.at, answer.operation, answer.idempotency_key, answer.merchant_reference, answer.merchant,
        answer.amount_minor, answer.currency,
    )  # fmt: skip


@dataclass(frozen=True, slots=True)
class Step:
    """One operation of one payment, from which the rows of every witness are made.

    `of` is the key of the capture that a refund or a chargeback is of.
    """

    reference: str
    operation: Operation
    provider: str = "north"
    minor: int = 1000
    currency: str = "EUR"
    key: str = ""
    of: str = ""
    at: float = 0.0

    @property
    def client_key(self) -> str:
        return self.key or f"{self.operation}-{self.reference}"

    @property
    def provider_key(self) -> str:
        return f"pk-{self.client_key}"

    @property
    def case(self) -> str:
        """What the provider calls a chargeback and its reversal."""
        return f"chb-{self.reference}{self.key}"

    @property
    def parent(self) -> str:
        """What the provider calls the operation that this one builds on."""
        if self.operation in (CAPTURE, VOIDING):
            return f"{AUTHORIZE}-{self.reference}"
        if self.operation in (REFUND, CHARGEBACK, REVERSAL):
            return f"{CAPTURE}-{self.reference}-{self.of}"
        return ""

    def charge(self, status: ChargeStatus | None = None) -> Charge:
        status = status or EFFECT[self.operation]
        key = (
            f"pk-{self.of or f'{CAPTURE}-{self.reference}'}" if self.operation.is_case else self.provider_key
        )
        names = {
            CAPTURE: f"{CAPTURE}-{self.reference}-{self.key}",
            CHARGEBACK: self.case,
            REVERSAL: self.case,
        }
        own = names.get(self.operation, f"{self.operation}-{self.reference}")
        payee = MERCHANT if self.operation is PAYOUT else ""
        return Charge(
            self.provider, 1, key, self.operation, self.reference, self.minor, self.currency, "411111",
            status, own, self.at, self.parent, payee,
        )  # fmt: skip

    def lines(self, entry_id: str = "") -> tuple[PostingLine, ...]:
        sign = -1 if self.operation in GIVEN_AWAY else 1
        theirs = "payout_clearing" if self.operation is PAYOUT else "provider_receivable"
        legs = ((f"{theirs}:{self.provider}", sign), (f"merchant_payable:{MERCHANT}", -sign))
        name = self.case if self.operation.is_case else self.client_key
        return tuple(
            PostingLine(
                entry_id or f"entry-{self.client_key}", ENTRY_KIND[self.operation], f"op-{self.client_key}",
                self.provider, self.provider_key, f"pay-{self.reference}", self.reference, name,
                account, self.currency, side * self.minor, self.at, MERCHANT,
            )
            for account, side in legs
        )  # fmt: skip

    def answer(self, outcome: Outcome = Outcome.SUCCEEDED, *, replayed: bool = False) -> Acknowledgement:
        silent = outcome is Outcome.UNKNOWN
        return Acknowledgement(
            self.at, self.operation, self.client_key, self.reference,
            None if silent else f"pay-{self.reference}", self.minor, self.currency, 0 if silent else 200,
            outcome, replayed, MERCHANT,
        )  # fmt: skip

    def done(self, *answers: Acknowledgement) -> Rows:
        """The operation worked, and every witness says so; of a case no client is told."""
        lines = self.lines() if self.operation in ENTRY_KIND else ()
        told = () if self.operation.is_case else (self.answer(),)
        return Rows(lines, (self.charge(),), answers or told)


def paid(reference: str, *, provider: str = "north", minor: int = 1000, currency: str = "EUR") -> Rows:
    """An authorized and captured payment."""
    steps = (Step(reference, operation, provider, minor, currency) for operation in (AUTHORIZE, CAPTURE))
    return sum((step.done() for step in steps), Rows())


def altered(
    lines: Iterable[PostingLine], change: Callable[[PostingLine], PostingLine]
) -> tuple[PostingLine, ...]:
    return tuple(change(line) for line in lines)


def scaled(minor: int) -> Callable[[PostingLine], PostingLine]:
    """Make both legs balance at another amount."""
    return lambda line: replace(line, amount_minor=minor if line.amount_minor > 0 else -minor)


def report(
    sequence: int,
    fees: dict[str, int] | None = None,
    exchanged: dict[str, int] | None = None,
    at: float = 0.0,
) -> Rows:
    """A settlement report of north that takes fees and exchanges, and the entries for it."""
    fees, exchanged = fees or {}, exchanged or {}

    def lines(kind: str, other: str, owed: dict[str, int]) -> tuple[PostingLine, ...]:
        return tuple(
            PostingLine(
                f"{kind}-{sequence}", kind, f"report-{sequence}", "north", "", "", "", "", account, currency,
                minor, at, "", str(sequence),
            )
            for currency, taken in owed.items()
            for account, minor in (
                ("provider_receivable:north", taken), (other.format(currency=currency), -taken)
            )
        )  # fmt: skip

    taken = {currency: -minor for currency, minor in fees.items()}
    return Rows(
        lines("fee", "provider_fees:north", taken) + lines("fx", "fx_position:{currency}", exchanged),
        reports=(ReportTaken("north", sequence, at, tuple(fees.items()), tuple(exchanged.items())),),
    )


def _suspended(step: Step, entry_id: str = "") -> tuple[PostingLine, ...]:
    """Keep what a provider moved apart, in suspense."""
    return altered(
        step.lines(entry_id),
        lambda line: replace(
            line,
            entry_kind="suspense",
            account=line.account.replace(f"merchant_payable:{MERCHANT}", f"suspense:{step.provider}"),
        ),
    )


def kept_apart(step: Step) -> Rows:
    """Something that the client was told had failed, and that its provider did after all."""
    return Rows(_suspended(step), (step.charge(),), (step.answer(Outcome.FAILED),))


def given_back(late: Step) -> Rows:
    """The service's own refund of a late capture."""
    undo = replace(late, operation=REFUND, key=f"undo-{late.client_key}", of=late.key, at=late.at + 1)
    return Rows(_suspended(undo), (undo.charge(),))


def released(late: Step) -> Rows:
    """The release of a late refund out of suspense: its merchant bears it, as two people decided."""
    lines = replace(late, key=f"release-{late.client_key}", at=late.at + 1).lines()
    return Rows(
        altered(
            lines,
            lambda line: replace(
                line,
                entry_kind="suspense_release",
                idempotency_key=late.provider_key,
                account=line.account.replace("provider_receivable", "suspense"),
            ),
        )
    )


def whole_world() -> Rows:
    """A world with everything that may happen, in order of time; every request is on record."""
    partly = (
        Step("b", AUTHORIZE, "south", 3000, "USD", at=11.0),
        Step("b", CAPTURE, "south", 2000, "USD", "b-1", at=12.0),
        Step("b", CAPTURE, "south", 500, "USD", "b-2", at=13.0),
        Step("b", VOIDING, "south", 500, "USD", at=14.0),
        Step("b", REFUND, "south", 700, "USD", "b-back", of="b-1", at=15.0),
    )
    disputed = (
        Step("c", CHARGEBACK, minor=1000, at=20.0),
        Step("c", REVERSAL, minor=1000, at=21.0),
    )
    late_capture = Step("d", CAPTURE, key="late", at=32.0)
    late_refund = Step("a", REFUND, minor=250, key="late-back", at=33.0)
    declined = Step("e", AUTHORIZE, at=40.0)
    rows = paid("a") + paid("c") + sum((step.done() for step in partly), Rows())
    rows += sum((step.done() for step in disputed), Rows())
    rows += Step("p", PAYOUT, minor=800, at=30.0).done()
    rows += Step("d", AUTHORIZE, at=31.0).done() + kept_apart(late_capture) + given_back(late_capture)
    rows += kept_apart(late_refund) + released(late_refund)
    rows += Rows((), (declined.charge(ChargeStatus.DECLINED),), (declined.answer(Outcome.DECLINED),))
    rows += Rows((), (), (Step("f", AUTHORIZE, at=41.0).answer(Outcome.REJECTED),))
    rows += report(1, {"EUR": 34, "USD": 41}) + report(2, {}, {"USD": -1800, "EUR": 1650})
    return rows.recorded()
