"""A team adds operations and metrics of its own; the rules that ours keep hold for them too."""

import json
from pathlib import Path
from typing import Any

import pytest
import yaml

from moneypath.path.loader import build_catalogue
from moneypath.path.model import MoneyPath
from moneypath.path.source import DeclarationInvalid, parse_yaml
from moneypath.telemetry import Catalogue, LabelsUnknown, setup
from moneypath.telemetry.integrations.messages import Consumer

BASKETS = {
    "name": "shop_baskets_total",
    "kind": "counter",
    "help": "Baskets by how they ended.",
    "labels": {"provider": "providers", "end": ["paid", "left"]},
    "series_budget": 40,
}
PACKING = {
    "name": "shop_packing_seconds",
    "kind": "histogram",
    "unit": "seconds",
    "help": "Time to pack a basket.",
    "buckets": [0.5, 1, 30],
    "series_budget": 6,
}


def extended(declaration: str, **telemetry: Any) -> MoneyPath:
    """Return the repository's declaration with an extension."""
    document = yaml.safe_load(declaration)
    document["telemetry"] = {"operations": [], "metrics": []} | telemetry
    return parse_yaml(json.dumps(document, default=str), MoneyPath, file="moneypath.yaml")


def test_own_metrics_are_recorded_and_rendered_like_ours(declaration: str, tmp_path: Path) -> None:
    """From the declaration through the small file to the scrape, every combination from the first."""
    file = tmp_path / "catalogue.json"
    path = extended(declaration, metrics=[BASKETS, PACKING])
    file.write_text(build_catalogue(path).to_json(), encoding="utf-8")
    recorder = setup(
        Catalogue.load(file), service="shop", metrics=["shop_baskets_total", "shop_packing_seconds"]
    )
    recorder.counter("shop_baskets_total").inc(provider="north", end="paid")
    recorder.histogram("shop_packing_seconds").observe(0.7)
    text = recorder.render().decode()
    assert 'shop_baskets_total{provider="north",end="paid"} 1' in text
    assert 'shop_baskets_total{provider="south",end="left"} 0' in text
    assert 'shop_packing_seconds_bucket{le="1.0"} 1' in text


def test_an_own_operation_is_a_payment_like_any_other(declaration: str) -> None:
    """It is timed, counted and in flight; without the declaration it is a counted drop."""
    catalogue = build_catalogue(extended(declaration, operations=["top_up"]))
    recorder = setup(catalogue, service="shop")
    with recorder.payment("top_up") as record:
        record.finish("succeeded", "north")
    assert 'moneypath_payments_in_flight{operation="top_up"} 0' in recorder.render().decode()
    counted = 'operation="top_up",outcome="succeeded",provider="north",traffic="live",cohort="control"} 1'
    assert counted in recorder.render().decode()
    assert "top_up" not in build_catalogue(parse_yaml(declaration, MoneyPath, file="m.yaml")).to_json()


def test_an_own_queue_is_observed_like_any_other(declaration: str) -> None:
    """Beside those that every money path has; without the declaration it is refused when it is wired."""
    recorder = setup(build_catalogue(extended(declaration, queues=["payouts"])), service="shop")
    for queue in ("payouts", "outbox"):
        with Consumer(recorder, queue).handling({}):
            pass
    counted = 'moneypath_message_duration_seconds_count{queue="payouts",outcome="handled"} 1'
    assert counted in recorder.render().decode()
    with pytest.raises(LabelsUnknown, match="payouts"):
        Consumer(setup(build_catalogue(extended(declaration)), service="shop"), "payouts")


@pytest.mark.parametrize(
    "queues", [["payouts", "payouts"], ["outbox"], ["Pay outs"], [f"q{n}" for n in range(17)]]
)
def test_a_queue_that_is_there_or_cannot_be_is_refused(declaration: str, queues: list[str]) -> None:
    """Twice, one of ours, no id, too many for the budget."""
    with pytest.raises(DeclarationInvalid, match=r"telemetry\.queues"):
        extended(declaration, queues=queues)


