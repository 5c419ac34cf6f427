"""Reading a page: what is understood, and that every mistake names file and line."""

from typing import TYPE_CHECKING

import pytest

from moneypath.path.source import DeclarationInvalid
from moneypath.runbooks import load, render
from moneypath.runbooks.model import SECTIONS

if TYPE_CHECKING:
    from pathlib import Path

    from tests.runbooks.conftest import Book


def test_a_page_is_read_with_sections_and_steps_at_their_lines(book: "Book") -> None:
    """Everything on the page arrives, and each step knows where it stands."""
    runbook = book.load()
    assert [section.title for section in runbook.sections] == list(SECTIONS)
    assert [step.id for step in runbook.steps] == ["confirm", "drain", "stopped", "whole"]
    assert [step.line for step in runbook.steps] == [book.line(f"step: {n}") for n in (1, 2, 3, 4)]
    drain = runbook.steps[1]
    assert drain.instruction == ("provider.drain", "{provider}")
    assert drain.undo == ("provider.restore", "{provider}")
    assert drain.within_seconds == 30
    assert runbook.lines["triggers"] == book.line("triggers:")


# What is replaced by what, the text on the line that must be named, and a part of the complaint.
MISTAKES = {
    "unknown key in front matter": ("version: 1", "version: 1\nowner: me", "owner: me", "unknown key"),
    "missing key in front matter": ("severity: critical\n", "", "id: small-page", "severity: missing key"),
    "severity outside its set": ("severity: critical", "severity: grave", "severity:", "critical, warning"),
    "date that is none": ("last: 2026-11-22", "last: soon", "review:", "date"),
    "no trigger": ("triggers: [SmallAlert]", "triggers: []", "triggers:", "triggers"),
    "duration without unit": ("within: 30s", "within: 30", "within: 30", "duration"),
    "no time at all": ("within: 30s", "within: 0s", "within: 0s", "more than 0s, at most 1h"),
    "more than an hour": ("within: 30s", "within: 2h", "within: 2h", "more than 0s, at most 1h"),
    "missing within": ("within: 30s\n", "", "step: 1", "within: missing key"),
    "step type outside its set": ("type: check", "type: look", "type: look", "check, mitigate, verify"),
    "unknown key in a step": ("type: check", "type: check\nrun: x", "run: x", "unknown key"),
    "duplicate key in a step": ("type: check", "type: check\ntype: check", "type: check", "type"),
    "check with an operator action": (
        """query: ['bad_ratio{provider="{provider}"}']""", "action: [provider.drain, north]",
        "action: [provider.drain, north]", "does not belong to a check step",
    ),
    "mitigate with a query": (
        'action: [provider.drain, "{provider}"]', "query: [up]", "query: [up]", "does not belong",
    ),
    "action without a name": (
        'action: [provider.drain, "{provider}"]', "action: []", "action: []", "is empty",
    ),
    "two queries": ("query: [harm_ratio]", "query: [a, b]", "query: [a, b]", "has 2 entries"),
    "query that is no list": ("query: [harm_ratio]", "query: harm_ratio", "query: harm_ratio", "query"),
    "undo of a check": (
        "query: [harm_ratio]", "query: [harm_ratio]\nundo: [x]", "undo: [x]", "changes nothing",
    ),
    "approval of a check": (
        "query: [harm_ratio]", "query: [harm_ratio]\napproval: second_person", "approval:", "no approval",
    ),
    "action that learns": (
        'undo: [provider.restore, "{provider}"]', "irreversible: Why not.\nbind: job",
        "bind:", "asks nothing",
    ),
    "irreversible beside undo": (
        'undo: [provider.restore, "{provider}"]', "undo: [a]\nirreversible: Why.",
        "irreversible:", "either undo or irreversible",
    ),
    "check that is irreversible": (
        "query: [harm_ratio]", "query: [harm_ratio]\nirreversible: Why not.",
        "irreversible:", "either undo or irreversible",
    ),
    "learned label that is none": (
        "query: [harm_ratio]", "query: [harm_ratio]\nbind: Provider", "bind:", "does not match",
    ),
    "unknown expectation": (
        '{value: ">= 0.0144"}', "{about: 3}", "expect: {about", "value, all, any, empty, recorded",
    ),
    "two expectations": (
        '{value: ">= 0.0144"}', "{value: '> 1', empty: true}", "expect: {value: '> 1'", "exactly one",
    ),
    "no expectation": ('{value: ">= 0.0144"}', "{}", "expect: {}", "not nothing"),
    "comparison that is none": ('{value: ">= 0.0144"}', "{value: '=> 1'}", "'=> 1'", "not a comparison"),
    "number without operator": ('{value: ">= 0.0144"}', "{value: 1}", "{value: 1}", "not a comparison"),
    "empty that is not true": ('{value: ">= 0.0144"}', "{empty: 1}", "{empty: 1}", "allowed: true"),
    "action without expectation": ("{routing_active: false}", "{}", "expect: {}", "is empty"),
    "odd field name": ("{routing_active: false}", "{Routing-Active: 1}", "Routing-Active", "field name"),
    "nested field": ("{routing_active: false}", "{routing: {a: 1}}", "routing: {a", "expect"),
    "fence without an end": ("30s\n```\n\n## Stop", "30s\n\n## Stop", "```yaml", "never closed"),
    "text before the first section": ("## What it is", "Hello.\n\n## What it is", "Hello.", "first section"),
    "step before a section": ("## What it is\n", "```yaml\nstep: 1\n```\n", "```yaml", "a fence stands"),
    "no front matter": ("---\nid", "id", "id: small-page", "front matter"),
}  # fmt: skip


