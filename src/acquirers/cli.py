"""The command line: one sentence and an exit code for everything that keeps an acquirer from starting."""

import asyncio
import sys

from acquirers.errors import AcquirerError
from acquirers.settings import read_settings


def main(arguments: list[str]) -> int:
    """Run one acquirer until it is told to stop; return the exit code."""
    try:
        settings = read_settings(arguments)
        # Here, so that --help and a wrong flag answer before the web server's modules are loaded.
        from acquirers.server import serve

        asyncio.run(serve(settings))
    except AcquirerError as error:
        sys.stderr.write(f"acquirers: {error.detail}\n")
        return error.exit_code
    return 0
