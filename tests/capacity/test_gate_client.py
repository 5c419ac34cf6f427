"""What clients felt: from when a request was due, hangs included, and nothing hidden by a late schedule."""

import json
from dataclasses import replace
from functools import partial
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from moneypath.capacity.client import ClientFigures, ClientRequest, quantile
from moneypath.capacity.client_log import ClientLog, RequestLogInvalid
from moneypath.capacity.figures import Figures
from moneypath.capacity.gate_file import Gate, Measure
from moneypath.capacity.observation import CriterionStatus
from moneypath.capacity.verdict import GateOutcome, decide

from .changed_figures import PROMISES, one_request, with_requests


def _figures(*requests: ClientRequest, now: float = 100.0) -> ClientFigures:
    return ClientFigures(requests, start=10.0, until=20.0, now=now)


def test_latency_counts_from_when_a_request_was_due() -> None:
    """What it waited for a free sender is felt too."""
    late = replace(one_request(12.0), sent=15.0, answered=15.5)
    found = _figures(late)
    assert found.from_due == [3.5]
    assert found.from_sent == [0.5]
    assert found.late_share(1.0) == 1.0
    assert found.late_share(3.0) == 0.0


def test_what_was_due_in_the_window_is_in_it_whenever_it_was_answered() -> None:
    """From after the start up to the last instant of the load."""
    found = _figures(one_request(10.0), one_request(10.1), one_request(20.0), one_request(20.1))
    assert [each.due for each in found.requests] == [10.1, 20.0]


def test_a_request_without_an_answer_has_its_age() -> None:
    """Not no latency."""
    found = _figures(replace(one_request(15.0), answered=None), now=40.0)
    assert found.from_due == [25.0]
    assert found.unanswered == 1


@pytest.mark.parametrize(
    ("outcome", "codes", "refused", "failed"),
    [
        ("succeeded", (201,), False, False),
        ("declined", (402,), False, False),
        ("declined", (201,), False, False),
        ("rejected", (422,), True, False),
        ("succeeded", (429, 201), True, False),
        ("failed", (502,), False, True),
        ("unknown", (503, 0), False, True),
        ("indeterminate", (202,), False, True),
    ],
)
def test_a_decline_is_the_issuers_and_a_refusal_the_services(
    outcome: str, codes: tuple[int, ...], refused: bool, failed: bool
) -> None:
    """A request is one of them at most."""
    request = replace(one_request(15.0), outcome=outcome, status_codes=codes)
    assert (request.refused, request.failed) == (refused, failed)
    assert not replace(request, answered=None).failed


def test_requests_that_were_given_up_are_late() -> None:
    """Coordinated omission: what was never sent would otherwise be as if it had been served."""
    found = _figures(one_request(12.0), replace(one_request(13.0), skipped=2))
    assert found.late_share(0.25) == 0.5
    assert _figures().late_share(0.25) is None


def test_a_late_schedule_is_inconclusive_and_says_so(good: Figures, gate: Gate) -> None:
    """The load generator's own lateness neither passes nor fails a build, at any latency."""
    for seconds in (0.3, 30.0):
        late = with_requests(good, partial(_delayed, seconds=seconds), every=40)
        verdict = decide(late, gate, PROMISES, build="b")
        assert verdict.outcome is GateOutcome.INCONCLUSIVE
        assert verdict.exit_code == 3
        (result,) = verdict.broken
        assert result.measure is Measure.CLIENT_LATENCY
        assert result.status is CriterionStatus.INCONCLUSIVE
        assert "schedule was not kept" in result.seen
    in_time = with_requests(good, lambda each: _delayed(each, 0.3), every=60)
    assert decide(in_time, gate, PROMISES, build="b").outcome is GateOutcome.PASSED


def test_a_build_that_makes_the_schedule_late_fails(good: Figures, gate: Gate) -> None:
    """Too slow from when it was sent is too slow from when it was due."""
    slow = with_requests(good, lambda each: replace(_delayed(each, 2.0), answered=each.due + 4.0), every=40)
    verdict = decide(slow, gate, PROMISES, build="b")
    assert verdict.outcome is GateOutcome.FAILED
    assert Measure.CLIENT_LATENCY in {each.measure for each in verdict.broken}


def _delayed(request: ClientRequest, seconds: float) -> ClientRequest:
    return replace(request, sent=request.due + seconds, answered=request.due + seconds + 0.04)


@given(st.lists(st.floats(0, 100), min_size=1), st.sampled_from((0.5, 0.95, 0.99, 1.0)))
def test_a_quantile_is_the_smallest_value_that_enough_do_not_exceed(
    values: list[float], share: float
) -> None:
    """It is one of the values."""
    found = quantile(sorted(values), share)
    assert found in values
    assert sum(each <= found for each in values) >= share * len(values)
    assert sum(each < found for each in values) < share * len(values)


BEGUN = {"begun": 1, "operation": "authorize", "due": 1.0, "sent": 1.1, "skipped": 0}
ENDED = {"ended": 1, "answered": 1.5, "outcome": "succeeded", "status_codes": [503, 201]}


def test_the_log_is_read_as_it_grows(tmp_path: Path) -> None:
    """An unfinished line is read when it is whole."""
    file = tmp_path / "requests.jsonl"
    log = ClientLog(file)
    begun, ended = (json.dumps(each) + "\n" for each in (BEGUN, ENDED))
    file.write_text(begun + ended[:10])
    assert log.read() == (ClientRequest("authorize", 1.0, 1.1),)
    file.write_text(begun + ended)
    whole = ClientRequest("authorize", 1.0, 1.1, 0, 1.5, "succeeded", (503, 201))
    assert log.read() == (whole,)
    assert log.read() == (whole,)


@pytest.mark.parametrize("line", ["x", "[]", "{}", json.dumps(ENDED), json.dumps({**BEGUN, "due": None})])
def test_a_log_that_is_none_is_named_with_its_line(tmp_path: Path, line: str) -> None:
    """It is no evidence."""
    file = tmp_path / "requests.jsonl"
    file.write_text(json.dumps({**BEGUN, "begun": 2}) + f"\n{line}\n")
    with pytest.raises(RequestLogInvalid, match=r"requests\.jsonl:2: "):
        ClientLog(file).read()


def test_a_log_that_is_not_there_is_named(tmp_path: Path) -> None:
    """With the reason."""
    with pytest.raises(RequestLogInvalid, match="No such file"):
        ClientLog(tmp_path / "requests.jsonl").read()
