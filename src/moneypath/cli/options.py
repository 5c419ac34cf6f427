"""Options that several commands share."""

from pathlib import Path

import click

from moneypath.stack.starters import CHOICE_VARIABLE, GROUP
from moneypath.workflows.folders import project_folder


def _project(_: click.Context, __: click.Parameter, value: Path | None) -> Path:
    try:
        return project_folder((value or Path.cwd()).resolve())
    except FileNotFoundError:
        raise click.UsageError("the folder that you are in was removed; go to another one") from None


project_option = click.option(
    "--project",
    type=click.Path(path_type=Path, file_okay=False),
    callback=_project,
    help="Folder with moneypath.yaml; by default the nearest one upwards from here.",
)
starter_option = click.option(
    "--starter",
    "starter_name",
    metavar="NAME",
    envvar=CHOICE_VARIABLE,
    show_envvar=True,
    help=f"What starts the stack: an entry point of the group {GROUP}. Needed only if several are installed.",
)
json_option = click.option("--json", "as_json", is_flag=True, help="Print one JSON document for machines.")
