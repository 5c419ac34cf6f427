"""YAML into a model: what is understood, and how everything else is refused."""
# ruff: noqa: E501  # the tables of mistakes read better with one mistake a line

from datetime import date
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Literal

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import BaseModel, ConfigDict, Field

from moneypath.path.source import MAX_BYTES, DeclarationInvalid, load_yaml, parse_yaml


class Colour(StrEnum):
    """A closed set."""

    RED = "red"
    GREEN = "green"


class Closed(BaseModel):
    """What all sample models share."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class Check(Closed):
    """One kind of step."""

    kind: Literal["check"]
    expect: int


class Action(Closed):
    """Another kind of step."""

    kind: Literal["action"]
    undo: str


class Sample(Closed):
    """A declaration with one key of every sort."""

    title: str = Field(description="one line")
    colour: Colour
    share: float = Field(ge=0, le=1)
    day: date
    steps: tuple[Annotated[Check | Action, Field(discriminator="kind")], ...]
    limits: dict[str, int] = {}
    note: str | None = None


GOOD = """\
title: "a title"
colour: red
share: 0.5
day: 2026-01-31
steps:
  - kind: check
    expect: 3
  - kind: action
    undo: put it back
limits:
  low: 1
"""


def problems(text: str, first_line: int = 1) -> list[str]:
    """Return the problems of `text` as they are shown."""
    with pytest.raises(DeclarationInvalid) as caught:
        parse_yaml(text, Sample, file="sample.yaml", first_line=first_line)
    return caught.value.what.splitlines()


def test_a_good_declaration_becomes_a_model() -> None:
    """Text becomes enums, dates and tuples; numbers stay numbers."""
    sample = parse_yaml(GOOD, Sample, file="sample.yaml")
    assert sample.colour is Colour.RED
    assert sample.day == date(2026, 1, 31)
    assert sample.steps == (Check(kind="check", expect=3), Action(kind="action", undo="put it back"))
    assert sample.limits == {"low": 1}


@pytest.mark.parametrize("word", ["no", "on", "yes", "off", "1:30", "0x10", "1_000", "012a", ".nan", ".inf"])
def test_words_stay_words(word: str) -> None:
    """YAML 1.1 makes a false of `no` and 90 of `1:30`; here they stay what they look like."""
    assert parse_yaml(GOOD + f"note: {word}\n", Sample, file="sample.yaml").note == word


@pytest.mark.parametrize(
    ("before", "after", "expected"),
    [
        ("colour: red", "colour: rde", 'sample.yaml:2: colour: "rde": is not an allowed value, did you mean "red"?; allowed: red, green'),
        ("colour: red", "color: red", 'sample.yaml:2: "color" is an unknown key, did you mean "colour"?; allowed: colour, day, limits, note, share, steps, title'),
        ('title: "a title"\n', "", "sample.yaml:1: title: missing key; allowed: one line"),
        ("colour: red", "colour: red\ncolour: green", "sample.yaml:3: colour: duplicate key, first used in line 2"),
        ("share: 0.5", "share: 1.5", "sample.yaml:3: share: 1.5: should be less than or equal to 1"),
        ("share: 0.5", 'share: "0.5"', 'sample.yaml:3: share: "0.5": should be a valid number'),
        ("share: 0.5", "share: true", "sample.yaml:3: share: true: should be a valid number"),
        ("expect: 3", 'expect: "3"', 'sample.yaml:7: steps[0].expect: "3": should be a valid integer'),
        ("expect: 3", "expext: 3", 'sample.yaml:7: steps[0]: "expext" is an unknown key, did you mean "expect"?; allowed: expect, kind'),
        ("expect: 3", "expext: 3", "sample.yaml:6: steps[0].expect: missing key"),
        ("undo: put", "undoo: put", 'sample.yaml:9: steps[1]: "undoo" is an unknown key, did you mean "undo"?; allowed: kind, undo'),
        ("kind: action", "kind: acton", 'sample.yaml:8: steps[1].kind: "acton": is not an allowed value, did you mean "action"?; allowed: check, action'),
        ("low: 1", "low: one", 'sample.yaml:11: limits.low: "one": should be a valid integer'),
        ("low: 1", f"low: {'9' * 40}", f"sample.yaml:11: limits.low: {'9' * 40} is out of range or not a number; allowed: up to 18 digits"),
        ("share: 0.5", "share: 1e999", "sample.yaml:3: share: 1e999 is out of range or not a number; allowed: up to 18 digits"),
        ("low: 1", "7: 1", "sample.yaml:11: limits: the key 7 is not text, put it in quotes"),
        ("low: 1", "? [a]\n  : 1", "sample.yaml:11: limits: the key a list or mapping is not text, put it in quotes"),
        ("low: 1", "low: !!python/object:os.system x", "sample.yaml:11: limits.low: the tag python/object:os.system is not allowed"),
    ],
)  # fmt: skip
def test_a_mistake_is_shown_with_its_place_and_what_is_allowed(
    before: str, after: str, expected: str
) -> None:
    """Each mistake names file, line, key, what is wrong and what would be right."""
    assert expected in problems(GOOD.replace(before, after, 1))


@pytest.mark.parametrize("name", ["extra_key", "api_token", "password", "client_secret"])
def test_an_unknown_key_keeps_its_name_whatever_it_looks_like(name: str) -> None:
    """The name of a key is no secret, though `extra_key: x` reads like one."""
    (problem,) = problems(GOOD + f"{name}: 1\n")
    assert f'"{name}" is an unknown key' in problem
    assert "[secret]" not in problem


def test_the_value_of_an_unknown_key_is_never_repeated() -> None:
    """What stands behind the key may be a secret."""
    (problem,) = problems(GOOD + "signing_key: hunter2hunter2\n")
    assert "hunter2" not in problem


def test_all_mistakes_are_shown_at_once_in_the_order_of_the_file() -> None:
    """One run shows everything there is to correct."""
    text = GOOD.replace("red", "blue").replace("share", "shore").replace("expect: 3", "expect: three")
    lines = [int(line.split(":")[1]) for line in problems(text)]
    assert lines == sorted(lines)
    assert {2, 3, 7} <= set(lines)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", "sample.yaml:1: is empty"),
        ("# only a comment\n", "sample.yaml:1: is empty"),
        ("- a\n- b\n", "sample.yaml:1: is not a mapping of keys to values"),
        ("just words\n", "sample.yaml:1: is not a mapping of keys to values"),
        ("title: [\n", "sample.yaml:2: not valid YAML"),
        ("title: a\n\tshare: 1\n", "sample.yaml:2: not valid YAML"),
        ("title: a\n---\ntitle: b\n", "sample.yaml:2: not valid YAML: expected a single document"),
        ("title: a\x07b\n", "sample.yaml:1: the character U+0007 is not allowed"),
        ("a: &x 1\nb: *x\n", "sample.yaml:2: not valid YAML: an alias is not allowed here"),
        ("[" * 5000, "sample.yaml:1: not valid YAML: nested deeper than 32 levels"),
        ("a: " + "{b: " * 40 + "1", "sample.yaml:1: not valid YAML: nested deeper than 32 levels"),
        ("x" * (MAX_BYTES + 1), "sample.yaml:1: is too large; allowed: at most 1048576 bytes"),
    ],
    ids=lambda value: str(value)[:30],
)
def test_what_is_no_declaration_at_all_is_refused(text: str, expected: str) -> None:
    """Syntax errors, bombs and empty files end in one sentence with a line."""
    assert problems(text)[0].startswith(expected)


def test_an_alias_bomb_is_refused_before_it_grows() -> None:
    """Nine levels of nine aliases would be 387 million values."""
    lines = ["a0: &a0 [x, x, x, x, x, x, x, x, x]"]
    lines += [f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 9)}]" for n in range(1, 9)]
    assert "an alias is not allowed" in problems("\n".join(lines))[0]


def test_an_embedded_block_counts_lines_from_where_it_stands() -> None:
    """`first_line` makes the lines of a block inside a page those of the page."""
    assert problems(GOOD.replace("red", "blue"), first_line=100)[0].startswith("sample.yaml:101: colour")
    assert problems("title: [\n", first_line=100)[0].startswith("sample.yaml:101: not valid YAML")
    assert problems("", first_line=100)[0].startswith("sample.yaml:100: is empty")


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        (b"title: a\nnote: \xff\n", ":2: byte 0xff is not valid UTF-8"),
        (b"x" * (MAX_BYTES + 1), ":1: is too large"),
    ],
    ids=["not UTF-8", "too large"],
)
def test_an_unusable_file_is_refused(tmp_path: Path, content: bytes, expected: str) -> None:
    """The bytes of a file are judged before its YAML."""
    file = tmp_path / "sample.yaml"
    file.write_bytes(content)
    with pytest.raises(DeclarationInvalid, match=expected):
        load_yaml(file, Sample)


def test_a_missing_file_and_a_folder_are_refused(tmp_path: Path) -> None:
    """What cannot be read is said, with the name of the file."""
    with pytest.raises(DeclarationInvalid, match=r"nowhere\.yaml:1: does not exist"):
        load_yaml(tmp_path / "nowhere.yaml", Sample)
    with pytest.raises(DeclarationInvalid, match="is not a regular file"):
        load_yaml(tmp_path, Sample)


def test_a_byte_order_mark_is_no_mistake(tmp_path: Path) -> None:
    """Editors that write one are not punished."""
    file = tmp_path / "sample.yaml"
    file.write_text(GOOD, encoding="utf-8-sig")
    assert load_yaml(file, Sample).title == "a title"


def outcome(text: str) -> list[str]:
    """Return the problems of `text`, none for a declaration; anything else is raised."""
    try:
        parse_yaml(text, Sample, file="sample.yaml")
    except DeclarationInvalid as error:
        return error.what.splitlines()
    return []


@given(st.text(max_size=200))
def test_no_text_leads_to_a_stack_trace(text: str) -> None:
    """Whatever stands in the file, the answer is a declaration or a DeclarationInvalid."""
    assert all(line.startswith("sample.yaml:") for line in outcome(text))


@given(st.integers(min_value=0, max_value=len(GOOD)), st.sampled_from("{}[]:-&*!|>'\"%@`#,?\t\n\\ 0"))
def test_no_stray_character_leads_to_a_stack_trace(position: int, character: str) -> None:
    """One character too many somewhere is read or refused, never more."""
    text = GOOD[:position] + character + GOOD[position:]
    assert all(line.startswith("sample.yaml:") for line in outcome(text))
