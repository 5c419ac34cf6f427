"""Whatever the order of requests, silences, refusals and deaths: the ledger is what the provider did."""

import asyncio
import itertools
from collections import Counter
from collections.abc import Coroutine
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final
from uuid import UUID

from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import Bundle, RuleBasedStateMachine, invariant, rule, run_state_machine_as_test

import refpay
import refpay.errors
from moneypath.telemetry import Catalogue, setup
from refpay.db.pool import Database
from refpay.identity.principals import Principal
from refpay.measures import API_METRICS, Measures
from refpay.money import Currency, Money
from refpay.payments.claims import Command, Reply, fingerprint
from refpay.payments.intents import Deadlines
from refpay.payments.model import Order
from refpay.payments.resolving import Resolver
from refpay.payments.service import Payments
from refpay.payments.settler import Settler
from refpay.providers.errors import ProviderRefused, ProviderSilent
from refpay.providers.port import Answer, Call, CallKind, DeclineCode, Verdict
from refpay.settings import DatabaseSettings, read_secret

if TYPE_CHECKING:
    from tests.refpay.conftest import Book

DEADLINES: Final = dict.fromkeys(
    ("north", "south"), Deadlines(timedelta(seconds=5), timedelta(seconds=6), timedelta(seconds=7))
)
SERIAL: Final = itertools.count(1)


class Fate(StrEnum):
    """What becomes of a call."""

    DONE = "done"
    DECLINED = "declined"
    REFUSED = "refused"
    SILENT_AFTER = "silent after doing it"
    SILENT_BEFORE = "silent without doing it"
    DIED_AFTER = "the caller died after it was done"
    DIED_BEFORE = "the caller died before it was done"


# Weighted, or few histories would get as far as a refund.
FATES: Final = st.just(Fate.DONE) | st.sampled_from(Fate)


class ProcessDied(Exception):
    """Stands for a SIGKILL: nothing after the call runs."""


@dataclass
class VirtualClock:
    """Moves when it is told."""

    at: datetime = datetime(2026, 1, 1, tzinfo=UTC)

    def now(self) -> datetime:
        """Return the instant."""
        return self.at

    def monotonic(self) -> float:
        """Return the seconds."""
        return self.at.timestamp()


@dataclass
class Provider:
    """Keeps its own book of what it did, by key, and meets the fate it is given."""

    name: str
    fate: Fate = Fate.DONE
    book: dict[UUID, tuple[CallKind, int, Currency]] = field(default_factory=dict)
    declined: set[UUID] = field(default_factory=set)
    calls: Counter[UUID] = field(default_factory=Counter)

    def require_closed(self) -> None:
        """Take every call."""

    async def perform(self, call: Call) -> Answer:
        """Do, or not, and answer, or not."""
        if call.kind is CallKind.QUERY:
            if self.fate in (Fate.REFUSED, Fate.SILENT_BEFORE):
                raise ProviderSilent("query")
            if call.key in self.declined:
                return Answer(Verdict.DECLINED, decline_code=DeclineCode.DO_NOT_HONOR)
            return self._done(call.key) if call.key in self.book else Answer(Verdict.UNKNOWN_KEY)
        self.calls[call.key] += 1
        assert call.money is not None
        match self.fate:
            case Fate.REFUSED:
                raise ProviderRefused("503")
            case Fate.DECLINED:
                self.declined.add(call.key)
                return Answer(Verdict.DECLINED, decline_code=DeclineCode.DO_NOT_HONOR)
            case Fate.SILENT_BEFORE:
                raise ProviderSilent("lost on the way there")
            case Fate.DIED_BEFORE:
                raise ProcessDied
        self.book[call.key] = (call.kind, call.money.amount_minor, call.money.currency)
        match self.fate:
            case Fate.SILENT_AFTER:
                raise ProviderSilent("lost on the way back")
            case Fate.DIED_AFTER:
                raise ProcessDied
        return self._done(call.key)

    def _done(self, key: UUID) -> Answer:
        return Answer(Verdict.DONE, provider_reference=f"ref-{key}")


