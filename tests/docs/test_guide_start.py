"""The guide on starting a project: its command works, and it has every flag and every file."""

import re
import shlex
from pathlib import Path

import click
from click.testing import CliRunner

from moneypath.cli.init_command import init
from moneypath.workflows.project_check import check_project

GUIDE = Path(__file__).parents[2] / "docs" / "guides" / "start.md"
TEXT = GUIDE.read_text(encoding="utf-8")
COMMAND = next(line for line in TEXT.splitlines() if line.startswith("moneypath init"))


def test_its_command_writes_the_files_that_it_lists(tmp_path: Path) -> None:
    """As it is printed, beside the name of a folder; each row names something that is there."""
    arguments = shlex.split(COMMAND)[2:]
    done = CliRunner().invoke(init, [str(tmp_path), *arguments, "--ledger", "postgresql"])
    assert done.exit_code == 0, done.output
    assert check_project(tmp_path).is_sound
    section = TEXT.partition("## What it writes")[2].partition("\n## ")[0]
    rows = [row.split(" | ")[0] for row in section.splitlines() if row.startswith("| `")]
    named = [name.replace("...", "*") for row in rows for name in re.findall(r"`([^`]+)`", row)]
    missing = [name for name in named if not list(tmp_path.glob(name.rstrip("/")))]
    # The other CI system's part.
    assert missing == [".gitlab/moneypath.yml"]


def test_every_flag_is_in_its_table() -> None:
    """With its default, where it has one of its own."""
    rows = dict(re.findall(r"^\| `(--[a-z]+|FOLDER)[^`]*` \| .* \| (.*) \|$", TEXT, re.M))
    options = {name: one for one in init.params for name in one.opts if isinstance(one, click.Option)}
    told_elsewhere = {"--dry-run", "--json"}
    assert set(options) - told_elsewhere == set(rows) - {"FOLDER"}
    assert all(f"`{name}`" in TEXT for name in told_elsewhere)
    for name, option in options.items():
        if isinstance(option.default, str):
            assert rows[name] == f"`{option.default}`"
