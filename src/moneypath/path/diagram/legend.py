"""What the signs mean: one line at the foot, with what occurs in the picture and nothing else."""

from moneypath.path.diagram import palette
from moneypath.path.diagram.measure import text_width
from moneypath.path.diagram.model import GATE_NAMES, Diagram
from moneypath.path.diagram.shapes import Aim, Curve, Group, Person, Rect, Shape, Text

_SIZE = 12
_SIGN_ROOM = 22
_LINE_ROOM = 42
_GAP = 22
_LINE_HEIGHT = 22


def legend(diagram: Diagram, x: int, y: int, width: int) -> tuple[Group, int]:
    """Return the legend from `x` and `y` on, wrapped to `width`, and the y at which it ends."""
    shapes: list[Shape] = []
    right = x
    for name, words, room in _entries(diagram):
        needed = room + round(text_width(words, _SIZE))
        if right > x and right + needed > x + width:
            right, y = x, y + _LINE_HEIGHT
        shapes.append(_sign(name, right, y))
        shapes.append(Text(right + room, y + 4, words, _SIZE, palette.MUTED))
        right += needed + _GAP
    return Group("legend", "legend", tuple(shapes)), y + 8


def _entries(diagram: Diagram) -> list[tuple[str, str, int]]:
    entries = []
    if diagram.moves:
        entries.append(("money", "money moves", _LINE_ROOM))
    if diagram.has_dependencies():
        entries.append(("use", "depends on every provider", _LINE_ROOM))
    entries.append(("owner", "who answers", _SIGN_ROOM))
    if any(stage.objectives for stage in diagram.stages):
        entries.append(("objective", "objective", _SIGN_ROOM))
    kinds = {gate.kind for stage in diagram.stages for gate in stage.gates}
    entries += [
        (kind.value, f"gate: {name}", _SIGN_ROOM) for kind, name in GATE_NAMES.items() if kind in kinds
    ]
    return entries


def _sign(name: str, x: int, y: int) -> Shape:
    if name == "money":
        return Curve(f"M{x} {y} H{x + 27}", palette.MONEY, 2.5, marker="money")
    if name == "use":
        return Curve(f"M{x} {y} H{x + 27}", palette.DEPENDENCY, 1.5, dashed=True, marker="use")
    if name == "owner":
        return Person(x, y - 6, palette.MUTED)
    if name == "objective":
        return Aim(x, y - 6, palette.OBJECTIVE)
    edge, _ = next(colours for kind, colours in palette.GATES.items() if kind.value == name)
    return Rect(x, y - 6, 12, 12, edge, radius=2)
