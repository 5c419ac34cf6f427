"""What the parts of a drill file share."""

from typing import Annotated, Final, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

from moneypath.runbooks.expectations import QueryExpectation, query_expectation

SLUG: Final = r"^[a-z][a-z0-9-]{0,63}$"


class Part(BaseModel):
    """Unknown keys are refused, values are frozen."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class Condition(Part):
    """A PromQL query and what its answer must be, in the grammar of a runbook's `expect`."""

    id: Annotated[str, Field(pattern=SLUG)]
    query: Annotated[str, Field(min_length=1, max_length=1000)]
    expect: dict[str, bool | int | float | str]

    @model_validator(mode="after")
    def _expectation_reads(self) -> Self:
        query_expectation(self.expect)
        return self

    @property
    def expectation(self) -> QueryExpectation:
        """Return `expect`, ready to judge samples."""
        return query_expectation(self.expect)
