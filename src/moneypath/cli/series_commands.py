"""Commands about the series that services export already."""

import asyncio
from pathlib import Path

import click
from rich.console import Console

from moneypath.cli.options import project_option
from moneypath.prometheus import Prometheus
from moneypath.workflows import series_check


@click.group()
def series() -> None:
    """Check the series that the services export already; `series` in moneypath.yaml declares them."""


@series.command(epilog="Example: moneypath series check --prometheus http://127.0.0.1:9090")
@click.option("--prometheus", "url", metavar="URL", help="Address of Prometheus, without /api.")
@click.option(
    "--target",
    "target",
    metavar="FILE",
    type=click.Path(path_type=Path),
    help="A target whose Prometheus is asked, with its secrets.",
)
@project_option
def check(url: str | None, target: Path | None, project: Path) -> None:
    """Compare declared names, labels, values and bucket edges with the last hour of a Prometheus.

    A series or label that is not there, a value that is not declared and an edge that is missing fail. A
    declared value that has not occurred is only named.
    """
    if (url is None) == (target is None):
        raise click.UsageError("one of --prometheus and --target is needed, to know which Prometheus to ask")
    if url is not None and not url.startswith(("http://", "https://")):
        raise click.UsageError(
            f"--prometheus is {url!r}; allowed: an address that begins with http:// or https://"
        )
    result = asyncio.run(_ask(project, url, target))
    console = Console(highlight=False)
    for each in result.unseen:
        console.print(f"not seen yet: {each}", markup=False, soft_wrap=True)
    series_check.require(result)
    console.print(f"the series are as declared: {result.sentence}", markup=False, soft_wrap=True)


async def _ask(project: Path, url: str | None, target: Path | None) -> series_check.SeriesCheck:
    if target is None:
        return await series_check.check_series(project, Prometheus(url or ""))
    return await series_check.check_series(project, await series_check.prometheus_of_target(target))
