"""One entry of a drill's timeline: which fault begins when, where, with which parameters.

The faults that have a name here mean the same at every target, and their parameters are checked here. Every
other `family.kind` is one of the target's own: its file declares the parameters.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Annotated, Any, Final, Literal, Self

from pydantic import AliasChoices, ConfigDict, Field, model_validator

from moneypath.drills.parts import SLUG, ScenarioModel
from moneypath.path.durations import Duration
from moneypath.path.source import DeclarationIssue, DeclarationIssues


class TargetKind(StrEnum):
    """What a fault acts on: a provider, the service through its traffic, or what the target's file says."""

    PROVIDER = "provider"
    TRAFFIC = "traffic"
    OWN = "own"


FaultName = Annotated[
    str,
    Field(
        pattern=r"^[a-z][a-z0-9_-]{0,60}\.[a-z][a-z0-9_-]{0,60}$",
        description="family.kind, as the target's file has it",
    ),
]
_SCOPE: Final = frozenset({"card_ranges", "currencies", "operations"})


@dataclass(frozen=True, slots=True)
class _ParamRules:
    """Which parameters a fault needs, and which it may have."""

    needed: frozenset[str]
    allowed: frozenset[str] = frozenset()


_OPERATION: Final = _ParamRules(frozenset({"rate"}), _SCOPE)
_KEYS: Final[Mapping[str, _ParamRules]] = {
    "provider.refuse": _OPERATION,
    "provider.drop": _OPERATION,
    "provider.hang": _ParamRules(frozenset({"rate", "latency"}), _SCOPE),
    "provider.delay": _ParamRules(frozenset({"rate", "latency"}), _SCOPE),
    "provider.decline": _ParamRules(frozenset({"rate"}), _SCOPE | {"decline_code"}),
    "provider.forget": _OPERATION,
    "provider.misstate": _ParamRules(frozenset({"rate", "what"}), frozenset({"card_ranges", "currencies"})),
    "provider.withhold": _ParamRules(frozenset()),
    "provider.truncate": _ParamRules(frozenset()),
    "provider.webhook_lost": _OPERATION,
    "provider.webhook_replayed": _OPERATION,
    "provider.webhook_forged": _OPERATION,
    "provider.webhook_flood": _OPERATION,
    "traffic.card_testing": _ParamRules(frozenset({"card_ranges", "per_second"})),
}


# What a payment meets at a provider that does not do its work: no outcome, a failure, a circuit that is open.
_NOT_DONE: Final = frozenset({202, 502, 503, 504})
NO_ANSWER: Final = 0
_EFFECTS: Final[Mapping[str, frozenset[int]]] = {
    "provider.refuse": _NOT_DONE,
    "provider.drop": _NOT_DONE,
    "provider.hang": _NOT_DONE | {NO_ANSWER},
    "provider.delay": _NOT_DONE | {NO_ANSWER},
}


# What a canary meets for reasons of its own: no right, no token, a limit.
_ITS_OWN: Final = frozenset({401, 403, 429})
ANY_FAILURE: Final = frozenset({202, NO_ANSWER, *range(300, 600)}) - _ITS_OWN
# The operations that a fault of a name above may choose.
_OPERATIONS: Final = ("authorize", "capture", "refund", "query")


# Only a settlement report shows them: one a day in production, one in seconds here, whatever the scale.
_SHOWN_BY_REPORTS: Final = frozenset(
    {"provider.forget", "provider.misstate", "provider.withhold", "provider.truncate"}
)


class FaultParams(ScenarioModel):
    """The strength and the scope of a fault; an empty list of a scope means everything.

    `rate` is the share of merchant references from 0 to 1, `latency` is real time, `per_second` counts
    requests per real second. The timeline entry checks which of them its fault takes; the target's own
    faults may take others, which its file declares.
    """

    rate: Annotated[float, Field(gt=0, le=1)] = 1.0
    latency: Annotated[Duration, Field(le=30)] = "0s"  # type: ignore[assignment] # validated from text like any other
    card_ranges: tuple[Annotated[str, Field(pattern=r"^[45]\d{5}$")], ...] = ()
    currencies: tuple[str, ...] = ()
    operations: tuple[str, ...] = ("authorize", "capture", "refund")
    what: Literal["amount", "currency", "fee", "missing", "duplicate"] | None = None
    decline_code: (
        Literal["insufficient_funds", "do_not_honor", "suspected_fraud", "issuer_unavailable"] | None
    ) = None
    per_second: Annotated[int, Field(ge=1, le=100)] = 1

    model_config = ConfigDict(extra="allow", frozen=True, validate_default=True)

    @property
    def given(self) -> dict[str, Any]:
        """Return the parameters that were given, as they are sent: texts, numbers, lists of texts."""
        return self.model_dump(mode="json", exclude_unset=True)


