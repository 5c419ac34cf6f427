"""Keys that were renamed: the old one is refused with one sentence that names the new one."""

from pathlib import Path

import pytest

from moneypath.path.model import MoneyPath
from moneypath.path.source import DeclarationInvalid, parse_yaml


@pytest.fixture(scope="module")
def declaration() -> str:
    """Return the text of the repository's declaration."""
    return (Path(__file__).parents[2] / "moneypath.yaml").read_text(encoding="utf-8")


@pytest.mark.parametrize(
    ("new", "old", "place"),
    [
        ("    controls:\n", "    gates:\n", "stages[0]"),
        ("    controls: []\n", "    gates: []\n", "stages[3]"),
        ("    histogram:\n", "    timed:\n", "slos[1]"),
        ("    counter:\n", "    counted:\n", "guards[2]"),
        ("    outcome_deadline_seconds: 15\n", "    settle_deadline_seconds: 15\n", "providers[0]"),
    ],
)
def test_an_old_key_is_refused_with_the_new_one(declaration: str, new: str, old: str, place: str) -> None:
    """One problem for the old key, and none that the new key is missing."""
    assert new in declaration
    with pytest.raises(DeclarationInvalid) as refused:
        parse_yaml(declaration.replace(new, old, 1), MoneyPath, file="moneypath.yaml")
    (problem,) = refused.value.problems
    was, now = old.split(":")[0].strip(), new.split(":")[0].strip()
    assert problem.text("moneypath.yaml").endswith(f'{place}: "{was}" is called "{now}" now; allowed: {now}')
