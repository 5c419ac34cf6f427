"""The recorded series of an objective over the whole path: valid events, bad events, their ratio.

Without labels: which provider is slow, or which write fails, is for the board to say. What is not
known to be good is bad: when the bucket of the threshold is missing, every event counts as slow.
"""

from dataclasses import dataclass
from fractions import Fraction

from moneypath.alerting.burn import TIERS
from moneypath.alerting.leaf import Expr, Leaf, Recording, decimal_text, duration_text, expr, fixed, window
from moneypath.alerting.sli import TRAFFIC_SECONDS
from moneypath.path.objectives import EventsSlo, LatencySlo, PathSlo
from moneypath.path.selection import Match

QUANTILES = (95, 99)

_ZERO = fixed(0, "zero")
_ONE = fixed(1, "one")


@dataclass(frozen=True, slots=True)
class PathRecorded:
    """The names of what is recorded of one objective over one window; they keep the unscaled window."""

    slo: PathSlo
    span: Leaf

    @property
    def valid(self) -> str:
        """Return the series of valid events in the window."""
        return f"path:{subject(self.slo)}_valid:increase{duration_text(self.span.value)}"

    @property
    def bad(self) -> str:
        """Return the series of bad events in the window."""
        return f"path:{subject(self.slo)}_bad:increase{duration_text(self.span.value)}"

    @property
    def ratio(self) -> str:
        """Return the series of the share of bad among valid events; absent without valid events."""
        return f"path:{subject(self.slo)}_bad:ratio_rate{duration_text(self.span.value)}"


def subject(slo: PathSlo) -> str:
    """Return the id of `slo` as it stands in the names of series."""
    return slo.id.replace("-", "_")


def path_recorded(slo: PathSlo, seconds: int) -> PathRecorded:
    """Return the names for the window of `seconds`."""
    return PathRecorded(slo, window(seconds, f"window_{seconds}"))


def path_windows(slo: PathSlo) -> tuple[int, ...]:
    """Return every window, in seconds, that is recorded of `slo`, shortest first."""
    seconds = {TRAFFIC_SECONDS}
    for tier in slo.burn.tiers if slo.burn else ():
        seconds |= {TIERS[tier].long_seconds, TIERS[tier].short_seconds}
    return tuple(sorted(seconds))


def path_recordings(slo: PathSlo) -> tuple[Recording, ...]:
    """Return the recording rules of `slo`, ordered so that each finds what it reads."""
    rules: list[Recording] = []
    for seconds in path_windows(slo):
        names = path_recorded(slo, seconds)
        valid, bad = _latency(slo, names) if isinstance(slo, LatencySlo) else _events(slo, names)
        rules += [
            Recording(names.valid, valid),
            Recording(names.bad, bad),
            Recording(names.ratio, expr(f"{names.bad} / ({names.valid} > ", _ZERO, ")")),
        ]
    names = path_recorded(slo, TRAFFIC_SECONDS)
    return (*rules, *(_quantiles(slo, names) if isinstance(slo, LatencySlo) else (_good_share(slo, names),)))


def selector(select: tuple[Match, ...], *more: str) -> str:
    """Return `select` between braces, or nothing when it selects everything."""
    matchers = [_one_of(match.label, match.values) for match in select]
    inside = ", ".join((*matchers, *more))
    return f"{{{inside}}}" if inside else ""


def edge(slo: LatencySlo) -> str:
    """Return the matcher of the bucket that ends at the threshold.

    Our exposition, and Prometheus from version 3 on, write a whole edge as `1.0`; the Go client and
    the OpenTelemetry Collector write `1`, which Prometheus 2 keeps.
    """
    text = decimal_text(Fraction(slo.threshold_seconds))
    return f'le="{text}"' if "." in text else f'le=~"{text}|{text}[.]0"'


def _latency(slo: LatencySlo, names: PathRecorded) -> tuple[Expr, Expr]:
    series, span = slo.timed.series, names.span
    valid = expr(f"sum(increase({series}_count{selector(slo.timed.select)}[", span, "]))")
    fast = expr(f"sum(increase({series}_bucket{selector(slo.timed.select, edge(slo))}[", span, "]))")
    slow = expr(
        *(f"clamp_min(\n  {names.valid} - (\n    ", fast),
        *(f"\n    or {names.valid} * ", _ZERO, "\n  ), ", _ZERO, "\n)"),
    )
    return valid, slow


def _events(slo: EventsSlo, names: PathRecorded) -> tuple[Expr, Expr]:
    def increase(values: tuple[str, ...]) -> Expr:
        return expr(f"sum(increase({slo.series}{{{_one_of(slo.label, values)}}}[", names.span, "]))")

    # Without any series of bad events there are none, as long as there are valid ones.
    return increase((*slo.good, *slo.bad)), expr(increase(slo.bad), f"\nor {names.valid} * ", _ZERO)


def _good_share(slo: EventsSlo, names: PathRecorded) -> Recording:
    name = f"path:{subject(slo)}:ratio_rate{duration_text(names.span.value)}"
    return Recording(name, expr(_ONE, f" - {names.ratio}"))


def _quantiles(slo: LatencySlo, names: PathRecorded) -> tuple[Recording, ...]:
    buckets = f"{slo.timed.series}_bucket{selector(slo.timed.select)}"
    return tuple(
        Recording(
            f"path:{subject(slo)}:p{percent}_{duration_text(names.span.value)}",
            expr(
                *("histogram_quantile(", fixed(Fraction(percent, 100), "quantile")),
                *(f", sum by (le) (rate({buckets}[", names.span, "])))"),
                # Without events the quantile is NaN, which would poison whatever averages it.
                *(f"\nand on () {names.valid} > ", _ZERO),
            ),
        )
        for percent in QUANTILES
    )


def _one_of(label: str, values: tuple[str, ...]) -> str:
    return f'{label}="{values[0]}"' if len(values) == 1 else f'{label}=~"{"|".join(values)}"'
