"""The verdict as JUnit XML, one test case for each measure."""

import xml.etree.ElementTree as Xml

from moneypath.capacity.gate_file import GATE_PRECONDITIONS
from moneypath.capacity.observation import CriterionResult, CriterionStatus
from moneypath.capacity.target_gate import GATES_OWN, TargetVerdict
from moneypath.capacity.verdict import ReleaseVerdict

SUITE = "moneypath.gate"


def to_junit(verdict: ReleaseVerdict | TargetVerdict, seconds: float) -> str:
    """Return the document: broken measures are failures; unknown ones and the gate's own are errors."""
    counts = {tag: sum(_tag(f) == tag for f in verdict.results) for tag in ("failure", "error", "skipped")}
    suite = Xml.Element(
        "testsuite",
        name=SUITE,
        tests=str(len(verdict.results)),
        failures=str(counts["failure"]),
        errors=str(counts["error"]),
        skipped=str(counts["skipped"]),
        time=f"{seconds:.3f}",
    )
    for result in verdict.results:
        case = Xml.SubElement(suite, "testcase", classname=f"{SUITE}.{verdict.build}", name=result.measure)
        tag = _tag(result)
        if tag:
            message = f"{result.seen}; allowed: {result.allowed}"
            problem = Xml.SubElement(case, tag, message=_printable(message))
            problem.text = _printable("\n".join(result.details))
    output = Xml.SubElement(suite, "system-out")
    output.text = _printable("\n".join(filter(None, (verdict.summary, verdict.ended_early))))
    Xml.indent(suite)
    return Xml.tostring(suite, encoding="unicode", xml_declaration=True) + "\n"


def _tag(result: CriterionResult) -> str:
    match result.status:
        case CriterionStatus.MET:
            return ""
        case CriterionStatus.UNMEASURED:
            return "skipped"
        case CriterionStatus.UNKNOWN | CriterionStatus.INCONCLUSIVE:
            return "error"
        case CriterionStatus.BROKEN:
            own = result.measure in GATE_PRECONDITIONS or result.measure in GATES_OWN
            return "error" if own else "failure"


def _printable(text: str) -> str:
    """Return text without the characters that XML 1.0 does not allow."""
    return "".join(c if c in "\n\t" or c.isprintable() else "?" for c in text)
