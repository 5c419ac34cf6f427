"""Whatever happens in whatever order, all reports together are the moved money, and none changes later."""

import tempfile
from pathlib import Path

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, precondition, rule

from acquirers.book import Book
from acquirers.chargebacks import BookingResult
from acquirers.decisions import BookingRequest
from acquirers.operations import Entry, Instruction, Kind, Status

PERIOD = 3


class ReportMachine(RuleBasedStateMachine):
    """Book at late times, close reports, move the clock both ways, restart; published reports stay."""

    @initialize()
    def begin(self) -> None:
        """Begin amid a period."""
        self.folder = tempfile.TemporaryDirectory()
        self.now, self.count = 1000.5, 0
        self.captures: list[Entry] = []
        self.published: dict[int, list[Entry]] = {}
        self._open()
        self.first = self.book.reports(self.now).first
        assert self.first == 333

    def teardown(self) -> None:
        """Let the last period end; then every moved entry stands in exactly one report, its own."""
        if not hasattr(self, "book"):
            return
        rows = self.book.page(0, 5000)
        self.now = max([self.now, *(row.at for row in rows)]) + PERIOD + 1
        self.close()
        lines = [entry for entries in self.published.values() for entry in entries]
        moved = [row for row in rows if row.status in (Status.CAPTURED, Status.REFUNDED)]
        assert sorted(lines, key=lambda entry: entry.seq) == moved
        for number, entries in self.published.items():
            assert all(number * PERIOD <= entry.at < (number + 1) * PERIOD for entry in entries)
        self.book.close()
        self.folder.cleanup()

    @rule(seconds=st.floats(-4, 8))
    def pass_time(self, seconds: float) -> None:
        """Let time pass; sometimes the machine's clock is set back."""
        self.now += seconds

    @rule(late=st.floats(0, 5))
    def capture(self, late: float) -> None:
        """Authorize and capture an order that has waited to be written."""
        authorized = self._send(Kind.AUTHORIZE, late)
        self.captures.append(self._send(Kind.CAPTURE, late, authorized.provider_reference))

    @precondition(lambda self: bool(getattr(self, "captures", [])))
    @rule(data=st.data(), late=st.floats(0, 5))
    def refund(self, data: st.DataObject, late: float) -> None:
        """Refund one unit of a capture; some are refused, and a report has none of those."""
        parent = data.draw(st.sampled_from(self.captures))
        self._send(Kind.REFUND, late, parent.provider_reference)

    @precondition(lambda self: bool(getattr(self, "captures", [])))
    @rule(data=st.data())
    def forget(self, data: st.DataObject) -> None:
        """Send a capture again to an acquirer that forgets."""
        row = data.draw(st.sampled_from(self.captures))
        instruction = Instruction(row.key, row.kind, row.reference, 2, row.currency, "", row.parent)
        (result,) = self.book.apply([BookingRequest(instruction, None, self.now, forgets_key=True)])
        assert isinstance(result, BookingResult)
        assert result.entry.movement == 2

    @rule()
    def close(self) -> None:
        """Close what is due: the numbers go on without a gap, and what was published is as it was."""
        self.book.close_reports(self.now)
        numbers = self.book.reports(self.now)
        assert numbers.first == self.first
        assert numbers.following >= numbers.due
        served = dict(self.book.moved(range(numbers.first, numbers.following)))
        assert {number: served[number] for number in self.published} == self.published
        assert list(served) == list(range(self.first, max(self.first, numbers.following)))
        self.published = served

    @rule()
    def restart(self) -> None:
        """Open the book anew, whatever the clock says by now."""
        self.book.close()
        self._open()

    def _open(self) -> None:
        file = Path(self.folder.name) / "book.db"
        self.book = Book(file, name="north", dialect="north", period_seconds=PERIOD, now=lambda: self.now)

    def _send(self, kind: Kind, late: float, parent: str = "") -> Entry:
        self.count += 1
        token = "tok_411111_ab" if kind is Kind.AUTHORIZE else ""
        amount = 1 if kind is Kind.REFUND else 2
        instruction = Instruction(f"key-{self.count}", kind, "order", amount, "EUR", token, parent)
        (result,) = self.book.apply([BookingRequest(instruction, None, self.now - late)])
        assert isinstance(result, BookingResult)
        return result.entry


TestReportMachine = pytest.mark.heavy(pytest.mark.timeout(120)(ReportMachine.TestCase))
ReportMachine.TestCase.settings = settings(max_examples=60, stateful_step_count=30, deadline=None)
