"""The totals of exited workers: one file, written as a whole and replaced in one step.

The order of steps makes it safe to be killed at any point. The new totals name the workers that they
contain; they replace the old totals; only then the workers' files are removed. A file whose worker is named
is never read again, so nothing counts twice. A file that is not named still exists, so nothing is lost.
"""

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from moneypath.telemetry.recording.multiprocess.group import TOTALS, TOTALS_DRAFT, Group
from moneypath.telemetry.recording.multiprocess.layout import SlotLayout
from moneypath.telemetry.recording.multiprocess.sums import Exact, ExactSlots

SIZE_LIMIT_BYTES = 64 * 1024 * 1024

FileVersion = tuple[int, int, int]


@dataclass(frozen=True, slots=True)
class Totals:
    """The sums of exited workers. `compacted` names those whose files may still exist."""

    slots: ExactSlots = field(default_factory=dict)
    compacted: frozenset[str] = frozenset()
    broken: bool = False


def version_of(group: Group) -> FileVersion | None:
    """Return a value that changes whenever the totals change; None if there are no totals."""
    try:
        status = (group.folder / TOTALS).stat()
    except FileNotFoundError:
        return None
    return status.st_ino, status.st_mtime_ns, status.st_size


def read(group: Group, layout: Mapping[str, SlotLayout]) -> Totals:
    """Read the totals. A file that no worker can have written counts as empty and `broken`."""
    try:
        with (group.folder / TOTALS).open("rb") as stream:
            content = stream.read(SIZE_LIMIT_BYTES)
    except FileNotFoundError:
        return Totals()
    try:
        document = json.loads(content)
        slots: ExactSlots = {}
        for name, key, point in document["rows"]:
            slot = layout[name]
            if not slot.allows(tuple(key)) or len(point) != slot.size:
                return Totals(broken=True)
            slots.setdefault(name, {})[tuple(key)] = [_exact(value) for value in point]
        return Totals(slots, frozenset(map(str, document["compacted"])))
    except (ValueError, KeyError, TypeError, RecursionError):
        return Totals(broken=True)


def _exact(value: object) -> Exact:
    parts = value if isinstance(value, list) else [value]
    exact = [float(part) for part in parts if isinstance(part, int | float)]
    if not exact or len(exact) < len(parts):
        raise ValueError("not a sum")
    return exact


def compact(
    group: Group,
    slots: ExactSlots,
    compacted: frozenset[str],
    files: Mapping[str, Path],
    *,
    step: Callable[[], None] = lambda: None,
) -> None:
    """Replace the totals, then remove the files of the workers that they contain. The caller holds the lock.

    `step` is called between any two changes on disk, so that a test can kill the process there.
    """
    draft = group.folder / TOTALS_DRAFT
    rows = [
        [name, key, [exact[0] if len(exact) == 1 else exact for exact in point]]
        for name, by_key in slots.items()
        for key, point in by_key.items()
    ]
    with draft.open("w", encoding="utf-8") as stream:
        step()
        json.dump({"compacted": sorted(compacted), "rows": rows}, stream, ensure_ascii=False)
    step()
    draft.replace(group.folder / TOTALS)
    step()
    for worker in sorted(compacted):
        files[worker].unlink(missing_ok=True)
        step()
