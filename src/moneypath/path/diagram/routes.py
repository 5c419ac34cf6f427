"""Draw the lines between boxes. Curves stay in the gutters between columns, so they never cross a box."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise

from moneypath.path.diagram import palette
from moneypath.path.diagram.placement import PORT, ROW_GAP
from moneypath.path.diagram.shapes import Curve

# An arrow head is this long, so the line ends before the box.
_HEAD = 9
# A cubic curve reaches three quarters of the detour to its handles: 33 of a gutter's 64 pixels.
_HANDLE = 44
_DETOUR = 22


@dataclass(frozen=True, slots=True)
class Box:
    """The rectangle of a stage, or the space through which a line passes a column."""

    column: int
    x: int
    y: int
    width: int
    height: int
    is_stage: bool

    @property
    def right(self) -> int:
        """Return the x of the right edge."""
        return self.x + self.width

    @property
    def bottom(self) -> int:
        """Return the y of the lower edge."""
        return self.y + self.height

    @property
    def port(self) -> int:
        """Return the y at which money enters and leaves."""
        return self.y + PORT


def forward_line(boxes: Sequence[Box]) -> Curve:
    """Return the line of a move through `boxes`; the first and the last are stages."""
    steps = [f"M{boxes[0].right} {boxes[0].port}"]
    for left, right in pairwise(boxes):
        end = right.x - (_HEAD if right is boxes[-1] else 0)
        middle = (left.right + right.x) // 2
        if left.port == right.port:
            steps.append(f"H{end}")
        else:
            steps.append(f"C{middle} {left.port} {middle} {right.port} {end} {right.port}")
        if right is not boxes[-1]:
            steps.append(f"H{right.right}")
    return Curve(" ".join(steps), palette.MONEY, 2.5, marker="money")


def back_line(source: Box, target: Box, top: int) -> Curve:
    """Return the line of a move back to an earlier stage, over all boxes at the height `top`."""
    out, back = source.right + _HANDLE, target.x - _HANDLE
    steps = (
        f"M{source.right} {source.port} C{out} {source.port} {out} {top} {source.right} {top} "
        f"H{target.x} C{back} {top} {back} {target.port} {target.x - _HEAD} {target.port}"
    )
    return Curve(steps, palette.MONEY, 2.5, marker="money")


def dependency(stage: str, boxes: Mapping[str, Box], plate: int) -> Curve:
    """Return the line from a stage down to the providers, round the boxes below it."""
    box = boxes[stage]
    middle = box.x + box.width // 2
    blocked = any(
        other.is_stage and other.column == box.column and other.y > box.y for other in boxes.values()
    )
    detour = f"V{box.bottom + ROW_GAP // 2} H{box.x - _DETOUR} " if blocked else ""
    return Curve(
        f"M{middle} {box.bottom} {detour}V{plate - _HEAD}", palette.DEPENDENCY, 1.5, dashed=True, marker="use"
    )
