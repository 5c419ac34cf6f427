"""Each rule of the linter: it finds its mistake, and leaves the twin without it alone."""

import re
from datetime import date
from typing import TYPE_CHECKING

import pytest

from moneypath.runbooks import AlertRoles, LintIssue, LintLevel, LintRule, lint_all, load
from moneypath.runbooks.model import SECTIONS
from moneypath.runbooks.printing import PRINT_CHARACTERS, PRINT_LINES, overflow
from moneypath.runbooks.structure import structural_issues

if TYPE_CHECKING:
    from tests.runbooks.conftest import Book

WHOLE = "title: The ledger is whole"
QUERY = "query: [harm_ratio]"
SMALL_ALERT = AlertRoles("SmallAlert", frozenset({"ops"}))


def rules(issues: list[LintIssue]) -> set[LintRule]:
    """Return which rules were broken."""
    return {issue.rule for issue in issues}


def test_the_small_page_is_clean(book: "Book") -> None:
    """The negative twin of every rule below."""
    assert book.lint() == []


# What is replaced, the rule that finds it, the text on the line that must be named, a part of the issue.
MISTAKES = {
    "misspelt alert": (
        "[SmallAlert]",
        "[SmalAlert]",
        LintRule.ALERT_UNKNOWN,
        "triggers:",
        "no alert SmalAlert",
    ),
    "unknown owner": (
        "owner_role: ops",
        "owner_role: boss",
        LintRule.ROLE_UNKNOWN,
        "owner_role:",
        "no role boss",
    ),
    "unknown role in a step": (
        "type: verify\nrole: ops",
        "type: verify\nrole: boss",
        LintRule.ROLE_UNKNOWN,
        "step: 4",
        "whole: no role boss",
    ),
    "unknown role in comms": (
        "comms: []",
        "comms: [{to: abc, role: boss, by: 5m, say: abc}]",
        LintRule.ROLE_UNKNOWN,
        "comms:",
        "no role boss",
    ),
    "unknown role in regulatory": (
        "regulatory: []",
        "regulatory: [{regime: dora, role: boss, facts: [abc]}]",
        LintRule.ROLE_UNKNOWN,
        "regulatory:",
        "no role boss",
    ),
    "role without a duty": (
        "  ops: {page: true, ack: 5m}",
        "  ops: {page: true}\n  eng: {page: true}",
        LintRule.FIRST_HOUR_INCOMPLETE,
        "first_hour:",
        "eng",
    ),
    "teller without a duty": (
        "comms: []",
        "comms: [{to: abc, role: eng, by: 5m, say: abc}]",
        LintRule.FIRST_HOUR_INCOMPLETE,
        "first_hour:",
        "eng",
    ),
    "decider without a duty": (
        "regulatory: []",
        "regulatory: [{regime: dora, role: eng, facts: [abc]}]",
        LintRule.FIRST_HOUR_INCOMPLETE,
        "first_hour:",
        "eng",
    ),
    "id of another file": (
        "id: small-page",
        "id: other-page",
        LintRule.ID_MISPLACED,
        "id: other",
        "small-page.md",
    ),
    "unknown drill": (
        "[drill-001-small]",
        "[drill-001-small, drill-9]",
        LintRule.DRILL_UNKNOWN,
        "drills:",
        "drill-9",
    ),
    "unknown action": (
        "action: [provider.drain",
        "action: [provider.nuke",
        LintRule.ACTION_UNKNOWN,
        "step: 2",
        "nuke",
    ),
    "unknown undo": (
        "undo: [provider.restore",
        "undo: [provider.heal",
        LintRule.ACTION_UNKNOWN,
        "step: 2",
        "heal",
    ),
    "no undo": ('undo: [provider.restore, "{provider}"]\n', "", LintRule.UNDO_MISSING, "step: 2", "drain"),
    "learned too late": (
        "query: [harm_ratio]\n",
        """query: ['harm_ratio{a="{source}"}']\nbind: source\n""",
        LintRule.PLACEHOLDER_UNKNOWN,
        "step: 3",
        "no alert carries source",
    ),
    "unknown series": (
        QUERY,
        "query: [sum(harm_ratoi) / 2]",
        LintRule.SERIES_UNKNOWN,
        "step: 3",
        "harm_ratoi",
    ),
    "series in a range": (
        QUERY,
        "query: ['rate(nothing[5m])']",
        LintRule.SERIES_UNKNOWN,
        "step: 3",
        "nothing",
    ),
    "one answer proves the drain": (
        ", for: 30s, evidence: {min: 20, query: sum(payments_total)}",
        "",
        LintRule.HOLD_MISSING,
        "step: 3",
        "stopped proves drain by one answer",
    ),
    "evidence of a series that nobody writes": (
        "sum(payments_total)",
        "sum(paiments_total)",
        LintRule.SERIES_UNKNOWN,
        "step: 3",
        "stopped: no series paiments_total",
    ),
    "evidence about a label that no alert has": (
        "sum(payments_total)",
        """'payments_total{a="{provder}"}'""",
        LintRule.PLACEHOLDER_UNKNOWN,
        "step: 3",
        "provder",
    ),
    "broken PromQL": (QUERY, "query: ['sum(harm_ratio']", LintRule.QUERY_INVALID, "step: 3", "stopped:"),
    "type error in PromQL": (
        QUERY,
        "query: ['rate(harm_ratio)']",
        LintRule.QUERY_INVALID,
        "step: 3",
        "stopped:",
    ),
    "nameless series": (
        QUERY,
        """query: ['{__name__=~"harm.*"}']""",
        LintRule.QUERY_INVALID,
        "step: 3",
        "naming",
    ),
    "label that no alert has": (
        "harm_ratio]",
        """'harm_ratio{a="{provder}"}']""",
        LintRule.PLACEHOLDER_UNKNOWN,
        "step: 3",
        "provder",
    ),
    "wrong number": ("step: 3", "step: 4", LintRule.STEP_MISNUMBERED, "step: 4", "stands at place 3"),
    "same id twice": ("id: stopped", "id: confirm", LintRule.STEP_ID_REPEATED, "step: 1", "confirm"),
    "id that is an end": ("id: stopped", "id: end", LintRule.STEP_ID_REPEATED, "step: 3", "end"),
    "next into nowhere": (
        WHOLE,
        f"{WHOLE}\nnext: nowhere",
        LintRule.TARGET_UNKNOWN,
        "step: 4",
        "next leads to nowhere",
    ),
    "otherwise into nowhere": (
        WHOLE,
        f"{WHOLE}\notherwise: off",
        LintRule.TARGET_UNKNOWN,
        "step: 4",
        "leads to off",
    ),
    "section missing": (
        "## Decide\n\nNobody.\n\n",
        "",
        LintRule.SECTION_MISPLACED,
        "## Repair",
        "missing: Decide",
    ),
    "section unknown": (
        "## Decide",
        "## Decision",
        LintRule.SECTION_MISPLACED,
        "## Decision",
        "unknown: Decision",
    ),
    "section repeated": (
        "Call somebody.",
        "Call.\n\n## Escalate\n\nAgain.",
        LintRule.SECTION_MISPLACED,
        "---",
        "out of",
    ),
    "section empty": ("Nobody.", "", LintRule.SECTION_MISPLACED, "## Decide", "Decide says nothing"),
    "shell fence": ("Nobody.", "```sh\nls\n```", LintRule.SHELL_FOUND, "```sh", "block of sh"),
    "fence without a language": ("Nobody.", "~~~\nls\n~~~", LintRule.SHELL_FOUND, "~~~", "no language"),
    "prompt": ("Nobody.", "$ restart", LintRule.SHELL_FOUND, "$ restart", "command"),
    "command in a span": ("Nobody.", "Run `kubectl get pods`.", LintRule.SHELL_FOUND, "kubectl", "command"),
    "plumbing in a span": ("Nobody.", "Run `a && b`.", LintRule.SHELL_FOUND, "a && b", "command"),
    "plumbing in an operator action": (
        'undo: [provider.restore, "{provider}"]',
        'undo: [provider.restore, "a; b"]',
        LintRule.SHELL_FOUND,
        "step: 2",
        "a; b",
    ),
}


