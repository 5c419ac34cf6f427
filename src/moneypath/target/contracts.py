"""The contracts of a target: canary, load, faults and operator actions, each told by calls."""

import re
from enum import StrEnum
from typing import Annotated, Final, Self, TypeAlias

import promql_parser
from pydantic import AfterValidator, Field, model_validator

from moneypath.path.problems import DeclarationIssue, DeclarationIssues, Location
from moneypath.target.calls import Call, Server, TargetModel, Word
from moneypath.target.params import ParamName, Params, Text, param_issues, plain_params
from moneypath.target.placeholders import JsonValue, arguments_in, unknown_arguments

CANARY_ARGUMENTS: Final = ("unique",)
LOAD_ARGUMENTS: Final = ("python", "users", "per_second", "seconds", "seed", "answers_file")
ACTION_ARGUMENTS: Final = ("reason", "idempotency_key")
APPROVAL_ARGUMENTS: Final = ("approval_id", *ACTION_ARGUMENTS)
FAULT_ARGUMENTS: Final = ("kind", "lease_seconds", "seed", "unique")
WHERE: Final = "where"
FAULT_ID: Final = "fault_id"
WINDOW: Final = "window"
SINCE: Final = "since"
UNTIL: Final = "until"
COUNT_ARGUMENTS: Final = (SINCE, UNTIL)
PAGES_ARGUMENTS: Final = ("after", "wait_seconds")
ACKNOWLEDGE_ARGUMENTS: Final = ("page", "role", "log_seq", "log_hash")

_RANGE: Final = re.compile(r"\[[0-9]+[a-z]")

PlaceId = Annotated[str, Field(pattern=r"^[a-z][a-z0-9_-]{0,60}$", description="lower-case words")]
KindName = Annotated[str, Field(pattern=r"^[a-z][a-z0-9_-]{0,60}$", description="a lower-case word")]
Name: TypeAlias = Annotated[
    str,
    Field(
        pattern=r"^[a-z][a-z0-9-]*(?:\.[a-z0-9-]+)*$",
        max_length=60,
        description="lower-case words joined by - and ., such as provider.drain",
    ),
]
FieldPath = Annotated[
    str,
    Field(
        pattern=r"^\w[\w-]*(\[\w[\w-]*\])?(\.\w[\w-]*(\[\w[\w-]*\])?)*$",
        max_length=200,
        description="a path of keys joined by dots, such as result.id or faults[id].hits",
    ),
]


def _selector(promql: str) -> str:
    try:
        tree = promql_parser.parse(promql)
    except ValueError:
        raise ValueError("is no PromQL") from None
    if not isinstance(tree, promql_parser.VectorSelector) or not tree.name:
        raise ValueError("is no selector of one series by its name")
    return promql


Selector = Annotated[
    str,
    AfterValidator(_selector),
    Field(min_length=1, max_length=300, description='a selector, such as payments_total{kind="canary"}'),
]


class Look(TargetModel):
    """Where to look: the metrics, the alerts, and where delivered pages can be read back.

    `pages` answers with JSON: `{"pages": [{"seq", "at", "role", "status", "alerts": [{"name", "labels"}]}]}`,
    those after number `{after}`; it may wait up to `{wait_seconds}` for one. `acknowledge` is what
    `{role}` does with `{page}`; `{log_seq}` and `{log_hash}` are the head of the drill's log, which whoever
    takes the acknowledgement may keep. `heartbeat` answers when the watchdog last arrived, in Unix seconds.
    """

    prometheus: Server
    alertmanager: Server | None = None
    pages: Call | None = None
    acknowledge: Call | None = None
    heartbeat: Call | None = None
    heartbeat_field: FieldPath = "last_at"


class Canary(TargetModel):
    """One request that a customer could send; `{unique}` is another text each time.

    `marked_by` selects the series that counts it, so that no objective does.
    """

    call: Call
    marked_by: Selector | None = None


class Load(TargetModel):
    """A command that drives the service until it is stopped, or `live` where real traffic serves.

    It may use `{python}`, the interpreter that runs moneypath, `{users}`, `{per_second}`, `{seconds}`,
    `{seed}` and `{answers_file}`, into which it writes what callers asked and were told.
    """

    command: Annotated[tuple[Word, ...], Field(min_length=1, max_length=100)] | None = None
    environment: Annotated[
        dict[Annotated[str, Field(pattern=r"^[A-Z][A-Z0-9_]*$")], Word], Field(max_length=50)
    ] = Field(default_factory=dict)
    live: bool = False

    @model_validator(mode="after")
    def _one_of_both(self) -> Self:
        if (self.command is None) != self.live:
            what = "needs a `command`, or `live: true`, and not both"
            raise DeclarationIssues([DeclarationIssue((), what, "one of them")])
        return self