def test_rules_and_guards_may_watch_own_metrics(declaration: str) -> None:
    """An own gauge is as good a check as one of ours."""
    document = yaml.safe_load(declaration)
    gauge = {
        "name": "shop_orphans",
        "kind": "gauge",
        "help": "Orphans; has to be 0.",
        "labels": {"provider": "providers"},
        "series_budget": 20,
    }
    document["telemetry"]["metrics"] = [gauge]
    document["checks"][0]["series"] = ["shop_orphans"]
    path = parse_yaml(json.dumps(document, default=str), MoneyPath, file="moneypath.yaml")
    assert path.checks[0].series == ("shop_orphans",)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"name": "moneypath_baskets_total"}, "telemetry.metrics[0].name: names that begin with moneypath_"),
        ({"name": "shop_baskets"}, "telemetry.metrics[0]: name: _total ends the names of counters"),
        ({"labels": {"end": ["paid", "paid"]}}, "label end: a value stands twice"),
        ({"labels": {"le": ["1"]}}, "label le"),
        ({"labels": {"end": []}}, "telemetry.metrics[0].labels.end"),
        ({"labels": {"provider": "provider"}}, 'there is no list "provider", did you mean "providers"?'),
        ({"series_budget": 3}, "series_budget: 3 is exceeded, the labels make 4 series"),
        ({"buckets": [1]}, "only a histogram has them"),
        ({"kind": "summary"}, "telemetry.metrics[0].kind"),
        ({"help": "two\nlines"}, "telemetry.metrics[0].help"),
        ({"colour": "red"}, 'telemetry.metrics[0]: "colour" is an unknown key'),
    ],
)
def test_a_broken_rule_is_named_at_its_key(declaration: str, change: dict[str, Any], words: str) -> None:
    """With the file, the line and what would be right; nothing is generated."""
    with pytest.raises(DeclarationInvalid) as refused:
        extended(declaration, metrics=[BASKETS | change])
    assert words in refused.value.what
    assert refused.value.what.startswith("moneypath.yaml:")


def test_a_metric_or_operation_is_declared_once(declaration: str) -> None:
    """Also against what is there already."""
    with pytest.raises(DeclarationInvalid, match=r"telemetry\.metrics\[1\]\.name: .* stands twice"):
        extended(declaration, metrics=[BASKETS, BASKETS])
    with pytest.raises(DeclarationInvalid, match=r"telemetry\.operations\[0\]: .* is an operation already"):
        extended(declaration, operations=["refund"])
    conventional = PACKING | {"name": "http_server_request_duration_seconds"}
    with pytest.raises(DeclarationInvalid, match="declared twice"):
        extended(declaration, metrics=[conventional])


def test_collisions_within_an_exposition_are_found(declaration: str) -> None:
    """A histogram's sum is a series too."""
    collision = {"name": "shop_packing", "kind": "gauge", "help": "x", "series_budget": 1}
    counter = {"name": "shop_packing_total", "kind": "counter", "help": "x", "series_budget": 1}
    with pytest.raises(DeclarationInvalid, match="collides with"):
        extended(declaration, metrics=[collision, counter])


def test_more_series_than_a_budget_allows_are_refused_by_name(declaration: str) -> None:
    """Too many providers and operations together, before any service finds out; the limit can be raised."""
    document = yaml.safe_load(declaration)
    document["telemetry"]["operations"] = ["top_up", "transfer", "reload", "claim"]
    document["telemetry"]["series_limit"] = 12_000
    for number in range(14):
        copied = {**document["providers"][0], "id": f"p{number}"}
        document["providers"].append(copied)
        fee = {**document["costs"]["provider_fees"][0], "provider": f"p{number}"}
        document["costs"]["provider_fees"].append(fee)
    text = json.dumps(document, default=str)
    with pytest.raises(DeclarationInvalid) as refused:
        parse_yaml(text, MoneyPath, file="moneypath.yaml")
    told = str(refused.value)
    assert "telemetry: What is declared makes" in told
    assert "allowed: series_limit 12000. Most of them: moneypath_provider_request_duration_seconds" in told
    assert "(provider 16 x operation 10 x outcome 7 x 16 of a histogram)" in told
    document["telemetry"]["series_limit"] = 100_000
    assert parse_yaml(json.dumps(document, default=str), MoneyPath, file="moneypath.yaml").catalogue()
