"""What was read of a witness, and what of it was not compared."""

from collections import Counter
from dataclasses import dataclass, field


@dataclass(slots=True)
class Tally:
    """Rows of one witness. `skipped` counts those without an operation to compare, by what they stand for.

    `fees` is what providers kept, by provider and currency. `unjudged` rows lie outside the time that is
    judged, `is_compared` tells whether any operation lies in it, `columns` are those that the source has.
    """

    witness: str
    rows: int = 0
    unjudged: int = 0
    is_compared: bool = False
    skipped: Counter[str] = field(default_factory=Counter)
    fees: Counter[tuple[str, str]] = field(default_factory=Counter)
    columns: frozenset[str] = frozenset()
    torn_line: int | None = None
