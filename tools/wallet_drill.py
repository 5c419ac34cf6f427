"""Run a drill of examples/wallet as another team would: from installed wheels, outside this repository.

    python tools/wallet_drill.py                                        # its first drill
    python tools/wallet_drill.py --drill drill-102-ledger-entry-lost

Builds the wheels of moneypath and of the wallet, installs them into an empty environment in a folder of its
own, copies the wallet's files beside it, and runs `moneypath drill run` there. The exit code is that of the
drill: 0 only if it passed. The folder goes in the end; the evidence stays where each run keeps it.
"""

import argparse
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Final

import wheels

WALLET: Final = wheels.ROOT / "examples" / "wallet"
# The programs come from the wallet's wheel, and only from there.
PACKAGES: Final = ("wallet", "bank", "wallet_stack", "pyproject.toml")
FIRST: Final = "drill-101-bank-silent-after-moving"
DRILL_SECONDS: Final = 900


def run(drill: str, work: Path) -> int:
    """Install into `work`, run the drill there, say how long each took; raises CommandFailed."""
    began = time.monotonic()
    platform = wheels.build(work / "dist")
    wallet = wheels.build_other(WALLET, work / "wallet-dist")
    binaries = wheels.make_environment(
        work / "environment", [*platform.requirements(["platform"]), str(wallet)]
    )
    project = work / "wallet"
    shutil.copytree(WALLET, project, ignore=shutil.ignore_patterns(*PACKAGES, "__pycache__"))
    sys.stdout.write(f"installed after {time.monotonic() - began:.0f} s\n")
    sys.stdout.flush()
    began = time.monotonic()
    command = [str(binaries / "moneypath"), "drill", "run", f"drills/{drill}.yaml", "--starter", "wallet"]
    done = subprocess.run(command, cwd=project, env=wheels.outside(), timeout=DRILL_SECONDS, check=False)
    sys.stdout.write(f"the drill took {time.monotonic() - began:.0f} s, its start included\n")
    return done.returncode


def main() -> int:
    """Run the drill and return its exit code; 2 when nothing could be installed, or there is none such."""
    parser = argparse.ArgumentParser(description="Run a drill of the wallet from installed wheels.")
    parser.add_argument("--drill", default=FIRST, help=f"name of a file in its drills/ (default: {FIRST})")
    drill = parser.parse_args().drill
    names = sorted(file.stem for file in (WALLET / "drills").glob("*.yaml"))
    if drill not in names:
        sys.stderr.write(f"There is no drill {drill}; allowed: {', '.join(names)}.\n")
        return 2
    with tempfile.TemporaryDirectory(prefix="moneypath-wallet-") as work:
        try:
            return run(drill, Path(work))
        except (wheels.CommandFailed, OSError, subprocess.TimeoutExpired) as error:
            sys.stderr.write(f"No drill of the wallet: {error}\n")
            return 2


if __name__ == "__main__":
    sys.exit(main())
