"""Write a fresh project: everything is made and checked elsewhere first, and no file is overwritten."""

import contextlib
import os
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from pathlib import Path, PurePosixPath
from typing import Final

from moneypath.errors import MoneypathError
from moneypath.workflows import generate
from moneypath.workflows.project_check import ProjectReport, check_project
from moneypath.workflows.scaffold.answers import Answers, Ci, InitRefused
from moneypath.workflows.scaffold.files import GITHUB_FILE, GITLAB_FILE, drill_name, project_files

MAX_SHOWN: Final = 10


@dataclass(frozen=True, slots=True)
class FreshProject:
    """What was written into `folder`, or would be; `unsound` is what was there before and does not fit.

    `next_commands` are for whoever goes on, `notes` what a command cannot do for them.
    """

    folder: Path
    written: tuple[str, ...]
    next_commands: tuple[str, ...]
    notes: tuple[str, ...]
    unsound: tuple[str, ...] = ()


def init_project(folder: Path, answers: Answers, *, today: date, dry_run: bool = False) -> FreshProject:
    """Write the first files of a project, and what is generated from them, into `folder`.

    Raises InitRefused when one of them is there already, or cannot be written; then nothing is.
    """
    repository = _repository(folder)
    inside = PurePosixPath(folder.relative_to(repository).as_posix() if repository else ".")
    had_files = folder.is_dir() and any(folder.iterdir())
    with tempfile.TemporaryDirectory(prefix="moneypath-init-") as name:
        made = Path(name).resolve()
        _make(made, project_files(answers, today=today, subfolder=inside), today)
        written = tuple(sorted(str(file.relative_to(made)) for file in made.rglob("*") if file.is_file()))
        _refuse_overwriting(folder, written)
        if not dry_run:
            _copy(made, folder, written)
    others = _problems(check_project(folder, today=today)) if had_files and not dry_run else ()
    return FreshProject(folder, written, _next_commands(answers), _notes(answers, inside), others)


def _make(made: Path, files: Mapping[str, str], today: date) -> None:
    """Write the files into an empty folder, generate what follows, and raise InitRefused if it is not sound.

    Each flag is well formed, and yet all of them together may be too much: such as more series than one
    process may have.
    """
    try:
        for name, text in files.items():
            (made / name).parent.mkdir(parents=True, exist_ok=True)
            (made / name).write_text(text, encoding="utf-8", newline="\n")
    except OSError as error:
        raise InitRefused(
            f"{made}, where the files are made first, cannot be written ({error.strerror}).",
            hint="Set TMPDIR to a folder on a disk that is not full.",
        ) from None
    try:
        generate.write(made)
        problems = _problems(check_project(made, today=today))
    except generate.GeneratedFileUnwritable:
        raise
    except MoneypathError as error:
        problems = tuple(error.what.replace(f"{made}/", "").splitlines())
    if problems:
        raise InitRefused(
            f"These flags together make no sound project: {'; '.join(problems)}.",
            hint="Give fewer or shorter values, and add the rest to the files afterwards.",
        )


def _problems(report: ProjectReport) -> tuple[str, ...]:
    return tuple(f"{one.file}: {line}" for one in report.results for line in one.problems)


def _repository(folder: Path) -> Path | None:
    """Return the root of the git repository that `folder` is or will be in, None outside of one."""
    return next((each for each in (folder, *folder.parents) if (each / ".git").exists()), None)


def _refuse_overwriting(folder: Path, written: Sequence[str]) -> None:
    """Raise InitRefused for every file that exists, and for whatever stands where a folder has to be."""
    if os.path.lexists(folder) and not folder.is_dir():
        raise InitRefused(f"{folder} is no folder.", hint="Name a folder, or nothing for this one.")
    taken = [file for file in written if os.path.lexists(folder / file)]
    parents = {str(parent) for file in written for parent in PurePosixPath(file).parents}
    taken += [
        each for each in sorted(parents) if os.path.lexists(folder / each) and not (folder / each).is_dir()
    ]
    if taken:
        more = f", and {len(taken) - MAX_SHOWN} more" if len(taken) > MAX_SHOWN else ""
        raise InitRefused(
            f"{folder}: would be overwritten: {', '.join(taken[:MAX_SHOWN])}{more}.",
            hint="Nothing was written. Move these files, or name another folder.",
        )


def _copy(made: Path, folder: Path, written: Sequence[str]) -> None:
    """Copy every file, none over another; whatever ends it early, what was made is taken back."""
    done: list[Path] = []
    name = ""
    try:
        for name in written:
            _make_folders(folder / name, done)
            # A file that came meanwhile is refused, and a dangling link is not followed.
            with (folder / name).open("xb") as stream:
                done.append(folder / name)
                stream.write((made / name).read_bytes())
    except OSError as error:
        _take_back(done)
        raise InitRefused(
            f"{folder}: {name} cannot be written ({error.strerror}).",
            hint="Nothing was left behind. Make the folder writable, or name another one.",
        ) from None
    except BaseException:
        _take_back(done)
        raise


def _make_folders(file: Path, done: list[Path]) -> None:
    for parent in reversed(file.parents):
        if not parent.exists():
            parent.mkdir()
            done.append(parent)


def _take_back(done: Sequence[Path]) -> None:
    for each in reversed(done):
        # A folder into which somebody else wrote meanwhile stays.
        with contextlib.suppress(OSError):
            each.rmdir() if each.is_dir() else each.unlink()


def _next_commands(answers: Answers) -> tuple[str, ...]:
    target = f"targets/{answers.service}.yaml"
    return (
        "moneypath check",
        f"moneypath target check {target}",
        f"moneypath drill run drills/{drill_name(answers)}.yaml --target {target} "
        f"--environment {answers.environment}",
    )


def _notes(answers: Answers, inside: PurePosixPath) -> tuple[str, ...]:
    notes = ["Read each file: its comments say what is yours to change, first in the target's file."]
    if not answers.is_drillable:
        notes.append(
            f"targets/{answers.service}.yaml says `drillable: false`: {answers.environment} is not broken."
        )
    if answers.ci is Ci.GITLAB:
        notes.append(f"Add to .gitlab-ci.yml: include: [{{local: {inside / GITLAB_FILE}}}]")
    if answers.ci is Ci.GITHUB and inside != PurePosixPath("."):
        notes.append(f"GitHub reads {GITHUB_FILE} at the root of the repository alone: move it there.")
    return tuple(notes)
