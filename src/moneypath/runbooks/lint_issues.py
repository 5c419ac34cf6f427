"""What the linter finds in a runbook that is well formed."""

from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path


class LintRule(StrEnum):
    """The rules of the linter."""

    ALERT_UNKNOWN = "alert-unknown"
    ALERT_UNANSWERED = "alert-unanswered"
    ALERT_ANSWERED_TWICE = "alert-answered-twice"
    DRILL_MISSING = "drill-missing"
    DRILL_STALE = "drill-stale"
    DRILL_UNKNOWN = "drill-unknown"
    FIRST_HOUR_INCOMPLETE = "first-hour-incomplete"
    HOLD_MISSING = "hold-missing"
    ID_MISPLACED = "id-misplaced"
    ACTION_UNKNOWN = "action-unknown"
    RUNBOOK_TOO_LONG = "runbook-too-long"
    PAGED_ROLES_DIFFER = "paged-roles-differ"
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


class LintLevel(StrEnum):
    """Whether an issue makes the linter fail."""

    ERROR = "error"
    WARNING = "warning"


@dataclass(frozen=True, slots=True)
class LintIssue:
    """One mistake in a runbook; `line` counts from 1, `owner` is the role that has to correct it."""

    rule: LintRule
    file: Path
    line: int
    what: str
    level: LintLevel = LintLevel.ERROR
    owner: str = ""

    def __str__(self) -> str:
        owner = f" (owner: {self.owner})" if self.owner else ""
        return f"{self.file}:{self.line}: {self.level}: {self.rule}: {self.what}{owner}"
