"""The verdict as JUnit XML, which every CI system reads: one test case a measure."""

import xml.etree.ElementTree as Xml

from moneypath.capacity.criteria import Finding, Status
from moneypath.capacity.gate_file import OF_THE_GATE
from moneypath.capacity.verdict import Verdict

SUITE = "moneypath.gate"


def to_junit(verdict: Verdict, seconds: float) -> str:
    """Return the document: broken measures are failures, unknown ones and the gate's own errors."""
    counts = {tag: sum(_tag(f) == tag for f in verdict.findings) for tag in ("failure", "error", "skipped")}
    suite = Xml.Element(
        "testsuite",
        name=SUITE,
        tests=str(len(verdict.findings)),
        failures=str(counts["failure"]),
        errors=str(counts["error"]),
        skipped=str(counts["skipped"]),
        time=f"{seconds:.3f}",
    )
    for finding in verdict.findings:
        case = Xml.SubElement(suite, "testcase", classname=f"{SUITE}.{verdict.build}", name=finding.measure)
        tag = _tag(finding)
        if tag:
            message = f"{finding.seen}; allowed: {finding.allowed}"
            problem = Xml.SubElement(case, tag, message=_printable(message))
            problem.text = _printable("\n".join(finding.details))
    output = Xml.SubElement(suite, "system-out")
    output.text = _printable("\n".join(filter(None, (verdict.summary, verdict.ended_early))))
    Xml.indent(suite)
    return Xml.tostring(suite, encoding="unicode", xml_declaration=True) + "\n"


def _tag(finding: Finding) -> str:
    match finding.status:
        case Status.MET:
            return ""
        case Status.UNMEASURED:
            return "skipped"
        case Status.UNKNOWN:
            return "error"
        case Status.BROKEN:
            return "error" if finding.measure in OF_THE_GATE else "failure"


def _printable(text: str) -> str:
    """Return text without the characters that XML 1.0 does not allow."""
    return "".join(c if c in "\n\t" or c.isprintable() else "?" for c in text)
