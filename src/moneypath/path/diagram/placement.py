"""How high each slot of a column stands: as level with its neighbours as the boxes allow."""

from collections.abc import Mapping, Sequence

from moneypath.path.diagram.layers import Layers, Slot, neighbours

ROW_GAP = 40
# Moves enter and leave a box this far below its top, so that a chain of boxes is joined by a straight line.
PORT = 22
_ROUNDS = 6


def place(layers: Layers, heights: Mapping[Slot, int]) -> dict[Slot, int]:
    """Return the height of each slot's port, in pixels below the top of the highest box.

    Args:
        layers: The columns, each slot in its order.
        heights: Of each slot's box; a bend has 2 * PORT, so that its line passes in the middle.
    """
    before, after = neighbours(layers.links())
    ports: dict[Slot, float] = {}
    for column in layers.columns:
        ports.update(_settle(column, {}, ports, heights))
    count = len(layers.columns)
    for _ in range(_ROUNDS):
        for index in range(count - 2, -1, -1):
            ports.update(_settle(layers.columns[index], after, ports, heights))
        for index in range(1, count):
            ports.update(_settle(layers.columns[index], before, ports, heights))
    highest = min(ports.values())
    return {slot: round(port - highest) + PORT for slot, port in ports.items()}


def _settle(
    column: Sequence[Slot],
    joined: Mapping[Slot, Sequence[Slot]],
    ports: Mapping[Slot, float],
    heights: Mapping[Slot, int],
) -> dict[Slot, float]:
    """Return ports that keep the boxes apart and are nearest to those of their neighbours.

    Pool adjacent violators: the least sum of squares for values that must not decrease, after the room
    that the boxes above take is subtracted.
    """
    rooms = [0.0]
    for slot in column[:-1]:
        rooms.append(rooms[-1] + heights[slot] + ROW_GAP)
    pools: list[tuple[float, int]] = []
    for slot, room in zip(column, rooms, strict=True):
        levels = [ports[each] for each in joined.get(slot, ())]
        wanted = sum(levels) / len(levels) if levels else ports.get(slot, room)
        pool = (wanted - room, 1)
        while pools and pools[-1][0] > pool[0]:
            mean, size = pools.pop()
            pool = ((mean * size + pool[0] * pool[1]) / (size + pool[1]), size + pool[1])
        pools.append(pool)
    settled = [mean for mean, size in pools for _ in range(size)]
    return {slot: base + room for slot, base, room in zip(column, settled, rooms, strict=True)}
