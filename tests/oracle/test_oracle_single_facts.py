"""Any single fact that is removed or altered is found, or stands in the table of what cannot be known."""

from collections.abc import Iterator
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from moneypath.oracle import audit

from .test_oracle_audit import healthy_rows
from .unknowable import REMOVED, UNKNOWABLE, Unknowable, explain
from .world import Rows, replace, whole_world

# The witness of each part of the rows; a fact of the ledger is changed in a line and in a whole entry.
WITNESSES = {
    "postings": "ledger",
    "book": "book",
    "answers": "answers",
    "reports": "reports",
    "requests": "requests",
}
# What an entry has once. `misstated` is no fact of a witness, but how a reader says what it could not read.
LINE_FACTS = ("account", "amount_minor", "currency")
NO_FACTS = ("misstated", "whole")


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
            kept = tuple(
                replace(row, **{self.fact: self.new}) if place in self.places else row
                for place, row in enumerate(old)
            )
        return replace(rows, **{self.part: kept})

    def explanation(self, rows: Rows) -> Unknowable | None:
        """Return why the change cannot be known; one line of an entry contradicts the other."""
        if self.part == "postings" and len(self.places) == 1:
            return None
        row = getattr(rows, self.part)[self.places[0]]
        return explain(WITNESSES[self.part], self.fact, row, self.new)


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
    for place, line in enumerate(rows.postings):
        entries.setdefault(line.entry_id, []).append(place)
    for places in entries.values():
        yield from _changes("postings", tuple(places), rows.postings[places[0]], LINE_FACTS)


def _changes(part: str, places: tuple[int, ...], row: Any, without: tuple[str, ...]) -> Iterator[Change]:
    yield Change(part, places, REMOVED, None)
    for name in row._fields:
        if name not in (*without, *NO_FACTS):
            for new in other_values(name, getattr(row, name)):
                yield Change(part, places, name, new)


def is_whole(rows: Rows) -> bool:
    """Audit the rows."""
    return audit(rows.postings, rows.book, rows.answers, requests=rows.requests, reports=rows.reports).whole


WHOLE = whole_world()
CHANGES = tuple(changes(WHOLE))


@pytest.mark.parametrize("part", WITNESSES)
def test_each_fact_of_a_whole_world_is_found_or_cannot_be_known(part: str) -> None:
    """Every fact of the world of the sabotages, one after the other."""
    assert is_whole(WHOLE)
    missed = [
        change
        for change in CHANGES
        if change.part == part and change.explanation(WHOLE) is None and is_whole(change.of(WHOLE))
    ]
    assert not missed


def test_nothing_in_the_table_could_be_known_after_all() -> None:
    """A row of the table that no change needs would be an excuse."""
    needed = {
        explanation
        for change in CHANGES
        if (explanation := change.explanation(WHOLE)) is not None and is_whole(change.of(WHOLE))
    }
    assert needed == set(UNKNOWABLE)


@given(healthy_rows(), st.data())
def test_a_fact_of_any_world_is_found_or_cannot_be_known(rows: Rows, data: st.DataObject) -> None:
    """Payments that hypothesis draws stand beside the whole world; one fact of all of it is changed."""
    world = whole_world() + Rows(rows.postings, rows.book, rows.answers).recorded()
    assert is_whole(world)
    change = data.draw(st.sampled_from(tuple(changes(world))))
    assert change.explanation(world) is not None or not is_whole(change.of(world))
