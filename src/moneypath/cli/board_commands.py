"""Commands about the Grafana board."""

import asyncio
from pathlib import Path

import click
from rich.console import Console

from moneypath.cli.options import project_option
from moneypath.workflows import board as boards


@click.group()
def board() -> None:
    """Check the Grafana board; `moneypath generate` writes it."""


@board.command(epilog="Example: moneypath board check --prometheus http://127.0.0.1:9090")
@click.option(
    "--prometheus", "url", required=True, metavar="URL", help="Address of Prometheus, without /api."
)
@project_option
def check(url: str, project: Path) -> None:
    """Run every query of the board with the variables that Grafana fills in; fail when one finds no data.

    A query that is empty while all is well, such as the list of firing alerts, only has to run.
    """
    if not url.startswith(("http://", "https://")):
        raise click.UsageError(
            f"--prometheus is {url!r}; allowed: an address that begins with http:// or https://"
        )
    result = asyncio.run(boards.check_board(project, url))
    boards.require(result)
    Console(highlight=False).print(f"the board is proven: {result.sentence}", markup=False, soft_wrap=True)
