"""Bring the payment service's schema up to date."""

import asyncio
import contextlib
import sys
from collections.abc import Mapping
from typing import Final

from moneypath.errors import MoneypathError

MIGRATION_SECONDS: Final = 60.0


class MigrationFailed(MoneypathError):
    """The payment service could not prepare its database."""

    code = "migration_failed"


async def migrate(environment: Mapping[str, str]) -> None:
    """Bring the database's schema up to date, once, before anything uses it; raises MigrationFailed."""
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "refpay.db", "upgrade",
        env={**environment, "PATH": "/usr/bin:/bin", "LANG": "C.UTF-8"},
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )  # fmt: skip
    try:
        async with asyncio.timeout(MIGRATION_SECONDS):
            output, _ = await process.communicate()
    except BaseException:
        with contextlib.suppress(ProcessLookupError):
            process.kill()
        raise
    if process.returncode != 0:
        last = output.decode(errors="replace").strip().splitlines()[-3:]
        raise MigrationFailed(
            f"database schema not brought up to date: {' / '.join(last) or process.returncode}",
            hint="Run `python -m refpay.db upgrade` to see the whole error.",
        )
