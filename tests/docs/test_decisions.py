"""The decision records name files and tests that exist, and the index lists each record."""

import re
from pathlib import Path

import pytest

PROJECT = Path(__file__).parents[2]
DECISIONS = PROJECT / "docs" / "decisions"
RECORDS = sorted(DECISIONS.glob("0*.md"))
TESTS = "\n".join(file.read_text(encoding="utf-8") for file in (PROJECT / "tests").rglob("test_*.py"))
FOLDERS = ("benchmarks", "collector", "docs", "drills", "loadtests", "proofs", "src", "tests", "tools")


def code_of(record: Path) -> list[str]:
    """Return what stands in backticks in a record."""
    return re.findall(r"`([^`]+)`", record.read_text(encoding="utf-8"))


@pytest.mark.parametrize("record", RECORDS, ids=lambda record: record.stem)
def test_what_a_record_names_is_there(record: Path) -> None:
    """Files, folders, tests and links; a star stands for any name."""
    paths = [code for code in code_of(record) if code.split("/")[0] in FOLDERS and "/" in code]
    assert [path for path in paths if not list(PROJECT.glob(path.rstrip("/")))] == []
    tests = [code for code in code_of(record) if re.fullmatch(r"test_\w+", code)]
    assert [test for test in tests if f"def {test}(" not in TESTS] == []
    links = re.findall(r"\]\(([^)#:]+)\)", record.read_text(encoding="utf-8"))
    assert [link for link in links if not (DECISIONS / link).exists()] == []


def test_the_index_lists_each_record_under_its_title() -> None:
    """And numbers none twice."""
    index = (DECISIONS / "README.md").read_text(encoding="utf-8")
    for record in RECORDS:
        number, title = re.match(r"# (\d{4}) (.+)", record.read_text(encoding="utf-8")).groups()  # type: ignore[union-attr]
        assert f"| [{number}]({record.name}) | {title}" in index
        assert record.name.startswith(f"{number}-")
    assert len({record.name[:4] for record in RECORDS}) == len(RECORDS)


def test_what_supersedes_a_record_says_so_too() -> None:
    """Both records lead to each other, and so does the index."""
    index = (DECISIONS / "README.md").read_text(encoding="utf-8")
    for record in RECORDS:
        text = record.read_text(encoding="utf-8")
        for how, later in re.findall(r"\*\*(Superseded|Amended) by \[\d+\]\(([^)]+)\)", text):
            assert f"]({record.name})" in (DECISIONS / later).read_text(encoding="utf-8")
            assert f"({how.lower()} by [{later[:4]}]({later}))" in index
