"""The command line helps, and an expected failure is a sentence and an exit code, never a stack trace."""

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import click
import pytest

from moneypath.cli.main import moneypath, run
from moneypath.errors import MoneypathError

PROJECT = Path(__file__).parents[2]


def _commands(command: click.Command, name: str) -> Iterator[tuple[str, click.Command]]:
    yield name, command
    if isinstance(command, click.Group):
        context = click.Context(command)
        for child in command.list_commands(context):
            each = command.get_command(context, child)
            assert each is not None
            yield from _commands(each, f"{name} {child}")


COMMANDS = list(_commands(moneypath, "moneypath"))


@pytest.mark.parametrize(("name", "command"), COMMANDS, ids=[name for name, _ in COMMANDS])
def test_every_command_says_what_it_does_and_shows_an_example(name: str, command: click.Command) -> None:
    """A help text begins with a sentence; each command that does something carries an example."""
    assert command.help, name
    assert command.help.split("\n")[0].endswith((".", "?")), name
    if not isinstance(command, click.Group):
        assert command.epilog, name
        assert f"Example: {name}" in command.epilog, name


def _moneypath(*arguments: str, cwd: Path = PROJECT) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "moneypath", *arguments],
        cwd=cwd,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("path", "--project", "/"), "no moneypath.yaml here or above"),
        (("runbook", "show", "no-such-page"), "no runbook: no-such-page"),
        (("drill", "run", "no-such-file.yaml"), "does not exist"),
        (("drill", "verify", "tests"), "no evidence of a drill"),
        (("drill", "panic", "--stack", "tests"), "no running stack"),
        (("map", "--output", "no/such/folder/map.svg"), "cannot be written to no/such/folder/map.svg"),
        (("map", "--output", "tests"), "cannot be written to tests"),
        (("map", "--format", "png"), "'png' is not one of 'svg', 'mermaid'"),
        (("dance",), "No such command"),
    ],
)
def test_an_expected_failure_is_a_sentence_and_not_a_stack_trace(
    arguments: tuple[str, ...], words: str
) -> None:
    """What went wrong and what to do stand on standard error; the exit code is not 0."""
    result = _moneypath(*arguments)
    assert result.returncode != 0
    assert words in result.stderr
    assert "Traceback" not in result.stderr


def test_a_broken_declaration_names_file_line_and_key(tmp_path: Path) -> None:
    """`moneypath path` refuses an unknown key with its place."""
    text = (PROJECT / "moneypath.yaml").read_text(encoding="utf-8")
    (tmp_path / "moneypath.yaml").write_text(text + "\nextra: 1\n", encoding="utf-8")
    result = _moneypath("path", cwd=tmp_path)
    assert result.returncode != 0
    assert "moneypath.yaml:" in result.stderr
    assert "extra" in result.stderr
    assert "Traceback" not in result.stderr


@pytest.mark.parametrize(
    ("form", "committed"), [("svg", "docs/images/money-path.svg"), ("mermaid", "docs/money-path.mmd")]
)
def test_the_map_is_printed_or_written_as_it_is_committed(form: str, committed: str, tmp_path: Path) -> None:
    """Standard output, a named file and the committed file are the same picture."""
    expected = (PROJECT / committed).read_text(encoding="utf-8")
    assert _moneypath("map", "--format", form).stdout == expected
    file = tmp_path / "my map"
    result = _moneypath("map", "--format", form, "--output", str(file))
    assert result.returncode == 0, result.stderr
    assert result.stdout == f"wrote {file}\n"
    assert file.read_text(encoding="utf-8") == expected


def test_the_map_is_svg_unless_another_format_is_named() -> None:
    """The picture is the default."""
    assert "<svg " in _moneypath("map").stdout


@pytest.mark.parametrize("code", [0, 1, 3])
def test_the_exit_code_of_a_command_is_that_of_the_process(code: int) -> None:
    """A drill that failed must not end with 0."""

    @click.command()
    def end() -> None:
        raise click.exceptions.Exit(code)

    with pytest.raises(SystemExit) as stopped:
        run(lambda standalone_mode: end.main(args=[], standalone_mode=standalone_mode))
    assert stopped.value.code == code


def test_expected_failures_in_a_group_are_each_said(capsys: pytest.CaptureFixture[str]) -> None:
    """Two failures at a time are two sentences."""

    def fail(*, standalone_mode: bool) -> None:
        raise ExceptionGroup("both", [MoneypathError("first"), MoneypathError("second", hint="do this")])

    with pytest.raises(SystemExit) as stopped:
        run(fail)
    assert stopped.value.code == 1
    said = capsys.readouterr().err
    assert "first" in said
    assert "second" in said
    assert "do this" in said


def test_an_unexpected_failure_keeps_its_stack_trace() -> None:
    """A defect must not be mistaken for a user's mistake."""

    def fail(*, standalone_mode: bool) -> None:
        raise ExceptionGroup("mixed", [MoneypathError("first"), ZeroDivisionError()])

    with pytest.raises(ExceptionGroup):
        run(fail)


def test_a_folder_that_is_gone_is_a_sentence(tmp_path: Path) -> None:
    """The shell stands in a folder that somebody removed."""
    here = tmp_path / "gone"
    command = f'mkdir "{here}" && cd "{here}" && rmdir "{here}" && exec "{sys.executable}" -m moneypath path'
    ended = subprocess.run(["sh", "-c", command], capture_output=True, text=True, timeout=60, check=False)
    assert ended.returncode == 2
    assert "was removed" in ended.stderr
    assert "Traceback" not in ended.stderr
