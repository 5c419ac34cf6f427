"""The picture as a Mermaid flowchart, for places that draw it themselves."""

from collections.abc import Iterator

from moneypath.path.diagram.model import GATE_NAMES, Diagram, GateNode, ProviderNode, StageNode

_HEADER = "%% Generated from moneypath.yaml by `moneypath generate`; edit that file, not this one."
# Everything else in ASCII is syntax in some place of a label: quotes, brackets, #, ;, backticks, markdown.
_HARMLESS = frozenset(" abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789,./%")
_STYLES = {
    "stage": "fill:#ffffff,stroke:#1f3a5f,stroke-width:2px,color:#1b2733",
    "gate": "fill:#fff4d6,stroke:#b7791f,color:#5f3b05",
    "provider": "fill:#eef2f6,stroke:#5b6b7c,color:#1b2733",
}


def to_mermaid(diagram: Diagram) -> str:
    """Return `diagram` as Mermaid text; titles are escaped, so that they can be nothing but text."""
    return "\n".join(_lines(diagram)) + "\n"


def escape(text: str) -> str:
    """Return `text` for a quoted label: ASCII that could be syntax becomes an entity such as `#35;`."""
    return "".join(
        character if character in _HARMLESS or not character.isascii() else f"#{ord(character)};"
        for character in text
    )


def _lines(diagram: Diagram) -> Iterator[str]:
    yield _HEADER
    yield "flowchart LR"
    yield "  accTitle: The money path"
    yield f"  accDescr: {diagram.summary()}"
    yield f'  subgraph path["{escape(diagram.title)}"]'
    for stage in diagram.stages:
        yield f"    stage_{stage.id}[{_stage_label(stage)}]"
    for stage in diagram.stages:
        for gate in stage.gates:
            yield f"    {_gate_id(gate)}{{{{{_gate_label(gate)}}}}}"
            yield f"    {_gate_id(gate)} --- stage_{stage.id}"
    for source, target in diagram.moves:
        yield f"    stage_{source} ==> stage_{target}"
    yield "  end"
    yield '  subgraph providers["Providers"]'
    for provider in diagram.providers:
        yield f"    provider_{provider.id}[{_provider_label(provider)}]"
    yield "  end"
    for stage in diagram.stages:
        if stage.uses_providers:
            yield f"  stage_{stage.id} -. uses .-> providers"
    yield from _classes(diagram)


def _classes(diagram: Diagram) -> Iterator[str]:
    members = {
        "stage": [f"stage_{stage.id}" for stage in diagram.stages],
        "gate": [_gate_id(gate) for stage in diagram.stages for gate in stage.gates],
        "provider": [f"provider_{provider.id}" for provider in diagram.providers],
    }
    for name, ids in members.items():
        if ids:
            yield f"  classDef {name} {_STYLES[name]}"
            yield f"  class {','.join(ids)} {name}"


def _gate_id(gate: GateNode) -> str:
    return f"gate_{gate.id.replace('-', '_')}"


def _stage_label(stage: StageNode) -> str:
    lines = [f"<b>{escape(stage.title)}</b>", f"owner{escape(': ' + stage.owner)}"]
    for objective in stage.objectives:
        lines += [f"<b>{escape(objective.target)}</b> {objective.scope}".rstrip(), escape(objective.title)]
    return _label(lines)


def _gate_label(gate: GateNode) -> str:
    return _label([f"<b>{GATE_NAMES[gate.kind]}</b>", escape(gate.title), escape(gate.owner)])


def _provider_label(provider: ProviderNode) -> str:
    return _label(
        [
            f"<b>{escape(provider.title)}</b>",
            escape(", ".join(provider.schemes)),
            escape(f"licence: {provider.licence}"),
            escape(f"data in: {provider.data_residency}"),
        ]
    )


def _label(lines: list[str]) -> str:
    return '"' + "<br/>".join(lines) + '"'
