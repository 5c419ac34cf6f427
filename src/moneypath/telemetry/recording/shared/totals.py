"""What the dead have recorded: one file, written anew as a whole and put in place in one step.

The order makes it safe to be killed anywhere: the new totals name the workers that they contain, then
take the place of the old ones, and only then the workers' files go. A file whose worker is named is
never read again, so nothing counts twice; a file that is not named is still there, so nothing is lost.
"""

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from moneypath.telemetry.recording.shared.group import TOTALS, TOTALS_DRAFT, Group
from moneypath.telemetry.recording.shared.layout import SlotLayout
from moneypath.telemetry.recording.shared.sums import Exact, ExactSlots

SIZE_LIMIT_BYTES = 64 * 1024 * 1024

Stamp = tuple[int, int, int]


@dataclass(frozen=True, slots=True)
class Totals:
    """The sums of the dead; `folded` names those whose files may still lie about."""

    slots: ExactSlots = field(default_factory=dict)
    folded: frozenset[str] = frozenset()
    broken: bool = False


def stamp_of(group: Group) -> Stamp | None:
    """Return what changes whenever the totals do; None if there are none yet."""
    try:
        status = (group.folder / TOTALS).stat()
    except FileNotFoundError:
        return None
    return status.st_ino, status.st_mtime_ns, status.st_size


def read(group: Group, layout: Mapping[str, SlotLayout]) -> Totals:
    """Read the totals; what no worker can have written counts as nothing and is `broken`."""
    try:
        with (group.folder / TOTALS).open("rb") as stream:
            content = stream.read(SIZE_LIMIT_BYTES)
    except FileNotFoundError:
        return Totals()
    try:
        document = json.loads(content)
        slots: ExactSlots = {}
        for name, key, cells in document["rows"]:
            slot = layout[name]
            if not slot.allows(tuple(key)) or len(cells) != slot.size:
                return Totals(broken=True)
            slots.setdefault(name, {})[tuple(key)] = [_exact(cell) for cell in cells]
        return Totals(slots, frozenset(map(str, document["folded"])))
    except (ValueError, KeyError, TypeError, RecursionError):
        return Totals(broken=True)


def _exact(cell: object) -> Exact:
    parts = cell if isinstance(cell, list) else [cell]
    exact = [float(part) for part in parts if isinstance(part, int | float)]
    if not exact or len(exact) < len(parts):
        raise ValueError("not a sum")
    return exact


def fold(
    group: Group,
    slots: ExactSlots,
    folded: frozenset[str],
    files: Mapping[str, Path],
    *,
    step: Callable[[], None] = lambda: None,
) -> None:
    """Put new totals in place, then remove the files of those whom they contain; the lock is held.

    `step` is called between any two changes on disk: a test dies in it.
    """
    draft = group.folder / TOTALS_DRAFT
    rows = [
        [name, key, [exact[0] if len(exact) == 1 else exact for exact in cells]]
        for name, by_key in slots.items()
        for key, cells in by_key.items()
    ]
    with draft.open("w", encoding="utf-8") as stream:
        step()
        json.dump({"folded": sorted(folded), "rows": rows}, stream, ensure_ascii=False)
    step()
    draft.replace(group.folder / TOTALS)
    step()
    for worker in sorted(folded):
        files[worker].unlink(missing_ok=True)
        step()
