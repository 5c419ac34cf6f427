"""Start the wallet, keep it until Ctrl-C or SIGTERM: `python -m wallet_stack RUN_FOLDER [SCALE [RATE]]`."""

import asyncio
import sys
from pathlib import Path

from moneypath.errors import MoneypathError
from moneypath.path.loader import load
from moneypath.stack.starters import LiveStackSettings
from wallet_stack.project import DECLARATION, project_folder
from wallet_stack.starter import STARTER


async def keep(folder: Path, scale: int, rate: int) -> None:
    """Start everything, say where it is, and wait until a server ends or somebody stops it.

    The past that is filled in has `rate` orders a second, as many as a drill on it drives.
    """
    path = load(project_folder() / DECLARATION)
    settings = LiveStackSettings(path, folder, scale, events_per_second=rate)
    async with STARTER.running(settings, lambda line: print(line, flush=True)) as live:
        print(f"The wallet is up; its addresses are in {folder / 'endpoints.json'}", flush=True)
        await live.supervisor.watch()


def main() -> None:
    """Run until stopped; what prevents it is one sentence."""
    if not 2 <= len(sys.argv) <= 4 or not all(map(str.isdecimal, sys.argv[2:])):
        sys.exit("usage: python -m wallet_stack RUN_FOLDER [SCALE [RATE]]")
    scale = int(sys.argv[2]) if len(sys.argv) > 2 else 12
    rate = int(sys.argv[3]) if len(sys.argv) > 3 else 8
    try:
        asyncio.run(keep(Path(sys.argv[1]).resolve(), scale, rate))
    except* MoneypathError as errors:
        for error in errors.exceptions:
            print(f"error: {error}", file=sys.stderr)
        raise SystemExit(1) from None
    except* KeyboardInterrupt:
        raise SystemExit(130) from None


if __name__ == "__main__":
    main()
