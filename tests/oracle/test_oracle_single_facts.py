"""Any single fact that is removed or altered is found, or stands in the table of what cannot be known."""

from collections.abc import Iterator
from dataclasses import dataclass
from enum import StrEnum
from functools import cache
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from moneypath.oracle import ChargeStatus, Operation, Outcome, audit
from moneypath.oracle.entry_kinds import ENTRY_RULES

from .test_oracle_audit import healthy_rows
from .unknowable import REMOVED, UNKNOWABLE, Unknowable, explain
from .wider_world import wider_world
from .world import Rows, replace

# The witness of each part of the rows; a fact of the ledger is changed in a line and in a whole entry.
WITNESSES = {
    "postings": "ledger",
    "book": "book",
    "answers": "answers",
    "reports": "reports",
    "requests": "requests",
}
# What each line of an entry has for itself; the other facts are those of the whole entry too.
LINE_FACTS = ("account", "amount_minor", "currency", "misstated")


@dataclass(frozen=True, slots=True)
class Change:
    """One fact that is changed in rows of one witness: in all lines of an entry, or in one row."""

    part: str
    places: tuple[int, ...]
    fact: str
    new: Any

    def of(self, rows: Rows) -> Rows:
        """Return the rows with the change."""
        old = getattr(rows, self.part)
        if self.fact == REMOVED:
            kept = tuple(row for place, row in enumerate(old) if place not in self.places)
        else:
            kept = tuple(self._changed(row) if place in self.places else row for place, row in enumerate(old))
        return replace(rows, **{self.part: kept})

    def _changed(self, row: Any) -> Any:
        """Return a row with the change; the sides of an entry get the new amount with opposite signs."""
        sides = self.fact == "amount_minor" and len(self.places) > 1 and row.amount_minor < 0
        return replace(row, **{self.fact: -self.new if sides else self.new})

    def explanation(self, rows: Rows) -> Unknowable | None:
        """Return why the change cannot be known; one line of an entry contradicts the other."""
        if self.part == "postings" and len(self.places) == 1:
            return None
        row = getattr(rows, self.part)[self.places[0]]
        return explain(WITNESSES[self.part], self.fact, row, self.new, rows)


def other_values(fact: str, value: Any) -> Iterator[Any]:
    """Yield values that are not this one."""
    if isinstance(value, bool):
        yield not value
    elif isinstance(value, StrEnum):
        yield from (one for one in type(value) if one is not value)
    elif isinstance(value, int):
        yield from (one for one in (value + 1, value - 1, 100 * value) if one != value)
    elif isinstance(value, float):
        yield from (value + 100, value - 100)
    elif isinstance(value, tuple):
        yield from (one for one in ((), (("EUR", 1),), (*value, ("JPY", 5))) if one != value)
    else:
        known = {"currency": ("USD", "EUR"), "provider": ("north", "south")}.get(fact, ())
        yield from (one for one in ("another", "", *known) if one != value)


def changes(rows: Rows) -> Iterator[Change]:
    """Yield every change of one fact."""
    for part in WITNESSES:
        for place, row in enumerate(getattr(rows, part)):
            yield from _changes(part, (place,), row, ())
    entries: dict[str, list[int]] = {}
    sides: dict[tuple[str, str, bool], list[int]] = {}
    for place, line in enumerate(rows.postings):
        entries.setdefault(line.entry_id, []).append(place)
        sides.setdefault((line.entry_id, line.currency, line.account.startswith("hold_")), []).append(place)
    for places in entries.values():
        yield from _changes("postings", tuple(places), rows.postings[places[0]], LINE_FACTS)
    for places in sides.values():
        first = rows.postings[places[0]]
        for fact, value in (("amount_minor", abs(first.amount_minor)), ("currency", first.currency)):
            for new in other_values(fact, value):
                yield Change("postings", tuple(places), fact, new)


def _changes(part: str, places: tuple[int, ...], row: Any, without: tuple[str, ...]) -> Iterator[Change]:
    yield Change(part, places, REMOVED, None)
    for name in row._fields:
        if name not in without:
            for new in other_values(name, getattr(row, name)):
                yield Change(part, places, name, new)


def is_whole(rows: Rows) -> bool:
    """Audit the rows."""
    return audit(rows.postings, rows.book, rows.answers, requests=rows.requests, reports=rows.reports).whole


WIDE = wider_world()
CHANGES = tuple(changes(WIDE))


@cache
def unfound(part: str) -> tuple[Change, ...]:
    """Return the changes of one witness that leave the world whole."""
    assert is_whole(WIDE)
    return tuple(change for change in CHANGES if change.part == part and is_whole(change.of(WIDE)))


@pytest.mark.heavy
@pytest.mark.parametrize("part", WITNESSES)
def test_each_fact_of_a_world_is_found_or_cannot_be_known(part: str) -> None:
    """Every fact of every row of a witness, one after the other."""
    assert [change for change in unfound(part) if change.explanation(WIDE) is None] == []


@pytest.mark.heavy
@pytest.mark.parametrize("part", WITNESSES)
def test_what_stands_in_the_table_is_not_found(part: str) -> None:
    """A row that says too much would hide a check that no longer finds what it found."""
    explained = {change for change in CHANGES if change.part == part and change.explanation(WIDE) is not None}
    assert explained - set(unfound(part)) == set()


@pytest.mark.heavy
def test_every_row_of_the_table_is_needed() -> None:
    """One that no change needs would be an excuse."""
    needed = {change.explanation(WIDE) for part in WITNESSES for change in unfound(part)}
    assert needed == set(UNKNOWABLE)


def test_the_world_has_every_kind_of_fact() -> None:
    """Every kind of entry, operation, status and outcome: what is not in the world is not changed in it."""
    assert {line.entry_kind for line in WIDE.postings} == set(ENTRY_RULES)
    assert {charge.operation for charge in WIDE.book} == set(Operation)
    assert {charge.status for charge in WIDE.book} == set(ChargeStatus)
    assert {answer.outcome for answer in WIDE.answers} == set(Outcome)
    changed = {(change.part, change.fact) for change in CHANGES}
    for part in WITNESSES:
        row = getattr(WIDE, part)[0]
        assert {(part, fact) for fact in (*row._fields, REMOVED)} <= changed


@given(healthy_rows(), st.data())
def test_a_fact_of_any_world_is_found_or_cannot_be_known(rows: Rows, data: st.DataObject) -> None:
    """Payments that hypothesis draws stand beside the wider world; one fact of all of it is changed."""
    world = wider_world() + Rows(rows.postings, rows.book, rows.answers).recorded()
    assert is_whole(world)
    change = data.draw(st.sampled_from(tuple(changes(world))))
    assert change.explanation(world) is not None or not is_whole(change.of(world))
