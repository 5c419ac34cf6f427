"""Print a runbook as plain text, for a terminal, for paper, and to measure its length."""

import textwrap
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from moneypath.path.durations import format_duration
from moneypath.runbooks.model import Approval, RoleAssignment, Runbook, Section, Step

PRINT_COLUMNS: Final = 100
# 66 lines fit on A4 at 11 pt leading; 4,500 characters are read in four minutes. Somebody who is woken at
# night reads one printed page: a longer one has to become two runbooks.
PRINT_LINES: Final = 66
PRINT_CHARACTERS: Final = 4500


def render(runbook: Runbook, columns: int = PRINT_COLUMNS) -> str:
    """Return the runbook wrapped to `columns`.

    A query or an operator action is never broken, so that it can be copied; its line may be wider.
    """
    printer = _Printer(columns, {step.id: step.number for step in runbook.steps})
    body = (line for section in runbook.sections for line in printer.section(section))
    return "\n".join([*printer.head(runbook), *body, ""])


def overflow(text: str) -> str:
    """Return by how much a printed runbook is longer than one page, or nothing."""
    lines = sum(1 + max(0, len(line) - 1) // PRINT_COLUMNS for line in text.splitlines())
    characters = sum(len(line.strip()) for line in text.splitlines())
    over = []
    if lines > PRINT_LINES:
        over.append(f"{lines} lines of at most {PRINT_LINES}")
    if characters > PRINT_CHARACTERS:
        over.append(f"{characters} characters of at most {PRINT_CHARACTERS}")
    return ", ".join(over)


# textwrap breaks at ASCII blanks only; no query holds this character.
_NO_BREAK: Final = "\u00a0"


@dataclass(frozen=True, slots=True)
class _Printer:
    """Wraps the parts of one runbook; `numbers` are those of its steps, by id."""

    columns: int
    numbers: Mapping[str, int]

    def head(self, runbook: Runbook) -> Iterator[str]:
        front = runbook.front
        facts = f"{front.id} v{front.version} | {front.severity} | owner {front.owner_role}"
        yield from self._wrapped("", f"{front.title.upper()}  ({facts}, reviewed {front.review.last})")
        roles = [_role(role, assignment) for role, assignment in front.roles.items()]
        yield from self._wrapped("Alerts: ", ", ".join(front.triggers))
        yield from self._wrapped("Roles: ", "; ".join(roles))
        for entry in front.first_hour:
            lead = f"{format_duration(entry.by):>8} {entry.role:<10} "
            yield from self._wrapped(lead, f"{entry.do} [{entry.evidence}]")
        yield from self._wrapped("Never: ", " ".join(front.do_not), indent=2)
        for message in front.comms:
            audience = f"{message.to}, by {message.role} within {format_duration(message.by)}"
            yield from self._wrapped("Tell ", f'{audience}: "{message.say}"', indent=2)
        for question in front.regulatory:
            facts = "; ".join(question.facts)
            text = f"{question.regime}: {question.role} decides on {facts}."
            yield from self._wrapped("Notify? ", text, indent=2)
        yield from self._wrapped("Over when: ", " ".join(front.exit_criteria), indent=2)

    def section(self, section: Section) -> Iterator[str]:
        paragraphs = " ".join(line.strip() for _, line in section.prose if line.strip())
        yield from self._wrapped(f"{section.title.upper()}  ", paragraphs, indent=2)
        for step in section.steps:
            yield from self._step(step)

    def _step(self, step: Step) -> Iterator[str]:
        notes = [str(step.type), step.role, format_duration(step.within_seconds)]
        if step.approval is not Approval.NONE:
            notes.append("a second person agrees")
        yield from self._wrapped(f"{step.number:>3}. ", f"{step.title} [{', '.join(notes)}]", indent=5)
        parts = [_unbroken((*step.instruction, "->", str(step.expect)))]
        if step.undo:
            parts.append(f"undo {_unbroken(step.undo)}")
        if step.irreversible:
            parts.append(f"irreversible: {step.irreversible}")
        if step.bind:
            parts.append(f"binds {step.bind}")
        for word, target in (("then", step.next), ("otherwise", step.otherwise)):
            if target:
                number = self.numbers.get(target)
                parts.append(f"{word} {target if number is None else f'step {number}'}")
        if len(parts[0]) + 5 > self.columns:
            # The line is too wide anyway: the rest goes on where the terminal or the paper breaks it.
            yield "     " + "; ".join(parts).replace(_NO_BREAK, " ")
        else:
            yield from self._wrapped("     ", "; ".join(parts), indent=5)

    def _wrapped(self, lead: str, text: str, *, indent: int | None = None) -> list[str]:
        lines = textwrap.wrap(
            text,
            self.columns,
            initial_indent=lead,
            subsequent_indent=" " * (len(lead) if indent is None else indent),
            break_long_words=False,
            break_on_hyphens=False,
        )
        return [line.replace(_NO_BREAK, " ") for line in lines] or [lead.rstrip()]


def _role(role: str, assignment: RoleAssignment) -> str:
    if not assignment.page:
        return f"{role} informed"
    if assignment.ack is None:
        return f"{role} paged"
    return f"{role} paged, ack {format_duration(assignment.ack)}"


def _unbroken(instruction: Sequence[str]) -> str:
    """Return a query or an operator action as text that is never wrapped."""
    return _NO_BREAK.join(" ".join(instruction).split())
