"""The names of the series recorded of an objective, and their windows."""

from collections.abc import Mapping
from dataclasses import dataclass

from moneypath.alerting.burn import TIERS
from moneypath.alerting.rules import RuleLiteral, duration_text, window
from moneypath.path.objectives import AvailabilitySlo, Slo
from moneypath.telemetry.catalogue.vocabulary import Operation

HARD_DOWN_SECONDS = 60
TRAFFIC_SECONDS = 300
WHOLE_PATH = "path"

OPERATION_NOUNS: Mapping[str, str] = {
    Operation.AUTHORIZE: "authorization",
    Operation.CAPTURE: "capture",
    Operation.VOID: "void",
    Operation.REFUND: "refund",
    Operation.PAYOUT: "payout",
    Operation.QUERY: "query",
}
"""Operations of a team's own are called by their ids."""


@dataclass(frozen=True, slots=True)
class RecordedWindow:
    """The series of one objective over one window; the names keep the window of production."""

    slo: Slo
    span: RuleLiteral

    @property
    def valid(self) -> str:
        """Return the series of valid events in the window."""
        return f"{level(self.slo)}:{series_stem(self.slo)}_valid:increase{self.suffix}"

    @property
    def bad(self) -> str:
        """Return the series of bad events in the window."""
        return f"{level(self.slo)}:{series_stem(self.slo)}_bad:increase{self.suffix}"

    @property
    def ratio(self) -> str:
        """Return the series of the share of bad among valid events; absent without valid events."""
        return f"{level(self.slo)}:{series_stem(self.slo)}_bad:ratio_rate{self.suffix}"

    @property
    def whole_ratio(self) -> str:
        """Return the series of the same share over the whole path, without labels."""
        return f"{WHOLE_PATH}:{series_stem(self.slo)}_bad:ratio_rate{self.suffix}"

    @property
    def everywhere(self) -> str:
        """Return the series that exists while no provider is well, without labels."""
        return f"{WHOLE_PATH}:{series_stem(self.slo)}_bad:everywhere{self.suffix}"

    @property
    def suffix(self) -> str:
        """Return the window as the end of a name: `5m`."""
        return duration_text(self.span.value)


def recorded(slo: Slo, seconds: int) -> RecordedWindow:
    """Return the names for the window of `seconds`."""
    return RecordedWindow(slo, window(seconds, f"window_{seconds}"))


def windows(slo: Slo) -> tuple[int, ...]:
    """Return every window, in seconds, that is recorded of `slo`, shortest first."""
    seconds = {TRAFFIC_SECONDS}
    if isinstance(slo, AvailabilitySlo) and slo.hard_down:
        seconds.add(HARD_DOWN_SECONDS)
    for tier in slo.burn.tiers if slo.burn else ():
        seconds |= {TIERS[tier].long_seconds, TIERS[tier].short_seconds}
    return tuple(sorted(seconds))


def kept_apart_by(slo: Slo) -> str:
    """Return the label that an objective is kept apart by; empty over the whole path."""
    return slo.per.value if isinstance(slo, AvailabilitySlo) and slo.per else ""


def level(slo: Slo) -> str:
    """Return the aggregation level of the series, which is the first part of their names."""
    return kept_apart_by(slo) or WHOLE_PATH


def series_stem(slo: Slo) -> str:
    """Return the stem of an objective's series: its operation as a noun, or its id; words joined by _."""
    if isinstance(slo, AvailabilitySlo) and slo.operation:
        return OPERATION_NOUNS.get(slo.operation, slo.operation)
    return slo.id.replace("-", "_")


def event_words(slo: AvailabilitySlo) -> str:
    """Return what an availability objective counts, in the plural: `authorizations`."""
    if not slo.operation:
        return f"events of {slo.id.replace('-', ' ')}"
    return f"{series_stem(slo).replace('_', ' ')}s"


def live_words(slo: AvailabilitySlo) -> str:
    """Return the same as a page says it: of our payments only the live ones count."""
    return event_words(slo) if slo.counted else f"live {event_words(slo)}"


def good_share_series(slo: Slo) -> str:
    """Return the series of the share of good events of the last five minutes, over the whole path."""
    return f"{WHOLE_PATH}:{series_stem(slo)}:ratio_rate{recorded(slo, TRAFFIC_SECONDS).suffix}"


def quantile_series(slo: Slo, percent: int) -> str:
    """Return the series of a percentile of the last five minutes."""
    return (
        f"{WHOLE_PATH}:{series_stem(slo)}:p{percent}_{duration_text(window(TRAFFIC_SECONDS, 'span').value)}"
    )