@pytest.mark.parametrize("mistake", MISTAKES)
def test_a_mistake_is_refused_with_its_file_and_line(book: "Book", mistake: str) -> None:
    """Each kind of bad input is named where it stands."""
    old, new, stands, complaint = MISTAKES[mistake]
    file = book.write((old, new))
    with pytest.raises(DeclarationInvalid) as refused:
        load(file)
    line = book.line(stands)
    named = [text for text in refused.value.what.splitlines() if text.startswith(f"{file}:")]
    near = [text for text in named if complaint in text]
    assert near, refused.value.what
    # A duplicate is reported at the second of the two lines.
    assert any(text.startswith((f"{file}:{line}:", f"{file}:{line + 1}:")) for text in near), near


def test_all_mistakes_are_told_at_once(book: "Book") -> None:
    """Front matter and two steps are corrected in one go, not in three."""
    file = book.write(("version: 1", "version: 0"), ("type: check", "type: x"), ("type: verify", "type: y"))
    with pytest.raises(DeclarationInvalid) as refused:
        load(file)
    assert len(refused.value.problems) == 3


def test_a_file_that_does_not_exist_is_one_sentence(tmp_path: "Path") -> None:
    """A missing file is refused like any other mistake."""
    with pytest.raises(DeclarationInvalid, match=r"nothing\.md:1: does not exist"):
        load(tmp_path / "nothing.md")


def test_too_many_steps_are_refused(book: "Book") -> None:
    """A page is bounded before anybody measures it."""
    step = """```yaml
step: 9
id: a
type: check
role: ops
title: abc
query: [up]
expect: {empty: true}
within: 1s
```
"""
    file = book.write(("## Escalate\n", "## Escalate\n" + step * 60))
    with pytest.raises(DeclarationInvalid, match="more than 50 steps"):
        load(file)


def test_the_printed_page_shows_what_a_reader_needs(book: "Book") -> None:
    """Every step, arrow and limit is on the rendered page, which is never wider than it says."""
    page = render(book.load(("title: The ledger is whole", "title: The ledger is whole\notherwise: drain")))
    for text in ("SMALL PAGE", "SmallAlert", "Begin at step 1.", "STOP THE BLEEDING", "-> >= 0.0144",
                 "undo provider.restore {provider}", "[check, ops, 5 min]", "otherwise step 2"):  # fmt: skip
        assert text in page
    assert max(map(len, page.splitlines())) <= 100


@pytest.mark.parametrize(
    ("written", "old", "new"),
    [
        ('action: [provider.drain, "{provider}"]', "lever", "action"),
        ("query: [harm_ratio]", "learn", "bind"),
        ('undo: [provider.restore, "{provider}"]', "stays", "irreversible"),
    ],
)
def test_an_old_key_is_refused_by_its_new_name(book: "Book", written: str, old: str, new: str) -> None:
    """Whoever has a runbook from before the glossary reads in one sentence what to write."""
    replaced = f"{old}: [x]" if old == "lever" else f"{written}\n{old}: x"
    with pytest.raises(DeclarationInvalid, match=f'"{old}" is called "{new}" now'):
        book.load((written, replaced))
