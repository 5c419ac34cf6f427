"""The command `moneypath metrics`."""

import json
from pathlib import Path

import click
from rich import box
from rich.console import Console
from rich.table import Table
from rich.text import Text

from moneypath.cli.options import json_option, project_option
from moneypath.workflows.declaration import load_declaration
from moneypath.workflows.metrics import MetricFacts, describe_metrics


@click.command(epilog="Example: moneypath metrics reconciliation")
@click.argument("words", nargs=-1)
@json_option
@project_option
def metrics(words: tuple[str, ...], as_json: bool, project: Path) -> None:
    """List the metrics: type, labels, series budget, meaning, and which alerts and panels read each.

    WORDS narrow the list to names that contain each of them.
    """
    facts = describe_metrics(load_declaration(project))
    chosen = [fact for fact in facts if all(word in fact.spec.name for word in words)]
    if not chosen:
        raise click.UsageError(f"no metric's name holds {' and '.join(words)}; without words all are listed")
    if as_json:
        click.echo(json.dumps([fact.document() for fact in chosen], indent=2, ensure_ascii=False))
        return
    Console(highlight=False).print(_table(chosen))


def _table(facts: list[MetricFacts]) -> Table:
    table = Table(box=box.SIMPLE_HEAD, header_style="dim", pad_edge=False, show_lines=True)
    table.add_column("metric, {labels}, meaning", overflow="fold", ratio=5)
    table.add_column("type", no_wrap=True)
    table.add_column("series,\nat most", justify="right", no_wrap=True)
    table.add_column("alerts, panels that read it", overflow="fold", ratio=4)
    for fact in facts:
        spec = fact.spec
        description = Text(spec.name, style="bold").append(
            f" {{{', '.join(spec.labels)}}}\n", style="not bold cyan"
        )
        description.append(spec.help, style="not bold")
        readers = Text("\n".join(fact.alerts), style="red")
        readers.append("\n" * bool(fact.alerts and fact.panels)).append("\n".join(fact.panels), style="blue")
        table.add_row(description, spec.kind.value, str(spec.series_budget), readers)
    return table
