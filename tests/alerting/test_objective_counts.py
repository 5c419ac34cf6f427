"""Every objective is counted by the real promtool over a whole window, each event once."""

from fractions import Fraction
from pathlib import Path
from typing import Any

import yaml

from moneypath.alerting.objective_counts import ObjectiveCounts, objective_counts
from moneypath.alerting.promtool_tests import events_traffic, latency_traffic, traffic
from moneypath.alerting.promtool_tests.traffic import Phase
from moneypath.path.model import MoneyPath
from moneypath.path.objectives import AvailabilitySlo, LatencySlo, Slo

from .conftest import RunTool

WINDOW, SECONDS = "5m", 300
RATE = Fraction(10)
JOB = "shop"


def _events(path: MoneyPath, slo: Slo, bad: Fraction) -> dict[str, str]:
    """Return ten events a second with a share of bad ones; of providers, the first has all of these."""
    phase = Phase(600, rate=RATE, bad=bad)
    if isinstance(slo, LatencySlo):
        return latency_traffic.histogram(JOB, slo, path.catalogue(), (phase,))
    if not isinstance(slo, AvailabilitySlo):
        return events_traffic.counters(JOB, slo, path.catalogue(), (phase,))
    first, second = path.provider_ids()[:2]
    sick = traffic.payments(JOB, slo, first, Phase(600, rate=RATE / 10, bad=bad))
    return sick | traffic.payments(JOB, slo, second, Phase(600, rate=RATE * 9 / 10))


def _test(counts: ObjectiveCounts, series: dict[str, str], bad: Fraction) -> dict[str, Any]:
    def asked(query: str, value: Fraction) -> dict[str, Any]:
        samples = [{"labels": "{}", "value": float(value)}]
        return {"expr": f"round({query}, 0.01)", "eval_time": "9m", "exp_samples": samples}

    return {
        "interval": "5s",
        "input_series": [{"series": name, "values": values} for name, values in series.items()],
        "promql_expr_test": [
            asked(counts.valid_query(WINDOW), RATE * SECONDS),
            asked(f"({counts.bad_query(WINDOW)} or vector(0))", RATE * SECONDS * bad),
        ],
    }


def test_each_objective_counts_every_event_once(
    money_path: MoneyPath, tmp_path: Path, promtool: RunTool
) -> None:
    """None is bad, a fifth is, all are: with unequal providers a tenth of the traffic is."""
    tests = []
    for slo, counts in zip(money_path.slos, objective_counts(money_path), strict=True):
        assert (counts.id, counts.objective) == (slo.id, str(slo.objective))
        part = Fraction(1, 10) if isinstance(slo, AvailabilitySlo) else Fraction(1)
        for bad in (Fraction(0), Fraction(1, 5), Fraction(1)):
            tests.append(_test(counts, _events(money_path, slo, bad), bad * part))
    file = tmp_path / "counts.test.yml"
    file.write_text(yaml.safe_dump({"evaluation_interval": "10s", "tests": tests}), encoding="utf-8")
    result = promtool("test", "rules", file.name, cwd=tmp_path)
    assert result.returncode == 0, result.stdout + result.stderr


def test_technical_declines_count_no_more_than_live_declines(
    money_path: MoneyPath, tmp_path: Path, promtool: RunTool
) -> None:
    """They are bad, and those of canaries alone are not."""
    slo = money_path.availability_slos()[0]
    (counts,) = (one for one in objective_counts(money_path) if one.id == slo.id)
    provider = money_path.provider_ids()[0]
    tests = []
    for declined, bad in ((True, Fraction(1, 5)), (False, Fraction(0))):
        series = traffic.technical(
            JOB,
            slo,
            money_path.catalogue(),
            provider,
            Phase(600, rate=RATE, bad=Fraction(1, 5)),
            declined=declined,
        )
        valid = RATE * SECONDS if declined else RATE * SECONDS * Fraction(4, 5)
        one = _test(counts, series, bad)
        one["promql_expr_test"][0]["exp_samples"][0]["value"] = float(valid)
        tests.append(one)
    file = tmp_path / "counts.test.yml"
    file.write_text(yaml.safe_dump({"evaluation_interval": "10s", "tests": tests}), encoding="utf-8")
    result = promtool("test", "rules", file.name, cwd=tmp_path)
    assert result.returncode == 0, result.stdout + result.stderr
