"""`moneypath init` overwrites nothing, and leaves nothing behind when it fails."""

import os
from pathlib import Path
from typing import Final

import pytest
import yaml

from moneypath.workflows.project_check import check_project
from moneypath.workflows.scaffold.answers import Ci, InitRefused
from moneypath.workflows.scaffold.writing import init_project

from .fresh_project import TODAY, answers_of, contents, init

TAKEN: Final = (
    "moneypath.yaml",
    "targets/shop.yaml",
    "runbooks/authorization-failing.md",
    "alerts/alertmanager.yml",
    "catalogue.json",
    ".github/workflows/moneypath.yml",
)


@pytest.mark.parametrize("name", TAKEN)
def test_no_file_is_overwritten(name: str, tmp_path: Path) -> None:
    """It is named, and nothing else is written either."""
    (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
    (tmp_path / name).write_text("mine\n")
    before = contents(tmp_path)
    with pytest.raises(InitRefused) as caught:
        init(tmp_path, service="shop")
    assert caught.value.what == f"{tmp_path}: would be overwritten: {name}."
    assert contents(tmp_path) == before


def test_a_link_that_leads_nowhere_is_not_followed(tmp_path: Path) -> None:
    """Writing through it would write elsewhere."""
    (tmp_path / "moneypath.yaml").symlink_to(tmp_path / "elsewhere.yaml")
    with pytest.raises(InitRefused, match=r"would be overwritten: moneypath\.yaml\.\n"):
        init(tmp_path, service="shop")
    assert not (tmp_path / "elsewhere.yaml").exists()


def test_a_file_where_a_folder_has_to_be_is_named(tmp_path: Path) -> None:
    """And so is one where the project has to be."""
    (tmp_path / "runbooks").write_text("mine\n")
    with pytest.raises(InitRefused, match=r"would be overwritten: runbooks\.\n"):
        init(tmp_path, service="shop")
    with pytest.raises(InitRefused, match=r"runbooks is no folder\.\n"):
        init(tmp_path / "runbooks", service="shop")
    assert contents(tmp_path) == {"runbooks": b"mine\n"}


def test_other_files_stay_as_they_are(tmp_path: Path) -> None:
    """A service's own repository is the usual place."""
    mine = {
        "README.md": "mine\n",
        "src/shop/app.py": "mine\n",
        "docs/design.md": "mine\n",
        "alerts/old.yml": "a: b\n",
    }
    for name, text in mine.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(text)
    fresh = init(tmp_path, service="shop")
    assert fresh.unsound == ()
    found = contents(tmp_path)
    assert {name: found[name] for name in mine} == {name: text.encode() for name, text in mine.items()}
    assert sorted(found) == sorted((*mine, *fresh.written))
    assert check_project(tmp_path, today=TODAY).is_sound


def test_what_was_there_and_does_not_fit_is_told(tmp_path: Path) -> None:
    """A page of a team's own is no runbook of ours, and `moneypath check` would say so."""
    (tmp_path / "runbooks").mkdir()
    (tmp_path / "runbooks" / "own.md").write_text("# Restart it\n")
    fresh = init(tmp_path, service="shop")
    assert any(each.startswith("runbooks/own.md: ") for each in fresh.unsound)


def test_a_write_that_fails_leaves_nothing_behind(tmp_path: Path) -> None:
    """Here some paths are too long for the system, and others are not."""
    room = os.pathconf("/", "PC_PATH_MAX") - len("/alerts/alertmanager.yml") - 8
    deep = tmp_path
    while len(str(deep)) + 102 < room:
        deep /= "d" * 100
    deep /= "e" * (room - len(str(deep)) - 1)
    deep.mkdir(parents=True)
    with pytest.raises(
        InitRefused,
        match=r"e+: alerts/rules/moneypath\.rules\.yml cannot be written \(File name too long\)\.",
    ):
        init(deep, service="shop", ci=Ci.NONE)
    assert list(deep.iterdir()) == []


def test_nothing_is_written_in_a_dry_run(tmp_path: Path) -> None:
    """It lists what would be, and refuses what would be refused."""
    dry = init_project(tmp_path / "shop", answers_of({}), today=TODAY, dry_run=True)
    assert not (tmp_path / "shop").exists()
    assert init(tmp_path / "shop") == dry
    with pytest.raises(InitRefused, match="would be overwritten"):
        init_project(tmp_path / "shop", answers_of({}), today=TODAY, dry_run=True)


@pytest.mark.parametrize("ci", Ci)
def test_the_ci_job_begins_where_the_project_stands(ci: Ci, tmp_path: Path) -> None:
    """A CI system begins at the root of the repository, which may be above."""
    (tmp_path / ".git").mkdir()
    project = tmp_path / "ops" / "money path"
    fresh = init(project, service="shop", ci=ci)
    files = {name for name in fresh.written if "moneypath.yml" in name}
    match ci:
        case Ci.GITHUB:
            assert files == {".github/workflows/moneypath.yml"}
            job = yaml.safe_load((project / ".github/workflows/moneypath.yml").read_text())["jobs"]["check"]
            assert job["defaults"]["run"]["working-directory"] == "ops/money path"
            assert any("move it there" in note for note in fresh.notes)
        case Ci.GITLAB:
            assert files == {".gitlab/moneypath.yml"}
            job = yaml.safe_load((project / ".gitlab/moneypath.yml").read_text())["moneypath"]
            assert job["script"][0] == 'cd "ops/money path"'
            assert any("ops/money path/.gitlab/moneypath.yml" in note for note in fresh.notes)
        case Ci.NONE:
            assert files == set()
