"""Importing the library does nothing and drags nothing in."""

import subprocess
import sys

PROBE = """
import sys, threading, structlog
before = set(sys.modules)
import moneypath.telemetry, moneypath.telemetry.logs
import moneypath.telemetry.correlation, moneypath.telemetry.redaction, moneypath.telemetry.tracing
new = {name.partition(".")[0] for name in set(sys.modules) - before}
print(structlog.is_configured(), threading.active_count())
print(*sorted(name for name in new if name not in sys.stdlib_module_names))
print(*sorted(name for name in sys.modules if name.startswith("moneypath.") and "telemetry" not in name))
print(*sorted(name for name in sys.modules if name.startswith("moneypath.telemetry.integrations")))
"""


def test_import_configures_nothing_and_needs_structlog_alone() -> None:
    """No logging is set up, no thread started, no integration and no other room is loaded."""
    run = subprocess.run(
        [sys.executable, "-c", PROBE], capture_output=True, text=True, timeout=60, check=True
    )
    state, packages, rooms, integrations = run.stdout.split("\n")[:4]
    assert state == "False 1"
    assert packages == "moneypath"
    assert rooms == "moneypath.errors"
    assert integrations == ""