class Harmless(TargetModel):
    """Arguments with which `moneypath target check` may try it."""

    where: PlaceId | None = None
    params: dict[ParamName, int | float | Text | tuple[Text, ...]] = Field(default_factory=dict)


class FaultKind(TargetModel):
    """One kind of fault: what it does, and its parameters."""

    title: Text
    params: Params = Field(default_factory=dict)
    harmless: Harmless | None = None

    @model_validator(mode="after")
    def _fits(self) -> Self:
        issues = [
            DeclarationIssue(("params", name), f"`{name}` is no parameter", "another name")
            for name in sorted({*FAULT_ARGUMENTS, FAULT_ID, WHERE} & set(self.params))
        ]
        if self.harmless:
            given = plain_params(self.harmless.params)
            issues += [
                DeclarationIssue(("harmless", "params", *issue.location), issue.what, issue.allowed)
                for issue in param_issues(self.params, given)
            ]
        if issues:
            raise DeclarationIssues(issues)
        return self


class Faults(TargetModel):
    """Kinds of faults that begin and end by the same calls; `kind` of `family` is called `family.kind`.

    The calls may use the parameters of the kinds, `{kind}`, `{lease_seconds}`, `{seed}`, and the values of
    the place that is hit. `begin` answers with an id at the field `id`, which `renew`, `end` and `hits` use
    as `{fault_id}`; `[id]` in `hits_field` chooses the item of a list with that id. A fault ends by itself
    after `{lease_seconds}` unless it is renewed; `end_all` ends those of everybody at a place. Where the
    target knows no leases, `ends_by_itself` is false, and whoever begins it has to end it.
    """

    where: Annotated[tuple[PlaceId, ...], Field(max_length=50)] = ()
    begin: Call
    id: FieldPath | None = None
    renew: Call | None = None
    end: Call
    end_all: Call | None = None
    hits: Call | None = None
    hits_field: FieldPath | None = None
    ends_by_itself: bool = True
    kinds: Annotated[dict[KindName, FaultKind], Field(min_length=1, max_length=100)]

    @property
    def calls(self) -> tuple[tuple[str, Call, tuple[str, ...]], ...]:
        """Return every call with its key and the placeholders that it may use beside those of its place."""
        params = tuple(dict.fromkeys(name for kind in self.kinds.values() for name in kind.params))
        first = (*params, *FAULT_ARGUMENTS, *([WHERE] if self.where else []))
        named = (("renew", self.renew), ("end", self.end), ("hits", self.hits))
        rest = tuple((name, call, (*first, FAULT_ID)) for name, call in named if call is not None)
        everything = () if self.end_all is None else (("end_all", self.end_all, (WHERE,)),)
        return (("begin", self.begin, first), *rest, *everything)

    @model_validator(mode="after")
    def _fits(self) -> Self:
        issues: list[DeclarationIssue] = []
        if (self.hits is None) != (self.hits_field is None):
            what = "`hits` and `hits_field` go together"
            issues.append(DeclarationIssue(("hits_field",), what, "both, or neither"))
        places = ", ".join(self.where) or "none"
        for name, kind in self.kinds.items():
            if kind.harmless is None:
                continue
            where = kind.harmless.where
            if (where is None and self.where) or (where is not None and where not in self.where):
                at: Location = ("kinds", name, "harmless", "where")
                issues.append(DeclarationIssue(at, "is no place of these faults", places))
        if issues:
            raise DeclarationIssues(issues)
        return self


class PromiseWitness(StrEnum):
    """Who says whether a promise was kept: never the service that was repaired."""

    BOOK = "book"
    LEDGER = "ledger"
    METRICS = "metrics"


class Count(TargetModel):
    """A number of a time: a PromQL `query`, or the `field` of what a `call` answers.

    The query may use the action's arguments and `{window}`, the seconds of the time, as in `[{window}s]`; the
    call the arguments, `{since}` and `{until}` in Unix seconds, and, where the argument is a place, its keys.
    """

    query: Annotated[str, Field(min_length=1, max_length=1000)] | None = None
    call: Call | None = None
    field: FieldPath | None = None

    @model_validator(mode="after")
    def _one_of_both(self) -> Self:
        if (self.query is None) == (self.call is None) or (self.call is None) != (self.field is None):
            what = "needs a `query`, or a `call` with the `field` of its answer"
            raise DeclarationIssues([DeclarationIssue((), what, "one of them")])
        return self

    @property
    def is_of_a_time(self) -> bool:
        """Whether it counts what happened meanwhile; else it is a level, such as what is left of a queue."""
        asked = self.query if self.call is None else self.call.asked
        ranged = self.query is not None and _RANGE.search(self.query) is not None
        return ranged or bool({WINDOW, SINCE, UNTIL} & set(arguments_in(asked)))


