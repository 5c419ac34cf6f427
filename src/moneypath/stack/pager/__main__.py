"""Run the pager: `python -m moneypath.stack.pager --port N --store FILE --secrets-folder DIR`."""

import argparse
import asyncio
import ipaddress
import json
import signal
import sys
from collections.abc import Sequence
from pathlib import Path

from moneypath.errors import MoneypathError
from moneypath.stack.pager.app import Tokens, create_app
from moneypath.stack.pager.listening import listening
from moneypath.stack.pager.store import PageStore

_SHUTDOWN_WITHIN_SECONDS = 2.0


async def serve(host: str, port: int, store_file: Path, secrets_folder: Path) -> None:
    """Serve until SIGTERM or SIGINT and print the port as one JSON line; port 0 chooses a free one."""
    stopped = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stopped.set)
    app = create_app(PageStore(store_file), Tokens.load(secrets_folder))
    async with listening(app, host, port, stop_seconds=_SHUTDOWN_WITHIN_SECONDS) as bound:
        print(json.dumps({"event": "listening", "port": bound}), flush=True)  # noqa: T201  # the interface
        await stopped.wait()


def _address(text: str) -> str:
    return str(ipaddress.IPv4Address(text))


def main(arguments: Sequence[str] | None = None) -> int:
    """Parse the command line and serve."""
    parser = argparse.ArgumentParser(prog="python -m moneypath.stack.pager", description=__doc__)
    parser.add_argument("--host", type=_address, default="127.0.0.1", help="default: %(default)s")
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--store", type=Path, required=True)
    parser.add_argument("--secrets-folder", type=Path, required=True)
    given = parser.parse_args(arguments)
    try:
        asyncio.run(serve(given.host, given.port, given.store, given.secrets_folder))
    except MoneypathError as error:
        print(error, file=sys.stderr)  # noqa: T201  # a command line's answer
        return error.exit_code
    except OSError as error:
        print(f"pager not started: {error}", file=sys.stderr)  # noqa: T201  # a command line's answer
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
