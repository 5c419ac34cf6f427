"""The guide's declarations over series of others yield rules, tests, routes and a board that hold."""

import json
import re
from collections.abc import Callable
from pathlib import Path

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from moneypath.alerting.analysis import selectors
from moneypath.alerting.history import backfill, window_fill_query
from moneypath.alerting.matchers import none_of, one_of, pattern, values_of
from moneypath.alerting.objective_counts import objective_counts
from moneypath.alerting.timing import Scale
from moneypath.path.model import MoneyPath
from moneypath.workflows import generate
from moneypath.workflows.known_series import known_series
from moneypath.workflows.metrics import describe_metrics

from .conftest import RunTool
from .small_declarations import TEN_LINES, parsed
from .test_small_declaration import project_of, require_board, require_routes, require_sound_rules

GUIDE = Path(__file__).parents[2] / "docs" / "guides" / "series-you-have.md"
WALLET, PRESET = re.findall(r"```yaml\n(.*?)```", GUIDE.read_text(encoding="utf-8"), re.DOTALL)
RULES = Path("alerts") / "rules" / "moneypath.rules.yml"


def preset_text() -> str:
    """Return the ten lines without a provider, with the guide's objectives on a preset instead of ours."""
    document = {**yaml.safe_load(TEN_LINES), **yaml.safe_load(PRESET)}
    del document["providers"]
    text: str = yaml.safe_dump(document, sort_keys=False)
    return text


def opentelemetry_text() -> str:
    """Return an objective on OpenTelemetry's histogram, for one of two services that export it."""
    document = yaml.safe_load(preset_text())
    name = "http_server_request_duration_seconds"
    select = [{"label": "job", "values": ["checkout"]}, {"label": "http_route", "values": ["/top-ups/{id}"]}]
    document["targets"] = [{"job": "shop"}, {"job": "checkout"}]
    document["series"] = {name: {"preset": "opentelemetry", "labels": {"job": ["checkout", "shop"]}}}
    document["slos"] = [
        {
            "kind": "availability", "id": "http", "objective": "0.999",
            "events": {
                "series": f"{name}_count", "valid": select,
                "bad": [{"label": "http_response_status_code", "values": ["500", "502", "503", "504"]}],
            },
        },
        {
            "kind": "latency", "id": "http-latency", "objective": "0.99", "threshold_seconds": "2.5",
            "histogram": {"series": name, "select": select},
        },
    ]  # fmt: skip
    # As JSON, which is YAML: the same list at two places would become an alias.
    return json.dumps(document)


def odd_text() -> str:
    """Return objectives and guards on labels that are called as our own words are."""
    document = yaml.safe_load(TEN_LINES)
    odd = "[x]|{1}.*+?()é"
    labels = {
        "name": ["a", "b c", odd],
        "value": ["1", "2"],
        "edge": ["x", "y"],
        "job": ["checkout"],
        "slo": "any",
    }
    pick = [{"label": "name", "values": ["b c", odd]}, {"label": "edge", "values": ["y"]}]
    document["series"] = {
        "odd_total": {"kind": "counter", "labels": labels},
        "odd_rows": {"kind": "gauge", "labels": {"name": ["a", "b c"], "value": ["1"]}},
        "oddSeconds": {"kind": "histogram", "labels": labels, "buckets": [0, 1, 10]},
    }
    document["slos"] = [
        {
            "kind": "events",
            "id": "odd",
            "series": "odd_total",
            "select": pick,
            "label": "value",
            "good": ["1"],
            "bad": ["2"],
            "objective": "0.99",
        },
        {
            "kind": "latency",
            "id": "odd-latency",
            "objective": "0.99",
            "threshold_seconds": "10",
            "histogram": {"series": "oddSeconds", "select": pick},
        },
        {
            "kind": "availability",
            "id": "odd-calls",
            "objective": "0.99",
            "events": {"series": "odd_total", "valid": pick, "good": [{"label": "value", "values": ["1"]}]},
        },
    ]
    document["guards"] = [
        {
            "kind": "increase",
            "id": "grown",
            "counter": {"series": "odd_total", "select": pick},
            "window_seconds": 300,
            "at_least": 20,
        },
        {
            "kind": "ratio",
            "id": "share",
            "numerator": {"series": "odd_total", "select": pick},
            "denominator": {"series": "odd_total"},
            "by": None,
            "window_seconds": 300,
            "fires": "above",
            "limit": "0.5",
            "min_events": 10,
        },
        {"kind": "level", "id": "rows", "series": "odd_rows", "above": 9, "evidence": None},
    ]
    return json.dumps(document)


