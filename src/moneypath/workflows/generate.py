"""Write or compare everything that is generated from moneypath.yaml."""

from pathlib import Path

from moneypath.alerting.generate import generate
from moneypath.dashboards.generate import generate as generate_dashboards
from moneypath.errors import MoneypathError
from moneypath.path.costs import COSTS_FILE, write_costs
from moneypath.path.loader import CATALOGUE_FILE, FILE_NAME, build_catalogue
from moneypath.workflows.containers import container_files
from moneypath.workflows.declaration import load_declaration
from moneypath.workflows.metrics import METRICS_PAGE, describe_metrics, metrics_page
from moneypath.workflows.picture import pictures


class GeneratedFilesDrifted(MoneypathError):
    """Committed files that differ from what moneypath.yaml yields."""

    code = "generated_files_drifted"


def generated(project: Path) -> dict[str, str]:
    """Return every generated file: its path relative to the project, and its content."""
    path = load_declaration(project)
    return {
        CATALOGUE_FILE: build_catalogue(path).to_json(),
        COSTS_FILE: write_costs(path.costs, reporting_currency=path.reporting_currency),
        **generate(path),
        **generate_dashboards(path),
        **container_files(path),
        **pictures(path),
        METRICS_PAGE: metrics_page(describe_metrics(path)),
    }


def drifted(project: Path) -> list[str]:
    """Return the generated files that are missing or differ."""
    return [name for name, content in generated(project).items() if _current(project / name) != content]


def check(project: Path) -> int:
    """Return the number of generated files; raises GeneratedFilesDrifted when one differs."""
    if names := drifted(project):
        raise GeneratedFilesDrifted(
            f"generated files differ from {FILE_NAME}: {', '.join(names)}",
            hint="Run `make generate` and commit what it wrote; edit the declaration, not these files.",
        )
    return len(generated(project))


def write(project: Path) -> list[str]:
    """Write what differs and return its names."""
    content = generated(project)
    names = drifted(project)
    for name in names:
        file = project / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(content[name], encoding="utf-8")
    return names


def _current(file: Path) -> str | None:
    try:
        return file.read_text(encoding="utf-8")
    except OSError:
        return None
