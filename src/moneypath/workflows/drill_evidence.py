"""When each drill last passed, from the evidence that runs left on this machine."""

import json
from collections.abc import Mapping
from datetime import UTC, date, datetime
from pathlib import Path

from moneypath.incidents.evidence_files import MANIFEST, SCORECARD
from moneypath.workflows.drill_stack import BUNDLE


def last_passed(runs: Path) -> Mapping[str, date] | None:
    """Return each drill's id with the day of its latest pass, or None when no drill left evidence.

    Only the newest runs are kept, so a drill that is missing here may have passed elsewhere.
    """
    bundles = [manifest.parent for manifest in sorted(runs.glob(f"*/{BUNDLE}/{MANIFEST}"))]
    passed: dict[str, date] = {}
    for bundle in bundles:
        drill = _passed_drill(bundle)
        if drill:
            day = datetime.fromtimestamp((bundle / MANIFEST).stat().st_mtime, UTC).date()
            passed[drill] = max(day, passed.get(drill, day))
    return passed if bundles else None


def _passed_drill(bundle: Path) -> str:
    """Return the id of the drill that passed in `bundle`, or nothing."""
    try:
        manifest = json.loads((bundle / MANIFEST).read_text(encoding="utf-8"))
        card = json.loads((bundle / SCORECARD).read_text(encoding="utf-8"))
        return str(manifest["drill"]) if card["passed"] is True else ""
    except (OSError, ValueError, TypeError, KeyError):
        return ""
