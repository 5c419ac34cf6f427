"""The printed page: plain text, 100 columns, for a terminal, a pinboard and a measure of length."""

import textwrap
from collections.abc import Iterator, Mapping
from typing import Final

from moneypath.path.durations import format_duration
from moneypath.runbooks.model import Approval, RoleDuty, Runbook, Section, Step

PAGE_COLUMNS: Final = 100
# 66 lines is the page of a line printer, and A4 at 11 pt leading; 4,500 characters is what a reader
# takes in within four minutes. Whoever is woken at night reads one page: a longer one is two runbooks.
PAGE_LINES: Final = 66
PAGE_CHARACTERS: Final = 4500


def render(runbook: Runbook) -> str:
    """Return the page as it is printed, no line wider than PAGE_COLUMNS unless one word is."""
    numbers = {step.id: step.number for step in runbook.steps}
    body = (line for section in runbook.sections for line in _section(section, numbers))
    return "\n".join([*_head(runbook), *body, ""])


def excess(page: str) -> str:
    """Return by how much a rendered page is more than one, or nothing."""
    lines = sum(1 + max(0, len(line) - 1) // PAGE_COLUMNS for line in page.splitlines())
    characters = sum(len(line.strip()) for line in page.splitlines())
    over = []
    if lines > PAGE_LINES:
        over.append(f"{lines} lines of at most {PAGE_LINES}")
    if characters > PAGE_CHARACTERS:
        over.append(f"{characters} characters of at most {PAGE_CHARACTERS}")
    return ", ".join(over)


def _head(runbook: Runbook) -> Iterator[str]:
    front = runbook.front
    facts = f"{front.id} v{front.version} | {front.severity} | owner {front.owner_role}"
    yield f"{front.title.upper()}  ({facts}, reviewed {front.review.last})"
    roles = [_role(role, duty) for role, duty in front.roles.items()]
    yield from _wrapped("Alerts: ", ", ".join(front.triggers))
    yield from _wrapped("Roles: ", "; ".join(roles))
    for entry in front.first_hour:
        lead = f"{format_duration(entry.by):>8} {entry.role:<10} "
        yield from _wrapped(lead, f"{entry.do} [{entry.evidence}]")
    yield from _wrapped("Never: ", " ".join(front.do_not), indent=2)
    for told in front.comms:
        audience = f"{told.to}, by {told.role} within {format_duration(told.by)}"
        yield from _wrapped("Tell ", f'{audience}: "{told.say}"', indent=2)
    for question in front.regulatory:
        facts = "; ".join(question.facts)
        yield from _wrapped("Notify? ", f"{question.regime}: {question.role} decides on {facts}.", indent=2)
    yield from _wrapped("Over when: ", " ".join(front.exit_criteria), indent=2)


def _role(role: str, duty: RoleDuty) -> str:
    if not duty.page:
        return f"{role} told"
    return f"{role} paged" + (f", answers in {format_duration(duty.ack)}" if duty.ack is not None else "")


def _section(section: Section, numbers: Mapping[str, int]) -> Iterator[str]:
    paragraphs = " ".join(line.strip() for _, line in section.prose if line.strip())
    yield from _wrapped(f"{section.title.upper()}  ", paragraphs, indent=2)
    for step in section.steps:
        yield from _step(step, numbers)


def _step(step: Step, numbers: Mapping[str, int]) -> Iterator[str]:
    notes = [str(step.type), step.role, format_duration(step.within_seconds)]
    if step.approval is not Approval.NONE:
        notes.append("a second person agrees")
    yield from _wrapped(f"{step.number:>3}. ", f"{step.title} [{', '.join(notes)}]", indent=5)
    action = " ".join(step.action) if step.pulls_lever else " ".join(step.action[0].split())
    ways = [f" -> {step.expect}"]
    if step.undo:
        ways.append(f"; undo {' '.join(step.undo)}")
    if step.stays:
        ways.append(f"; stays: {step.stays}")
    if step.learn:
        ways.append(f"; learns {step.learn}")
    for word, target in (("then", step.next), ("otherwise", step.otherwise)):
        if target:
            ways.append(f"; {word} {f'step {numbers[target]}' if target in numbers else target}")
    yield from _wrapped("     ", action + "".join(ways), indent=5)


def _wrapped(lead: str, text: str, *, indent: int | None = None) -> list[str]:
    return textwrap.wrap(
        text,
        PAGE_COLUMNS,
        initial_indent=lead,
        subsequent_indent=" " * (len(lead) if indent is None else indent),
        break_long_words=False,
        break_on_hyphens=False,
    ) or [lead.rstrip()]
