"""Whatever is sent in whatever order, the book never moves more than it may, and replays change nothing."""

import tempfile
from pathlib import Path

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import Bundle, RuleBasedStateMachine, initialize, invariant, multiple, rule

from acquirers.book import Book
from acquirers.chargebacks import BookingResult, ChargebackRequest
from acquirers.decisions import BookingRequest
from acquirers.errors import ChargebackRefused, KeyReused
from acquirers.operations import DeclineCode, Entry, Instruction, Kind, Status

AMOUNTS = st.integers(1, 4)
# Rarely another one, so that most operations are about the right currency.
CURRENCIES = st.sampled_from(["EUR", "EUR", "EUR", "JPY"])
TOKENS = st.sampled_from(["tok_411111_ab", "tok_550000_cd"])
DECLINES = st.sampled_from([None, None, None, DeclineCode.DO_NOT_HONOR])
LIFETIME = 40


class BookMachine(RuleBasedStateMachine):
    """Send all that merchants and issuers may; compare with a model of plain sums."""

    authorizations = Bundle("authorizations")
    captures = Bundle("captures")

    @initialize(target=captures, amount=AMOUNTS)
    def open(self, amount: int) -> object:
        """Begin with a book of one authorization that is captured once, so that much can follow."""
        self.folder = tempfile.TemporaryDirectory()
        self.book = Book(
            Path(self.folder.name) / "book.db", name="north", dialect="north", lifetime_seconds=LIFETIME
        )
        self.count = 0
        # Of each authorization and each capture: currency, minor units left, the time of its end.
        self.left: dict[str, tuple[str, int, int]] = {}
        self.keys: dict[str, str] = {}
        self.cases: dict[str, tuple[str, int]] = {}  # capture -> case, minor units
        self.won: set[str] = set()
        self.rows: list[Entry] = []
        return self.capture(self.authorize(4, "EUR", "tok_411111_ab", None), amount, "EUR")

    def teardown(self) -> None:
        """Close the book."""
        if hasattr(self, "book"):
            self.book.close()
            self.folder.cleanup()

    @rule(target=authorizations, amount=AMOUNTS, currency=CURRENCIES, token=TOKENS, declined=DECLINES)
    def authorize(self, amount: int, currency: str, token: str, declined: DeclineCode | None) -> str:
        """Authorize with a fresh key."""
        entry = self._send(Kind.AUTHORIZE, amount, currency, token=token, declined=declined)
        assert entry.status is (Status.APPROVED if declined is None else Status.DECLINED)
        if declined is None:
            self.left[entry.provider_reference] = (currency, amount, self.count + LIFETIME)
        return entry.provider_reference

    @rule(target=captures, parent=authorizations | captures, amount=AMOUNTS, currency=CURRENCIES)
    def capture(self, parent: str, amount: int, currency: str) -> object:
        """Capture anything at all; the model says whether it may."""
        owned, left, until = self.left.get(parent, ("", 0, 0))
        allowed = parent.startswith("auth") and owned == currency and amount <= left
        entry = self._send(Kind.CAPTURE, amount, currency, parent=parent)
        assert entry.status is (Status.CAPTURED if allowed and self.count < until else Status.REFUSED)
        if entry.status is Status.REFUSED:
            return multiple()
        self.left[parent] = (currency, left - amount, until)
        self.left[entry.provider_reference] = (currency, amount, 0)
        self.keys[entry.provider_reference] = entry.key
        return entry.provider_reference

    @rule(parent=authorizations | captures, amount=AMOUNTS, currency=CURRENCIES, exact=st.booleans())
    def void(self, parent: str, amount: int, currency: str, *, exact: bool) -> None:
        """Void some amount, often what is left; nothing is left of a voided authorization."""
        owned, left, until = self.left.get(parent, ("", 0, 0))
        amount = left if exact and left else amount
        allowed = parent.startswith("auth") and owned == currency and amount == left
        entry = self._send(Kind.VOID, amount, currency, parent=parent)
        assert entry.status is (Status.VOIDED if allowed else Status.REFUSED)
        if entry.status is Status.VOIDED:
            self.left[parent] = (currency, 0, until)

    @rule(parent=authorizations | captures, amount=AMOUNTS, currency=CURRENCIES)
    def refund(self, parent: str, amount: int, currency: str) -> None:
        """Refund anything at all; the model says whether it may."""
        owned, left, until = self.left.get(parent, ("", 0, 0))
        allowed = parent.startswith("cap") and owned == currency and amount <= left
        entry = self._send(Kind.REFUND, amount, currency, parent=parent)
        assert entry.status is (Status.REFUNDED if allowed else Status.REFUSED)
        if allowed:
            self.left[parent] = (currency, left - amount, until)

    @rule(amount=AMOUNTS, currency=CURRENCIES)
    def pay_out(self, amount: int, currency: str) -> None:
        """Pay out."""
        assert self._send(Kind.PAYOUT, amount, currency).status is Status.PAID

    @rule(capture=captures, amount=st.none() | AMOUNTS)
    def charge_back(self, capture: str, amount: int | None) -> None:
        """Take a capture back, over all that is left or over anything."""
        currency, left, until = self.left[capture]
        order = ChargebackRequest(self.keys[capture], "", amount)
        wanted = left if amount is None else amount
        known = self.cases.get(capture)
        if known is not None and amount in (None, known[1]):
            assert self.book.open_chargeback(order, float(self.count)).replayed
        elif known is not None or not 0 < wanted <= left:
            with pytest.raises(ChargebackRefused):
                self.book.open_chargeback(order, float(self.count))
        else:
            entry = self._keep(self.book.open_chargeback(order, float(self.count)))
            assert (entry.kind, entry.amount_minor) == (Kind.CHARGEBACK, wanted)
            self.cases[capture] = (entry.provider_reference, wanted)
            self.left[capture] = (currency, left - wanted, until)

    @rule(capture=captures)
    def win(self, capture: str) -> None:
        """Win a case, perhaps again."""
        if capture not in self.cases:
            return
        case, amount = self.cases[capture]
        won = self.book.win_chargeback(case, float(self.count))
        assert won.replayed is (capture in self.won)
        if capture not in self.won:
            assert self._keep(won).amount_minor == amount
            self.won.add(capture)
            currency, left, until = self.left[capture]
            self.left[capture] = (currency, left + amount, until)

    @rule(data=st.data(), declined=DECLINES)
    def replay(self, data: st.DataObject, declined: DeclineCode | None) -> None:
        """Send an old key again: the same answer for the same body, a refusal for another."""
        ordered = [row for row in self.rows if not row.kind.startswith("chargeback")]
        if not ordered:
            return
        row = data.draw(st.sampled_from(ordered))
        more = data.draw(st.sampled_from([0, 1]))
        token = f"tok_{row.card_range}_{'ab' if row.card_range == '411111' else 'cd'}"
        instruction = Instruction(
            key=row.key, kind=row.kind, reference=row.reference, amount_minor=row.amount_minor + more,
            currency=row.currency, card_token=token if row.kind is Kind.AUTHORIZE else "", parent=row.parent,
            beneficiary=row.beneficiary,
        )  # fmt: skip
        (result,) = self.book.apply([BookingRequest(instruction, declined, 99.0)])
        if more:
            assert isinstance(result, KeyReused)
        else:
            assert result == BookingResult(row, replayed=True)

    @invariant()
    def sums_hold(self) -> None:
        """What is taken of an authorization or given back of a capture is never more than its amount."""
        if not hasattr(self, "book"):
            return
        rows = self.book.page(0, 5000)
        assert rows == self.rows
        amounts = {row.provider_reference: row.amount_minor for row in rows if not row.kind.startswith("ch")}
        taken: dict[str, int] = {}
        for row in rows:
            if row.parent and row.status is not Status.REFUSED:
                sign = -1 if row.status is Status.REVERSED else 1
                taken[row.parent] = taken.get(row.parent, 0) + sign * row.amount_minor
        assert all(0 <= amount <= amounts[parent] for parent, amount in taken.items())

    def _send(
        self,
        kind: Kind,
        amount: int,
        currency: str,
        *,
        token: str = "",
        parent: str = "",
        declined: DeclineCode | None = None,
    ) -> Entry:
        self.count += 1
        beneficiary = "shop" if kind is Kind.PAYOUT else ""
        instruction = Instruction(
            f"key-{self.count}", kind, "order", amount, currency, token, parent, beneficiary
        )
        (result,) = self.book.apply([BookingRequest(instruction, declined, float(self.count))])
        assert isinstance(result, BookingResult)
        return self._keep(result)

    def _keep(self, applied: BookingResult) -> Entry:
        assert not applied.replayed
        self.rows.append(applied.entry)
        return applied.entry


TestBookMachine = pytest.mark.heavy(pytest.mark.timeout(120)(BookMachine.TestCase))
BookMachine.TestCase.settings = settings(max_examples=60, stateful_step_count=50, deadline=None)
