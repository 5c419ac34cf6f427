"""The style check reads what people read, and no code."""

from pathlib import Path

import pytest

from check_prose import advice, load_rules, main, project_prose, prose_of_file, without_code
from prose_sources import Text

load_rules()


def test_style_is_found_with_its_line() -> None:
    """Rule and advice come from proselint."""
    (found,) = advice("one.md", "Fine.\n\nIt is the the end.\n")
    assert found.startswith("one.md:3: lexical_illusions: ")


@pytest.mark.parametrize(
    "text", ["```\nthe the\n```\n", "`the the`", '"the the"', "[a](the the)", '"straight"']
)
def test_code_quotations_and_typography_are_left_out(text: str) -> None:
    """A command may repeat a word."""
    assert list(advice("one.md", f"Run {text} now.\n")) == []


def test_lines_stay_where_they_are() -> None:
    """What is blanked keeps its length and its line ends."""
    text = "a\n```\nthe the\n```\nb `c` d\n"
    assert [len(line) for line in without_code(text).splitlines()] == [
        len(line) for line in text.splitlines()
    ]


def test_docstrings_and_comments_of_a_file_are_one_text() -> None:
    """Each stands on its own line, whatever the order in which it was found."""
    texts = [Text("a.py", 4, "later", "prose"), Text("a.py", 1, "first\nsecond", "prose")]
    assert prose_of_file(texts).splitlines() == ["first", "second", "", "later"]


def test_docstrings_are_read_and_code_is_not(tmp_path: Path) -> None:
    """Only docstrings and comments of a Python file are prose."""
    (tmp_path / "src").mkdir()
    (tmp_path / "src" / "one.py").write_text('"""Say it."""\nthe = "the the"\n# the end\n', encoding="utf-8")
    assert list(project_prose(tmp_path)) == [("src/one.py", "Say it.\n\nthe end")]


def test_the_command_ends_with_1_if_there_is_advice(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """And with 0 if there is none."""
    monkeypatch.setattr("sys.argv", ["check_prose.py", "--root", str(tmp_path)])
    (tmp_path / "README.md").write_text("It works.\n", encoding="utf-8")
    assert main() == 0
    (tmp_path / "README.md").write_text("It works in the the end.\n", encoding="utf-8")
    assert main() == 1
    assert capsys.readouterr().out.startswith("README.md:1: lexical_illusions")
