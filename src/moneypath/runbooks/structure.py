"""The rules that a runbook has to keep to be executed at all."""

from collections import Counter
from collections.abc import Collection, Iterator
from pathlib import Path

from moneypath.errors import MoneypathError
from moneypath.runbooks.lint_issues import LintIssue, LintRule
from moneypath.runbooks.model import END, ESCALATE, Runbook, Step


class RunbookUnsound(MoneypathError):
    """A runbook that cannot be executed."""

    code = "runbook_unsound"


def structural_issues(runbook: Runbook, known_actions: Collection[str]) -> Iterator[LintIssue]:
    """Yield what keeps the executor from following the runbook."""
    file, steps = runbook.file, runbook.steps
    if not steps:
        yield LintIssue(LintRule.STEP_MISSING, file, runbook.lines.get("id", 1), "The runbook has no step.")
    times = Counter(step.id for step in steps)
    targets = {END, ESCALATE, *times}
    for place, step in enumerate(steps, start=1):
        if step.number != place:
            what = f"{step.id} is numbered {step.number} and stands at place {place}"
            yield LintIssue(LintRule.STEP_MISNUMBERED, file, step.line, what)
        if times[step.id] > 1 or step.id in {END, ESCALATE}:
            yield LintIssue(LintRule.STEP_ID_REPEATED, file, step.line, f"{step.id} is taken; ids are unique")
        for key, target in (("next", step.next), ("otherwise", step.otherwise)):
            if target and target not in targets:
                what = f"{step.id}: {key} leads to {target}; allowed: {', '.join(sorted(targets))}"
                yield LintIssue(LintRule.TARGET_UNKNOWN, file, step.line, what)
        if step.is_action:
            yield from _action_issues(file, step, known_actions)


def _action_issues(file: Path, step: Step, known_actions: Collection[str]) -> Iterator[LintIssue]:
    if not step.undo and not step.irreversible:
        what = f"{step.id} cannot be taken back; add undo, or say in irreversible why it never is"
        yield LintIssue(LintRule.UNDO_MISSING, file, step.line, what)
    for action in (step.instruction[:1], step.undo[:1]):
        if action and action[0] not in known_actions:
            what = f"{step.id}: no action {action[0]}; allowed: {', '.join(sorted(known_actions)) or 'none'}"
            yield LintIssue(LintRule.ACTION_UNKNOWN, file, step.line, what)


def refuse_unsound(runbook: Runbook, known_actions: Collection[str]) -> None:
    """Raise RunbookUnsound with every structural issue, before anything is touched."""
    issues = [str(issue) for issue in structural_issues(runbook, known_actions)]
    if issues:
        raise RunbookUnsound("\n".join(issues), hint=f"Correct {runbook.file} and lint it again.")
