"""The parameters of a fault: their types and bounds, declared in the target's file."""

from collections.abc import Iterator, Mapping
from typing import Annotated, Literal, Self, TypeAlias

from pydantic import Field, model_validator

from moneypath.path.problems import DeclarationIssue, DeclarationIssues
from moneypath.target.calls import TargetModel
from moneypath.target.placeholders import NAME, Argument, as_text

ParamName = Annotated[str, Field(pattern=f"^{NAME}$", description="lower-case words joined by _")]
Text = Annotated[str, Field(min_length=1, max_length=200)]


class Param(TargetModel):
    """One parameter: a `number` or `seconds` within bounds, a `text`, or `texts`, some of `values` if given.

    Without a `default` it has to be given, unless it is `optional`: what has no value is left out of a body.
    """

    type: Literal["number", "integer", "text", "texts"]
    least: float | None = None
    most: float | None = None
    values: Annotated[tuple[Text, ...], Field(max_length=100)] = ()
    default: int | float | Text | tuple[Text, ...] | None = None
    optional: bool = False

    @model_validator(mode="after")
    def _fits(self) -> Self:
        is_number = self.type in ("number", "integer")
        if is_number and self.values:
            allowed = "`least` and `most`"
            raise DeclarationIssues([DeclarationIssue(("values",), "a number has no values", allowed)])
        if not is_number and (self.least, self.most) != (None, None):
            raise DeclarationIssues([DeclarationIssue(("least",), "a text has no bounds", "`values`")])
        if self.default is not None and (problem := self.problem_of(_plain(self.default))):
            raise DeclarationIssues([DeclarationIssue(("default",), problem, self.allowed)])
        return self

    @property
    def allowed(self) -> str:
        """Return what may be given, in words."""
        if self.type in ("number", "integer"):
            bounds = [f"from {self.least:g}"] if self.least is not None else []
            bounds += [f"to {self.most:g}"] if self.most is not None else []
            return " ".join([f"a {'whole ' if self.type == 'integer' else ''}number", *bounds])
        return ", ".join(self.values) or "a text"

    def problem_of(self, given: object) -> str:
        """Return what is wrong with a value, or nothing."""
        if self.type in ("number", "integer"):
            return self._number_problem(given)
        everything = given if isinstance(given, list) else [given]
        texts = [one for one in everything if isinstance(one, str)]
        if isinstance(given, list) != (self.type == "texts") or len(texts) != len(everything):
            return f"is not {'a list of texts' if self.type == 'texts' else 'a text'}"
        unknown = [one for one in texts if self.values and one not in self.values]
        return f"there is no {', '.join(unknown)}" if unknown else ""

    def _number_problem(self, given: object) -> str:
        if isinstance(given, bool) or not isinstance(given, int | float):
            return "is not a number"
        if self.type == "integer" and given != int(given):
            return f"{given:g} is not whole"
        if (self.least is not None and given < self.least) or (self.most is not None and given > self.most):
            return f"{given:g} is out of bounds"
        return ""


Params: TypeAlias = Annotated[dict[ParamName, Param], Field(max_length=30)]


def param_issues(declared: Mapping[str, Param], given: Mapping[str, object]) -> Iterator[DeclarationIssue]:
    """Yield what is wrong with the parameters that were given."""
    names = ", ".join(sorted(declared)) or "none"
    for name in sorted(set(given) - set(declared)):
        yield DeclarationIssue((name,), "there is no such parameter", names)
    for name, param in declared.items():
        if name not in given:
            if param.default is None and not param.optional:
                yield DeclarationIssue((), f"`{name}` is missing", names)
        elif problem := param.problem_of(given[name]):
            yield DeclarationIssue((name,), problem, param.allowed)


def plain_params(given: Mapping[str, int | float | str | tuple[str, ...]]) -> dict[str, Argument]:
    """Return parameters of a file as they are sent."""
    return {name: _plain(value) for name, value in given.items()}


def complete(declared: Mapping[str, Param], given: Mapping[str, Argument]) -> dict[str, Argument]:
    """Return the value of every parameter: what was given, or its default."""
    defaults = {name: _plain(param.default) for name, param in declared.items() if param.default is not None}
    return {**defaults, **given}


def describe(arguments: Mapping[str, Argument]) -> str:
    """Return arguments as `name=value`, in the order given."""
    return " ".join(f"{name}={as_text(value)}" for name, value in arguments.items())


def _plain(default: int | float | str | tuple[str, ...]) -> Argument:
    return list(default) if isinstance(default, tuple) else default