DECLARED: dict[str, Callable[[], str]] = {
    "wallet": lambda: WALLET,
    "instrumentator": preset_text,
    "opentelemetry": opentelemetry_text,
    "odd names": odd_text,
}


@pytest.mark.parametrize("which", DECLARED)
def test_rules_routes_and_board_hold(which: str, tmp_path: Path, promtool: RunTool, amtool: RunTool) -> None:
    """The rules are valid, each alert reaches its roles, and every query of the board reads what is there."""
    path = project_of(tmp_path, DECLARED[which]())
    require_sound_rules(tmp_path / "alerts", promtool, amtool, (".yml",))
    require_routes(path, tmp_path / "alerts", amtool)
    require_board(path)


@pytest.mark.heavy
@pytest.mark.parametrize("which", DECLARED)
def test_the_generated_tests_pass(which: str, tmp_path: Path, promtool: RunTool, amtool: RunTool) -> None:
    """Each value counts as it should, each provider is kept apart, a gauge without labels is expected."""
    project_of(tmp_path, DECLARED[which]())
    # The burn alert of the odd names has the cases of its hard down again, over an hour.
    known = ("OddCallsBudgetBurn.fast.test.yml",)
    require_sound_rules(tmp_path / "alerts", promtool, amtool, known)


# What is wrong with a rule, and the generated test that says so.
MUTATIONS = {
    "an undeclared bank is forgotten": (
        'bank!~"ACME|first-bank"}[1m]', 'bank="none"}[1m]', "MoneyPathBankRequestsHardDown.test.yml"
    ),
    "a bank counts for its neighbour": (
        'bank="ACME"}[1m]', 'bank="first-bank"}[1m]', "MoneyPathBankRequestsHardDown.test.yml"
    ),
    "a page has the bank's own spelling": (
        "provider: acme", "provider: ACME", "MoneyPathBankRequestsHardDown.test.yml"
    ),
    "rejections count": (
        'result=~"APPLIED|ERROR|TIMEOUT", bank="ACME"}[1m]', 'bank="ACME"}[1m]',
        "MoneyPathBankRequestsHardDown.test.yml",
    ),
    "a time-out is good": (
        'result=~"ERROR|TIMEOUT"', 'result="ERROR"', "MoneyPathBankRequestsHardDown.test.yml"
    ),
    "only known failures are bad": (
        'status!="ok"}[1m]', 'status="failed"}[1m]', "MoneyPathTransfersHardDown.test.yml"
    ),
    "a threshold that is no edge": (
        'le="0.5"', 'le="0.7"', "MoneyPathTransferLatencyBurn.fast.test.yml"
    ),
    "a gauge without labels is not expected": (
        "vector(1)\n            unless on () max by () (max_over_time(wallet_outbox_rows",
        "vector(1) > 1\n            unless on () max by () (max_over_time(wallet_outbox_rows",
        "MoneyPathOutboxRows.test.yml",
    ),
}  # fmt: skip


@pytest.mark.heavy
@pytest.mark.parametrize("mutation", MUTATIONS)
def test_a_wrong_rule_fails_its_generated_test(mutation: str, tmp_path: Path, promtool: RunTool) -> None:
    """Otherwise the generated tests would prove nothing of a declared series."""
    right, wrong, test = MUTATIONS[mutation]
    project_of(tmp_path, WALLET)
    rules = tmp_path / RULES
    text = rules.read_text(encoding="utf-8")
    assert right in text
    rules.write_text(text.replace(right, wrong), encoding="utf-8")
    tested = promtool("test", "rules", test, cwd=tmp_path / "alerts" / "tests")
    assert tested.returncode != 0


