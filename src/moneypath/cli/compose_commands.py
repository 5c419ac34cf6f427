"""Commands about compose.yaml's images."""

import asyncio
from pathlib import Path

import click
from rich.console import Console

from moneypath.cli.options import project_option
from moneypath.workflows import image_pins
from moneypath.workflows.image_pins import Pin, Place
from moneypath.workflows.image_registry import Registries


@click.group()
def compose() -> None:
    """Work on compose.yaml, which offers the stack in containers."""


@compose.command(epilog="Example: moneypath compose pin --dry-run")
@click.option("--check", is_flag=True, help="Ask nobody and write nothing; fail when an image has no digest.")
@click.option("--dry-run", is_flag=True, help="Ask the registries, say what would be written, write nothing.")
@click.option(
    "--update", is_flag=True, help="Ask for images that have a digest too: after a change of tag, say."
)
@click.option(
    "--file",
    type=click.Path(path_type=Path, dir_okay=False),
    help="A Compose file of your own; by default the project's compose.yaml.",
)
@project_option
def pin(check: bool, dry_run: bool, update: bool, file: Path | None, project: Path) -> None:
    """Pin every image of compose.yaml by digest, so that a changed image is never started.

    Ask each image's registry which content its tag has now, and write name:tag@sha256:... in its place; the
    rest of the file stays as it is. An image that is pinned stays pinned. An engine reads the digest alone,
    so give --update after you change a tag. Registries are asked without a login: private images are refused.
    """
    if check and (dry_run or update):
        raise click.UsageError("--check asks nobody; give it without --dry-run and --update")
    chosen = file or project / "compose.yaml"
    text = image_pins.read(chosen)
    places = image_pins.find_images(text)
    console = Console(highlight=False, soft_wrap=True, markup=False)
    if check:
        image_pins.require_pinned(places)
        console.print(f"all {len(places)} images of {chosen.name} have a digest")
        return
    pins = asyncio.run(_ask(places, update))
    for each in pins:
        console.print(_sentence(each))
    rewritten = image_pins.rewrite(text, places, pins)
    if rewritten == text:
        console.print("nothing to write: every image has its digest")
    elif dry_run:
        console.print(f"nothing was written to {chosen}")
    else:
        image_pins.write(chosen, rewritten)
        console.print(f"wrote {chosen}")


async def _ask(places: tuple[Place, ...], update: bool) -> tuple[Pin, ...]:
    async with Registries() as registries:
        return await image_pins.resolve(places, registries.digest, update=update)


def _sentence(pin: Pin) -> str:
    where = f"line{'s' if len(pin.lines) > 1 else ''} {', '.join(map(str, pin.lines))}"
    if not pin.changed:
        return f"kept    {pin.before} ({where})"
    moved = f", was {pin.before.digest}" if pin.before.digest else ""
    return f"pinned  {pin.after} ({where}{moved})"
