"""Check every file of a project without running anything: what loads, and what fits together."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, date, datetime
from enum import StrEnum
from functools import partial
from pathlib import Path
from typing import Final

from moneypath import runbooks
from moneypath.capacity.gate_file import load_gate
from moneypath.capacity.target_gate import load_target_gate
from moneypath.drills.faults import FaultControlFailed, find_fault
from moneypath.drills.scenario import is_drill_name
from moneypath.drills.timeline_entry import TargetKind
from moneypath.errors import MoneypathError
from moneypath.path import yaml_document
from moneypath.path.loader import FILE_NAME
from moneypath.path.model import MoneyPath
from moneypath.path.source import load_yaml, read_text
from moneypath.target.document import TargetFile
from moneypath.target.loader import load_target
from moneypath.target.placeholders import variables_in
from moneypath.witnesses import load_witnesses
from moneypath.workflows import generate, runbook_files, targets
from moneypath.workflows.declaration import load_declaration
from moneypath.workflows.drill import Drill, load_drill
from moneypath.workflows.ownership import MANIFEST

DRILLS: Final = "drills"
GATE_PLANS: Final = ("gate*.yaml", "loadtests/gate*.yaml")
WITNESSES: Final = "witnesses.yaml"
# A key that only the plan of a stack's gate has.
_STACK_GATE_KEY: Final = "limits"


class ProjectFileUnsound(MoneypathError):
    """A file of a project that nothing can be done with."""

    code = "project_file_unsound"


class FileState(StrEnum):
    """What the check came to; a file that needs another one is not checked while that one fails."""

    SOUND = "ok"
    FAILED = "failed"
    NOT_CHECKED = "not checked"


@dataclass(frozen=True, slots=True)
class FileResult:
    """One file, relative to the project, with every problem, and what somebody has to look at in time."""

    file: str
    state: FileState
    problems: tuple[str, ...] = ()
    warnings: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class ProjectReport:
    """What was checked, in order."""

    results: tuple[FileResult, ...]

    @property
    def is_sound(self) -> bool:
        """Whether every file is sound."""
        return all(one.state is FileState.SOUND for one in self.results)

    @property
    def summary(self) -> str:
        """Return the counts as one sentence."""
        counts = [f"{sum(one.state is state for one in self.results)} {state}" for state in FileState]
        return f"{len(self.results)} files: {', '.join(counts)}"


def check_project(project: Path, *, today: date | None = None) -> ProjectReport:
    """Check everything that a project declares: each file by itself, and against those that it names."""
    return ProjectReport(tuple(_Check(project, today or datetime.now(UTC).date()).run()))


@dataclass(slots=True)
class _Check:
    project: Path
    today: date
    results: list[FileResult] = field(default_factory=list)
    path: MoneyPath | None = None
    documents: dict[str, TargetFile] = field(default_factory=dict)
    witnesses: set[Path] = field(default_factory=set)
    unreadable: list[str] = field(default_factory=list)

    def run(self) -> list[FileResult]:
        """Check file by file: first what the others need."""
        self._try(self.project / FILE_NAME, self._declaration)
        self._try(self.project / MANIFEST, partial(generate.check, self.project), self._unsound(FILE_NAME))
        for file in sorted((self.project / targets.FOLDER).glob("*.yaml")):
            self._try(file, partial(self._target, file))
        self._runbooks()
        for file in sorted((self.project / DRILLS).glob("*.yaml")):
            self._try(
                file,
                partial(self._drill, file),
                self._unsound(FILE_NAME, targets.FOLDER, *self.unreadable),
            )
        for file in sorted(file for each in GATE_PLANS for file in self.project.glob(each)):
            self._try(file, partial(self._gate_plan, file), self._unsound(FILE_NAME))
        if (self.project / WITNESSES).exists():
            self.witnesses.add(self.project / WITNESSES)
        for file in sorted(self.witnesses):
            self._try(file, partial(_require_queries, file))
        return self.results

    def _unsound(self, *needed: str) -> str:
        """Return the first file that is not sound among those `needed`, or below one of them."""
        return next(
            (
                one.file
                for one in self.results
                if one.state is not FileState.SOUND
                and any(Path(one.file).is_relative_to(each) for each in needed)
            ),
            "",
        )

    def _try(self, file: Path, check: Callable[[], object], unsound: str = "") -> None:
        """Add the result of one check, which needs a file that is `unsound`, if there is one."""
        if unsound:
            self._add(file, FileState.NOT_CHECKED, (f"{unsound} has to be sound first",))
            return
        try:
            check()
        except MoneypathError as error:
            self._add(file, FileState.FAILED, self._lines(error.what))
        else:
            self._add(file, FileState.SOUND)

    def _add(
        self, file: Path, state: FileState, problems: tuple[str, ...] = (), warnings: tuple[str, ...] = ()
    ) -> None:
        self.results.append(FileResult(self._shown(file), state, problems, warnings))

    def _shown(self, file: Path) -> str:
        return str(file.relative_to(self.project)) if file.is_relative_to(self.project) else str(file)

    def _lines(self, what: str) -> tuple[str, ...]:
        return tuple(what.replace(f"{self.project}/", "").splitlines())

    def _declaration(self) -> None:
        self.path = load_declaration(self.project)

    @property
    def _declared(self) -> MoneyPath:
        if self.path is None:
            raise ValueError("what needs the declaration is not checked without it")
        return self.path

    def _target(self, file: Path) -> None:
        document = load_yaml(file, TargetFile)
        for other, known in self.documents.items():
            if known.target == document.target:
                raise targets.TargetsClash(f"{file}: target: {document.target} is the name of {other} too")
        self.documents[self._shown(file)] = document
        if None not in document.variables.values():
            document = load_target(file).document
        named = document.witnesses
        if named is not None and not any(variables_in(named)):
            # Written from the target's folder, and shown from that of the project.
            self.witnesses.add((file.parent / Path(named).expanduser()).resolve())

    def _runbooks(self) -> None:
        files = sorted((self.project / runbook_files.FOLDER).glob("*.md"))
        broken = [file for file in files if not self._is_readable(file)]
        unsound = self._unsound(FILE_NAME, targets.FOLDER, runbook_files.FOLDER)
        if not unsound:
            self._linted(files, runbook_files.lint_runbooks(self.project, today=self.today))
            return
        for file in files:
            if file not in broken:
                self._add(file, FileState.NOT_CHECKED, (f"{unsound} has to be sound first",))

    def _is_readable(self, file: Path) -> bool:
        """Tell whether a runbook can be linted; if not, add why."""
        try:
            runbooks.load(file)
        except MoneypathError as error:
            self._add(file, FileState.FAILED, self._lines(error.what))
            self.unreadable.append(self._shown(file))
            return False
        return True

    def _linted(self, files: list[Path], report: runbook_files.LintReport) -> None:
        """Add each runbook with its issues; an alert without a runbook is an issue of the folder."""
        folder = self.project / runbook_files.FOLDER
        of_folder = any(issue.file not in files for issue in report.issues)
        for file in [*files, *([folder] if of_folder else [])]:
            mine = [
                one for one in report.issues if one.file == file or (file == folder and one.file not in files)
            ]
            errors = tuple(line for one in mine if one in report.errors for line in self._lines(str(one)))
            warnings = tuple(line for one in mine if one in report.warnings for line in self._lines(str(one)))
            self._add(file, FileState.FAILED if errors else FileState.SOUND, errors, warnings)

    def _drill(self, file: Path) -> None:
        if not is_drill_name(file.stem):
            raise ProjectFileUnsound(f"{file}: is not called as a drill; allowed: drill-NNN-slug.yaml")
        require_fitting_target(load_drill(self.project, file, self._declared), self.documents)

    def _gate_plan(self, file: Path) -> None:
        """Load a gate plan: one of a stack has limits, one of a deployed service has none."""
        keys = yaml_document.parse(read_text(file), 1).value
        if isinstance(keys, dict) and _STACK_GATE_KEY in keys:
            load_gate(file, self._declared)
        else:
            load_target_gate(file, self._declared)


def require_fitting_target(drill: Drill, documents: Mapping[str, TargetFile]) -> None:
    """Raise FaultControlFailed unless one target has every fault of the drill, with its parameters."""
    reasons = []
    for name, document in documents.items():
        try:
            for step in drill.scenario.timeline:
                if step.fault and step.target_kind is not TargetKind.TRAFFIC:
                    find_fault(document, step)
        except FaultControlFailed as error:
            reasons.append(f"{name}: {error.what}")
        else:
            return
    if reasons:
        raise FaultControlFailed("\n".join(f"{drill.file}: {reason}" for reason in reasons))


def _require_queries(file: Path) -> None:
    """Load a file of witnesses, and read every query that it names."""
    for one in load_witnesses(file).witnesses:
        if one.sql is not None and "{" not in one.sql:
            query = file.parent / Path(one.sql).expanduser()
            if not read_text(query).strip():
                raise ProjectFileUnsound(f"{query}: is empty; allowed: one SELECT")
