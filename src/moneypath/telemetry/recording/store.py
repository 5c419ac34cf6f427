"""Where cells live: a port, and the store that keeps them in this process alone."""

import os
import socket
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from time import time_ns
from typing import Protocol, SupportsIndex

from moneypath.telemetry.exposition.samples import Cells, Key

# A metric's slot is its name; these belong to none, and no metric can be called so.
DROPS = ":drops"
PAYMENTS = ":payments"
PAYMENTS_STARTED = ":payments_started"
PAYMENTS_LOST = ":payments_lost"

# Copies of cells, by slot and key.
Slots = Mapping[str, Mapping[Key, Cells]]


class LiveCells(Protocol):
    """Cells that records change in place: a list, or memory that workers share."""

    def __getitem__(self, index: SupportsIndex, /) -> float: ...
    def __setitem__(self, index: SupportsIndex, value: float, /) -> None: ...
    def __iter__(self) -> Iterator[float]: ...


class Source(Protocol):
    """Where a scrape reads: what this process recorded, or what all workers did."""

    def copy_of(self, slot: str) -> dict[Key, Cells]:
        """Return the cells of a slot, for the caller to keep."""


@dataclass(frozen=True, slots=True)
class Merged:
    """What all workers of a service recorded; `skipped` files are new since the last time."""

    slots: Slots
    skipped: int = 0

    def copy_of(self, slot: str) -> dict[Key, Cells]:
        """Return the cells of a slot, for the caller to keep."""
        return dict(self.slots.get(slot, {}))


class Turn(StrEnum):
    """What a process is to send, so that each number arrives once."""

    ALL = "all"
    OWN = "own"
    NOTHING = "nothing"


class CellStore:
    """Keep cells in this process alone; a store that shares them replaces what it does otherwise."""

    def __init__(self) -> None:
        self._slots: dict[str, dict[Key, LiveCells]] = {}
        # Since when the counters count, for ways out that have to say so.
        self.begun_unix_nanos = time_ns()

    @property
    def instance(self) -> str:
        """Return what tells these numbers from those of any other process or group of workers."""
        return f"{socket.gethostname()}:{os.getpid()}"

    def cells_of(self, slot: str) -> dict[Key, LiveCells]:
        """Return the live cells of a slot by key; it stays the same object and is only read by others."""
        return self._slots.setdefault(slot, {})

    def allocate(self, slot: str, key: Key, zero: Sequence[float]) -> LiveCells | None:
        """Return the cells of a key, at `zero` when it is new; None if there is no room for them."""
        # setdefault: two threads that meet here get the same cells.
        return self.cells_of(slot).setdefault(key, list(zero))

    def copy_of(self, slot: str) -> dict[Key, Cells]:
        """Return the cells of a slot, for the caller to keep."""
        return {key: list(cells) for key, cells in self.cells_of(slot).copy().items()}

    def own(self) -> dict[str, dict[Key, Cells]]:
        """Copy the cells of this process."""
        # What ended is read before what started: in flight may be one too many, never below 0.
        names = sorted(self._slots.copy(), key=PAYMENTS_STARTED.__eq__)
        return {name: self.copy_of(name) for name in names}

    def merged(self) -> Merged | None:
        """Return what all workers recorded, or None where this process is the only one."""
        return None

    def turn(self, *, last: bool = False) -> Turn:  # noqa: ARG002 - a worker that ends has to say so to others
        """Tell what is to be sent now; `last` if this process will not ask again."""
        return Turn.ALL

    def hand_over(self) -> bool:
        """Let another worker send, and tell whether one that ended relied on what was just sent."""
        return False

    def abandon(self) -> None:
        """Let go of what a forked child inherited; the cells belong to its parent."""