@pytest.mark.parametrize("mistake", MISTAKES)
def test_a_mistake_is_found_at_its_line(book: "Book", mistake: str) -> None:
    """The rule fires, names file and line, and says what is wrong."""
    old, new, rule, stands, what = MISTAKES[mistake]
    issues = [issue for issue in book.lint((old, new)) if issue.rule is rule]
    assert any(what in issue.what for issue in issues), issues
    line = book.line(stands)
    assert f"small-page.md:{line}: error: {rule}: " in str(issues[0])


def test_sections_out_of_order_are_found(book: "Book") -> None:
    """All nine are there, and two have changed places."""
    issues = book.lint(("## Quantify", "## X"), ("## Decide", "## Quantify"), ("## X", "## Decide"))
    assert rules(issues) == {LintRule.SECTION_MISPLACED}
    assert "out of order" in issues[0].what
    assert ", ".join(SECTIONS) in issues[0].what


def test_a_page_without_steps_is_found(book: "Book") -> None:
    """A page that only talks cannot be drilled."""
    file = book.write()
    text = re.sub(r"```yaml.*?```", "Talk.", file.read_text(encoding="utf-8"), flags=re.DOTALL)
    file.write_text(text, encoding="utf-8")
    assert rules(list(structural_issues(load(file), ()))) == {LintRule.STEP_MISSING}


@pytest.mark.parametrize(
    "prose", ["`moneypath_x` is 0.", "Pay 3 > 2.", "It costs $ 5.", "Both | either.", "`make`"]
)
def test_ordinary_prose_is_no_shell(book: "Book", prose: str) -> None:
    """A series in a code span, a comparison, money and a dash are not commands."""
    assert LintRule.SHELL_FOUND not in rules(book.lint(("Nobody.", prose)))


