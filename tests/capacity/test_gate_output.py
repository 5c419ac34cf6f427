"""What machines are given: JUnit XML, a JSON document and one line."""

import json
import xml.etree.ElementTree as Xml
from dataclasses import replace

from moneypath.capacity.document import to_document
from moneypath.capacity.figures import Audit, Figures, WindowCounts
from moneypath.capacity.gate_file import Gate, Measure
from moneypath.capacity.junit import to_junit
from moneypath.capacity.verdict import decide

from .changed_figures import PROMISES, compared, with_counted


def _lost(good: Figures) -> Figures:
    example = "capture_without_posting: chk-1: <north> & \x00 nothing"
    return replace(good, audit=Audit(9_999, {"capture_without_posting": 1}, (example,), ()))


def test_junit_has_a_case_for_each_measure_and_a_failure_for_the_broken_one(
    good: Figures, gate: Gate
) -> None:
    """It parses whatever stands in a detail."""
    verdict = decide(_lost(good), gate, PROMISES, build="refpay.app")
    suite = Xml.fromstring(to_junit(verdict, 12.5))  # noqa: S314 - our own text
    assert [case.get("name") for case in suite.iter("testcase")] == list(Measure)
    assert (suite.get("failures"), suite.get("errors"), suite.get("skipped")) == ("1", "0", "0")
    (failure,) = suite.iter("failure")
    assert "capture_without_posting" in (failure.text or "")


def test_junit_calls_the_unknown_and_the_inconclusive_errors_and_the_unmeasured_skipped(
    good: Figures, gate: Gate, lenient: Gate
) -> None:
    """A CI system shows the three differently."""
    counts = []
    for figures, which in (
        (with_counted(good, probe=None), gate),
        (replace(good, checkouts=round((good.checkouts or 0) * 0.94)), gate),
        (with_counted(good, probe=None), lenient),
        (replace(good, comparison=compared(unusable="another machine")), gate),
    ):
        suite = Xml.fromstring(to_junit(decide(figures, which, PROMISES, build="b"), 1.0))  # noqa: S314
        counts.append((suite.get("failures"), suite.get("errors"), suite.get("skipped")))
    assert counts == [("0", "1", "0"), ("0", "1", "0"), ("0", "0", "1"), ("0", "1", "0")]


def test_the_document_says_window_rates_and_verdict(good: Figures, gate: Gate) -> None:
    """Plain JSON, the beyond-the-last-edge and the unknown as null."""
    verdict = decide(good, gate, PROMISES, build="refpay.app")
    document = json.loads(json.dumps(to_document(verdict, phases={"start": 3.14}), allow_nan=False))
    assert document["outcome"] == "passed"
    assert document["exit_code"] == 0
    assert document["figures"]["window"]["start"] == "1970-01-01T00:16:40.000+00:00"
    assert document["figures"]["checkouts_per_second"] == gate.load.checkouts_per_second
    assert [measure["measure"] for measure in document["measures"]] == list(Measure)
    unknown = decide(Figures(good.window, WindowCounts()), gate, PROMISES, build="b")
    figures = json.loads(json.dumps(to_document(unknown, phases={}), allow_nan=False))["figures"]
    assert figures["authorizations"] is figures["authorization_seconds"] is figures["oracle"] is None


def test_the_summary_is_one_line_that_names_the_reason(good: Figures, gate: Gate) -> None:
    """For a commit status."""
    summary = decide(_lost(good), gate, PROMISES, build="refpay.app").summary
    assert "\n" not in summary
    assert summary == "failed: refpay.app: oracle 1 capture_without_posting"