def test_what_others_read_knows_the_series() -> None:
    """Runbooks and drills may query them, and the page of metrics names the alerts that read them."""
    path = parsed(WALLET)
    assert {"wallet_bank_requests_total", "wallet_transfer_seconds_bucket"} <= known_series(path)
    facts = {fact.spec.name: fact for fact in describe_metrics(path)}
    assert "MoneyPathBankRequestsHardDown" in facts["wallet_bank_requests_total"].alerts
    assert "MoneyPathOutboxRows" in facts["wallet_outbox_rows"].alerts
    assert facts["wallet_bank_requests_total"].panels


def test_a_drill_counts_the_same_events() -> None:
    """Over a whole window, from the series themselves."""
    by_id = {counts.id: counts for counts in objective_counts(parsed(WALLET))}
    assert by_id["bank-requests"].valid_query("5m") == (
        'sum(increase(wallet_bank_requests_total{result=~"APPLIED|ERROR|TIMEOUT"}[5m]))'
    )
    assert by_id["transfers"].bad_query("5m") == (
        '(sum(increase(wallet_transfer_seconds_count{status!="ok"}[5m]))'
        " or sum(increase(wallet_transfer_seconds_count[5m])) * 0)"
    )


@pytest.mark.parametrize("which", DECLARED)
def test_the_history_of_a_drill_is_healthy_and_fills_its_window(
    which: str, tmp_path: Path, promtool: RunTool
) -> None:
    """Prometheus takes it, and the series whose samples a drill counts is in it."""
    path = parsed(DECLARED[which]())
    text = backfill(path, until=1_700_000_000, seconds=60, step=5)
    file = tmp_path / "history.txt"
    file.write_text(text, encoding="utf-8")
    made = promtool("tsdb", "create-blocks-from", "openmetrics", file, tmp_path / "blocks", cwd=tmp_path)
    assert made.returncode == 0, made.stdout + made.stderr
    found = re.search(r"count_over_time\((\w+)\{(.*?)\}\[", window_fill_query(path, Scale(1)))
    assert found is not None
    wanted = dict(re.findall(r'(\w+)="([^"]*)"', found[2]))
    lines = [line for line in text.splitlines() if line.startswith(f"{found[1]}{{")]
    matching = [
        line for line in lines if wanted.items() <= dict(re.findall(r'(\w+)="([^"]*)"', line)).items()
    ]
    assert matching
    assert matching[-1].split()[-2] != "0"


def test_two_sections_of_metrics_have_one_heading(tmp_path: Path) -> None:
    """Names before and after ours in the alphabet stand together."""
    document = yaml.safe_load(WALLET)
    document["series"]["a_rows"] = {"kind": "gauge"}
    path = project_of(tmp_path, yaml.safe_dump(document, sort_keys=False))
    page = (tmp_path / "docs" / "metrics.md").read_text(encoding="utf-8")
    assert isinstance(path, MoneyPath)
    assert page.count("## own and conventional\n") == 1
    assert generate.drifted(tmp_path) == []


LABEL_VALUES = st.text(
    st.characters(codec="utf-8", exclude_characters='"\\$^`', exclude_categories=["Cc", "Cs"]),
    min_size=1,
    max_size=20,
)


@given(values=st.lists(LABEL_VALUES, min_size=1, max_size=6, unique=True), other=LABEL_VALUES)
def test_a_pattern_matches_its_values_and_nothing_else(values: list[str], other: str) -> None:
    """Routes with braces, codes with dots: each value is itself, and is read back as it was."""
    read = next(selectors(f'x{{y=~"{pattern(values)}"}}'))[1][0].value
    matches = re.compile(read, re.DOTALL).fullmatch
    assert all(matches(value) for value in values)
    assert bool(matches(other)) == (other in values)
    assert values_of(read) == tuple(values)


@pytest.mark.parametrize(
    ("values", "wanted", "unwanted"),
    [(("a.b",), 'x="a.b"', 'x!="a.b"'), (("a.b", "c|d"), r'x=~"a\\.b|c\\|d"', r'x!~"a\\.b|c\\|d"')],
)
def test_one_value_is_compared_and_several_are_a_pattern(
    values: tuple[str, ...], wanted: str, unwanted: str
) -> None:
    """A comparison needs no escapes, and a pattern has its own."""
    assert one_of("x", values) == wanted
    assert none_of("x", values) == unwanted
