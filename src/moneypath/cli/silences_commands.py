"""Commands about the silences of integrity alerts."""

import asyncio
import json
import time
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

import click
from rich import box
from rich.console import Console
from rich.table import Table
from rich.text import Text

from moneypath.alerting.silences import integrity_alerts
from moneypath.alerting.silences.alertmanager import Alertmanager, Silence
from moneypath.alerting.silences.counting import SilenceReader
from moneypath.alerting.silences.exporter import serve
from moneypath.alerting.silences.integrity_alerts import INTEGRITY_ALERTS_FILE
from moneypath.cli.listening_options import host_option, port_taken
from moneypath.cli.options import json_option
from moneypath.errors import MoneypathError
from moneypath.path.durations import format_duration
from moneypath.stack.exposing import json_line

TOKEN_BYTES_MAX: Final = 4096


class TokenUnreadable(MoneypathError):
    """A file that should hold the token for Alertmanager."""

    code = "token_unreadable"


def _url(_: click.Context, __: click.Parameter, value: str) -> str:
    if not value.startswith(("http://", "https://")):
        raise click.BadParameter(f"{value!r}; allowed: an address that begins with http:// or https://")
    return value


def asking_options(command: Callable[..., None]) -> Callable[..., None]:
    """Add the options that say whom to ask, and about which alerts."""
    for option in (
        click.option(
            "--token-file",
            type=click.Path(path_type=Path, dir_okay=False),
            help="File with the bearer token that a proxy before Alertmanager wants.",
        ),
        click.option(
            "--alerts",
            "alerts_file",
            type=click.Path(path_type=Path, dir_okay=False),
            default=Path("alerts") / INTEGRITY_ALERTS_FILE,
            show_default=True,
            help="What `moneypath generate` wrote about the integrity alerts.",
        ),
        click.option(
            "--alertmanager",
            "url",
            required=True,
            metavar="URL",
            callback=_url,
            help="Address of Alertmanager, without /api.",
        ),
    ):
        command = option(command)
    return command


@click.group()
def silences() -> None:
    """See who silenced an integrity alert."""


@silences.command("list", epilog="Example: moneypath silences list --alertmanager http://127.0.0.1:9093")
@asking_options
@json_option
def list_silences(url: str, alerts_file: Path, token_file: Path | None, as_json: bool) -> None:
    """List the active silences that mute an integrity alert, or one of its instances.

    The exit code is 0 only if there is none.
    """
    found = asyncio.run(_reader(url, alerts_file, token_file).read())
    if as_json:
        click.echo(json.dumps({name: [_document(each) for each in found[name]] for name in found}, indent=2))
    elif any(found.values()):
        Console(highlight=False).print(_table(found))
    else:
        click.echo(f"none of the {len(found)} integrity alerts is silenced")
    raise click.exceptions.Exit(1 if any(found.values()) else 0)


@silences.command(
    epilog="Example: moneypath silences export --alertmanager http://127.0.0.1:9093 --port 9095"
)
@asking_options
@host_option
@click.option(
    "--port", type=click.IntRange(0, 65_535), required=True, help="Port to listen on; 0 chooses a free one."
)
@click.option(
    "--every",
    "every_seconds",
    type=click.FloatRange(0.2, 60),
    default=5.0,
    show_default=True,
    help="Seconds between two questions to Alertmanager.",
)
def export(
    url: str, alerts_file: Path, token_file: Path | None, host: str, port: int, every_seconds: float
) -> None:
    """Serve the silences of integrity alerts to Prometheus at /metrics, until Ctrl-C or SIGTERM.

    While Alertmanager does not answer, the numbers are absent and never 0. Scrape it as the job that
    moneypath.yaml names among its targets.
    """

    def tell(event: Mapping[str, object]) -> None:
        click.echo(json_line(event))

    reader = _reader(url, alerts_file, token_file)
    with port_taken(host, port):
        asyncio.run(serve(reader, host, port, every_seconds=every_seconds, tell=tell))


def _reader(url: str, alerts_file: Path, token_file: Path | None) -> SilenceReader:
    token = "" if token_file is None else _token(token_file)
    return SilenceReader(Alertmanager(url, token), integrity_alerts.load(alerts_file))


def _token(file: Path) -> str:
    try:
        with file.open(encoding="ascii") as reader:
            token = reader.read(TOKEN_BYTES_MAX).strip()
    except (OSError, UnicodeDecodeError) as error:
        raise TokenUnreadable(
            f"The token cannot be read: {file}.", hint="Name a file that holds the token and nothing else."
        ) from error
    if not token or not token.isprintable() or " " in token:
        raise TokenUnreadable(
            f"There is no token in {file}.", hint="Name a file that holds the token and nothing else."
        )
    return token


def _document(silence: Silence) -> dict[str, object]:
    return {
        "id": silence.id,
        "ends_at": _utc(silence.ends_at),
        "created_by": silence.created_by,
        "comment": silence.comment,
    }


def _table(found: Mapping[str, Sequence[Silence]]) -> Table:
    table = Table(box=box.SIMPLE_HEAD, header_style="dim", pad_edge=False)
    for title in ("alert", "silence", "ends", "in", "by", "comment"):
        table.add_column(title, overflow="fold")
    now = time.time()
    for name, listed in found.items():
        for each in listed:
            left = format_duration(max(0.0, each.ends_at - now))
            row = (name, each.id, _utc(each.ends_at), left, each.created_by, each.comment)
            table.add_row(*(Text(cell) for cell in row))
    return table


def _utc(seconds: float) -> str:
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
