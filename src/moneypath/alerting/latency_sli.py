"""Count the events of a latency objective, and record its quantiles.

All providers count together; the board shows which of them is slow. What is not known to be fast is slow:
without the bucket of the threshold every event counts as slow.
"""

from collections.abc import Iterator
from fractions import Fraction

from moneypath.alerting.matchers import selector
from moneypath.alerting.recorded import RecordedWindow, quantile_series
from moneypath.alerting.rules import RecordingRule, decimal_text, expr, fixed
from moneypath.path.objectives import LatencySlo

QUANTILES = (95, 99)

_ZERO = fixed(0, "zero")


def event_recordings(slo: LatencySlo, names: RecordedWindow) -> Iterator[RecordingRule]:
    """Yield the rules of all events and of the slow ones."""
    series, select, span = slo.histogram.series, slo.histogram.select, names.span
    valid = expr(f"sum(increase({series}_count{selector(select)}[", span, "]))")
    fast = expr(f"sum(increase({series}_bucket{selector(select, threshold_bucket(slo))}[", span, "]))")
    slow = expr(
        f"clamp_min(\n  {names.valid} - (\n    ",
        fast,
        f"\n    or {names.valid} * ",
        _ZERO,
        "\n  ), ",
        _ZERO,
        "\n)",
    )
    yield RecordingRule(names.valid, valid)
    yield RecordingRule(names.bad, slow)


def quantile_recordings(slo: LatencySlo, names: RecordedWindow) -> Iterator[RecordingRule]:
    """Yield the rules of the quantiles."""
    buckets = f"{slo.histogram.series}_bucket{selector(slo.histogram.select)}"
    for percent in QUANTILES:
        yield RecordingRule(
            quantile_series(slo, percent),
            expr(
                "histogram_quantile(",
                fixed(Fraction(percent, 100), "quantile"),
                f", sum by (le) (rate({buckets}[",
                names.span,
                "])))",
                # Without events the quantile is NaN, which would poison whatever averages it.
                f"\nand on () {names.valid} > ",
                _ZERO,
            ),
        )


def threshold_bucket(slo: LatencySlo) -> str:
    """Return the matcher of the bucket that ends at the threshold.

    Our exposition, and Prometheus from version 3 on, write a whole edge as `1.0`. The Go client and the
    OpenTelemetry Collector write `1`, which Prometheus 2 keeps.
    """
    text = decimal_text(Fraction(slo.threshold_seconds))
    return f'le="{text}"' if "." in text else f'le=~"{text}|{text}[.]0"'
