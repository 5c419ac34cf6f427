"""The guide to reading refpay leads through files that exist, and stays a day's work."""

import re
from pathlib import Path

PROJECT = Path(__file__).parents[2]
GUIDES = PROJECT / "docs" / "guides"
GUIDE = (GUIDES / "reading-refpay.md").read_text(encoding="utf-8")
SERVICE = PROJECT / "src" / "refpay"
A_DAY_LINES = 6_000
# Decision 0051: whoever adds takes away, or says here that there is more.
WHOLE_LINES = 15_260


def _files() -> list[Path]:
    return [(GUIDES / place).resolve() for place in re.findall(r"\]\((\S+\.py)\)", GUIDE)]


def test_what_is_to_be_read_is_there_and_named_once() -> None:
    """A link's text is the module that it leads to."""
    files = _files()
    assert len(files) > 40
    assert len(set(files)) == len(files)
    for name, place in re.findall(r"\[([\w.]+)\]\((\S+\.py)\)", GUIDE):
        file = (GUIDES / place).resolve()
        assert file.is_file(), place
        assert ".".join(file.relative_to(SERVICE).with_suffix("").parts) == name


def test_it_can_be_read_in_a_day() -> None:
    """At most 6,000 lines, comments, docstrings and SQL included."""
    assert sum(len(file.read_text(encoding="utf-8").splitlines()) for file in _files()) <= A_DAY_LINES


def test_the_whole_does_not_grow_unnoticed() -> None:
    """The service was meant to be smaller than it is."""
    lines = [len(file.read_text(encoding="utf-8").splitlines()) for file in SERVICE.rglob("*.py")]
    assert sum(lines) <= WHOLE_LINES


def test_every_room_has_its_place() -> None:
    """What is left out is named too."""
    rooms = {file.parent.name for file in SERVICE.glob("*/__init__.py")}
    assert rooms == set(re.findall(r"^\| `(\w+)` \|", GUIDE, re.M))
