"""The store of data points: its interface, and the one that keeps them in this process only."""

import os
import socket
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from time import time_ns
from typing import Protocol, SupportsIndex

from moneypath.telemetry.exposition.samples import DataPoint, LabelValues

# The slot of a metric is its name. These slots belong to no metric; no metric name begins with a colon.
DROPS = ":drops"
PAYMENTS = ":payments"
PAYMENTS_STARTED = ":payments_started"
PAYMENTS_LOST = ":payments_lost"

# Copies of data points, by slot and key.
Slots = Mapping[str, Mapping[LabelValues, DataPoint]]


class LivePoint(Protocol):
    """A data point that is changed in place: a list, or memory that workers share."""

    def __getitem__(self, index: SupportsIndex, /) -> float: ...
    def __setitem__(self, index: SupportsIndex, value: float, /) -> None: ...
    def __iter__(self) -> Iterator[float]: ...


@dataclass(frozen=True, slots=True)
class Merged:
    """The data points of all workers. `skipped` counts files that were unreadable for the first time."""

    slots: Slots
    skipped: int = 0


class ExportScope(StrEnum):
    """What a process must export, so that each number arrives once."""

    ALL = "all"
    OWN = "own"
    NOTHING = "nothing"


class PointStore:
    """Stores data points in this process only. Stores that share them override its methods."""

    def __init__(self) -> None:
        self._slots: dict[str, dict[LabelValues, LivePoint]] = {}
        # The time at which the counters started, for exporters that must state it.
        self.start_time_unix_nano = time_ns()

    @property
    def instance(self) -> str:
        """Return an id that distinguishes this process from others."""
        return f"{socket.gethostname()}:{os.getpid()}"

    def points_of(self, slot: str) -> dict[LabelValues, LivePoint]:
        """Return the live data points of a slot by key.

        It is always the same dictionary; only the store changes it.
        """
        return self._slots.setdefault(slot, {})

    def allocate(self, slot: str, key: LabelValues, zero: Sequence[float]) -> LivePoint | None:
        """Return the data point of a key. A new one starts at `zero`. None if there is no room."""
        # setdefault: two threads at once get the same data point.
        return self.points_of(slot).setdefault(key, list(zero))

    def copy_of(self, slot: str) -> dict[LabelValues, DataPoint]:
        """Return a copy of the data points of a slot."""
        return {key: list(point) for key, point in self.points_of(slot).copy().items()}

    def slots(self) -> list[str]:
        """Return the names of the slots in the order in which to copy them.

        Ended payments are read before started ones: the number in flight may be one too high, never below 0.
        """
        return sorted(self._slots.copy(), key=PAYMENTS_STARTED.__eq__)

    def own(self) -> dict[str, dict[LabelValues, DataPoint]]:
        """Return a copy of the data points of this process."""
        return {name: self.copy_of(name) for name in self.slots()}

    def merged(self) -> Merged | None:
        """Return the sums over all workers; None if this process is the only one."""
        return None

    def claim_export(self, *, last: bool = False) -> ExportScope:  # noqa: ARG002 - a worker that ends has to say so to others
        """Return what to export now. Set `last` for the final call of a process."""
        return ExportScope.ALL

    def release_export(self) -> bool:
        """Let another worker export. Return whether an exited worker relied on the last export."""
        return False

    def abandon(self) -> None:
        """Release what a forked child inherited; the data points belong to its parent."""