class LifeCycle(RuleBasedStateMachine):
    """Authorize, capture, refund, repeat, wait; by one merchant of its own in a shared database."""

    payments_made = Bundle("payments_made")
    database_settings: DatabaseSettings

    def __init__(self) -> None:
        super().__init__()
        self.loop = asyncio.new_event_loop()
        self.merchant = f"machine-{next(SERIAL)}"
        self.clock = VirtualClock()
        self.providers = {name: Provider(name) for name in ("north", "south")}
        catalogue = Catalogue.load(Path(refpay.__file__).with_name("catalogue.json"))
        measures = Measures(setup(catalogue, service="refpay-api", metrics=API_METRICS))
        self.database = self.run(Database.connect(self.database_settings, most_connections=2))
        self.service = Payments(
            self.database, self.providers, deadlines=DEADLINES, measures=measures, clock=self.clock
        )
        settler = Settler(self.database, measures=measures, clock=self.clock)
        self.resolver = Resolver(
            self.database, self.providers, settler=settler, clock=self.clock, pause_seconds=1
        )
        self.serial = itertools.count(1)
        self.told: dict[str, tuple[Any, Reply | None]] = {}

    def run(self, work: Coroutine[Any, Any, Any]) -> Any:
        """Run a coroutine on the machine's own loop."""
        return self.loop.run_until_complete(work)

    def command(self, key: str) -> Command:
        """Return a command of the machine's merchant."""
        principal = Principal(self.merchant, frozenset())
        return Command(principal, key, fingerprint("POST", "/", key), "correlation", "live")

    def send(self, fate: Fate, request: Any) -> tuple[str, Reply | None]:
        """Send a request under a new key to providers of one fate; None if the process died."""
        self.clock.at += timedelta(milliseconds=1)
        for provider in self.providers.values():
            provider.fate = fate
        key = f"{self.merchant}-{next(self.serial)}"
        try:
            reply: Reply | None = self.run(request(self.command(key)))
        except ProcessDied:
            reply = None
        self.told[key] = (request, reply)
        return key, reply

    def rows(self, query: str, *arguments: object) -> list[Any]:
        """Read from the database."""

        async def read() -> list[Any]:
            async with self.database.transaction() as connection:
                return list(await connection.fetch(query, *arguments))

        return list(self.run(read()))

    @rule(
        target=payments_made,
        fate=FATES,
        amount=st.integers(1, 2**63 - 1),
        currency=st.sampled_from(Currency),
    )
    def authorize(self, fate: Fate, amount: int, currency: Currency) -> UUID:
        """Begin a payment."""
        order = Order(f"order-{next(self.serial)}", Money(amount, currency), "tok_411111_00ff")
        self.send(fate, lambda command: self.service.authorize(command, order))
        found = self.rows(
            "SELECT id FROM payments.payment WHERE merchant = $1 AND merchant_reference = $2",
            self.merchant,
            order.merchant_reference,
        )
        payment_id: UUID = found[0]["id"]
        return payment_id

    @rule(payment=payments_made, fate=FATES, amount=st.none() | st.integers(1, 2**63 - 1))
    def capture(self, payment: UUID, fate: Fate, amount: int | None) -> None:
        """Capture all, or a part, or too much."""
        self.send_or_be_refused(fate, lambda command: self.service.capture(command, payment, amount))

    @rule(payment=payments_made, fate=FATES, share=st.integers(1, 12))
    def refund(self, payment: UUID, fate: Fate, share: int) -> None:
        """Refund some tenths of the payment, or more than all of it."""
        rows = self.rows("SELECT amount_minor FROM payments.payment WHERE id = $1", payment)
        amount = min(2**63 - 1, max(1, rows[0]["amount_minor"] * share // 10))
        self.send_or_be_refused(fate, lambda command: self.service.refund(command, payment, amount))

    def send_or_be_refused(self, fate: Fate, request: Any) -> None:
        """Send what the payment's state may refuse for now."""
        try:
            self.send(fate, request)
        except refpay.errors.RefpayError as refusal:
            if not refusal.retryable:
                raise

    @rule(data=st.data())
    def repeat(self, data: st.DataObject) -> None:
        """Send any earlier request again: what was definitive is told again, to the byte."""
        if not self.told:
            return
        key = data.draw(st.sampled_from(sorted(self.told)))
        request, first = self.told[key]
        calls = sum(sum(provider.calls.values()) for provider in self.providers.values())
        try:
            again: Reply = self.run(request(self.command(key)))
        except refpay.errors.RefpayError as refusal:
            if refusal.code != "idempotency_in_flight" or first is not None:
                raise
            return
        if first is not None and first.answer.status != 202:
            assert again.replayed
            assert again.answer == first.answer
        assert calls == sum(sum(provider.calls.values()) for provider in self.providers.values())

    @rule(seconds=st.sampled_from([0.5, 6.5, 10]), fate=st.sampled_from([Fate.DONE, Fate.SILENT_BEFORE]))
    def wait(self, seconds: float, fate: Fate) -> None:
        """Let time pass and the worker run once, with a provider that may keep silent."""
        self.clock.at += timedelta(seconds=seconds)
        for provider in self.providers.values():
            provider.fate = fate
        self.run(self.resolver.run_once())

    @invariant()
    def the_ledger_is_zero_and_says_what_the_payments_say(self) -> None:
        """Zero per currency; posted is captured, reversed is refunded, and never more than authorized."""
        sums = self.rows("SELECT currency FROM ledger.line GROUP BY currency HAVING sum(amount_minor) <> 0")
        assert sums == []
        for row in self.rows(
            """
            SELECT amount_minor, captured_minor, refunded_minor, refund_reserved_minor, coalesce((
                SELECT -sum(line.amount_minor) FROM ledger.entry JOIN ledger.line ON entry_id = entry.id
                WHERE entry.payment_id = payment.id AND account LIKE 'merchant_payable:%'), 0) AS owed
            FROM payments.payment WHERE merchant = $1
            """,
            self.merchant,
        ):
            assert row["owed"] == row["captured_minor"] - row["refunded_minor"]
            assert 0 <= row["refunded_minor"] + row["refund_reserved_minor"] <= row["captured_minor"]
            assert row["captured_minor"] <= row["amount_minor"]

    def teardown(self) -> None:
        """Heal, let the worker finish, and compare both books both ways."""
        try:
            for _ in range(3):
                self.clock.at += timedelta(seconds=60)
                for provider in self.providers.values():
                    provider.fate = Fate.DONE
                self.run(self.resolver.run_once())
            self._compare_books()
        finally:
            self.run(self.database.close())
            self.loop.close()

    def _compare_books(self) -> None:
        rows = self.rows(
            """
            SELECT operation.provider_key, operation.kind, operation.status, operation.amount_minor,
                   payment.currency,
                   (SELECT count(*) FROM ledger.entry WHERE operation_id = operation.id) AS entries
            FROM payments.operation JOIN payments.payment ON payment.id = payment_id WHERE merchant = $1
            """,
            self.merchant,
        )
        done = {key: effect for provider in self.providers.values() for key, effect in provider.book.items()}
        ours = {
            row["provider_key"]: (row["kind"], row["amount_minor"], row["currency"])
            for row in rows
            if row["status"] == "succeeded"
        }
        assert ours == done
        for row in rows:
            assert row["status"] in ("succeeded", "declined", "failed")
            moved = row["status"] == "succeeded" and row["kind"] != "authorize"
            assert row["entries"] == moved
        for provider in self.providers.values():
            assert all(times == 1 for times in provider.calls.values())


def test_the_books_agree_whatever_happens(shared_book: "Book", secrets_folder: Path) -> None:
    """Every history ends with both books equal, the ledger at zero, and every answer kept."""
    LifeCycle.database_settings = DatabaseSettings(
        shared_book.url("refpay_app"), "refpay_app", read_secret(secrets_folder, "refpay_app_password")
    )
    run_state_machine_as_test(
        LifeCycle,
        settings=settings(
            max_examples=25,
            stateful_step_count=20,
            deadline=None,
            # Shrinking on a real database takes minutes; the printed blob replays a failure as it was.
            phases=[Phase.explicit, Phase.reuse, Phase.generate],
            suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
        ),
    )
