"""A copy of many data points that costs the garbage collector nothing."""

from collections.abc import ItemsView, Iterator, Mapping, ValuesView
from itertools import chain

from moneypath.telemetry.exposition.samples import DataPoint, LabelValues
from moneypath.telemetry.recording.store import LivePoint, PointStore


class FrozenPoints(Mapping[LabelValues, DataPoint]):
    """The data points of a slot at one moment, all of the same length.

    All numbers are in one list. A list for each data point would be a copy as good, but thousands of new
    lists at each scrape make the collector search the whole heap of the process every few seconds, which
    takes many times as long as a step of the scrape.
    """

    __slots__ = ("_keys", "_numbers", "_size")

    def __init__(self, points: Mapping[LabelValues, LivePoint]) -> None:
        # `copy`, `list` and `chain` run without a thread switch under the GIL.
        copied = dict(points)
        self._keys = list(copied)
        self._numbers: list[float] = list(chain.from_iterable(copied.values()))
        self._size = len(self._numbers) // len(copied) if copied else 0

    def __len__(self) -> int:
        return len(self._keys)

    def __iter__(self) -> Iterator[LabelValues]:
        return iter(self._keys)

    def __getitem__(self, key: LabelValues) -> DataPoint:
        try:
            return self._point(self._keys.index(key))
        except ValueError:
            raise KeyError(key) from None

    def _point(self, place: int) -> DataPoint:
        return self._numbers[place * self._size : (place + 1) * self._size]

    def _points(self) -> Iterator[DataPoint]:
        numbers, size = self._numbers, self._size
        for start in range(0, len(numbers), size or 1):
            yield numbers[start : start + size]

    def items(self) -> ItemsView[LabelValues, DataPoint]:
        """Return keys and data points; each data point is a new list."""
        return _Items(self)

    def values(self) -> ValuesView[DataPoint]:
        """Return the data points, each a new list."""
        return _Values(self)

    def column(self, index: int) -> dict[LabelValues, float]:
        """Return one number of each data point."""
        return dict(zip(self._keys, self._numbers[index :: self._size or 1], strict=True))

    def total(self, first: int) -> float:
        """Return the sum over all data points of all numbers from `first` on."""
        return sum(sum(self._numbers[index :: self._size]) for index in range(first, self._size))


# By slot; a slot without data points may be absent.
Frozen = Mapping[str, FrozenPoints]


def freeze(store: PointStore) -> Frozen:
    """Copy the data points of this process."""
    return freeze_slots({name: store.points_of(name) for name in store.slots()})


def freeze_slots(slots: Mapping[str, Mapping[LabelValues, LivePoint]]) -> Frozen:
    """Copy the data points of these slots, in their order."""
    return {name: FrozenPoints(points) for name, points in slots.items()}


class _Items(ItemsView[LabelValues, DataPoint]):
    _mapping: FrozenPoints

    def __iter__(self) -> Iterator[tuple[LabelValues, DataPoint]]:
        return zip(self._mapping._keys, self._mapping._points(), strict=True)


class _Values(ValuesView[DataPoint]):
    _mapping: FrozenPoints

    def __iter__(self) -> Iterator[DataPoint]:
        return self._mapping._points()


NO_POINTS = FrozenPoints({})
