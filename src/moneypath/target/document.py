"""The file of a target: one deployed service, where to look, and all that may be asked of it."""

from typing import Annotated, Self

from pydantic import Field, model_validator

from moneypath.path.parts import Slug
from moneypath.path.problems import DeclarationIssue, DeclarationIssues, Location
from moneypath.target.calls import SecretFile, TargetModel, Word
from moneypath.target.contracts import (
    ACKNOWLEDGE_ARGUMENTS,
    CANARY_ARGUMENTS,
    COUNT_ARGUMENTS,
    LOAD_ARGUMENTS,
    PAGES_ARGUMENTS,
    Action,
    Approvals,
    Canary,
    Faults,
    KindName,
    Load,
    Look,
    Name,
    PlaceId,
    argument_issues,
)
from moneypath.target.params import ParamName
from moneypath.target.placeholders import NAME, unknown_arguments, variables_in


class TargetFile(TargetModel):
    """One deployed service, and all that moneypath may ask of it.

    `drillable: true` says that it may be broken, in this `environment` and in no other. `variables` stand as
    `${name}` in the file; null has to be given. `places` are what faults act on, each with the same keys,
    which stand as `{key}` in the calls of the faults.
    """

    target: Slug
    environment: Slug
    drillable: bool = False
    variables: Annotated[
        dict[Annotated[str, Field(pattern=f"^{NAME}$")], Annotated[str, Field(max_length=400)] | None],
        Field(max_length=50),
    ] = Field(default_factory=dict)
    places: Annotated[dict[PlaceId, dict[ParamName, Word]], Field(max_length=50)] = Field(
        default_factory=dict
    )
    look: Look
    canary: Canary | None = None
    load: Load | None = None
    faults: Annotated[dict[KindName, Faults], Field(max_length=20)] = Field(default_factory=dict)
    actions: Annotated[dict[Name, Action], Field(max_length=100)] = Field(default_factory=dict)
    approvals: Approvals | None = None
    witnesses: SecretFile | None = Field(default=None, description="the path of a file of witnesses")

    @model_validator(mode="after")
    def _fits(self) -> Self:
        issues = [*self._undo_issues(), *self._place_issues(), *self._variable_issues()]
        issues += [*self._call_issues(), *self._promise_issues()]
        if issues:
            raise DeclarationIssues(issues)
        return self

    def _undo_issues(self) -> list[DeclarationIssue]:
        found = []
        for name, action in self.actions.items():
            at: Location = ("actions", name, "undo")
            undo = self.actions.get(action.undo or name)
            if undo is None:
                found.append(
                    DeclarationIssue(at, f"there is no action {action.undo}", ", ".join(self.actions))
                )
            elif undo.arguments != action.arguments:
                what = f"{action.undo} takes {', '.join(undo.arguments) or 'no arguments'}"
                found.append(
                    DeclarationIssue(at, what, f"an action that takes {', '.join(action.arguments)}")
                )
        return found

    @property
    def fault_names(self) -> frozenset[str]:
        """Return its faults as `family.kind`."""
        return frozenset(
            f"{family}.{kind}" for family, faults in self.faults.items() for kind in faults.kinds
        )

    @property
    def _keys_of_places(self) -> tuple[str, ...]:
        return tuple(dict.fromkeys(key for values in self.places.values() for key in values))

    def _place_issues(self) -> list[DeclarationIssue]:
        names, keys = ", ".join(self.places) or "none", self._keys_of_places
        found = [
            DeclarationIssue(("places", place), f"lacks {', '.join(missing)}", "the same keys at each place")
            for place, values in self.places.items()
            if (missing := [key for key in keys if key not in values])
        ]
        return found + [
            DeclarationIssue(("faults", name, "where", index), f"there is no place {place}", names)
            for name, fault in self.faults.items()
            for index, place in enumerate(fault.where)
            if place not in self.places
        ]

    def _variable_issues(self) -> list[DeclarationIssue]:
        plain = self.model_dump(mode="json", by_alias=True, exclude={"variables"})
        unknown = sorted(set(variables_in(plain)) - set(self.variables))
        names = ", ".join(self.variables) or "none"
        return [
            DeclarationIssue(("variables",), f"${{{name}}} is used and not declared", names)
            for name in unknown
        ]

    def _promise_issues(self) -> list[DeclarationIssue]:
        found: list[DeclarationIssue] = []
        for name, action in self.actions.items():
            known = (*action.arguments, *COUNT_ARGUMENTS, *self._keys_of_places)
            for at, count in () if action.promise is None else action.promise.counts:
                if count.call is not None:
                    where: Location = ("actions", name, "promise", *at, "call")
                    found += argument_issues(where, count.call, known)
        return found

    def _call_issues(self) -> list[DeclarationIssue]:
        found: list[DeclarationIssue] = []
        for name, fault in self.faults.items():
            places = self._keys_of_places if fault.where else ()
            for key, call, known in fault.calls:
                found += argument_issues(("faults", name, key), call, (*known, *places))
        for key, server in (("prometheus", self.look.prometheus), ("alertmanager", self.look.alertmanager)):
            for name in unknown_arguments(server.model_dump(mode="json") if server else None, ()):
                found.append(DeclarationIssue(("look", key), f"there is no {{{name}}}", "no placeholder"))
        if self.canary is not None:
            found += argument_issues(("canary", "call"), self.canary.call, CANARY_ARGUMENTS)
        for key, asked, known in (
            ("pages", self.look.pages, PAGES_ARGUMENTS),
            ("acknowledge", self.look.acknowledge, ACKNOWLEDGE_ARGUMENTS),
            ("heartbeat", self.look.heartbeat, ()),
        ):
            found += argument_issues(("look", key), asked, known) if asked is not None else []
        if self.load is not None and self.load.command is not None:
            used = [*self.load.command, *self.load.environment.values()]
            found += [
                DeclarationIssue(("load",), f"there is no {{{name}}}", ", ".join(LOAD_ARGUMENTS))
                for name in unknown_arguments(list(used), LOAD_ARGUMENTS)
            ]
        return found
