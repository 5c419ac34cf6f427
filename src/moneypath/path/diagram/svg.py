"""Write the diagram as one SVG file without scripts, styles or external fonts."""

from collections.abc import Iterator
from html import escape

from moneypath.path.diagram import palette
from moneypath.path.diagram.model import Diagram
from moneypath.path.diagram.scene import compose
from moneypath.path.diagram.shapes import Curve, Group, ObjectiveIcon, OwnerIcon, Rect, Shape, Text

_FONTS = "'Segoe UI', Roboto, Helvetica, Arial, sans-serif"
_MARKERS = {"money": (palette.MONEY, 4.2), "use": (palette.DEPENDENCY, 6.0)}


def to_svg(diagram: Diagram) -> str:
    """Return `diagram` as SVG text; the same diagram always gives the same bytes."""
    scene = compose(diagram)
    width, height = scene.width, scene.height
    lines = [
        "<!-- Generated from moneypath.yaml by `moneypath generate`; edit that file, not this one. -->",
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" width="{width}" '
        f'height="{height}" role="img" aria-labelledby="title desc" font-family="{_FONTS}">',
        f'<title id="title">The money path: {escape(diagram.title)}</title>',
        f'<desc id="desc">{escape(describe(diagram))}</desc>',
        "<defs>",
        *(_marker(name, colour, size) for name, (colour, size) in _MARKERS.items()),
        "</defs>",
        f'<rect class="card" x="1" y="1" width="{width - 2}" height="{height - 2}" rx="14" '
        f'fill="{palette.CARD}" stroke="{palette.CARD_EDGE}" stroke-width="1.5"/>',
        *(line for shape in scene.shapes for line in _draw(shape)),
        "</svg>",
    ]
    return "\n".join(lines) + "\n"


def describe(diagram: Diagram) -> str:
    """Return the diagram in words, for readers who cannot see it."""
    titles = {stage.id: stage.title for stage in diagram.stages}
    sentences = [f"{diagram.summary()}."]
    sentences += [
        f"Money moves from {titles[source]} to {titles[target]}." for source, target in diagram.moves
    ]
    sentences += [f"{stage.owner} answers for {stage.title}." for stage in diagram.stages]
    sentences += [
        f"{stage.title} depends on the providers." for stage in diagram.stages if stage.uses_providers
    ]
    return " ".join(sentences)


def _marker(name: str, colour: str, size: float) -> str:
    # The line ends where the head begins; the head's tip touches the box.
    return (
        f'<marker id="{name}" viewBox="0 0 10 10" refX="1" refY="5" markerWidth="{size}" '
        f'markerHeight="{size}" orient="auto"><path d="M0 0 L10 5 L0 10 z" fill="{colour}"/></marker>'
    )


def _draw(shape: Shape) -> Iterator[str]:
    match shape:
        case Group():
            yield f'<g class="{shape.kind}" id="{shape.kind}-{shape.id}">'
            for inner in shape.shapes:
                yield from _draw(inner)
            yield "</g>"
        case Rect():
            yield (
                f'<rect class="{shape.role}" x="{shape.x}" y="{shape.y}" width="{shape.width}" '
                f'height="{shape.height}" rx="{shape.radius}" fill="{shape.fill}" stroke="{shape.stroke}"/>'
            )
        case Text():
            weight = ' font-weight="700"' if shape.bold else ""
            yield (
                f'<text x="{shape.x}" y="{shape.y}" font-size="{shape.size}"{weight} '
                f'fill="{shape.fill}">{escape(shape.text)}</text>'
            )
        case Curve():
            dashes = ' stroke-dasharray="5 4"' if shape.dashed else ""
            end = f' marker-end="url(#{shape.marker})"' if shape.marker else ""
            yield (
                f'<path d="{shape.steps}" fill="none" stroke="{shape.stroke}" '
                f'stroke-width="{shape.width}"{dashes}{end}/>'
            )
        case OwnerIcon():
            yield (
                f'<path d="M{shape.x + 6} {shape.y} a3 3 0 1 1 0 6 a3 3 0 1 1 0 -6 z M{shape.x} '
                f'{shape.y + 12} a6 5 0 0 1 12 0 z" fill="{shape.fill}"/>'
            )
        case ObjectiveIcon():
            yield (
                f'<circle cx="{shape.x + 6}" cy="{shape.y + 6}" r="5" fill="none" '
                f'stroke="{shape.stroke}" stroke-width="1.5"/>'
                f'<circle cx="{shape.x + 6}" cy="{shape.y + 6}" r="2" fill="{shape.stroke}"/>'
            )
