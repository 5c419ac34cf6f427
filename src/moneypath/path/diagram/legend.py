"""Draw the legend: one line at the foot that explains only the symbols that occur."""

from moneypath.path.diagram import palette
from moneypath.path.diagram.measure import text_width
from moneypath.path.diagram.model import CONTROL_NAMES, Diagram
from moneypath.path.diagram.shapes import Curve, Group, ObjectiveIcon, OwnerIcon, Rect, Shape, Text

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
    kinds = {control.kind for stage in diagram.stages for control in stage.controls}
    entries += [
        (kind.value, f"control: {name}", _SIGN_ROOM) for kind, name in CONTROL_NAMES.items() if kind in kinds
    ]
    return entries


def _sign(name: str, x: int, y: int) -> Shape:
    if name == "money":
        return Curve(f"M{x} {y} H{x + 27}", palette.MONEY, 2.5, marker="money")
    if name == "use":
        return Curve(f"M{x} {y} H{x + 27}", palette.DEPENDENCY, 1.5, dashed=True, marker="use")
    if name == "owner":
        return OwnerIcon(x, y - 6, palette.MUTED)
    if name == "objective":
        return ObjectiveIcon(x, y - 6, palette.OBJECTIVE)
    edge, _ = next(colours for kind, colours in palette.CONTROLS.items() if kind.value == name)
    return Rect(x, y - 6, 12, 12, edge, radius=2)
