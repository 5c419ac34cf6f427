"""Set the height of each node in its column, as level with its neighbours as the boxes allow."""

from collections.abc import Mapping, Sequence

from moneypath.path.diagram.layers import LayerNode, Layers, neighbours

ROW_GAP = 40
# Moves enter and leave a box this far below its top, so that a chain of boxes is joined by a straight line.
PORT = 22
_ROUNDS = 6


def place(layers: Layers, heights: Mapping[LayerNode, int]) -> dict[LayerNode, int]:
    """Return the height of each node's port, in pixels below the top of the highest box.

    Args:
        layers: The columns, each node in its order.
        heights: Of each node's box; a waypoint has 2 * PORT, so that its line passes in the middle.
    """
    before, after = neighbours(layers.links())
    ports: dict[LayerNode, float] = {}
    for column in layers.columns:
        ports.update(_align(column, {}, ports, heights))
    count = len(layers.columns)
    for _ in range(_ROUNDS):
        for index in range(count - 2, -1, -1):
            ports.update(_align(layers.columns[index], after, ports, heights))
        for index in range(1, count):
            ports.update(_align(layers.columns[index], before, ports, heights))
    highest = min(ports.values())
    return {node: round(port - highest) + PORT for node, port in ports.items()}


def _align(
    column: Sequence[LayerNode],
    joined: Mapping[LayerNode, Sequence[LayerNode]],
    ports: Mapping[LayerNode, float],
    heights: Mapping[LayerNode, int],
) -> dict[LayerNode, float]:
    """Return ports that keep the boxes apart and are nearest to those of their neighbours.

    The method is pool adjacent violators: the least sum of squares for values that must not decrease, after
    the height of the boxes above is subtracted.
    """
    rooms = [0.0]
    for node in column[:-1]:
        rooms.append(rooms[-1] + heights[node] + ROW_GAP)
    pools: list[tuple[float, int]] = []
    for node, room in zip(column, rooms, strict=True):
        levels = [ports[each] for each in joined.get(node, ())]
        wanted = sum(levels) / len(levels) if levels else ports.get(node, room)
        pool = (wanted - room, 1)
        while pools and pools[-1][0] > pool[0]:
            mean, size = pools.pop()
            pool = ((mean * size + pool[0] * pool[1]) / (size + pool[1]), size + pool[1])
        pools.append(pool)
    aligned = [mean for mean, size in pools for _ in range(size)]
    return {node: base + room for node, base, room in zip(column, aligned, rooms, strict=True)}
