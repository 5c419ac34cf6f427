"""The healthy past that a fresh Prometheus is given, and the counters that start again after it."""

import json
import subprocess
from fractions import Fraction
from pathlib import Path

import yaml
from prometheus_client import Metric
from prometheus_client.openmetrics.parser import text_string_to_metric_families

from moneypath.alerting import analysis, render, rule_groups
from moneypath.alerting.history import backfill, longest_window_seconds, window_fill_query
from moneypath.alerting.rules import RecordingRule
from moneypath.alerting.timing import Scale
from moneypath.path.loader import build_catalogue
from moneypath.path.model import MoneyPath
from moneypath.runbooks.dilation import scale_windows

from .conftest import RunTool

UNTIL = 1_790_000_000.25
NORTH = 'operation="authorize",outcome="{}",provider="north",traffic="live",cohort="control"'
MEMBER = 'job="refpay-api",instance="refpay-api"'


def instant(money_path: MoneyPath) -> list[Metric]:
    """Return the metric families of one instant; its parser knows no more of a histogram."""
    text = backfill(money_path, until=UNTIL, seconds=0, step=1)
    return list(text_string_to_metric_families(text))  # type: ignore[no-untyped-call]  # untyped upstream


# What the live rules give after the history, as a number of series.
HEALTHY = {
    'ALERTS{alertname!="MoneyPathWatchdog"}': None,
    "path:authorization_bad:ratio_rate1h == 0": 1.0,
    "path:authorization_latency_bad:ratio_rate1h == 0": 1.0,
    "path:authorization_latency:p95_5m < 0.1": 1.0,
    "path:authorization_latency:p99_5m < 0.1": 1.0,
    "path:ledger_write_success_bad:ratio_rate1h == 0": 1.0,
    "path:ledger_write_success:ratio_rate5m == 1": 1.0,
    "path:ledger_durability:ratio_rate5m == 1": 1.0,
    "path:settlement_accuracy:ratio_rate5m == 1": 1.0,
    "path:cost_per_transaction:micro_units_rate5m < 4000000": 1.0,
    "path:authorization_approval:ratio_rate5m == 1": 1.0,
    "provider:authorization_approval:ratio_rate5m == 1": 2.0,
    "provider:reconciliation_lag:seconds < 5": 2.0,
}


def promtool_on_history(
    money_path: MoneyPath, folder: Path, promtool: RunTool, expected: dict[str, float | None]
) -> subprocess.CompletedProcess[str]:
    """Feed the history to the live rules in promtool's own notation, and count what they give."""
    series: dict[str, list[str]] = {}
    for line in history(money_path).splitlines():
        if not line.startswith("#"):
            name, value, _ = line.rsplit(" ", 2)
            # promtool's time begins at 0, so times that are values have to begin there as well.
            is_time = "_timestamp_seconds{" in name
            shown = f"{float(value) - UNTIL + 90:g}" if is_time else value
            series.setdefault(name, []).append(shown)
    rules = render.rules(rule_groups.build(money_path), Scale(60))
    (folder / "live.rules.yml").write_text(rules, encoding="utf-8")
    document = {
        "rule_files": ["live.rules.yml"],
        "evaluation_interval": "1s",
        "tests": [
            {
                "interval": "1s",
                "input_series": [{"series": name, "values": " ".join(text)} for name, text in series.items()],
                "promql_expr_test": [
                    {
                        "expr": f"count({expr})",
                        "eval_time": "90s",
                        "exp_samples": [] if value is None else [{"labels": "{}", "value": value}],
                    }
                    for expr, value in expected.items()
                ],
            }
        ],
    }
    (folder / "healthy.test.yml").write_text(yaml.safe_dump(document), encoding="utf-8")
    return promtool("test", "rules", "healthy.test.yml", cwd=folder)


def history(money_path: MoneyPath, **options: Fraction) -> str:
    """Return 90 seconds of history."""
    return backfill(money_path, until=UNTIL, seconds=90, step=1, **options)


def test_promtool_makes_blocks_of_the_history(
    money_path: MoneyPath, tmp_path: Path, promtool: RunTool
) -> None:
    """The real promtool turns the text into blocks that hold every sample."""
    text = history(money_path)
    (tmp_path / "history.txt").write_text(text, encoding="utf-8")
    result = promtool("tsdb", "create-blocks-from", "openmetrics", "history.txt", "data", cwd=tmp_path)
    assert result.returncode == 0, result.stdout + result.stderr
    blocks = [json.loads(meta.read_text("utf-8")) for meta in (tmp_path / "data").glob("*/meta.json")]
    samples = [line for line in text.splitlines() if not line.startswith("#")]
    assert sum(block["stats"]["numSamples"] for block in blocks) == len(samples)


