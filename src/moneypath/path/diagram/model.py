"""What the picture shows, without where it stands: nodes and edges derived from the declaration."""

import unicodedata
from dataclasses import dataclass
from decimal import Decimal

from moneypath.path.model import MoneyPath
from moneypath.path.objectives import AvailabilitySlo, Per, Slo
from moneypath.path.parts import GateKind, Provider, Stage

GATE_NAMES = {
    GateKind.KYC: "KYC",
    GateKind.SANCTIONS: "Sanctions",
    GateKind.LICENCE: "Licence",
    GateKind.DATA_RESIDENCY: "Data residency",
}
# Controls, surrogates, private and unassigned characters, and what turns the direction of writing.
_UNPRINTABLE = {"Cc", "Cs", "Co", "Cn"}
_DIRECTIONS = {*"\u200e\u200f\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069", "\ufeff"}
_REPLACEMENT = "\N{REPLACEMENT CHARACTER}"


@dataclass(frozen=True, slots=True)
class GateNode:
    """A compliance gate of a stage; `owner` is the title of the role that answers for it."""

    id: str
    title: str
    kind: GateKind
    owner: str


@dataclass(frozen=True, slots=True)
class ObjectiveNode:
    """A promise of a stage; `target` reads `99.9 % / 30 d`, `scope` what it is kept apart by, if anything."""

    id: str
    title: str
    target: str
    scope: str


@dataclass(frozen=True, slots=True)
class StageNode:
    """A stage with all that stands in its box; `owner` is the title of the role."""

    id: str
    title: str
    owner: str
    uses_providers: bool
    gates: tuple[GateNode, ...]
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
    """The picture: `moves` are (from, to) ids of stages; each stage with `uses_providers` uses them all."""

    title: str
    stages: tuple[StageNode, ...]
    providers: tuple[ProviderNode, ...]
    moves: tuple[tuple[str, str], ...]

    def has_dependencies(self) -> bool:
        """Return whether any stage uses the providers."""
        return any(stage.uses_providers for stage in self.stages)

    def summary(self) -> str:
        """Return what is in the picture: `3 stages, 2 providers, 4 compliance gates, 1 objective`."""
        counts = {
            "stage": len(self.stages),
            "provider": len(self.providers),
            "compliance gate": sum(len(stage.gates) for stage in self.stages),
            "objective": sum(len(stage.objectives) for stage in self.stages),
        }
        return ", ".join(f"{count} {name}{'' if count == 1 else 's'}" for name, count in counts.items())


def derive(path: MoneyPath) -> Diagram:
    """Return the picture of `path`, in the order of the declaration."""
    return Diagram(
        title=plain(path.name),
        stages=tuple(_stage(path, stage) for stage in path.stages),
        providers=tuple(_provider(provider) for provider in path.providers),
        moves=tuple((stage.id, target) for stage in path.stages for target in stage.leads_to),
    )


def plain(text: str) -> str:
    """Return `text` on one line, with what neither XML nor a reader can bear replaced by U+FFFD."""
    shown = (_REPLACEMENT if _hidden(character) else character for character in text)
    return " ".join("".join(shown).split())


def _hidden(character: str) -> bool:
    if character.isspace():
        return False
    return character in _DIRECTIONS or unicodedata.category(character) in _UNPRINTABLE


def _stage(path: MoneyPath, stage: Stage) -> StageNode:
    return StageNode(
        id=stage.id,
        title=plain(stage.title),
        owner=_owner(path, stage.owner_role),
        uses_providers=stage.uses_providers,
        gates=tuple(
            GateNode(gate.id, plain(gate.title), gate.kind, _owner(path, gate.owner_role))
            for gate in stage.gates
        ),
        objectives=tuple(
            ObjectiveNode(slo.id, plain(slo.title), _target(slo), _scope(slo))
            for slo in path.slos
            if slo.stage == stage.id
        ),
    )


def _owner(path: MoneyPath, role: str) -> str:
    return plain(path.roles[role].title)


def _provider(provider: Provider) -> ProviderNode:
    return ProviderNode(
        id=provider.id,
        title=plain(provider.title),
        schemes=provider.schemes,
        licence=plain(provider.licence),
        data_residency=plain(provider.data_residency),
    )


def _target(slo: Slo) -> str:
    # `f` keeps 0.90 from becoming 9E+1; normalize takes the zeros at the end away.
    percent = f"{(slo.objective * Decimal(100)).normalize():f}"
    return f"{percent} % / {slo.window_days} d"


def _scope(slo: Slo) -> str:
    return "for each provider" if isinstance(slo, AvailabilitySlo) and slo.per is Per.PROVIDER else ""