class TimelineEntry(ScenarioModel):
    """Begins a `fault`, or ends the faults named in `end`; `where` is another word for `target`."""

    at: Duration
    id: Annotated[str, Field(pattern=SLUG)] | None = None
    fault: FaultName | None = None
    target: str | None = Field(default=None, validation_alias=AliasChoices("target", "where"))
    params: FaultParams | None = None
    end: tuple[str, ...] = ()

    @property
    def target_kind(self) -> TargetKind | None:
        """Return what the fault acts on, None for an entry that begins none."""
        if self.fault is None:
            return None
        return TargetKind(self.fault.partition(".")[0]) if self.fault in _KEYS else TargetKind.OWN

    @property
    def effects(self) -> frozenset[int]:
        """Return the HTTP statuses by which a payment shows this fault, 0 for no answer to what was sent.

        A token that is refused, a limit and an error of the service itself are no provider's doing. Empty for
        a fault that no single payment can be told by, such as a wrong line in a report, or a decline, since
        issuers decline anyway. A fault of the target's own shows by any failure.
        """
        if self.target_kind is TargetKind.OWN:
            return ANY_FAILURE
        return _EFFECTS.get(self.fault or "", frozenset())

    @property
    def waits_for_reports(self) -> bool:
        """Whether only the provider's next settlement report shows this fault."""
        return self.fault in _SHOWN_BY_REPORTS

    @model_validator(mode="after")
    def _one_thing(self) -> Self:
        begins = self.fault is not None
        if begins == bool(self.end):
            raise ValueError("a timeline entry either begins a `fault` or names faults to `end`")
        own = self.target_kind is TargetKind.OWN
        if begins and not (self.id and (self.params or own)):
            raise ValueError("a fault needs `id` and `params`")
        if begins and not own and (self.target_kind is TargetKind.PROVIDER) != bool(self.target):
            raise ValueError("a provider's fault needs a `target`, and no other fault has one")
        if self.fault and self.params:
            _refuse_wrong_values(self.params)
            if not own:
                _refuse_wrong_keys(self.fault, self.params)
        return self


def _refuse_wrong_values(params: FaultParams) -> None:
    """Raise DeclarationIssues for a value that could be sent to no target."""
    allowed = "a number, a text, or a list of texts"
    found = [
        DeclarationIssue(("params", name), "is no value of a parameter", allowed)
        for name, value in (params.model_extra or {}).items()
        if not (
            (isinstance(value, str | int | float) and not isinstance(value, bool))
            or (isinstance(value, list) and all(isinstance(one, str) for one in value))
        )
    ]
    if found:
        raise DeclarationIssues(found)


def _refuse_wrong_keys(fault: str, params: FaultParams) -> None:
    keys, given = _KEYS[fault], params.model_fields_set
    allowed = ", ".join(sorted(keys.needed | keys.allowed)) or "none"
    missing = sorted(keys.needed - given)
    unknown = sorted(given - keys.needed - keys.allowed)
    found = [DeclarationIssue(("params",), f"{fault} needs `{name}`", allowed) for name in missing]
    found += [
        DeclarationIssue(("params", name), f"{fault} has no such parameter", allowed) for name in unknown
    ]
    wrong = [name for name in params.operations if name not in _OPERATIONS]
    if wrong:
        what = f"there is no {', '.join(wrong)}"
        found.append(DeclarationIssue(("params", "operations"), what, ", ".join(_OPERATIONS)))
    if fault == "traffic.card_testing" and "card_ranges" in given and len(params.card_ranges) != 1:
        found.append(
            DeclarationIssue(("params", "card_ranges"), f"{fault} attacks one card range", "a list of one")
        )
    if found:
        raise DeclarationIssues(found)
