"""When runbooks are due, as metrics in Prometheus' text format, for node_exporter's textfile collector."""

import os
import tempfile
from collections.abc import Iterator
from datetime import UTC, date, datetime, time
from pathlib import Path
from typing import Final

from moneypath.errors import MoneypathError
from moneypath.runbooks.lint import drill_due, review_due
from moneypath.workflows.runbook_files import LintReport

REVIEW_DUE: Final = "moneypath_runbook_review_due_timestamp_seconds"
DRILL_DUE: Final = "moneypath_runbook_drill_due_timestamp_seconds"
DRILL_PASSED: Final = "moneypath_drill_last_passed_timestamp_seconds"


class MetricsNotWritten(MoneypathError):
    """The file for the metrics cannot be written."""

    code = "metrics_not_written"


def metrics_text(report: LintReport) -> str:
    """Return when each runbook is due for review and for a drill, and when each drill last passed.

    A runbook that no drill proves, and a drill without evidence, have no sample: unknown is not zero.
    """
    passed = report.passed or {}
    review = [
        (_labels(runbook=book.id, owner_role=book.front.owner_role), review_due(book.front.review))
        for book in report.runbooks
    ]
    drill = [
        (_labels(runbook=book.id, owner_role=book.front.owner_role), due)
        for book in report.runbooks
        if (due := drill_due(book.front.drills, passed)) is not None
    ]
    last = [(_labels(drill=name), day) for name, day in sorted(passed.items())]
    lines = [
        *_family(REVIEW_DUE, "End of the day by which the runbook has to be read through again.", review),
        *_family(DRILL_DUE, "End of the day by which a drill of the runbook has to pass again.", drill),
        *_family(DRILL_PASSED, "End of the day on which the drill last passed.", last),
    ]
    return "\n".join([*lines, ""])


def write_metrics(report: LintReport, file: Path) -> None:
    """Write the metrics to `file`, whole or not at all; raises MetricsNotWritten."""
    try:
        descriptor, name = tempfile.mkstemp(dir=file.absolute().parent, prefix=f".{file.name}.")
        try:
            with os.fdopen(descriptor, "w", encoding="utf-8") as writer:
                writer.write(metrics_text(report))
            Path(name).chmod(0o644)
            Path(name).replace(file)
        except BaseException:
            Path(name).unlink(missing_ok=True)
            raise
    except OSError as error:
        raise MetricsNotWritten(
            f"The metrics cannot be written to {file}: {error.strerror}.",
            hint="Name a file in a folder that exists and that you may write to.",
        ) from None


def _family(name: str, what: str, samples: list[tuple[str, date]]) -> Iterator[str]:
    yield f"# HELP {name} {what}"
    yield f"# TYPE {name} gauge"
    for labels, day in samples:
        yield f"{name}{{{labels}}} {datetime.combine(day, time.max, UTC).timestamp():.0f}"


def _labels(**labels: str) -> str:
    return ",".join(f'{name}="{value}"' for name, value in labels.items())
