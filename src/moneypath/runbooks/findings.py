"""What can be wrong with a page that is well formed."""

from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path


class Rule(StrEnum):
    """Every rule of the linter."""

    ALERT_UNKNOWN = "alert-unknown"
    ALERT_UNANSWERED = "alert-unanswered"
    ALERT_ANSWERED_TWICE = "alert-answered-twice"
    DRILL_MISSING = "drill-missing"
    DRILL_STALE = "drill-stale"
    DRILL_UNKNOWN = "drill-unknown"
    FIRST_HOUR_INCOMPLETE = "first-hour-incomplete"
    ID_MISPLACED = "id-misplaced"
    LEVER_UNKNOWN = "lever-unknown"
    PAGE_TOO_LONG = "page-too-long"
    PLACEHOLDER_UNKNOWN = "placeholder-unknown"
    QUERY_INVALID = "query-invalid"
    REVIEW_OVERDUE = "review-overdue"
    ROLE_UNKNOWN = "role-unknown"
    SECTION_MISPLACED = "section-misplaced"
    SERIES_UNKNOWN = "series-unknown"
    SHELL_FOUND = "shell-found"
    STEP_ID_REPEATED = "step-id-repeated"
    STEP_MISNUMBERED = "step-misnumbered"
    STEP_MISSING = "step-missing"
    TARGET_UNKNOWN = "target-unknown"
    UNDO_MISSING = "undo-missing"


class Level(StrEnum):
    """Whether a finding makes the linter fail."""

    ERROR = "error"
    WARNING = "warning"


@dataclass(frozen=True, slots=True)
class Finding:
    """One mistake of a page; `line` counts from 1."""

    rule: Rule
    file: Path
    line: int
    what: str
    level: Level = Level.ERROR

    def __str__(self) -> str:
        return f"{self.file}:{self.line}: {self.level}: {self.rule}: {self.what}"
