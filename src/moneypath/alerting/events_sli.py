"""Count the events of an objective on a counter."""

from collections.abc import Iterator

from moneypath.alerting.matchers import one_of, selector
from moneypath.alerting.recorded import RecordedWindow, good_share_series
from moneypath.alerting.rules import Expr, RecordingRule, expr, fixed
from moneypath.path.objectives import EventsSlo

_ZERO = fixed(0, "zero")
_ONE = fixed(1, "one")


def event_recordings(slo: EventsSlo, names: RecordedWindow) -> Iterator[RecordingRule]:
    """Yield the rules of valid and of bad events."""

    def increase(values: tuple[str, ...]) -> Expr:
        chosen = selector(slo.select, one_of(slo.label, values))
        return expr(f"sum(increase({slo.series}{chosen}[", names.span, "]))")

    yield RecordingRule(names.valid, increase((*slo.good, *slo.bad)))
    # Without any series of bad events there are none, as long as there are valid ones.
    yield RecordingRule(names.bad, expr(increase(slo.bad), f"\nor {names.valid} * ", _ZERO))


def good_share_recording(slo: EventsSlo, names: RecordedWindow) -> RecordingRule:
    """Return the rule of the share of good events."""
    return RecordingRule(good_share_series(slo), expr(_ONE, f" - {names.ratio}"))
