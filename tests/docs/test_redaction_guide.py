"""What the guide says of redaction is what redaction does."""

import re
from pathlib import Path

import pytest

from moneypath.telemetry.redaction import redact, redact_bytes, redact_values
from moneypath.telemetry.redaction.issuers import chance_share

GUIDE = (Path(__file__).parents[2] / "docs/guides/redaction.md").read_text(encoding="utf-8")


def rows(heading: str) -> list[list[str]]:
    """Return the cells of the table under a heading, without its head."""
    section = GUIDE.split(f"\n## {heading}\n", 1)[1].split("\n## ", 1)[0]
    lines = [line for line in section.splitlines() if line.startswith("| ")]
    return [[cell.strip().strip("`") for cell in line.strip("|").split(" | ")] for line in lines[1:]]


@pytest.mark.parametrize("row", rows("What is masked"), ids=lambda row: row[0][:40])
def test_example_is_masked_as_the_guide_says(row: list[str]) -> None:
    """Each example becomes what stands beside it."""
    assert redact(row[1]) == row[2].rstrip(" |").strip("`")


@pytest.mark.parametrize("row", rows("What is not masked"), ids=lambda row: row[0][:40])
def test_example_survives_as_the_guide_says(row: list[str]) -> None:
    """Each example comes out as it went in."""
    text = row[1].rstrip(" |").strip("`")
    assert redact(text) == text


def test_shares_are_those_of_the_table() -> None:
    """The floors that the guide prints are reckoned from the table of issuers as it is."""
    printed = {int(row[0]): row[1] for row in rows("What it takes by mistake")}
    assert printed == {length: f"{chance_share(length):.3%}".replace("%", " %") for length in range(12, 20)}


def test_lines_of_code_do_what_they_say() -> None:
    """The comment behind each call is what it returns."""
    calls = re.findall(r"^(redact\w*\(.*\))  # (.*)$", GUIDE, re.MULTILINE)
    functions = {"redact": redact, "redact_bytes": redact_bytes, "redact_values": redact_values}
    assert len(calls) == len(functions)
    for call, said in calls:
        assert repr(eval(call, functions)) == said  # noqa: S307 - the guide's own lines
