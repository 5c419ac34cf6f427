"""The rules that a page must keep for the executor to follow it at all."""

from collections import Counter
from collections.abc import Collection, Iterator
from pathlib import Path

from moneypath.errors import MoneypathError
from moneypath.runbooks.findings import Finding, Rule
from moneypath.runbooks.model import END, ESCALATE, Runbook, Step


class RunbookUnsound(MoneypathError):
    """A page that cannot be followed."""

    code = "runbook_unsound"


def structural_findings(runbook: Runbook, known_levers: Collection[str]) -> Iterator[Finding]:
    """Yield what keeps the executor from following the page."""
    file, steps = runbook.file, runbook.steps
    if not steps:
        yield Finding(Rule.STEP_MISSING, file, runbook.lines.get("id", 1), "the page has no step")
    times = Counter(step.id for step in steps)
    targets = {END, ESCALATE, *times}
    for place, step in enumerate(steps, start=1):
        if step.number != place:
            what = f"{step.id} is numbered {step.number} and stands at place {place}"
            yield Finding(Rule.STEP_MISNUMBERED, file, step.line, what)
        if times[step.id] > 1 or step.id in {END, ESCALATE}:
            yield Finding(Rule.STEP_ID_REPEATED, file, step.line, f"{step.id} is taken; ids are unique")
        for key, target in (("next", step.next), ("otherwise", step.otherwise)):
            if target and target not in targets:
                what = f"{step.id}: {key} leads to {target}; allowed: {', '.join(sorted(targets))}"
                yield Finding(Rule.TARGET_UNKNOWN, file, step.line, what)
        if step.pulls_lever:
            yield from _lever_findings(file, step, known_levers)


def _lever_findings(file: Path, step: Step, known_levers: Collection[str]) -> Iterator[Finding]:
    if not step.undo and not step.stays:
        what = f"{step.id} cannot be taken back; add undo, or say in stays why it never is"
        yield Finding(Rule.UNDO_MISSING, file, step.line, what)
    for lever in (step.action[:1], step.undo[:1]):
        if lever and lever[0] not in known_levers:
            what = f"{step.id}: no lever {lever[0]}; allowed: {', '.join(sorted(known_levers)) or 'none'}"
            yield Finding(Rule.LEVER_UNKNOWN, file, step.line, what)


def refuse_unsound(runbook: Runbook, known_levers: Collection[str]) -> None:
    """Raise RunbookUnsound with every structural finding, before anything has been touched."""
    findings = [str(finding) for finding in structural_findings(runbook, known_levers)]
    if findings:
        raise RunbookUnsound("\n".join(findings), hint=f"correct {runbook.file} and lint it again")