class PromiseEvidence(TargetModel):
    """What else has to be counted meanwhile, at least `least`: without traffic every promise is kept."""

    title: Text
    count: Count
    least: Annotated[int, Field(ge=1, le=1_000_000)]


class ActionPromise(TargetModel):
    """What has to be so after an action was answered, until it is undone or the load ends.

    `title` may hold the action's argument. What is counted lies between `least` and `most`. Where a time in
    which nothing happened would keep it, `evidence` says what did happen.
    """

    title: Text
    witness: PromiseWitness
    count: Count
    least: Annotated[int, Field(ge=0)] = 0
    most: Annotated[int, Field(ge=0)] | None = None
    evidence: PromiseEvidence | None = None

    @model_validator(mode="after")
    def _can_be_broken(self) -> Self:
        if not self.least and self.most is None:
            what = "any number would keep it"
            raise DeclarationIssues([DeclarationIssue(("least",), what, "`least` above 0, or `most`")])
        if not self.least and self.evidence is None and self.count.is_of_a_time:
            what = "nothing at all would keep it: no traffic, or clocks that differ"
            allowed = "`evidence` of what has to be counted meanwhile, or `least` above 0"
            raise DeclarationIssues([DeclarationIssue(("evidence",), what, allowed)])
        return self

    @property
    def counts(self) -> tuple[tuple[Location, Count], ...]:
        """Return what is counted, each with its keys."""
        evidence = () if self.evidence is None else ((("evidence", "count"), self.evidence.count),)
        return ((("count",), self.count), *evidence)


class Action(TargetModel):
    """What an operator may do: a call with `arguments`, what undoes it, and whether a second person approves.

    `promise` is what a drill looks at afterwards, since an answer is the word of the service itself.
    `try_with` are arguments with which `moneypath target check` may do and undo it.
    """

    title: Text
    arguments: Annotated[tuple[ParamName, ...], Field(max_length=5)] = ()
    call: Call
    undo: Name | None = None
    second_person: bool = False
    promise: ActionPromise | None = None
    try_with: Annotated[tuple[Text, ...], Field(max_length=5)] | None = None

    @model_validator(mode="after")
    def _fits(self) -> Self:
        issues = argument_issues(("call",), self.call, (*self.arguments, *ACTION_ARGUMENTS))
        if self.try_with is not None and len(self.try_with) != len(self.arguments):
            what = f"has {len(self.try_with)} values for {len(self.arguments)} arguments"
            issues.append(DeclarationIssue(("try_with",), what, "one a argument, in their order"))
        issues += self._promise_issues()
        if self.try_with is not None and self.undo is None:
            issues.append(DeclarationIssue(("try_with",), "what is tried has to be undone", "an `undo`"))
        if issues:
            raise DeclarationIssues(issues)
        return self

    def _promise_issues(self) -> list[DeclarationIssue]:
        if self.promise is None:
            return []
        found: list[DeclarationIssue] = []
        if len(self.arguments) > 1:
            what = "a promise is about one argument"
            found.append(DeclarationIssue(("promise",), what, "an action with at most one"))
        found += _text_issues(("promise", "title"), self.promise.title, self.arguments)
        for at, count in self.promise.counts:
            if count.query is not None:
                found += _text_issues(("promise", *at, "query"), count.query, (*self.arguments, WINDOW))
        return found


class Approvals(TargetModel):
    """How a second person sees what awaits an approval, and approves it.

    `items` is where `pending` has its list; each item has `approval_id`, `action` and `subject_id`. `approve`
    may use `{approval_id}`, `{reason}` and `{idempotency_key}`.
    """

    pending: Call
    items: FieldPath
    approve: Call

    @model_validator(mode="after")
    def _fits(self) -> Self:
        issues = argument_issues(("pending",), self.pending, ())
        issues += argument_issues(("approve",), self.approve, APPROVAL_ARGUMENTS)
        if issues:
            raise DeclarationIssues(issues)
        return self


def argument_issues(location: Location, call: Call, known: tuple[str, ...]) -> list[DeclarationIssue]:
    """Return the placeholders of a call that are not `known`."""
    return _text_issues(location, call.asked, known)


def _text_issues(location: Location, asked: JsonValue, known: tuple[str, ...]) -> list[DeclarationIssue]:
    allowed = ", ".join(f"{{{name}}}" for name in known) or "no placeholder"
    return [
        DeclarationIssue(location, f"there is no {{{name}}}", allowed)
        for name in unknown_arguments(asked, known)
    ]