def test_the_history_carries_the_labels_of_the_live_series(money_path: MoneyPath) -> None:
    """Labels are those of the catalogue plus job and instance, or past and present do not join."""
    catalogue = {name: spec for spec in build_catalogue(money_path) for name in spec.sample_names}
    for family in instant(money_path):
        for sample in family.samples:
            expected = {"job", "instance", *(("le",) if sample.name.endswith("_bucket") else ())}
            if sample.name != "up":
                expected |= set(catalogue[sample.name].labels)
            assert set(sample.labels) == expected
            assert sample.labels["job"] == sample.labels["instance"]
            assert sample.labels["job"] in {target.job for target in money_path.targets}


def test_the_past_of_silences_is_of_the_process_that_asks_for_them(money_path: MoneyPath) -> None:
    """Zeroes of another process would end the alert on a silence; all other gauges are the worker's."""
    job_of = {
        (sample.name, sample.labels.get("check")): sample.labels["job"]
        for family in instant(money_path)
        for sample in family.samples
        if sample.name.startswith(("moneypath_check_last", "moneypath_integrity_alert_silences"))
    }
    asked = {key for key, job in job_of.items() if job == "alert-silences"}
    assert asked == {
        ("moneypath_integrity_alert_silences", None),
        ("moneypath_check_last_success_timestamp_seconds", "alert_silences"),
    }
    assert len(job_of) > len(asked)


def test_the_history_holds_every_series_that_a_rule_reads(money_path: MoneyPath) -> None:
    """No window is empty at the first second of a live run, but for what is absent while all is well."""
    groups = rule_groups.build(money_path)
    rules = [rule for group in groups for rule in group.rules]
    read = {name for rule in rules for name, _ in analysis.selectors(analysis.unscaled_text(rule.expr))}
    recorded = {rule.record for rule in rules if isinstance(rule, RecordingRule)}
    absent = {
        "moneypath_queue_oldest_timestamp_seconds",
        "moneypath_indeterminate_oldest_timestamp_seconds",
    }
    there = {sample.name for family in instant(money_path) for sample in family.samples}
    assert read - recorded - {"ALERTS"} - there == absent
    assert not absent & there


def test_the_history_is_healthy(money_path: MoneyPath, tmp_path: Path, promtool: RunTool) -> None:
    """No alert but the watchdog fires on it, and every ratio, quantile and cost is there and good."""
    result = promtool_on_history(money_path, tmp_path, promtool, HEALTHY)
    assert result.returncode == 0, result.stdout + result.stderr


def test_a_history_without_success_would_be_noticed(
    money_path: MoneyPath, tmp_path: Path, promtool: RunTool
) -> None:
    """The twin: the same test breaks when one expectation is another."""
    wrong = {**HEALTHY, "path:cost_per_transaction:micro_units_rate5m < 3000000": 1.0}
    assert promtool_on_history(money_path, tmp_path, promtool, wrong).returncode != 0


def test_the_history_ends_when_told_and_flows_at_the_given_rate(money_path: MoneyPath) -> None:
    """The last sample stands at `until`, and the traffic is the load's, since a busier past hides errors."""
    lines = history(money_path, events_per_second=Fraction(7)).splitlines()
    series = f"moneypath_payments_total{{{NORTH.format('succeeded')},{MEMBER}}}"
    values = [line.removeprefix(series).split() for line in lines if line.startswith(series)]
    assert len(values) == 91
    assert values[0] == ["0", "1789999910.25"]
    assert values[-1] == [str(90 * 7), "1790000000.25"]
    assert lines[-1] == "# EOF"


def test_the_longest_window_is_known_at_each_scale(money_path: MoneyPath) -> None:
    """The past has to cover an hour in production and a minute live."""
    assert longest_window_seconds(money_path, Scale(1)) == 3600
    assert longest_window_seconds(money_path, Scale(60)) == 60


