"""Score a log again, by the rules that were in force when its bundle was made."""

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict
from typing import Any, Final

from moneypath.drills import scoring, scoring_rules_1
from moneypath.errors import MoneypathError
from moneypath.incidents.events import Event
from moneypath.incidents.evidence_files import EVENTS, EvidenceInvalid

FIRST_RULES: Final = 1
"""The rules of the bundles whose manifest does not say by which rules they were scored."""
REPORTS_KEY: Final = "waits_for_reports"
RULES_WITHOUT_METRICS: Final = 2
"""The rules before the metrics were compared with clients and books."""
RULES_WITHOUT_REPAIR: Final = 3
"""The rules by which harm could end without a repair."""
RULES_WITHOUT_TARGETS: Final = 4
"""The rules that knew the promises of one stack alone."""

Document = Mapping[str, Any]


def _by_rules(rules: int) -> Callable[[Sequence[Event]], Document]:
    def scored(events: Sequence[Event]) -> Document:
        document: dict[str, Any] = json.loads(json.dumps(asdict(scoring.score(events, rules=rules))))
        if rules <= RULES_WITHOUT_METRICS:
            del document[REPORTS_KEY]  # scorecards of these rules did not say it
        return document

    return scored


SCORERS: Final[Mapping[int, Callable[[Sequence[Event]], Document]]] = {
    FIRST_RULES: scoring_rules_1.score,
    RULES_WITHOUT_METRICS: _by_rules(RULES_WITHOUT_METRICS),
    RULES_WITHOUT_REPAIR: _by_rules(RULES_WITHOUT_REPAIR),
    RULES_WITHOUT_TARGETS: _by_rules(RULES_WITHOUT_TARGETS),
    scoring.RULES: _by_rules(scoring.RULES),
}


class ScoredOtherwise(MoneypathError):
    """A log whose rules are not in this version."""

    code = "scored_otherwise"


def score_again(events: Sequence[Event], rules: int) -> Document:
    """Return the scorecard as JSON values, by the rules of version `rules`.

    Raises ScoredOtherwise when they are not in this version, and EvidenceInvalid for a log that no drill
    writes.
    """
    if rules not in SCORERS:
        raise ScoredOtherwise(
            f"the score is not computed again: it is by rules {rules}, and this version has those of "
            f"{', '.join(map(str, sorted(SCORERS)))}"
        )
    try:
        return SCORERS[rules](events)
    except MoneypathError:
        raise
    except (ValueError, TypeError, LookupError, AttributeError, ArithmeticError, RecursionError) as error:
        # Whoever edits a log can also seal it again, so what is in it may be of any shape.
        raise EvidenceInvalid(
            f"{EVENTS} holds what no drill writes: {type(error).__name__}: {error}",
            hint="Run the drill again: this log proves nothing.",
        ) from None


def differences(recorded: Document, again: Document) -> list[str]:
    """Return a sentence for each key of a recorded scorecard that the events do not give."""
    return [
        f"{key} is {recorded.get(key)!r:.200}, the events give {again.get(key)!r:.200}"
        for key in sorted(recorded.keys() | again.keys())
        if key not in recorded or key not in again or recorded[key] != again[key]
    ]
