"""Commands about the declaration and what is generated from it."""

from pathlib import Path

import click
from rich.console import Console

from moneypath.cli.options import project_option
from moneypath.path.loader import FILE_NAME, load
from moneypath.workflows import generate as generation
from moneypath.workflows import pages, picture


@click.command(epilog="Example: moneypath generate --check")
@click.option("--check", is_flag=True, help="Write nothing; fail when a committed file differs.")
@project_option
def generate(check: bool, project: Path) -> None:
    """Write alert rules, their tests, the routing of pages, the board, the catalogue and the picture."""
    console = Console(highlight=False)
    if check:
        console.print(f"{generation.check(project)} generated files are up to date")
        return
    names = generation.write(project)
    console.print(
        "\n".join(f"wrote {name}" for name in names) or "nothing to write: all files are up to date"
    )


@click.command("path", epilog="Example: moneypath path")
@project_option
def check_path(project: Path) -> None:
    """Check moneypath.yaml and say what it declares."""
    path = load(project / FILE_NAME)
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
    """Draw the money path: where money moves, gates, providers, owners, objectives."""
    content = picture.draw(load(project / FILE_NAME), picture.PictureFormat(form))
    if output is None:
        # Bytes, so that the picture is UTF-8 whatever the terminal speaks.
        click.echo(content.encode(), nl=False)
    else:
        picture.save(content, output)
        Console(highlight=False).print(f"wrote {output}", markup=False, soft_wrap=True)


@click.group()
def runbook() -> None:
    """Read and check the one-page runbooks."""


@runbook.command(epilog="Example: moneypath runbook lint")
@project_option
def lint(project: Path) -> None:
    """Fail when a runbook is over a page or names an alert, role, lever or series that is not there."""
    count = pages.lint_all_pages(project)
    Console(highlight=False).print(f"{count} runbooks are sound")


@runbook.command(epilog="Example: moneypath runbook show partial-provider-outage")
@click.argument("name")
@project_option
def show(name: str, project: Path) -> None:
    """Print one runbook."""
    Console(highlight=False).print(pages.show(project, name), markup=False)
