"""Whatever is sent in whatever order, the book never moves more than it may, and replays change nothing."""

import tempfile
from pathlib import Path

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import Bundle, RuleBasedStateMachine, initialize, invariant, rule

from acquirers.book import Book
from acquirers.cases import Applied
from acquirers.errors import KeyReused
from acquirers.judge import Order
from acquirers.operations import DeclineCode, Entry, Instruction, Kind, Status

AMOUNTS = st.integers(1, 4)
CURRENCIES = st.sampled_from(["EUR", "JPY"])
TOKENS = st.sampled_from(["tok_411111_ab", "tok_550000_cd"])
DECLINES = st.sampled_from([None, None, None, DeclineCode.DO_NOT_HONOR])


class BookMachine(RuleBasedStateMachine):
    """Send authorizations, captures, refunds and replays; compare with a model of plain sums."""

    references = Bundle("references")
    sent = Bundle("sent")

    @initialize(target=references)
    def open(self) -> str:
        """Begin with an empty book and one reference that nobody has."""
        self.folder = tempfile.TemporaryDirectory()
        self.book = Book(Path(self.folder.name) / "book.db", name="north", dialect="north")
        self.count = 0
        self.left: dict[str, tuple[Kind, str, int]] = {}  # reference -> kind, currency, minor units left
        self.captured: set[str] = set()
        self.rows: list[Entry] = []
        return "auth_nobody"

    def teardown(self) -> None:
        """Close the book."""
        if hasattr(self, "book"):
            self.book.close()
            self.folder.cleanup()

    @rule(target=references, amount=AMOUNTS, currency=CURRENCIES, token=TOKENS, declined=DECLINES)
    def authorize(self, amount: int, currency: str, token: str, declined: DeclineCode | None) -> str:
        """Authorize with a fresh key."""
        entry = self._send(Kind.AUTHORIZE, amount, currency, token=token, declined=declined)
        assert entry.status is (Status.APPROVED if declined is None else Status.DECLINED)
        if declined is None:
            self.left[entry.provider_reference] = (Kind.AUTHORIZE, currency, amount)
        return entry.provider_reference

    @rule(target=references, parent=references, amount=AMOUNTS, currency=CURRENCIES)
    def capture(self, parent: str, amount: int, currency: str) -> str:
        """Capture anything at all; the model says whether it may."""
        kind, owned, left = self.left.get(parent, (Kind.REFUND, "", 0))
        allowed = kind is Kind.AUTHORIZE and owned == currency and amount <= left
        allowed = allowed and parent not in self.captured
        entry = self._send(Kind.CAPTURE, amount, currency, parent=parent)
        assert entry.status is (Status.CAPTURED if allowed else Status.REFUSED)
        if allowed:
            self.captured.add(parent)
            self.left[entry.provider_reference] = (Kind.CAPTURE, currency, amount)
        return entry.provider_reference

    @rule(target=references, parent=references, amount=AMOUNTS, currency=CURRENCIES)
    def refund(self, parent: str, amount: int, currency: str) -> str:
        """Refund anything at all; the model says whether it may."""
        kind, owned, left = self.left.get(parent, (Kind.REFUND, "", 0))
        allowed = kind is Kind.CAPTURE and owned == currency and amount <= left
        entry = self._send(Kind.REFUND, amount, currency, parent=parent)
        assert entry.status is (Status.REFUNDED if allowed else Status.REFUSED)
        if allowed:
            self.left[parent] = (Kind.CAPTURE, currency, left - amount)
        return entry.provider_reference

    @rule(data=st.data(), declined=DECLINES)
    def replay(self, data: st.DataObject, declined: DeclineCode | None) -> None:
        """Send an old key again: the same answer for the same body, a refusal for another."""
        if not self.rows:
            return
        row = data.draw(st.sampled_from(self.rows))
        more = data.draw(st.sampled_from([0, 1]))
        token = f"tok_{row.card_range}_{'ab' if row.card_range == '411111' else 'cd'}"
        instruction = Instruction(
            key=row.key, kind=row.kind, reference=row.reference, amount_minor=row.amount_minor + more,
            currency=row.currency, card_token=token if row.kind is Kind.AUTHORIZE else "", parent=row.parent,
        )  # fmt: skip
        (result,) = self.book.apply([Order(instruction, declined, 99.0)])
        if more:
            assert isinstance(result, KeyReused)
        else:
            assert result == Applied(row, replayed=True)
        assert self.book.page(0, 5000) == self.rows

    @invariant()
    def sums_hold(self) -> None:
        """No authorization is captured beyond its amount, no capture refunded beyond its own."""
        if not hasattr(self, "book"):
            return
        rows = {row.provider_reference: row for row in self.book.page(0, 5000)}
        moved: dict[str, int] = {}
        for row in rows.values():
            if row.status in (Status.CAPTURED, Status.REFUNDED):
                moved[row.parent] = moved.get(row.parent, 0) + row.amount_minor
        assert all(amount <= rows[parent].amount_minor for parent, amount in moved.items())
        assert list(rows.values()) == self.rows

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
        instruction = Instruction(f"key-{self.count}", kind, "order", amount, currency, token, parent)
        (result,) = self.book.apply([Order(instruction, declined, float(self.count))])
        assert isinstance(result, Applied)
        assert not result.replayed
        self.rows.append(result.entry)
        return result.entry


TestBookMachine = pytest.mark.timeout(120)(BookMachine.TestCase)
BookMachine.TestCase.settings = settings(max_examples=60, stateful_step_count=30, deadline=None)
