"""Models that the parts of a drill file share."""

from typing import Annotated, ClassVar, Final, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

from moneypath.path.source import DeclarationIssue, DeclarationIssues
from moneypath.runbooks.expectations import QueryExpectation, query_expectation
from moneypath.runbooks.holding import Declared
from moneypath.runbooks.queries import read

SLUG: Final = r"^[a-z][a-z0-9-]{0,63}$"


class ScenarioModel(BaseModel):
    """A part of a drill file: unknown keys are refused, values are frozen."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class Condition(ScenarioModel):
    """A PromQL query and what its answer has to be, in the grammar of a runbook's `expect`.

    A steady state is held by the runner and a guardrail acts at once: only harm takes `for` and `evidence`.
    """

    takes_hold: ClassVar[bool] = False

    id: Annotated[str, Field(pattern=SLUG)]
    query: Annotated[str, Field(min_length=1, max_length=1000)]
    expect: dict[str, Declared]

    @model_validator(mode="after")
    def _can_be_evaluated(self) -> Self:
        hold = query_expectation(self.expect).hold
        if hold and not self.takes_hold:
            what = "has no `for` and `evidence` here: the runner holds steady states, and aborts at once"
            raise DeclarationIssues([DeclarationIssue(("expect",), what, "a comparison alone")])
        if error := read(self.query).error:
            what = f"is not valid PromQL: {error}"
            raise DeclarationIssues(
                [DeclarationIssue(("query",), what, "a PromQL query that names its series")]
            )
        return self

    @property
    def expectation(self) -> QueryExpectation:
        """Return `expect`, ready to evaluate samples."""
        return query_expectation(self.expect)
