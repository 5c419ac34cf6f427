"""Ways in which somebody who knows the code could take money past the oracle; each is found.

A sabotage alters a whole world, or leaves something out of it. It says what it does, in its name, and what
alone has to be found. The tables in `docs/guides/oracle.md` name each of them.
"""

import pytest
from tests.proof_table import caught_by

from moneypath.oracle import LoadDriven, MinimumEvidence, Outcome, audit, find_discrepancies

from ..world import AUTHORIZE, CAPTURE, Step, given_back, kept_apart, paid, replace, whole_world
from . import entry_lies, moved_lies, owed_lies, report_lies, told_lies  # noqa: F401 - each registers its own
from .registry import SABOTAGES


@pytest.mark.parametrize("name", SABOTAGES)
def test_a_sabotage_is_found_for_what_it_is(name: str) -> None:
    """Nothing else is found, so that the reason is its own."""
    alter, found = SABOTAGES[name]
    said = alter(whole_world()).found()
    caught_by(sorted(f"{kind} of {subject}" for kind, subject in said))
    assert said == found


def test_drives_one_payment_in_total() -> None:
    """Whole in itself, and no evidence of anything: the plan was for a thousand checkouts."""
    rows = paid("a").recorded()
    load = LoadDriven(planned=1000, asked=1)
    report = audit(rows.postings, rows.book, rows.answers, requests=rows.requests, load=load)
    caught_by(report.missing_evidence)
    assert not report.discrepancies
    assert not report.whole
    assert any("1 checkouts were asked for" in text for text in report.missing_evidence)


def test_loses_the_answers_of_half_of_the_requests() -> None:
    """A log of requests without their answers is no acknowledgement."""
    rows = whole_world()
    kept = rows.answers[::2]
    report = audit(
        rows.postings, rows.book, kept, requests=rows.requests, reports=rows.reports,
        minimum=MinimumEvidence(),
    )  # fmt: skip
    assert not report.whole
    assert any("have no answer on record" in text for text in report.missing_evidence)


def test_the_whole_world_is_whole() -> None:
    """What each sabotage starts from."""
    rows = whole_world()
    assert (
        find_discrepancies(
            rows.postings, rows.book, rows.answers, requests=rows.requests, reports=rows.reports
        )
        == ()
    )


@pytest.mark.parametrize("outcome", [Outcome.UNKNOWN, Outcome.INDETERMINATE])
def test_a_late_capture_without_an_answer_that_was_given_back_is_whole(outcome: Outcome) -> None:
    """The twin of a capture that stays in suspense: the card holder has the money again."""
    late = Step("silent", CAPTURE, key="late-silent", at=50.0)
    kept = replace(kept_apart(late), answers=(late.answer(outcome),))
    rows = Step("silent", AUTHORIZE, at=49.0).done() + kept + given_back(late)
    assert (whole_world() + rows.recorded()).found() == set()
