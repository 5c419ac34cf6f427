"""Which column a stage stands in, and in which order: a layered drawing, left to right.

The steps are Sugiyama's: turn moves that close a cycle round, layer by the longest way, give a move that
spans columns a bend in each, and order every column by the mean place of its neighbours.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise

Move = tuple[str, str]

_SWEEPS = 4


@dataclass(frozen=True, slots=True)
class Slot:
    """A place in a column: of a stage, or of the bend of a move that passes the column by."""

    name: str
    is_stage: bool = True


@dataclass(frozen=True, slots=True)
class Layers:
    """The columns from left to right; `ways` lead from slot to slot, `returns` close a cycle."""

    columns: tuple[tuple[Slot, ...], ...]
    ways: tuple[tuple[Slot, ...], ...]
    returns: tuple[Move, ...]

    def links(self) -> list[tuple[Slot, Slot]]:
        """Return each pair of slots in neighbouring columns that a move joins."""
        return [pair for way in self.ways for pair in pairwise(way)]


def arrange(stages: Sequence[str], moves: Sequence[Move]) -> Layers:
    """Return the columns of `stages`; the same input always gives the same columns."""
    returns = _returns(stages, moves)
    onward = [move for move in moves if move not in returns]
    columns_of = _columns_of(stages, onward)
    columns: list[list[Slot]] = [[] for _ in range(max(columns_of.values()) + 1)]
    for stage in stages:
        columns[columns_of[stage]].append(Slot(stage))
    ways = []
    for source, target in onward:
        way = [Slot(source)]
        for column in range(columns_of[source] + 1, columns_of[target]):
            way.append(Slot(f"{source}>{target}>{column}", is_stage=False))
            columns[column].append(way[-1])
        ways.append((*way, Slot(target)))
    layers = Layers(tuple(map(tuple, columns)), tuple(ways), returns)
    return Layers(_ordered(layers), layers.ways, returns)


def neighbours(links: Iterable[tuple[Slot, Slot]]) -> tuple[dict[Slot, list[Slot]], dict[Slot, list[Slot]]]:
    """Return the slots before and after each slot."""
    before: dict[Slot, list[Slot]] = {}
    after: dict[Slot, list[Slot]] = {}
    for left, right in links:
        before.setdefault(right, []).append(left)
        after.setdefault(left, []).append(right)
    return before, after


def _returns(stages: Sequence[str], moves: Sequence[Move]) -> tuple[Move, ...]:
    """Return the moves that lead back to a stage on the way to them; without them there is no cycle."""
    targets: dict[str, list[str]] = {stage: [] for stage in stages}
    for source, target in moves:
        targets[source].append(target)
    entered = {target for _, target in moves}
    found: list[Move] = []
    done: set[str] = set()
    # Stages that nothing leads to go first, so that a cycle is cut where its way comes back.
    for start in sorted(stages, key=lambda stage: stage in entered):
        on_way = {start: iter(targets[start])} if start not in done else {}
        while on_way:
            stage = next(reversed(on_way))
            for target in on_way[stage]:
                if target in on_way:
                    found.append((stage, target))
                elif target not in done:
                    on_way[target] = iter(targets[target])
                    break
            else:
                del on_way[stage]
                done.add(stage)
    return tuple(found)


def _columns_of(stages: Sequence[str], moves: Sequence[Move]) -> dict[str, int]:
    """Return the length of the longest way to each stage; `moves` have no cycle."""
    columns = dict.fromkeys(stages, 0)
    for _ in stages:
        for source, target in moves:
            columns[target] = max(columns[target], columns[source] + 1)
    return columns


def _ordered(layers: Layers) -> tuple[tuple[Slot, ...], ...]:
    before, after = neighbours(layers.links())
    columns = [list(column) for column in layers.columns]
    for _ in range(_SWEEPS):
        for index in range(1, len(columns)):
            columns[index] = _by_neighbours(columns[index], columns[index - 1], before)
        for index in range(len(columns) - 2, -1, -1):
            columns[index] = _by_neighbours(columns[index], columns[index + 1], after)
    return tuple(map(tuple, columns))


def _by_neighbours(
    column: list[Slot], beside: list[Slot], joined: Mapping[Slot, Sequence[Slot]]
) -> list[Slot]:
    place = {slot: index for index, slot in enumerate(beside)}

    def mean(slot: Slot) -> float:
        places = [place[each] for each in joined.get(slot, ())]
        return sum(places) / len(places) if places else float(column.index(slot))

    return sorted(column, key=mean)
