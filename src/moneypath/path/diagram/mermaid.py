"""Write the diagram as a Mermaid flowchart."""

from collections.abc import Iterator

from moneypath.path.diagram.model import CONTROL_NAMES, ControlNode, Diagram, ProviderNode, StageNode

_HEADER = "%% Generated from moneypath.yaml by `moneypath generate`; edit that file, not this one."
# Everything else in ASCII is syntax in some place of a label: quotes, brackets, #, ;, backticks, markdown.
_HARMLESS = frozenset(" abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789,./%")
_STYLES = {
    "stage": "fill:#ffffff,stroke:#1f3a5f,stroke-width:2px,color:#1b2733",
    "control": "fill:#fff4d6,stroke:#b7791f,color:#5f3b05",
    "provider": "fill:#eef2f6,stroke:#5b6b7c,color:#1b2733",
}


def to_mermaid(diagram: Diagram) -> str:
    """Return `diagram` as Mermaid text, with titles escaped."""
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
        for control in stage.controls:
            yield f"    {_control_id(control)}{{{{{_control_label(control)}}}}}"
            yield f"    {_control_id(control)} --- stage_{stage.id}"
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
        "control": [_control_id(control) for stage in diagram.stages for control in stage.controls],
        "provider": [f"provider_{provider.id}" for provider in diagram.providers],
    }
    for name, ids in members.items():
        if ids:
            yield f"  classDef {name} {_STYLES[name]}"
            yield f"  class {','.join(ids)} {name}"


def _control_id(control: ControlNode) -> str:
    return f"control_{control.id.replace('-', '_')}"


def _stage_label(stage: StageNode) -> str:
    lines = [f"<b>{escape(stage.title)}</b>", f"owner{escape(': ' + stage.owner)}"]
    for objective in stage.objectives:
        lines += [f"<b>{escape(objective.target)}</b> {objective.scope}".rstrip(), escape(objective.title)]
    return _label(lines)


def _control_label(control: ControlNode) -> str:
    return _label([f"<b>{CONTROL_NAMES[control.kind]}</b>", escape(control.title), escape(control.owner)])


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
