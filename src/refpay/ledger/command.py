"""Verify the ledger's chain, move old months to cold storage and back, and read the ledger."""

import argparse
import asyncio
import json
import os
from collections.abc import Sequence
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

import asyncpg

from refpay.clock import SystemClock
from refpay.db.pool import open_connection
from refpay.errors import StartRefused
from refpay.ledger.archiving import KEPT_MONTHS, archive_months, find_archive, restore_month
from refpay.ledger.cold_storage import read_archives, read_month, stream_ledger
from refpay.ledger.sealing import LEDGER
from refpay.ledger.verification import Balances, verify, verify_causes
from refpay.seals.command import add_commands, describe, kept_log, matching, run_accept, say
from refpay.settings import DatabaseSettings, read_database

_COMMAND_SECONDS: Final = 600.0
_EPILOG: Final = """\
examples:
  python -m refpay.ledger verify --json
  python -m refpay.ledger verify --folder /cold --expect 1204:5d41...   (a head that was printed before)
  python -m refpay.ledger accept --kept /var/lib/moneypath --head 1204:5d41...
  python -m refpay.ledger archive --folder /cold --keep-months 24
  python -m refpay.ledger read --folder /cold --month entry_2024_03 --payment 018e...
  python -m refpay.ledger balances --folder /cold --as-of 2024-03-31T23:59:59Z --account suspense:north
  python -m refpay.ledger restore --folder /cold --month entry_2024_03

REFPAY_DATABASE_URL and REFPAY_SECRETS_FOLDER locate the database, REFPAY_ACKNOWLEDGEMENTS_FOLDER or --kept
the seals outside of it: with them verify names what was changed, even if the chain was made anew. archive and
restore connect as the database's owner, whose password `moneypath secrets` puts into the folder `schema`.
Exit status: 0 success, 1 verify found a defect, 2 the command failed.
"""


def main(arguments: Sequence[str]) -> int:
    """Run one command and return its exit status. Raises RefpayError with one sentence."""
    given = _parser().parse_args(arguments)
    if given.command in ("archive", "restore"):
        settings = read_database(os.environ, user="refpay_owner", secret="refpay_owner_password")  # noqa: S106
    else:
        settings = read_database(os.environ, user=None, secret="refpay_app_password")  # noqa: S106 a file's name
    folder = getattr(given, "folder", None)
    if folder is not None and not folder.is_dir():
        raise StartRefused(f"--folder is not a folder: {folder}")
    try:
        return asyncio.run(_run(given, settings))
    except (OSError, asyncpg.PostgresError, asyncpg.InterfaceError) as problem:
        # Only the class of a database error: its text may quote a row.
        raise StartRefused(f"{given.command} failed: {settings.url} ({type(problem).__name__})") from problem


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m refpay.ledger",
        description=__doc__,
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    commands = parser.add_subparsers(dest="command", required=True)
    check, _ = add_commands(
        commands, help_of_verify="recompute chain and balances, and ask each entry for its cause"
    )
    archive = commands.add_parser("archive", help="move old months to cold storage")
    months = matching("[1-9][0-9]{0,2}|1[01][0-9]{2}|1200", "allowed: 1 to 1200")
    archive.add_argument(
        "--keep-months",
        type=months,
        default=KEPT_MONTHS,
        help="how many whole months to keep in the database",
    )
    restore = commands.add_parser("restore", help="put a month back into the database")
    read = commands.add_parser("read", help="print the entries of a month in cold storage as JSON lines")
    read.add_argument("--payment", help="print only the entries of this payment")
    balances = commands.add_parser(
        "balances", help="print the balances of the whole ledger, cold storage included"
    )
    balances.add_argument("--as-of", type=_instant, help="an instant; only what was posted up to it counts")
    balances.add_argument("--account", action="append", help="only this account; may be given several times")
    for command in (check, balances):
        command.add_argument("--folder", type=Path, help="folder of cold storage, if months were archived")
    for command in (archive, restore, read):
        command.add_argument("--folder", type=Path, required=True, help="cold storage")
    for command in (restore, read):
        month = matching(r"entry_[0-9]{4}_[0-9]{2}", "not a month, as in entry_2024_03")
        command.add_argument("--month", type=month, required=True, help="as in entry_2024_03")
    return parser


async def _run(given: argparse.Namespace, settings: DatabaseSettings) -> int:
    now = SystemClock().now()
    async with open_connection(settings, command_seconds=_COMMAND_SECONDS, lock_ms=3000) as connection:
        match given.command:
            case "archive":
                left = await archive_months(
                    connection, given.folder, now=now, kept_months=int(given.keep_months)
                )
                for one in left:
                    say(f"{one.name}: {one.entries} entries, sha256 {one.digest.hex()}")
            case "restore":
                one = await restore_month(connection, given.folder, given.month, now=now)
                say(f"{one.name}: {one.entries} entries restored")
            case "read":
                one = await find_archive(connection, given.month)
                # Read twice: no entry is proven before the last one was read.
                for _ in read_month(one.file(given.folder), expected=one.digest):
                    pass
                for entry in read_month(one.file(given.folder), expected=one.digest):
                    if given.payment in (None, str(entry.payment_id)):
                        say(json.dumps(asdict(entry), default=str))
            case "balances":
                async with connection.transaction(isolation="repeatable_read", readonly=True):
                    await _balances(connection, given)
            case "accept":
                await run_accept(given, connection, LEDGER)
            case _:
                async with connection.transaction(isolation="repeatable_read", readonly=True):
                    kept = kept_log(given, LEDGER)
                    report = await verify(connection, folder=given.folder, expected=given.expect, kept=kept)
                    await verify_causes(report, connection)
                say(json.dumps(asdict(report)) if given.json else describe(report))
                return 1 if report.findings else 0
    return 0


async def _balances(connection: Any, given: argparse.Namespace) -> None:
    archives, totals = await read_archives(connection), Balances()
    if archives and given.folder is None:
        raise StartRefused(f"{len(archives)} months are in cold storage: give its folder with --folder")
    async for entry in stream_ledger(connection, archives, given.folder):
        if given.as_of is None or entry.posted_at <= given.as_of:
            totals.add(entry)
    for (account, currency), minor in sorted(totals.totals.items(), key=str):
        if given.account is None or account in given.account:
            say(f"{account} {currency} {minor}")


def _instant(text: str) -> datetime:
    instant = datetime.fromisoformat(text)
    return instant if instant.tzinfo is not None else instant.replace(tzinfo=UTC)
