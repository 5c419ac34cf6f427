"""The guide on drills shows what the drills of the house say, and lists every operator action's promise."""

import re
from pathlib import Path

from moneypath.runbooks import ACTION_PROMISES

PROJECT = Path(__file__).parents[2]
GUIDE = (PROJECT / "docs" / "guides" / "write-a-drill.md").read_text(encoding="utf-8")


def _lines(text: str) -> set[str]:
    return {line.strip() for line in text.splitlines()}


def test_every_line_of_an_example_stands_in_a_drill_or_a_runbook() -> None:
    """An example that was left behind teaches keys that are refused."""
    projects = (PROJECT, PROJECT / "examples" / "wallet")
    committed = [
        file
        for project in projects
        for file in (*(project / "drills").glob("*.yaml"), *(project / "runbooks").glob("*.md"))
    ]
    known = _lines("\n".join(file.read_text(encoding="utf-8") for file in committed))
    examples = re.findall(r"```yaml\n(.*?)```", GUIDE, re.S)
    assert examples
    assert [line for example in examples for line in sorted(_lines(example) - known - {""})] == []


def test_the_guide_lists_the_promise_of_every_action_with_its_numbers() -> None:
    """One row each, in which the least and the evidence stand."""
    rows = {
        row[0]: row[1] for row in re.findall(r"^\| `([a-z.-]+)` \| (.*?) \|", GUIDE, re.M) if "." in row[0]
    }
    del rows["evidence.query"], rows["evidence.min"]
    assert set(rows) == set(ACTION_PROMISES)
    for name, promise in ACTION_PROMISES.items():
        for number in (promise.least, promise.least_evidence):
            assert number <= 1 or str(number) in rows[name], name
