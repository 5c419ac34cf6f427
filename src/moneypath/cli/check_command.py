"""The command `moneypath check`."""

import json
from pathlib import Path

import click

from moneypath.cli.options import json_option, project_option
from moneypath.telemetry.redaction import redact
from moneypath.workflows.project_check import FileResult, ProjectReport, check_project


@click.command(epilog="Example: moneypath check --json")
@json_option
@project_option
def check(as_json: bool, project: Path) -> None:
    """Check every file of a project without running anything.

    Declaration, generated files, targets, runbooks, drills, gate plans and witnesses: whether they load, and
    whether they fit together. One line a file, with its problems below. The exit code is 0 if all are sound.
    """
    report = check_project(project)
    if as_json:
        click.echo(redact(json.dumps(_document(report), indent=2, ensure_ascii=False)))
    else:
        # A problem may quote a file.
        click.echo(
            redact("\n".join([*(line for one in report.results for line in _lines(one)), report.summary]))
        )
    raise click.exceptions.Exit(0 if report.is_sound else 1)


def _lines(one: FileResult) -> list[str]:
    lines = [f"{one.state:<11}  {one.file}", *(f"{'':13}{each}" for each in one.problems)]
    return [*lines, *(f"{'':13}{each}" for each in one.warnings)]


def _document(report: ProjectReport) -> dict[str, object]:
    return {
        "sound": report.is_sound,
        "files": [
            {
                "file": one.file,
                "state": one.state.value,
                "problems": list(one.problems),
                "warnings": list(one.warnings),
            }
            for one in report.results
        ],
    }
