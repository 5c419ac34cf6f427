"""The content of the diagram without positions: nodes and edges derived from the declaration."""

import unicodedata
from dataclasses import dataclass
from decimal import Decimal

from moneypath.path.model import MoneyPath
from moneypath.path.objectives import AvailabilitySlo, Per, Slo
from moneypath.path.parts import ControlKind, Provider, Stage

CONTROL_NAMES = {
    ControlKind.KYC: "KYC",
    ControlKind.SANCTIONS: "Sanctions",
    ControlKind.LICENCE: "Licence",
    ControlKind.DATA_RESIDENCY: "Data residency",
}
# Controls, surrogates, private and unassigned characters, and what turns the direction of writing.
_UNPRINTABLE = {"Cc", "Cs", "Co", "Cn"}
_DIRECTIONS = {*"\u200e\u200f\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069", "\ufeff"}
_REPLACEMENT = "\N{REPLACEMENT CHARACTER}"


@dataclass(frozen=True, slots=True)
class ControlNode:
    """A compliance control of a stage; `owner` is the title of the role that answers for it."""

    id: str
    title: str
    kind: ControlKind
    owner: str


@dataclass(frozen=True, slots=True)
class ObjectiveNode:
    """An objective of a stage. `target` reads `99.9 % / 30 d`; `scope` says by what it is kept apart."""

    id: str
    title: str
    target: str
    scope: str


@dataclass(frozen=True, slots=True)
class StageNode:
    """A stage with everything in its box; `owner` is the title of the role."""

    id: str
    title: str
    owner: str
    uses_providers: bool
    controls: tuple[ControlNode, ...]
    objectives: tuple[ObjectiveNode, ...]


@dataclass(frozen=True, slots=True)
class ProviderNode:
    """A provider that stages depend on."""

    id: str
    title: str
    schemes: tuple[str, ...]
    licence: str
    data_residency: str


@dataclass(frozen=True, slots=True)
class Diagram:
    """The whole diagram. `moves` are (from, to) ids of stages. `uses_providers` means all providers."""

    title: str
    stages: tuple[StageNode, ...]
    providers: tuple[ProviderNode, ...]
    moves: tuple[tuple[str, str], ...]

    def has_dependencies(self) -> bool:
        """Tell whether any stage uses the providers."""
        return any(stage.uses_providers for stage in self.stages)

    def summary(self) -> str:
        """Return the number of each kind of node: `3 stages, 2 providers, 1 objective`."""
        counts = {
            "stage": len(self.stages),
            "provider": len(self.providers),
            "compliance control": sum(len(stage.controls) for stage in self.stages),
            "objective": sum(len(stage.objectives) for stage in self.stages),
        }
        return ", ".join(f"{count} {name}{'' if count == 1 else 's'}" for name, count in counts.items())


def derive(path: MoneyPath) -> Diagram:
    """Return the diagram of `path`, in the order of the declaration."""
    return Diagram(
        title=printable(path.name),
        stages=tuple(_stage(path, stage) for stage in path.stages),
        providers=tuple(_provider(provider) for provider in path.providers),
        moves=tuple((stage.id, target) for stage in path.stages for target in stage.leads_to),
    )


def printable(text: str) -> str:
    """Return `text` on one line, with unprintable characters replaced by U+FFFD."""
    shown = (_REPLACEMENT if _hidden(character) else character for character in text)
    return " ".join("".join(shown).split())


def _hidden(character: str) -> bool:
    if character.isspace():
        return False
    return character in _DIRECTIONS or unicodedata.category(character) in _UNPRINTABLE


def _stage(path: MoneyPath, stage: Stage) -> StageNode:
    return StageNode(
        id=stage.id,
        title=printable(stage.title),
        owner=_owner(path, stage.owner_role),
        uses_providers=stage.uses_providers,
        controls=tuple(
            ControlNode(control.id, printable(control.title), control.kind, _owner(path, control.owner_role))
            for control in stage.controls
        ),
        objectives=tuple(
            ObjectiveNode(slo.id, printable(slo.title), _target(slo), _scope(slo))
            for slo in path.slos
            if slo.stage == stage.id
        ),
    )


def _owner(path: MoneyPath, role: str) -> str:
    return printable(path.roles[role].title)


def _provider(provider: Provider) -> ProviderNode:
    return ProviderNode(
        id=provider.id,
        title=printable(provider.title),
        schemes=provider.schemes,
        licence=printable(provider.licence),
        data_residency=printable(provider.data_residency),
    )


def _target(slo: Slo) -> str:
    # `f` keeps 0.90 from becoming 9E+1; normalize takes the zeros at the end away.
    percent = f"{(slo.objective * Decimal(100)).normalize():f}"
    return f"{percent} % / {slo.window_days} d"


def _scope(slo: Slo) -> str:
    return "for each provider" if isinstance(slo, AvailabilitySlo) and slo.per is Per.PROVIDER else ""
