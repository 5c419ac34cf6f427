"""The word check finds each kind of place in which a banned word can stand, and nothing else."""

from pathlib import Path

import click
import pytest

from check_words import Use, WordCheck, command_texts, main, project_texts, split_identifier
from glossary import GlossaryError, read_glossary
from prose_sources import Text

GLOSSARY = """\
# Glossary

## Operations

| term | meaning | standard | not used instead |
|---|---|---|---|
| operator action | what an operator may do to the service | SRE workbook | `lever` |
| background job | what a process does all the time | | `duty`, `Chore!` |
| compliance control | what a regulator asks of a stage | PCI DSS | `compliance gate`, `at_hand` |

## Allowed uses

| word | where | why |
|---|---|---|
| `duty` | "off duty", `runbooks/*` | a person's hours |
"""
SAID = {"lever": "operator action", "duty": "background job", "compliance gate": "compliance control"}


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """Return a project that has a glossary and needs its allowances."""
    write(tmp_path, "docs/glossary.md", GLOSSARY)
    write(tmp_path, "runbooks/night.md", "Who is on duty calls whoever is off duty.\n")
    write(tmp_path, "README.md", "Nobody is off\nduty.\n")
    return tmp_path


def write(root: Path, name: str, text: str) -> None:
    """Write a file of the project, and its folder."""
    file = root / name
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(text, encoding="utf-8")


def uses(root: Path) -> list[Use]:
    """Return what the check finds in a project."""
    return WordCheck(read_glossary(root / "docs/glossary.md")).check(project_texts(root))


@pytest.mark.parametrize(
    ("name", "text", "line", "word"),
    [
        ("README.md", "Off duty.\nPull the lever.\n", 2, "lever"),
        ("docs/guides/one.md", "Two levers.\n", 1, "lever"),
        ("docs/guides/one.md", "The DUTIES of a worker.\n", 1, "duty"),
        ("docs/guides/one.md", "No compliance\ngate here.\n", 1, "compliance gate"),
        ("docs/guides/one.md", "Call `lever_for`.\n", 1, "lever"),
        ("docs/guides/one.md", "Start a `LeverDesk`.\n", 1, "lever"),
        ("docs/guides/one.md", "A `Chore` is due.\n", 1, "Chore"),
        ("runbooks/one.md", "\n\nA lever.\n", 3, "lever"),
        ("moneypath.yaml", "stages:\n  - lever: x\n", 2, "lever"),
        ("moneypath.yaml", "compliance_gates: [x]\n", 1, "compliance gate"),
        ("moneypath.yaml", "a: 1  # the lever\n", 1, "lever"),
        ("drills/one.yaml", "a: pull a lever\n", 1, "lever"),
        ("src/one.py", "def pull_levers() -> None: ...\n", 1, "lever"),
        ("src/one.py", "class LeverDesk: ...\n", 1, "lever"),
        ("src/one.py", "class Chore: ...\n", 1, "Chore"),
        ("src/one.py", "\ndef pull(lever: int) -> None: ...\n", 2, "lever"),
        ("src/one.py", "LEVERS = 1\n", 1, "lever"),
        ("src/one.py", "at_hand = 1\n", 1, "at_hand"),
        ("src/one.py", "self.lever = 1\n", 1, "lever"),
        ("src/one.py", "import a as lever\n", 1, "lever"),
        ("src/one.py", '"""One.\n\nA lever.\n"""\n', 3, "lever"),
        ("src/one.py", 'def one() -> None:\n    """Pull a lever."""\n', 2, "lever"),
        ("src/one.py", 'x = "#"  # a lever\n', 1, "lever"),
        ("src/one.py", 'raise ValueError(f"{x}: no lever of this name")\n', 1, "lever"),
        ("src/levers.py", "", 1, "lever"),
        ("src/duty/__init__.py", "", 1, "duty"),
        ("src/one.sql", "SELECT 1 -- a lever\n", 1, "lever"),
        ("proofs/one.py", "lever = 1\n", 1, "lever"),
        ("tools/one.py", "lever = 1\n", 1, "lever"),
    ],
)
def test_a_banned_word_is_found(project: Path, name: str, text: str, line: int, word: str) -> None:
    """File, line, the word and the term to use are said."""
    write(project, name, text)
    (use,) = uses(project)
    term = SAID.get(word, "background job" if word == "Chore" else "compliance control")
    assert use == Use(name, line, word, term)
    assert str(use) == f'{name}:{line}: "{word}": say "{term}"'


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("docs/one.md", "A clever bulletin; the chore is done, all is at hand.\n"),
        ("src/one.py", "clever = leverage = 1\nchore = 2\nChores = 3\n"),
        ("src/one.py", "library.lever(duty)\n"),
        ("src/one.py", 'SQL = "SELECT lever FROM payments.duty WHERE a = b"\n'),
        ("src/one.py", 'FIELD = "lever"\n'),
        ("src/one.py", 'x = """\n# a lever\n"""\n'),
        ("src/one.sql", "SELECT lever FROM duty\n"),
        ("tests/test_one.py", "lever = 1\n"),
        ("moneypath.yaml", "clever: at hand\n"),
    ],
)
def test_other_words_are_left_alone(project: Path, name: str, text: str) -> None:
    """Longer words, other people's names, SQL and values of fields are not ours to rename."""
    write(project, name, text)
    assert uses(project) == []


