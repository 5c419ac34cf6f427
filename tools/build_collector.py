"""Build the real OpenTelemetry Collector from collector/builder.yaml and check collector/config.yaml with it.

`python tools/build_collector.py`: some minutes once, then nothing. Needs Go.
"""

import os
import subprocess
import sys
from pathlib import Path

from moneypath.errors import MoneypathError
from moneypath.stack.collector import Manifest, build

ROOT = Path(__file__).resolve().parent.parent
CONFIG = ROOT / "collector" / "config.yaml"


def main() -> int:
    """Build, validate, and end with 0 only if both went well."""
    # Building takes minutes: leave the processors to other work.
    os.nice(10)
    try:
        program = build(Manifest.read(ROOT / "collector" / "builder.yaml"), progress=say)
    except MoneypathError as error:
        say(str(error))
        return 1
    environment = {**os.environ, "MONEYPATH_BACKEND_URL": "http://127.0.0.1:4318"}
    checked = subprocess.run([str(program), "validate", f"--config={CONFIG}"], env=environment, check=False)
    say("The configuration is valid." if checked.returncode == 0 else "The configuration is refused.")
    return checked.returncode


def say(text: str) -> None:
    """Print progress."""
    sys.stderr.write(f"{text}\n")


if __name__ == "__main__":
    sys.exit(main())
