"""The windows of a page are production time; in a dilated run they shrink with the rules'."""

from collections.abc import Sequence

import pytest

from moneypath.alerting.timing import FLOOR_SECONDS, Scale
from moneypath.prometheus import Sample
from moneypath.runbooks import dilated
from moneypath.runbooks.dilation import scale_windows


@pytest.mark.parametrize(
    ("written", "asked"),
    [
        ("sum(increase(x[10m]))", "sum(increase(x[10000ms]))"),
        ('rate(x{a="b"}[1h]) / rate(y[ 30m ])', 'rate(x{a="b"}[60000ms]) / rate(y[30000ms])'),
        ("increase(x[1m])", f"increase(x[{FLOOR_SECONDS}000ms])"),
        ("increase(x[3s])", "increase(x[3000ms])"),
        ("path:x:ratio_rate5m", "path:x:ratio_rate5m"),
        ('x{a="[10m]", b="\\"[10m]"} + y[10m]', 'x{a="[10m]", b="\\"[10m]"} + y[10000ms]'),
        ("x{a='[10m]'} + x{a=`[10m]`}", "x{a='[10m]'} + x{a=`[10m]`}"),
    ],
)
def test_windows_shrink_and_nothing_else(written: str, asked: str) -> None:
    """A sixtieth, but never below the floor, which no window was above; text and names stay."""
    assert scale_windows(written, Scale(60)) == asked


def test_production_asks_what_is_written() -> None:
    """At a scale of 1 not a character changes."""
    assert scale_windows("sum(increase(x[10m]))", Scale()) == "sum(increase(x[10m]))"


async def test_the_query_behind_is_asked_in_dilated_time() -> None:
    """Whoever asks writes production time, and gets the answer of the shorter window."""
    asked: list[str] = []

    async def query(promql: str, /) -> Sequence[Sample]:
        asked.append(promql)
        return [Sample({}, 7.0)]

    assert await dilated(query, Scale(60))("increase(x[10m])") == [Sample({}, 7.0)]
    assert asked == ["increase(x[10000ms])"]
