"""Write or compare everything that is generated from moneypath.yaml."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from moneypath.alerting.generate import generate
from moneypath.dashboards.generate import generate as generate_dashboards
from moneypath.errors import MoneypathError
from moneypath.path.costs import write_costs
from moneypath.path.loader import FILE_NAME, build_catalogue
from moneypath.path.model import MoneyPath
from moneypath.workflows import ownership
from moneypath.workflows.containers import container_files
from moneypath.workflows.declaration import load_declaration
from moneypath.workflows.metrics import METRICS_PAGE, describe_metrics, metrics_page
from moneypath.workflows.ownership import MANIFEST
from moneypath.workflows.picture import pictures


class GeneratedFilesDrifted(MoneypathError):
    """Committed files that differ from what moneypath.yaml yields."""

    code = "generated_files_drifted"


class OutputsCollide(MoneypathError):
    """Two generated files of one name."""

    code = "outputs_collide"


class FileNotGenerated(MoneypathError):
    """A file stands where a generated one would go, and was not generated."""

    code = "file_not_generated"


class GeneratedFileUnwritable(MoneypathError):
    """A generated file cannot be written."""

    code = "generated_file_unwritable"


@dataclass(frozen=True, slots=True)
class Generated:
    """The files that `moneypath generate` wrote, and earlier ones that are generated no longer."""

    written: tuple[str, ...]
    leftovers: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class _Plan:
    files: Mapping[str, str]
    known: Mapping[str, str]
    leftovers: tuple[str, ...]

    @classmethod
    def of(cls, project: Path) -> "_Plan":
        """Compare what the declaration of `project` yields with what is there."""
        files = generated(project)
        known = ownership.read_manifest(project)
        leftovers = ownership.leftovers(project, files, known)
        kept = {name: known[name] for name in leftovers if name in known}
        return cls({**files, MANIFEST: ownership.manifest(files, kept)}, known, leftovers)


def generated(project: Path) -> dict[str, str]:
    """Return every generated file: its path relative to the project, and its content.

    Raises OutputsCollide.
    """
    path = load_declaration(project)
    found: dict[str, str] = {}
    for part in (
        {path.outputs.catalogue: build_catalogue(path).to_json()},
        _costs(path),
        generate(path),
        generate_dashboards(path),
        container_files(path),
        pictures(path),
        {f"{path.outputs.docs}/{METRICS_PAGE}": metrics_page(describe_metrics(path))},
    ):
        if twice := sorted(found.keys() & part.keys()):
            raise OutputsCollide(
                f"{FILE_NAME}: outputs: two generated files would be {', '.join(twice)}.",
                hint="Name another folder or file for one of them.",
            )
        found |= part
    return found


def drifted(project: Path) -> list[str]:
    """Return the generated files that are missing or differ."""
    return _differing(project, _Plan.of(project).files)


def check(project: Path) -> int:
    """Return the number of generated files.

    Raises GeneratedFilesDrifted when one differs, or when one is there that is generated no longer.
    """
    plan = _Plan.of(project)
    if names := _differing(project, plan.files):
        raise GeneratedFilesDrifted(
            f"generated files differ from {FILE_NAME}: {', '.join(names)}",
            hint="Run `moneypath generate` and commit what it wrote; edit the declaration, not these files.",
        )
    if plan.leftovers:
        raise GeneratedFilesDrifted(
            f"generated files that {FILE_NAME} does not yield any more: {', '.join(plan.leftovers)}",
            hint="Delete them, and run `moneypath generate`.",
        )
    return len(plan.files)


def write(project: Path) -> Generated:
    """Write what differs, and delete nothing.

    Raises FileNotGenerated before anything is written, and GeneratedFileUnwritable.
    """
    plan = _Plan.of(project)
    without_manifest = {name: text for name, text in plan.files.items() if name != MANIFEST}
    if found := tuple(ownership.foreign(project, without_manifest, plan.known)):
        raise FileNotGenerated(
            "\n".join(f"{each.name} {each.why}" for each in found),
            hint="Nothing was written. What an older version of moneypath wrote, delete, and run "
            f"`moneypath generate` again. What somebody wrote, move, or change `outputs` in {FILE_NAME}.",
        )
    names = _differing(project, plan.files)
    for name in names:
        _put(project / name, plan.files[name])
    return Generated(tuple(names), plan.leftovers)


def _costs(path: MoneyPath) -> dict[str, str]:
    if path.costs is None:
        return {}
    return {path.outputs.costs: write_costs(path.costs, reporting_currency=path.reporting_currency)}


def _differing(project: Path, files: Mapping[str, str]) -> list[str]:
    return [name for name, content in files.items() if ownership.read(project / name) != content]


def _put(file: Path, text: str) -> None:
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text, encoding="utf-8", newline="\n")
    except OSError as error:
        raise GeneratedFileUnwritable(
            f"the generated file cannot be written: {file} ({error.strerror})",
            hint="Make the folder writable, or name another one in `outputs` of moneypath.yaml.",
        ) from None
