"""The guide to reading refpay leads through files that exist and leaves no package out."""

import re
from pathlib import Path

PROJECT = Path(__file__).parents[2]
GUIDES = PROJECT / "docs" / "guides"
GUIDE = (GUIDES / "reading-refpay.md").read_text(encoding="utf-8")
SERVICE = PROJECT / "src" / "refpay"


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


def test_every_package_has_its_place() -> None:
    """What is left out is named too."""
    packages = {file.parent.name for file in SERVICE.glob("*/__init__.py")}
    assert packages == set(re.findall(r"^\| `(\w+)` \|", GUIDE, re.M))
