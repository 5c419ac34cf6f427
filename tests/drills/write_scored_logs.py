"""Write logs with their scorecards by today's rules: `python -m tests.drills.write_scored_logs`.

Only for new rules: what was written for earlier ones stays.
"""

import shutil
import tempfile
from pathlib import Path

from tests.incidents.sabotage.bundles import Bundle

from moneypath.drills.scoring import RULES
from moneypath.incidents.evidence_files import EVENTS, SCORECARD

STORIES = {"passed": {}, "harm-not-ended": {"harm_ends": False}, "not-approved": {"approved": False}}


def main() -> None:
    """Write one folder for each story."""
    for name, story in STORIES.items():
        folder = Path(__file__).parent / f"rules-{RULES}" / name
        folder.mkdir(parents=True)
        with tempfile.TemporaryDirectory() as scratch:
            bundle = Bundle(Path(scratch), "run-1", story=story)
            for file in (EVENTS, SCORECARD):
                shutil.copyfile(bundle.folder / file, folder / file)


if __name__ == "__main__":
    main()
