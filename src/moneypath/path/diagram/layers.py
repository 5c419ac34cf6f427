"""Assign stages to columns, and order them within each: a layered drawing from left to right.

The steps are Sugiyama's. Reverse the moves that close a cycle, assign layers by the longest route, add a
waypoint in each column that a move spans, and order every column by the mean position of its neighbours.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise

Edge = tuple[str, str]

_SWEEPS = 4


@dataclass(frozen=True, slots=True)
class LayerNode:
    """A position in a column: a stage, or a waypoint of a move that passes through the column."""

    name: str
    is_stage: bool = True


@dataclass(frozen=True, slots=True)
class Layers:
    """The columns from left to right; `routes` lead from node to node, `back_edges` close a cycle."""

    columns: tuple[tuple[LayerNode, ...], ...]
    routes: tuple[tuple[LayerNode, ...], ...]
    back_edges: tuple[Edge, ...]

    def links(self) -> list[tuple[LayerNode, LayerNode]]:
        """Return each pair of nodes in neighbouring columns that a move joins."""
        return [pair for route in self.routes for pair in pairwise(route)]


def arrange(stages: Sequence[str], moves: Sequence[Edge]) -> Layers:
    """Return the columns of `stages`; the same input always gives the same columns."""
    back_edges = _back_edges(stages, moves)
    forward_edges = [move for move in moves if move not in back_edges]
    columns_of = _columns_of(stages, forward_edges)
    columns: list[list[LayerNode]] = [[] for _ in range(max(columns_of.values()) + 1)]
    for stage in stages:
        columns[columns_of[stage]].append(LayerNode(stage))
    routes = []
    for source, target in forward_edges:
        route = [LayerNode(source)]
        for column in range(columns_of[source] + 1, columns_of[target]):
            route.append(LayerNode(f"{source}>{target}>{column}", is_stage=False))
            columns[column].append(route[-1])
        routes.append((*route, LayerNode(target)))
    layers = Layers(tuple(map(tuple, columns)), tuple(routes), back_edges)
    return Layers(_ordered(layers), layers.routes, back_edges)


def neighbours(
    links: Iterable[tuple[LayerNode, LayerNode]],
) -> tuple[dict[LayerNode, list[LayerNode]], dict[LayerNode, list[LayerNode]]]:
    """Return the nodes before and after each node."""
    before: dict[LayerNode, list[LayerNode]] = {}
    after: dict[LayerNode, list[LayerNode]] = {}
    for left, right in links:
        before.setdefault(right, []).append(left)
        after.setdefault(left, []).append(right)
    return before, after


def _back_edges(stages: Sequence[str], moves: Sequence[Edge]) -> tuple[Edge, ...]:
    """Return the moves that lead back to a stage on the route to them; without them there is no cycle."""
    targets: dict[str, list[str]] = {stage: [] for stage in stages}
    for source, target in moves:
        targets[source].append(target)
    entered = {target for _, target in moves}
    found: list[Edge] = []
    done: set[str] = set()
    # Stages that nothing leads to go first, so that a cycle is cut where its route comes back.
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


def _columns_of(stages: Sequence[str], moves: Sequence[Edge]) -> dict[str, int]:
    """Return the length of the longest route to each stage; `moves` have no cycle."""
    columns = dict.fromkeys(stages, 0)
    for _ in stages:
        for source, target in moves:
            columns[target] = max(columns[target], columns[source] + 1)
    return columns


def _ordered(layers: Layers) -> tuple[tuple[LayerNode, ...], ...]:
    before, after = neighbours(layers.links())
    columns = [list(column) for column in layers.columns]
    for _ in range(_SWEEPS):
        for index in range(1, len(columns)):
            columns[index] = _by_neighbours(columns[index], columns[index - 1], before)
        for index in range(len(columns) - 2, -1, -1):
            columns[index] = _by_neighbours(columns[index], columns[index + 1], after)
    return tuple(map(tuple, columns))


def _by_neighbours(
    column: list[LayerNode], beside: list[LayerNode], joined: Mapping[LayerNode, Sequence[LayerNode]]
) -> list[LayerNode]:
    place = {node: index for index, node in enumerate(beside)}

    def mean(node: LayerNode) -> float:
        places = [place[each] for each in joined.get(node, ())]
        return sum(places) / len(places) if places else float(column.index(node))

    return sorted(column, key=mean)
