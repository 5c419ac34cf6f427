"""What the commands of every chain share: `verify` and `accept`, their arguments and what they print."""

import argparse
import os
import re
import sys
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final, NamedTuple

from refpay.errors import StartRefused
from refpay.seals.accepting import accept_chain
from refpay.seals.sealing import seal_log_of
from refpay.seals.stored import Chain
from refpay.seals.verification import VerificationReport

_FOLDER: Final = "REFPAY_ACKNOWLEDGEMENTS_FOLDER"


class Subparsers(NamedTuple):
    """The parsers of the two commands, for arguments of a chain's own."""

    verify: argparse.ArgumentParser
    accept: argparse.ArgumentParser


def add_commands(commands: Any, *, help_of_verify: str) -> Subparsers:
    """Add `verify` and `accept` to a command's subparsers."""
    head = matching(r"[0-9]+:[0-9a-f]{64}", "not a head, as in 12: and 64 hexadecimal digits")
    verify = commands.add_parser("verify", help=help_of_verify)
    verify.add_argument(
        "--expect", type=head, help="SEAL:DIGEST of an earlier report, which must still be in the chain"
    )
    verify.add_argument("--json", action="store_true", help="print the report as JSON")
    accept = commands.add_parser(
        "accept", help="keep the chain in the database as the true one, after a restore or a loss"
    )
    accept.add_argument("--head", type=head, required=True, help="SEAL:DIGEST that `verify` has printed")
    for command in (verify, accept):
        command.add_argument(
            "--kept", type=Path, help=f"folder of the seals outside the database ({_FOLDER})"
        )
    return Subparsers(verify, accept)


def kept_folder(given: argparse.Namespace) -> Path | None:
    """Return the folder of the seals outside the database, if one is named. Raises StartRefused."""
    folder = given.kept or (Path(os.environ[_FOLDER]) if os.environ.get(_FOLDER) else None)
    if folder is not None and not folder.is_dir():
        raise StartRefused(f"The folder of the seals is not a folder: {folder}")
    return folder


def kept_log(given: argparse.Namespace, chain: Chain) -> Path | None:
    """Return the file of the seals outside the database, if its folder is named. Raises StartRefused."""
    folder = kept_folder(given)
    return None if folder is None else seal_log_of(chain, folder).file


async def run_accept(given: argparse.Namespace, connection: Any, chain: Chain) -> None:
    """Run `accept`. Raises StartRefused or ChainNotAccepted."""
    folder = kept_folder(given)
    if folder is None:
        raise StartRefused(f"accept needs the folder of the seals: --kept or {_FOLDER}")
    async with connection.transaction(isolation="repeatable_read", readonly=True):
        moved = await accept_chain(connection, chain, folder, head=given.head, now=datetime.now(UTC))
    say("\n".join([f"accepted {given.head}: restart the worker", *(f"until now: {file}" for file in moved)]))


def describe(report: VerificationReport) -> str:
    """Return a report for people."""
    found = [
        f"{one.kind.value} {one.subject}" + (f" (seal {one.seq})" if one.seq else "")
        for one in report.findings
    ]
    looked = (
        f"{report.seals} seals, {report.entries} entries as sealed, {report.unsealed} not sealed yet,"
        f" {report.unseen} in cold storage and not verified"
    )
    compared = (
        f"compared with {report.compared} seals outside the database"
        if report.compared
        else "compared with no seal outside the database: a chain that was made anew would not show"
    )
    return "\n".join([*(found or ["no defects found"]), looked, compared, f"head {report.head}"])


def say(line: str) -> None:
    """Print a line."""
    sys.stdout.write(line + "\n")


def matching(pattern: str, otherwise: str) -> Callable[[str], str]:
    """Return what takes an argument that matches, and says otherwise what is allowed."""

    def match(text: str) -> str:
        if not re.fullmatch(pattern, text):
            raise argparse.ArgumentTypeError(otherwise)
        return text

    return match
