"""Lay out the diagram: stages in columns, providers below them, the legend at the foot."""

from dataclasses import dataclass

from moneypath.path.diagram import palette
from moneypath.path.diagram.boxes import PROVIDER_WIDTH, STAGE_WIDTH, provider_box, stage_box
from moneypath.path.diagram.layers import LayerNode, Layers, arrange
from moneypath.path.diagram.legend import legend
from moneypath.path.diagram.measure import wrap
from moneypath.path.diagram.model import Diagram
from moneypath.path.diagram.placement import PORT, place
from moneypath.path.diagram.routes import Box, back_line, dependency, forward_line
from moneypath.path.diagram.shapes import Curve, Group, Rect, Shape, Text

MARGIN = 44
GUTTER = 64
BACK_LINE_GAP = 16
_LEAST_WIDTH = 620
_PROVIDER_GAP = 20
_PLATE_PADDING = 18
_MOST_PROVIDERS_IN_A_ROW = 4


@dataclass(frozen=True, slots=True)
class Scene:
    """A finished drawing of `width` by `height` pixels."""

    width: int
    height: int
    shapes: tuple[Shape, ...]


def compose(diagram: Diagram) -> Scene:
    """Return the drawing of `diagram`; no two boxes overlap, no text is wider than its box."""
    layers = arrange([stage.id for stage in diagram.stages], diagram.moves)
    used = len(layers.columns) * (STAGE_WIDTH + GUTTER) - GUTTER
    inner = max(_LEAST_WIDTH, used, _providers_width(len(diagram.providers)))
    head = _head(diagram, inner)
    top = head[-1].y + 34 + BACK_LINE_GAP * len(layers.back_edges)
    boxes = _boxes(diagram, layers, MARGIN + (inner - used) // 2, top)
    stages = [stage_box(stage, boxes[stage.id].x, boxes[stage.id].y)[0] for stage in diagram.stages]
    bottom = max(box.bottom for box in boxes.values())
    plate_top = bottom + (56 if diagram.has_dependencies() else 28)
    providers, plate_bottom = _providers(diagram, inner, plate_top)
    uses = [dependency(stage.id, boxes, plate_top) for stage in diagram.stages if stage.uses_providers]
    key, height = legend(diagram, MARGIN, plate_bottom + 30, inner)
    moves = _moves(layers, boxes, top)
    return Scene(
        width=inner + 2 * MARGIN,
        height=height + 24,
        shapes=(*head, *uses, *moves, *stages, *providers, key),
    )


def _head(diagram: Diagram, width: int) -> list[Text]:
    lines = wrap(diagram.title, width, 20, bold=True) or [""]
    title = [
        Text(MARGIN, 48 + 26 * index, line, 20, palette.INK, bold=True) for index, line in enumerate(lines)
    ]
    below = [
        Text(MARGIN, title[-1].y + 22 + 18 * index, line, 13, palette.MUTED)
        for index, line in enumerate(wrap(diagram.summary(), width, 13))
    ]
    return [*title, *below]


def _boxes(diagram: Diagram, layers: Layers, left: int, top: int) -> dict[str, Box]:
    """Return the box of each node by name; the box of a waypoint is the space its line passes through."""
    heights = {LayerNode(stage.id): stage_box(stage, 0, 0)[1] for stage in diagram.stages}
    waypoints = {node: 2 * PORT for column in layers.columns for node in column if not node.is_stage}
    ports = place(layers, heights | waypoints)
    return {
        node.name: Box(
            column=index,
            x=left + index * (STAGE_WIDTH + GUTTER),
            y=top + ports[node] - PORT,
            width=STAGE_WIDTH,
            height=(heights | waypoints)[node],
            is_stage=node.is_stage,
        )
        for index, column in enumerate(layers.columns)
        for node in column
    }


def _moves(layers: Layers, boxes: dict[str, Box], top: int) -> list[Curve]:
    moves = [forward_line([boxes[node.name] for node in route]) for route in layers.routes]
    for number, (source, target) in enumerate(layers.back_edges, start=1):
        moves.append(back_line(boxes[source], boxes[target], top - BACK_LINE_GAP * number))
    return moves


def _providers_width(count: int) -> int:
    in_row = min(count, _MOST_PROVIDERS_IN_A_ROW)
    return in_row * (PROVIDER_WIDTH + _PROVIDER_GAP) - _PROVIDER_GAP + 2 * _PLATE_PADDING


def _providers(diagram: Diagram, inner: int, top: int) -> tuple[list[Shape], int]:
    """Return the plate with all providers in rows, and the y at which it ends."""
    room = inner - 2 * _PLATE_PADDING + _PROVIDER_GAP
    in_row = room // (PROVIDER_WIDTH + _PROVIDER_GAP)
    x, y = MARGIN + _PLATE_PADDING, top + 44
    boxes: list[Group] = []
    for start in range(0, len(diagram.providers), in_row):
        row = diagram.providers[start : start + in_row]
        height = max(provider_box(provider, 0, 0)[1] for provider in row)
        boxes += [
            provider_box(provider, x + index * (PROVIDER_WIDTH + _PROVIDER_GAP), y, height)[0]
            for index, provider in enumerate(row)
        ]
        y += height + _PROVIDER_GAP
    bottom = y - _PROVIDER_GAP + _PLATE_PADDING
    plate = Rect(
        MARGIN, top, inner, bottom - top, palette.PROVIDER_PLATE, palette.CARD_EDGE, radius=10, role="plate"
    )
    title = Text(x, top + 28, "Providers", 14, palette.MUTED, bold=True)
    return [plate, title, *boxes], bottom
