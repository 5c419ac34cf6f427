"""Lies in what a client is told, and in what it recorded."""

from moneypath.oracle import (
    Outcome,
)

from ..world import CAPTURE, KIND, Rows, Step, replace
from .registry import sabotage, told


@sabotage((KIND.ANSWER_WITHOUT_REQUEST, "a"), (KIND.MOVED_UNASKED, "a"))
def hides_a_request_of_the_client(rows: Rows) -> Rows:
    """The client recorded what it was about to send; that line is gone."""
    requests = rows.requests or ()
    gone = next(one for one in requests if (one.operation, one.merchant_reference) == (CAPTURE, "a"))
    return replace(rows, requests=tuple(one for one in requests if one is not gone))


@sabotage((KIND.REFUSED_BUT_CHARGED, "a"))
def answers_no_after_charging(rows: Rows) -> Rows:
    """A conflict, an unknown payment, a wrong amount: any 4xx about the request itself."""
    return told(rows, "capture-a", Outcome.REJECTED)


@sabotage((KIND.REFUSED_BUT_CHARGED, "a"))
def answers_no_to_the_retry_after_charging_in_silence(rows: Rows) -> Rows:
    """The first attempt got no answer, the second was told that nothing happened."""
    silent = replace(told(rows, "capture-a", Outcome.UNKNOWN), requests=None)
    no = Step("a", CAPTURE).answer(Outcome.REJECTED)
    return replace(silent, answers=(*silent.answers, no))


@sabotage((KIND.REFUSED_BUT_CHARGED, "a"))
def turns_the_request_away_and_charges(rows: Rows) -> Rows:
    """Shed, or not authenticated: and carried out all the same."""
    return told(rows, "capture-a", Outcome.UNPROCESSED)


@sabotage((KIND.REFUSED_BUT_CHARGED, "a"))
def declines_and_charges(rows: Rows) -> Rows:
    """The issuer's no, after the capture."""
    return told(rows, "capture-a", Outcome.DECLINED)