@pytest.mark.parametrize(("text", "count"), [("Off duty.", 0), ("On duty.", 1), ("Off duty, on duty.", 1)])
def test_an_allowed_phrase_covers_nothing_beside_it(project: Path, text: str, count: int) -> None:
    """The phrase is allowed, the same word in another one is found."""
    write(project, "docs/one.md", text)
    assert len(uses(project)) == count


def test_an_allowance_that_nothing_needs_is_refused(
    project: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """What is allowed stays a list of what there is."""
    monkeypatch.setattr("sys.argv", ["check_words.py", "--root", str(project)])
    assert main() == 0
    (project / "README.md").unlink()
    (project / "runbooks/night.md").unlink()
    assert main() == 1
    assert 'Nothing needs the allowance for "duty" any more.' in capsys.readouterr().out


def test_the_command_ends_with_1_if_it_finds_a_word(
    project: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """What it prints is the place and the term."""
    monkeypatch.setattr("sys.argv", ["check_words.py", "--root", str(project)])
    write(project, "docs/one.md", "A lever.\n")
    assert main() == 1
    assert capsys.readouterr().out.splitlines()[0] == 'docs/one.md:1: "lever": say "operator action"'


def test_help_of_commands_is_read() -> None:
    """Names, options and help of commands and of what stands below them."""

    @click.group(help="Pull something.")
    def top() -> None: ...

    @top.command(help="Pull a lever.")
    @click.option("--duty", help="Which lever.")
    def pull(duty: str) -> None: ...

    texts = list(command_texts(top, "top"))
    assert Text("top pull", 1, "Pull a lever.", "message") in texts
    assert Text("top pull", 1, "duty", "key") in texts
    assert Text("top pull", 1, "Which lever.", "message") in texts


@pytest.mark.parametrize(
    ("glossary", "error"),
    [
        ("# Empty\n", "No word stands"),
        (GLOSSARY.replace("`duty`, `Chore!`", "`duty`, `lever`"), "'lever' is banned for two terms"),
        (GLOSSARY.replace('| `duty` | "off', '| `shift` | "off'), "'shift' is allowed, but not banned"),
        (GLOSSARY.replace('"off duty", `runbooks/*`', "anywhere"), "names no path and no phrase"),
    ],
)
def test_a_glossary_that_contradicts_itself_is_refused(tmp_path: Path, glossary: str, error: str) -> None:
    """An empty list would find nothing for ever."""
    write(tmp_path, "glossary.md", glossary)
    with pytest.raises(GlossaryError, match=error):
        read_glossary(tmp_path / "glossary.md")


@pytest.mark.parametrize(
    ("name", "parts"),
    [
        ("at_hand", ("at", "hand")),
        ("HTTPLeverDesk2", ("http", "lever", "desk", "2")),
        ("_lever", ("lever",)),
        ("operator-action", ("operator", "action")),
    ],
)
def test_a_name_is_split_where_its_words_end(name: str, parts: tuple[str, ...]) -> None:
    """Underscores, hyphens and capitals part the words of a name."""
    assert split_identifier(name) == parts
