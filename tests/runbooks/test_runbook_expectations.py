"""The grammar of `expect`: what satisfies it, and what never does."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from moneypath.path.source import DeclarationIssues
from moneypath.prometheus import Sample
from moneypath.runbooks.expectations import action_expectation, query_expectation

VALUES = st.lists(st.floats(allow_nan=True, allow_infinity=True), max_size=6)


def samples(*values: float) -> list[Sample]:
    """Return samples of one series each."""
    return [Sample({"n": str(n)}, value) for n, value in enumerate(values)]


@pytest.mark.parametrize(
    ("expect", "good", "bad"),
    [
        ({"value": ">= 0.5"}, [0.5], [0.49]),
        ({"value": "> 0.5"}, [0.6], [0.5]),
        ({"value": "<= 0.5"}, [0.5], [0.51]),
        ({"value": "< 0.5"}, [0.4], [0.5]),
        ({"value": "== -2"}, [-2.0], [2.0]),
        ({"value": "!= 0"}, [1.0], [0.0]),
        ({"value": "> 0"}, [1.0], []),
        ({"value": "> 0"}, [1.0], [1.0, 1.0]),
        ({"all": "> 0"}, [1.0, 2.0], [1.0, 0.0]),
        ({"all": "> 0"}, [1.0], []),
        ({"any": "> 0"}, [0.0, 2.0], [0.0, 0.0]),
        ({"any": "> 0"}, [1.0], []),
        ({"empty": True}, [], [0.0]),
    ],
)
def test_a_query_expectation_holds_for_its_twin_only(
    expect: dict[str, bool | int | float | str], good: list[float], bad: list[float]
) -> None:
    """Each form has samples that satisfy it and samples that do not."""
    expectation = query_expectation(expect)
    assert expectation.evaluate(samples(*good)).satisfied
    assert not expectation.evaluate(samples(*bad)).satisfied


def test_recorded_takes_any_answer_and_says_that_absence_is_not_zero() -> None:
    """A quantify step is evidence: no sample is an answer, in words."""
    expectation = query_expectation({"recorded": True})
    assert expectation.evaluate(samples(1.0)).satisfied
    nothing = expectation.evaluate([])
    assert nothing.satisfied
    assert "absent is not zero" in nothing.seen


@pytest.mark.parametrize("symbol", [">=", ">", "<=", "<", "==", "!="])
@pytest.mark.parametrize("quantifier", ["value", "all", "any"])
def test_nan_satisfies_no_comparison(quantifier: str, symbol: str) -> None:
    """0/0 is no evidence, not even that something differs."""
    expectation = query_expectation({quantifier: f"{symbol} 0"})
    assert not expectation.evaluate(samples(math.nan)).satisfied


@given(VALUES)
def test_quantifiers_order_as_logic_does(values: list[float]) -> None:
    """One value that compares implies all, and all implies any; empty excludes the three."""
    verdicts = {
        name: query_expectation({name: "> 1"}).evaluate(samples(*values)).satisfied
        for name in ("value", "all", "any")
    }
    assert not verdicts["value"] or verdicts["all"]
    assert not verdicts["all"] or verdicts["any"]
    if query_expectation({"empty": True}).evaluate(samples(*values)).satisfied:
        assert not any(verdicts.values())


@given(VALUES.map(lambda values: values * 50))
def test_what_was_seen_stays_short(values: list[float]) -> None:
    """Evidence is bounded however many samples come."""
    assert len(query_expectation({"recorded": True}).evaluate(samples(*values)).seen) <= 210


@pytest.mark.parametrize(
    ("answer", "satisfied"),
    [
        ({"routing_active": False, "other": 1}, True),
        ({"routing_active": True}, False),
        ({"routing_active": 0}, False),
        ({"routing_active": None}, False),
        ({}, False),
    ],
)
def test_an_action_answer_is_compared_by_value_and_type(answer: dict[str, object], satisfied: bool) -> None:
    """0 is not false, and a field that is missing is not equal to anything."""
    assert action_expectation({"routing_active": False}).evaluate(answer).satisfied is satisfied


def test_a_missing_field_is_said() -> None:
    """The reader learns that the field was not there, rather than that it was wrong."""
    assert "routing_active is missing" in action_expectation({"routing_active": False}).evaluate({}).seen


def test_placeholders_in_expected_values_are_filled() -> None:
    """The answer must be about the provider that was meant."""
    expectation = action_expectation({"provider": "{provider}"})
    assert expectation.placeholders() == {"provider"}
    filled = expectation.filled({"provider": "north"})
    assert filled.evaluate({"provider": "north"}).satisfied
    assert not filled.evaluate({"provider": "south"}).satisfied


@pytest.mark.parametrize(
    "expect", [{"value": ">= 1 or 2"}, {"value": "> 1e400"}, {"vlaue": "> 1"}, {"value": ">"}]
)
def test_anything_outside_the_grammar_is_refused(expect: dict[str, bool | int | float | str]) -> None:
    """The grammar is closed."""
    with pytest.raises(DeclarationIssues):
        query_expectation(expect)
