"""The command line: one sentence and an exit code for every failure to start."""

import asyncio
import sys

from acquirers.errors import AcquirerError
from acquirers.settings import read_settings


def main(arguments: list[str]) -> int:
    """Run one acquirer until it is stopped; return the exit code."""
    try:
        settings = read_settings(arguments)
        # Imported here, so that --help and a wrong flag do not load the web server.
        from acquirers.server import serve

        asyncio.run(serve(settings))
    except AcquirerError as error:
        sys.stderr.write(f"acquirers: {error.detail}\n")
        return error.exit_code
    return 0
