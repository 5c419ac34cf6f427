"""The shapes of a drawing. Coordinates are pixels from its top left corner."""

from dataclasses import dataclass
from typing import TypeAlias


@dataclass(frozen=True, slots=True)
class Rect:
    """A rectangle; `stroke` and `fill` are colours or `none`."""

    x: int
    y: int
    width: int
    height: int
    fill: str
    stroke: str = "none"
    radius: int = 0
    role: str = "plate"


@dataclass(frozen=True, slots=True)
class Text:
    """One line of text; `y` is its baseline."""

    x: int
    y: int
    text: str
    size: int
    fill: str
    bold: bool = False


@dataclass(frozen=True, slots=True)
class Curve:
    """A line along SVG path `steps`."""

    steps: str
    stroke: str
    width: float
    dashed: bool = False
    marker: str = ""


@dataclass(frozen=True, slots=True)
class OwnerIcon:
    """The icon of an owner, 12 pixels square."""

    x: int
    y: int
    fill: str


@dataclass(frozen=True, slots=True)
class ObjectiveIcon:
    """The icon of an objective, 12 pixels square."""

    x: int
    y: int
    stroke: str


@dataclass(frozen=True, slots=True)
class Group:
    """Shapes that belong together; `kind` and `id` name what they show."""

    kind: str
    id: str
    shapes: tuple["Shape", ...]


Shape: TypeAlias = Rect | Text | Curve | OwnerIcon | ObjectiveIcon | Group
