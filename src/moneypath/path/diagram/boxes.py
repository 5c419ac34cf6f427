"""Draw the boxes of stages and providers, with text wrapped to their width."""

from moneypath.path.diagram import palette
from moneypath.path.diagram.measure import wrap
from moneypath.path.diagram.model import CONTROL_NAMES, ControlNode, ObjectiveNode, ProviderNode, StageNode
from moneypath.path.diagram.shapes import Group, ObjectiveIcon, OwnerIcon, Rect, Shape, Text

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


class _TextWriter:
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
    head = _TextWriter(x + PADDING, y + 12, STAGE_WIDTH - PADDING - _RIGHT_PADDING)
    head.write(stage.title, TITLE_SIZE, palette.ON_STAGE, bold=True)
    head.y = max(head.y, y + 34)
    plate_height = head.y + 9 - y
    body = _TextWriter(x + PADDING, y + plate_height + 12, STAGE_WIDTH - PADDING - _RIGHT_PADDING)
    body.shapes.append(OwnerIcon(body.x, body.y + 2, palette.MUTED))
    body.write(stage.owner, BODY_SIZE, palette.INK, indent=_SIGN_ROOM)
    for objective in stage.objectives:
        body.shapes.append(_objective(objective, body))
    body.y += 10
    for control in stage.controls:
        band = _control_band(control, x + _BAND_MARGIN, body.y)
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
    writer = _TextWriter(x + PADDING, y + 12, PROVIDER_WIDTH - PADDING - _RIGHT_PADDING)
    writer.write(provider.title, 15, palette.INK, bold=True)
    writer.write(", ".join(provider.schemes), SMALL_SIZE, palette.MUTED)
    writer.y += 4
    writer.write(f"Licence: {provider.licence}", BODY_SIZE, palette.INK)
    writer.write(f"Data kept in: {provider.data_residency}", BODY_SIZE, palette.INK)
    height = max(writer.y + 10 - y, least)
    frame = Rect(x, y, PROVIDER_WIDTH, height, palette.CARD, palette.PROVIDER_EDGE, _RADIUS, role="box")
    return Group("provider", provider.id, (frame, *writer.shapes)), height


def _objective(objective: ObjectiveNode, below: _TextWriter) -> Group:
    below.y += 8
    writer = _TextWriter(below.x, below.y, below.width)
    writer.shapes.append(ObjectiveIcon(writer.x, writer.y + 2, palette.OBJECTIVE))
    writer.write(objective.target, BODY_SIZE, palette.OBJECTIVE, bold=True, indent=_SIGN_ROOM)
    words = ", ".join(filter(None, (objective.title, objective.scope)))
    writer.write(words, SMALL_SIZE, palette.MUTED, indent=_SIGN_ROOM)
    below.y = writer.y
    return Group("objective", objective.id, tuple(writer.shapes))


def _control_band(control: ControlNode, x: int, y: int) -> tuple[Group, int]:
    edge, fill = palette.CONTROLS[control.kind]
    width = STAGE_WIDTH - 2 * _BAND_MARGIN
    writer = _TextWriter(x + _BAND_PADDING, y + 7, width - _BAND_PADDING - _RIGHT_PADDING)
    writer.write(CONTROL_NAMES[control.kind], SMALL_SIZE, edge, bold=True)
    writer.write(control.title, BODY_SIZE, palette.INK)
    writer.y += 3
    writer.shapes.append(OwnerIcon(writer.x, writer.y + 1, palette.MUTED))
    writer.write(control.owner, SMALL_SIZE, palette.MUTED, indent=_SIGN_ROOM)
    height = writer.y + 6 - y
    band = Rect(x, y, width, height, fill, role="band")
    stripe = Rect(x, y, 4, height, edge)
    return Group("control", control.id, (band, stripe, *writer.shapes)), height
