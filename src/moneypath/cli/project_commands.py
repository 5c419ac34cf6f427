"""Commands about the declaration, the files generated from it, and the runbooks."""

import json
import shutil
import sys
from pathlib import Path

import click
from rich.console import Console

from moneypath.cli.options import json_option, project_option
from moneypath.path.loader import FILE_NAME
from moneypath.runbooks.printing import PRINT_COLUMNS
from moneypath.workflows import generate as generation
from moneypath.workflows import picture, runbook_files, runbook_metrics
from moneypath.workflows.declaration import load_declaration


@click.command(epilog="Example: moneypath generate --check")
@click.option("--check", is_flag=True, help="Write nothing; fail when a committed file differs.")
@project_option
def generate(check: bool, project: Path) -> None:
    """Write everything that follows from moneypath.yaml: alerts, routes, dashboards, catalogue, diagrams.

    A file that somebody wrote by hand is never overwritten: then nothing is written, and the exit code is 1.
    """
    console = Console(highlight=False)
    if check:
        console.print(f"{generation.check(project)} generated files are up to date")
        return
    done = generation.write(project)
    lines = [f"wrote {name}" for name in done.written] or ["nothing to write: all files are up to date"]
    lines += [f"generated no longer, delete it: {name}" for name in done.leftovers]
    console.print("\n".join(lines), markup=False, soft_wrap=True)


@click.command("path", epilog="Example: moneypath path")
@project_option
def check_path(project: Path) -> None:
    """Check moneypath.yaml and summarize what it declares."""
    path = load_declaration(project)
    Console(highlight=False).print(
        f"{FILE_NAME} is sound: {path.name}; {len(path.stages)} stages, {len(path.providers)} providers, "
        f"{len(path.roles)} roles, {len(path.slos)} objectives, {len(path.checks)} checks"
    )


@click.command("map", epilog="Example: moneypath map --format mermaid")
@click.option(
    "--format",
    "form",
    type=click.Choice([form.value for form in picture.PictureFormat]),
    default=picture.PictureFormat.SVG.value,
    show_default=True,
    help="An image, or text for places that draw Mermaid themselves.",
)
@click.option("--output", type=click.Path(path_type=Path), help="File to write; by default standard output.")
@project_option
def draw_map(form: str, output: Path | None, project: Path) -> None:
    """Draw the money path: where money moves, compliance controls, providers, owners, objectives."""
    content = picture.draw(load_declaration(project), picture.PictureFormat(form))
    if output is None:
        # Bytes, so that the picture is UTF-8 whatever the terminal speaks.
        click.echo(content.encode(), nl=False)
    else:
        picture.save(content, output)
        Console(highlight=False).print(f"wrote {output}", markup=False, soft_wrap=True)


@click.group()
def runbook() -> None:
    """Read and check the one-page runbooks."""


@runbook.command(epilog="Example: moneypath runbook lint --metrics runbooks.prom")
@click.option(
    "--metrics",
    type=click.Path(path_type=Path, dir_okay=False),
    help="Also write when each runbook is due, in Prometheus' text format.",
)
@json_option
@project_option
def lint(metrics: Path | None, as_json: bool, project: Path) -> None:
    """Check every runbook, and who its alerts page.

    The exit code is 1 when a runbook is longer than a page, names an alert, role, action or series that does
    not exist, or expects other roles to be paged than its alerts page. An overdue review or drill is a
    warning with its owner.
    """
    report = runbook_files.lint_runbooks(project)
    if metrics is not None:
        runbook_metrics.write_metrics(report, metrics)
    if as_json:
        click.echo(json.dumps(_lint_document(report), indent=2))
        raise click.exceptions.Exit(1 if report.errors else 0)
    for issue in report.warnings:
        click.echo(str(issue))
    runbook_files.require_sound(report)
    click.echo(report.summary)


def _lint_document(report: runbook_files.LintReport) -> dict[str, object]:
    return {
        "runbooks": len(report.runbooks),
        "errors": len(report.errors),
        "warnings": len(report.warnings),
        "issues": [
            {
                "file": str(issue.file),
                "line": issue.line,
                "level": issue.level.value,
                "rule": issue.rule.value,
                "what": issue.what,
                "owner_role": issue.owner,
            }
            for issue in report.issues
        ],
    }


@runbook.command(epilog="Example: moneypath runbook show partial-provider-outage")
@click.argument("name")
@project_option
def show(name: str, project: Path) -> None:
    """Print one runbook; a query is never broken, so that it can be copied."""
    columns = PRINT_COLUMNS
    if sys.stdout.isatty():
        columns = min(columns, shutil.get_terminal_size().columns)
    click.echo(runbook_files.show(project, name, columns), nl=False)
