"""The boxes of stages and providers: text wrapped to their width, and as high as it needs."""

from moneypath.path.diagram import palette
from moneypath.path.diagram.measure import wrap
from moneypath.path.diagram.model import GATE_NAMES, GateNode, ObjectiveNode, ProviderNode, StageNode
from moneypath.path.diagram.shapes import Aim, Group, Person, Rect, Shape, Text

STAGE_WIDTH = 272
PROVIDER_WIDTH = 272
PADDING = 14
# Text is measured at its widest, so in most fonts it ends well before this.
_RIGHT_PADDING = 4
TITLE_SIZE = 16
BODY_SIZE = 13
SMALL_SIZE = 12
_SIGN_ROOM = 20
_BAND_MARGIN = 10
_BAND_PADDING = 12
_RADIUS = 8


class _Pen:
    """Writes wrapped lines downwards; `y` is where the next one begins."""

    def __init__(self, x: int, y: int, width: int) -> None:
        self.x = x
        self.y = y
        self.width = width
        self.shapes: list[Shape] = []

    def write(self, text: str, size: int, fill: str, *, bold: bool = False, indent: int = 0) -> None:
        for line in wrap(text, self.width - indent, size, bold=bold):
            # The baseline lies an em below the top of a line; a line is 1.35 em high.
            self.shapes.append(Text(self.x + indent, self.y + size, line, size, fill, bold))
            self.y += round(size * 1.35)


def stage_box(stage: StageNode, x: int, y: int) -> tuple[Group, int]:
    """Return the box of `stage` with its top left corner at `x` and `y`, and its height."""
    head = _Pen(x + PADDING, y + 12, STAGE_WIDTH - PADDING - _RIGHT_PADDING)
    head.write(stage.title, TITLE_SIZE, palette.ON_STAGE, bold=True)
    head.y = max(head.y, y + 34)
    plate_height = head.y + 9 - y
    body = _Pen(x + PADDING, y + plate_height + 12, STAGE_WIDTH - PADDING - _RIGHT_PADDING)
    body.shapes.append(Person(body.x, body.y + 2, palette.MUTED))
    body.write(stage.owner, BODY_SIZE, palette.INK, indent=_SIGN_ROOM)
    for objective in stage.objectives:
        body.shapes.append(_objective(objective, body))
    body.y += 10
    for gate in stage.gates:
        band = _gate_band(gate, x + _BAND_MARGIN, body.y)
        body.shapes.append(band[0])
        body.y += band[1] + 8
    height = body.y + 4 - y
    frame = Rect(x, y, STAGE_WIDTH, height, palette.STAGE_FILL, palette.STAGE, _RADIUS, role="box")
    plate = Rect(x, y, STAGE_WIDTH, plate_height, palette.STAGE, palette.STAGE, _RADIUS)
    # The plate is round at the top only.
    square = Rect(x, y + plate_height - _RADIUS, STAGE_WIDTH, _RADIUS, palette.STAGE, palette.STAGE)
    return Group("stage", stage.id, (frame, plate, square, *head.shapes, *body.shapes)), height


def provider_box(provider: ProviderNode, x: int, y: int, least: int = 0) -> tuple[Group, int]:
    """Return the box of `provider` with its top left corner at `x` and `y`, and its height."""
    pen = _Pen(x + PADDING, y + 12, PROVIDER_WIDTH - PADDING - _RIGHT_PADDING)
    pen.write(provider.title, 15, palette.INK, bold=True)
    pen.write(", ".join(provider.schemes), SMALL_SIZE, palette.MUTED)
    pen.y += 4
    pen.write(f"Licence: {provider.licence}", BODY_SIZE, palette.INK)
    pen.write(f"Data kept in: {provider.data_residency}", BODY_SIZE, palette.INK)
    height = max(pen.y + 10 - y, least)
    frame = Rect(x, y, PROVIDER_WIDTH, height, palette.CARD, palette.PROVIDER_EDGE, _RADIUS, role="box")
    return Group("provider", provider.id, (frame, *pen.shapes)), height


def _objective(objective: ObjectiveNode, below: _Pen) -> Group:
    below.y += 8
    pen = _Pen(below.x, below.y, below.width)
    pen.shapes.append(Aim(pen.x, pen.y + 2, palette.OBJECTIVE))
    pen.write(objective.target, BODY_SIZE, palette.OBJECTIVE, bold=True, indent=_SIGN_ROOM)
    words = ", ".join(filter(None, (objective.title, objective.scope)))
    pen.write(words, SMALL_SIZE, palette.MUTED, indent=_SIGN_ROOM)
    below.y = pen.y
    return Group("objective", objective.id, tuple(pen.shapes))


def _gate_band(gate: GateNode, x: int, y: int) -> tuple[Group, int]:
    edge, fill = palette.GATES[gate.kind]
    width = STAGE_WIDTH - 2 * _BAND_MARGIN
    pen = _Pen(x + _BAND_PADDING, y + 7, width - _BAND_PADDING - _RIGHT_PADDING)
    pen.write(GATE_NAMES[gate.kind], SMALL_SIZE, edge, bold=True)
    pen.write(gate.title, BODY_SIZE, palette.INK)
    pen.y += 3
    pen.shapes.append(Person(pen.x, pen.y + 1, palette.MUTED))
    pen.write(gate.owner, SMALL_SIZE, palette.MUTED, indent=_SIGN_ROOM)
    height = pen.y + 6 - y
    band = Rect(x, y, width, height, fill, role="band")
    stripe = Rect(x, y, 4, height, edge)
    return Group("gate", gate.id, (band, stripe, *pen.shapes)), height
