"""Verify the chain of the audit trail."""

import argparse
import asyncio
import json
import os
from collections.abc import Sequence
from dataclasses import asdict
from typing import Final

import asyncpg

from refpay.audit.sealing import AUDIT, verify_trail
from refpay.db.pool import open_connection
from refpay.errors import StartRefused
from refpay.seals.command import add_commands, describe, kept_log, run_accept, say
from refpay.settings import DatabaseSettings, read_database

_COMMAND_SECONDS: Final = 600.0
_EPILOG: Final = """\
examples:
  python -m refpay.audit verify --json
  python -m refpay.audit verify --kept /var/lib/moneypath
  python -m refpay.audit verify --expect 1204:5d41...   (a head that was printed before)
  python -m refpay.audit accept --kept /var/lib/moneypath --head 1204:5d41...

REFPAY_DATABASE_URL and REFPAY_SECRETS_FOLDER locate the database, REFPAY_ACKNOWLEDGEMENTS_FOLDER the seals.
Exit status: 0 success, 1 verify found a defect, 2 the command failed.
"""


def main(arguments: Sequence[str]) -> int:
    """Run one command and return its exit status. Raises RefpayError with one sentence."""
    parser = argparse.ArgumentParser(
        prog="python -m refpay.audit",
        description=__doc__,
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    add_commands(parser.add_subparsers(dest="command", required=True), help_of_verify="recompute the chain")
    given = parser.parse_args(arguments)
    settings = read_database(os.environ, user=None, secret="refpay_app_password")  # noqa: S106 a file's name
    try:
        return asyncio.run(_run(given, settings))
    except (OSError, asyncpg.PostgresError, asyncpg.InterfaceError) as problem:
        # Only the class of a database error: its text may quote a row.
        raise StartRefused(f"{given.command} failed: {settings.url} ({type(problem).__name__})") from problem


async def _run(given: argparse.Namespace, settings: DatabaseSettings) -> int:
    async with open_connection(settings, command_seconds=_COMMAND_SECONDS) as connection:
        if given.command == "accept":
            await run_accept(given, connection, AUDIT)
            return 0
        async with connection.transaction(isolation="repeatable_read", readonly=True):
            report = await verify_trail(connection, kept=kept_log(given, AUDIT), expected=given.expect)
    say(json.dumps(asdict(report)) if given.json else describe(report))
    return 1 if report.findings else 0
