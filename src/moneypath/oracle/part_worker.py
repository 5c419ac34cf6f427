"""Run one task of a large audit: `python -m moneypath.oracle.part_worker folder task`."""

import gc
import sys
from pathlib import Path

from moneypath.oracle.large_audit import SHARED, audit_parts, audit_sharing


def main(folder: Path, task: str) -> None:
    """Audit every part of a process, or the references that share names."""
    # The rows of a part are millions of objects without cycles, and are all dropped with it.
    gc.disable()
    if task == SHARED:
        audit_sharing(folder)
    else:
        audit_parts(folder, int(task))


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2])