def reset_test(money_path: MoneyPath, healthy: bool) -> dict[str, object]:
    """Return a promtool test: 75 s of history, then live counters that start again at 0."""
    rate = Fraction(10)
    bad = 0 if healthy else 5
    series = []
    for provider in money_path.provider_ids():
        for outcome, live in (("succeeded", int(rate) - bad), ("failed", bad)):
            labels = NORTH.replace("north", provider).format(outcome)
            past = "0+10x75" if outcome == "succeeded" else "0+0x75"
            series.append(
                {"series": f"moneypath_payments_total{{{labels},{MEMBER}}}", "values": f"{past} 0+{live}x44"}
            )
        series.append(
            {"series": f'moneypath_provider_routing_active{{provider="{provider}"}}', "values": "1+0x120"}
        )
    names = ("MoneyPathAuthorizationBudgetBurn", "MoneyPathAuthorizationHardDown", "MoneyPathTrafficMissing")
    times = range(60, 120, 3)
    negative = " or ".join(
        f'{{__name__=~"provider:authorization_(valid|bad):.*{window}"}} < 0' for window in ("1m", "5m", "1h")
    )
    return {
        "rule_files": ["live.rules.yml"],
        "evaluation_interval": "1s",
        "tests": [
            {
                "interval": "1s",
                "input_series": series,
                "alert_rule_test": [
                    {"eval_time": f"{at}s", "alertname": name, "exp_alerts": []}
                    for at in times
                    for name in names
                ],
                "promql_expr_test": [
                    *({"expr": negative, "eval_time": f"{at}s", "exp_samples": []} for at in times),
                    {
                        "expr": "count(provider:authorization_bad:ratio_rate1h)",
                        "eval_time": "100s",
                        # And one row without a provider.
                        "exp_samples": [{"labels": "{}", "value": len(money_path.providers) + 1}],
                    },
                ],
            }
        ],
    }


def run_reset_test(money_path: MoneyPath, folder: Path, promtool: RunTool, *, healthy: bool) -> int:
    """Run the restart after the history against the live rules; return promtool's exit code."""
    rules = render.rules(rule_groups.build(money_path), Scale(60))
    (folder / "live.rules.yml").write_text(rules, encoding="utf-8")
    document = reset_test(money_path, healthy)
    (folder / "reset.test.yml").write_text(yaml.safe_dump(document), encoding="utf-8")
    return promtool("test", "rules", "reset.test.yml", cwd=folder).returncode


def test_live_counters_that_start_again_raise_no_alert(
    money_path: MoneyPath, tmp_path: Path, promtool: RunTool
) -> None:
    """History, then counters at 0 again: no alert, no negative rate, and a ratio throughout."""
    assert run_reset_test(money_path, tmp_path, promtool, healthy=True) == 0


def test_live_failures_after_the_history_do_raise_one(
    money_path: MoneyPath, tmp_path: Path, promtool: RunTool
) -> None:
    """The twin: half of the live payments fail after the restart, so the same test has to break."""
    assert run_reset_test(money_path, tmp_path, promtool, healthy=False) != 0


def test_the_fill_of_the_window_is_one_when_every_scrape_is_there(
    money_path: MoneyPath, tmp_path: Path, promtool: RunTool
) -> None:
    """The query gives 1 for a full window, its share for a half-filled one, and nothing without samples."""
    (tmp_path / "none.rules.yml").write_text("groups: []\n", encoding="utf-8")
    query = scale_windows(window_fill_query(money_path, Scale(60)), Scale(60))
    series = [
        {"series": f"moneypath_payments_total{{{NORTH.replace('north', name).format('succeeded')},{MEMBER}}}"}
        for name in money_path.provider_ids()
    ]
    document = {
        "rule_files": ["none.rules.yml"],
        "evaluation_interval": "1s",
        "tests": [
            {
                "interval": "1s",
                "input_series": [{**one, "values": "_x9 0+10x90"} for one in series],
                "promql_expr_test": [
                    {"expr": query, "eval_time": "5s", "exp_samples": []},
                    {"expr": query, "eval_time": "38s", "exp_samples": [{"labels": "{}", "value": 0.5}]},
                    {"expr": query, "eval_time": "90s", "exp_samples": [{"labels": "{}", "value": 1}]},
                ],
            }
        ],
    }
    (tmp_path / "fill.test.yml").write_text(yaml.safe_dump(document), encoding="utf-8")
    result = promtool("test", "rules", "fill.test.yml", cwd=tmp_path)
    assert result.returncode == 0, result.stdout + result.stderr