@pytest.mark.parametrize("series", ["up", "ALERTS", 'bad_ratio{provider="{provider}"}'])
def test_known_series_and_prometheus_own_are_fine(book: "Book", series: str) -> None:
    """What Prometheus makes itself needs no declaration; a placeholder does not hide a series."""
    assert book.lint((QUERY, f"query: ['{series}']")) == []


@pytest.mark.parametrize(("today", "overdue"), [(date(2027, 2, 20), False), (date(2027, 2, 21), True)])
def test_a_review_is_overdue_after_its_days(book: "Book", today: date, overdue: bool) -> None:
    """The ninetieth day is still in time."""
    issues = book.lint(today=today, last_passed=None)
    assert (LintRule.REVIEW_OVERDUE in rules(issues)) is overdue
    assert all((issue.level, issue.owner) == (LintLevel.WARNING, "ops") for issue in issues)


@pytest.mark.parametrize(
    ("passed", "stale"),
    [
        ({"drill-001-small": date(2026, 9, 2)}, False),
        ({"drill-001-small": date(2026, 9, 1)}, True),
        ({}, True),
        ({"drill-002-other": date(2026, 11, 30)}, True),
        (None, False),
    ],
    ids=["90 days", "91 days", "never", "another drill", "no evidence at hand"],
)
def test_a_page_needs_a_drill_that_passed(book: "Book", passed: dict[str, date] | None, stale: bool) -> None:
    """Only a linked drill counts, and only for ninety days."""
    issues = book.lint(last_passed=passed)
    assert (LintRule.DRILL_STALE in rules(issues)) is stale
    assert all((issue.level, issue.owner) == (LintLevel.WARNING, "ops") for issue in issues)


def test_a_page_without_a_drill_is_warned_about(book: "Book") -> None:
    """An undrilled page is no error of the page, and does not go unsaid."""
    (issue,) = book.lint(("[drill-001-small]", "[]"))
    assert (issue.rule, issue.level) == (LintRule.DRILL_MISSING, LintLevel.WARNING)


def test_a_page_that_does_not_fit_is_found(book: "Book") -> None:
    """Prose beyond one printed page is two runbooks."""
    sentence = "One more sentence that somebody has to read at night. "
    fits = book.lint(("Nobody.", sentence * 40))
    too_long = book.lint(("Nobody.", sentence * 80))
    assert LintRule.RUNBOOK_TOO_LONG not in rules(fits)
    assert LintRule.RUNBOOK_TOO_LONG in rules(too_long)


@pytest.mark.parametrize(
    ("page", "over"),
    [
        ("x\n" * PRINT_LINES, ""),
        ("x\n" * (PRINT_LINES + 1), "67 lines of at most 66"),
        ("x" * 101 + "\n" + "x\n" * (PRINT_LINES - 1), "67 lines of at most 66"),
        (("x" * 99 + "\n") * (PRINT_CHARACTERS // 99), ""),
        (("x" * 100 + "\n") * (PRINT_CHARACTERS // 100 + 1), "4600 characters of at most 4500"),
    ],
)
def test_the_measure_counts_lines_as_printed_and_characters(page: str, over: str) -> None:
    """A line wider than the paper is two; blanks at the ends are not read."""
    assert overflow(page) == over


def test_two_pages_for_one_alert_are_found(book: "Book") -> None:
    """Whoever is paged must not have to choose."""
    other = book.load()
    issues = lint_all([book.load(), other], alert_rules=[SMALL_ALERT])
    assert rules(issues) == {LintRule.ALERT_ANSWERED_TWICE}


def test_an_alert_without_a_page_is_found(book: "Book") -> None:
    """Every alert leads somewhere; the twin with its page is clean."""
    pages = [book.load()]
    assert lint_all(pages, alert_rules=[SMALL_ALERT]) == []
    (issue,) = lint_all(pages, alert_rules=[SMALL_ALERT, AlertRoles("Lonely", frozenset({"ops"}))])
    assert issue.rule is LintRule.ALERT_UNANSWERED
    assert "Lonely" in issue.what


@pytest.mark.parametrize(
    ("paged", "differ"),
    [({"ops"}, False), (set(), False), ({"eng"}, True), ({"eng", "ops"}, True)],
    ids=["the same", "pages nobody", "another role", "one role more"],
)
def test_an_alert_has_to_page_whom_its_runbook_expects(book: "Book", paged: set[str], differ: bool) -> None:
    """A role that is paged finds itself in the runbook, and one that has to act is paged."""
    rule = AlertRoles("SmallAlert", frozenset(paged))
    issues = lint_all([book.load()], alert_rules=[rule])
    assert (rules(issues) == {LintRule.PAGED_ROLES_DIFFER}) is differ
    if differ:
        assert issues[0].line == book.line("roles:")
        assert "SmallAlert pages eng" in issues[0].what
        assert "this runbook expects ops to be paged" in issues[0].what


def test_each_rule_of_an_alert_is_compared(book: "Book") -> None:
    """Two rules of one name may page different roles: the right one does not hide the wrong one."""
    both = [SMALL_ALERT, AlertRoles("SmallAlert", frozenset({"eng"}))]
    assert rules(lint_all([book.load()], alert_rules=both)) == {LintRule.PAGED_ROLES_DIFFER}
