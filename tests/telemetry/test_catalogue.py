"""The catalogue has exactly the promised metrics, and refuses a metric that breaks a rule."""

from dataclasses import replace
from typing import Any

import pytest

from moneypath.telemetry import Catalogue, CatalogueInvalid, MetricKind, MetricSpec, Unit, setup
from moneypath.telemetry.catalogue.declaring import LATENCY_BUCKETS

Vocabulary = dict[str, tuple[str, ...]]

EXPECTED_LABELS = {
    "moneypath_payments_total": ["operation", "outcome", "provider", "traffic", "cohort"],
    "moneypath_payment_duration_seconds": ["operation", "outcome"],
    "moneypath_payments_in_flight": ["operation"],
    "moneypath_authorization_results_total": ["provider", "method", "scheme", "currency", "result"],
    "moneypath_provider_attempts_total": ["provider", "operation", "outcome"],
    "moneypath_provider_request_duration_seconds": ["provider", "operation", "outcome"],
    "moneypath_provider_circuit_open": ["provider"],
    "moneypath_provider_routing_active": ["provider"],
    "moneypath_ledger_writes_total": ["kind", "outcome"],
    "moneypath_ledger_write_duration_seconds": ["kind", "outcome"],
    "moneypath_ledger_unbalanced_entries": ["currency"],
    "moneypath_ledger_imbalance_minor_units": ["currency"],
    "moneypath_captures_without_posting": ["provider"],
    "moneypath_postings_without_capture": ["provider"],
    "moneypath_indeterminate_payments": ["provider"],
    "moneypath_indeterminate_minor_units": ["provider", "currency"],
    "moneypath_indeterminate_oldest_timestamp_seconds": ["provider"],
    "moneypath_idempotency_results_total": ["operation", "result"],
    "moneypath_duplicate_charges": [],
    "moneypath_duplicate_charge_minor_units": ["currency"],
    "moneypath_money_at_risk_minor_units": ["reason", "currency"],
    "moneypath_check_last_success_timestamp_seconds": ["check"],
    "moneypath_check_violations": ["check"],
    "moneypath_check_violation_minor_units": ["check", "currency"],
    "moneypath_check_unreadable_violations": ["check"],
    "moneypath_check_oldest_violation_timestamp_seconds": ["check"],
    "moneypath_check_runs_total": ["check", "outcome"],
    "moneypath_ledger_probe_total": ["result"],
    "moneypath_ledger_missing_writes": [],
    "moneypath_ledger_chain_breaks": [],
    "moneypath_audit_chain_breaks": [],
    "moneypath_durability_unsafe": ["setting"],
    "moneypath_reconciliation_watermark_timestamp_seconds": ["provider"],
    "moneypath_reconciliation_rows_total": ["provider", "result"],
    "moneypath_reconciliation_breaks": ["provider", "class"],
    "moneypath_reconciliation_break_minor_units": ["provider", "class", "currency"],
    "moneypath_reconciliation_oldest_break_timestamp_seconds": ["provider", "class"],
    "moneypath_merchant_debt_minor_units": ["currency"],
    "moneypath_settlement_due_timestamp_seconds": ["provider"],
    "moneypath_settlement_files_total": ["provider", "result"],
    "moneypath_message_duration_seconds": ["queue", "outcome"],
    "moneypath_queue_depth": ["queue"],
    "moneypath_queue_oldest_timestamp_seconds": ["queue"],
    "moneypath_dead_letters_total": ["queue", "reason"],
    "moneypath_dead_letter_depth": ["queue", "reason"],
    "moneypath_broker_writes_refused": ["cause"],
    "moneypath_disk_free_bytes": ["disk"],
    "moneypath_disk_fill_ratio": ["disk"],
    "moneypath_risk_decisions_total": ["decision"],
    "moneypath_risk_signals_total": ["rule"],
    "moneypath_card_data_refusals_total": ["place"],
    "moneypath_captured_minor_units_total": ["provider", "currency"],
    "moneypath_cost_micro_units_total": ["component", "provider"],
    "moneypath_integrity_alert_silences": ["alert"],
    "moneypath_integrity_alert_silence_end_timestamp_seconds": ["alert"],
    "moneypath_webhooks_total": ["provider", "result"],
    "moneypath_webhooks_unattributed_total": ["provider", "reason"],
    "moneypath_webhook_last_timestamp_seconds": ["provider"],
    "moneypath_certificate_expiry_timestamp_seconds": ["name"],
    "moneypath_clock_offset_seconds": ["peer"],
    "moneypath_drill_score_ratio": ["drill"],
    "moneypath_drill_last_passed_timestamp_seconds": ["drill"],
    "moneypath_drill_time_to_detect_seconds": ["drill"],
    "moneypath_drill_time_to_page_seconds": ["drill"],
    "moneypath_drill_time_to_acknowledge_seconds": ["drill"],
    "moneypath_drill_time_to_mitigate_seconds": ["drill"],
    "moneypath_drill_time_to_restore_seconds": ["drill"],
    "http_server_request_duration_seconds": [
        "http_request_method",
        "http_route",
        "http_response_status_code",
    ],
    "moneypath_requests_limited_total": ["limit"],
    "moneypath_telemetry_records_total": [],
    "moneypath_telemetry_drops_total": ["reason"],
    "moneypath_telemetry_render_bytes_total": [],
    "moneypath_telemetry_render_seconds_total": [],
}


def test_catalogue_holds_exactly_the_promised_metrics_and_labels(catalogue: Catalogue) -> None:
    """Every promised metric is there with its labels, and no other metric."""
    assert {spec.name: list(spec.labels) for spec in catalogue} == EXPECTED_LABELS


def test_closed_sets_are_the_published_ones(catalogue: Catalogue) -> None:
    """The label values that alerts and dashboards use are spelled as agreed."""
    payments = catalogue["moneypath_payments_total"].labels
    assert payments["provider"] == ("north", "south", "none")
    assert payments["traffic"] == ("live", "canary", "drill")
    assert payments["cohort"] == ("control", "candidate")
    assert payments["operation"] == ("authorize", "capture", "void", "refund", "payout", "query")
    assert payments["outcome"] == (
        "succeeded",
        "declined",
        "rejected",
        "blocked",
        "shed",
        "failed",
        "indeterminate",
    )
    assert catalogue["moneypath_provider_attempts_total"].labels["provider"] == ("north", "south")


def test_no_gauge_is_precreated_and_every_counter_is(catalogue: Catalogue) -> None:
    """A counter exists before its first failure; a gauge is absent until it is set."""
    for spec in catalogue:
        if spec.kind is not MetricKind.HISTOGRAM:
            assert spec.precreate is (spec.kind is MetricKind.COUNTER), spec.name


def test_threshold_becomes_exactly_one_bucket_edge(vocabulary: Vocabulary) -> None:
    """The threshold of an objective is an edge of its histogram and of no other."""
    name = "moneypath_payment_duration_seconds"
    built = Catalogue.build(vocabulary, latency_thresholds={name: [0.3, 0.25]})
    assert built[name].buckets == tuple(sorted({*LATENCY_BUCKETS, 0.3}))
    assert built["moneypath_ledger_write_duration_seconds"].buckets == LATENCY_BUCKETS


@pytest.mark.parametrize(
    "name", ["moneypath_ledger_write_duration_seconds", "moneypath_provider_request_duration_seconds"]
)
def test_what_bears_an_objective_exists_from_the_first_scrape(vocabulary: Vocabulary, name: str) -> None:
    """With an objective every combination starts at 0, so that the first slow request counts."""
    judged = Catalogue.build(vocabulary, latency_thresholds={name: [0.3]})
    for built, expected in ((judged, judged[name].all_series), (Catalogue.build(vocabulary), 0)):
        scrape = setup(built, service="api", shared=False).render().decode()
        assert len([line for line in scrape.splitlines() if line.startswith(name)]) == expected
    assert judged[name].all_series > 100


def test_an_objective_asks_for_no_more_than_the_budget(vocabulary: Vocabulary) -> None:
    """With many providers combinations appear with use, as they do without an objective."""
    name = "moneypath_provider_request_duration_seconds"
    vocabulary["providers"] = tuple(f"provider_{number}" for number in range(8))
    assert not Catalogue.build(vocabulary, latency_thresholds={name: [0.3]})[name].precreate


@pytest.mark.parametrize("threshold", [0.0, -1.0, float("nan"), float("inf"), 3601.0])
def test_absurd_threshold_is_refused(vocabulary: Vocabulary, threshold: float) -> None:
    """A threshold that no request can meet or miss is refused."""
    with pytest.raises(CatalogueInvalid, match="threshold"):
        Catalogue.build(vocabulary, latency_thresholds={"moneypath_payment_duration_seconds": [threshold]})


@pytest.mark.parametrize("name", ["moneypath_payments_total", "moneypath_nothing_seconds"])
def test_threshold_on_what_is_no_histogram_is_refused(vocabulary: Vocabulary, name: str) -> None:
    """The message lists the histograms."""
    with pytest.raises(CatalogueInvalid, match=r"no such histogram[\s\S]*moneypath_payment_duration_seconds"):
        Catalogue.build(vocabulary, latency_thresholds={name: [0.3]})


@pytest.mark.parametrize("slot", ["providers", "currencies", "checks", "schemes"])
def test_missing_or_empty_key_is_refused(vocabulary: Vocabulary, slot: str) -> None:
    """Without one of its required keys a vocabulary would make metrics that cannot be recorded."""
    with pytest.raises(CatalogueInvalid, match=f'"{slot}" is missing or empty'):
        Catalogue.build({**vocabulary, slot: ()})
    del vocabulary[slot]
    with pytest.raises(CatalogueInvalid, match=f'"{slot}" is missing or empty'):
        Catalogue.build(vocabulary)


def test_unknown_key_is_refused_with_the_allowed_ones(vocabulary: Vocabulary) -> None:
    """A misspelled key is named, not ignored."""
    with pytest.raises(CatalogueInvalid, match=r'unknown key "provider"[\s\S]*providers'):
        Catalogue.build({**vocabulary, "provider": ("north",)})


def test_provider_named_none_is_refused(vocabulary: Vocabulary) -> None:
    """`none` already means that no provider answered."""
    with pytest.raises(CatalogueInvalid, match="reserved"):
        Catalogue.build({**vocabulary, "providers": ("north", "none")})


def test_a_metric_of_a_team_keeps_the_budget_that_it_declares() -> None:
    """It is refused if its labels make more, with each label and what would be enough."""
    labels = {"shop": tuple(f"s{number}" for number in range(12)), "end": ("paid", "left")}
    with pytest.raises(CatalogueInvalid) as refused:
        MetricSpec("shop_baskets", MetricKind.GAUGE, "Baskets.", labels=labels, series_budget=23)
    assert "series_budget: 23 is exceeded, the labels make 24 series: shop 12 x end 2" in str(refused.value)
    assert "Declare fewer values, or a series_budget of at least 24." in str(refused.value)
    assert MetricSpec("shop_baskets", MetricKind.GAUGE, "Baskets.", labels=labels, series_budget=24)


def test_a_budget_that_is_not_declared_is_what_the_labels_make() -> None:
    """Unless a label is filled in later: nothing would bound the metric then."""
    labels = {"shop": ("a", "b", "c")}
    assert MetricSpec("shop_baskets", MetricKind.GAUGE, "Baskets.", labels=labels).series_budget == 3
    with pytest.raises(CatalogueInvalid, match="series_budget: missing; the label shop has no values yet"):
        MetricSpec("shop_baskets", MetricKind.GAUGE, "Baskets.", labels={"end": ("paid",), "shop": ()})


def test_metric_declared_twice_is_refused(catalogue: Catalogue) -> None:
    """A name has one declaration."""
    with pytest.raises(CatalogueInvalid, match="moneypath_payments_total is declared twice"):
        Catalogue.of([*catalogue, catalogue["moneypath_payments_total"]])


@pytest.mark.parametrize("name", ["moneypath_payments", "moneypath_payment_duration_seconds_total"])
def test_colliding_names(catalogue: Catalogue, name: str) -> None:
    """A name that OpenMetrics would read as another metric's family is refused; a different one is not."""
    total = name.endswith("_total")
    spec = MetricSpec(
        name=name,
        kind=MetricKind.COUNTER if total else MetricKind.GAUGE,
        help="x",
        unit=Unit.SECONDS if total else Unit.NONE,
    )
    with pytest.raises(CatalogueInvalid, match="collides with"):
        Catalogue.of([*catalogue, spec])
    Catalogue.of([spec])


COUNTER = MetricSpec(name="moneypath_things_total", kind=MetricKind.COUNTER, help="Things.", series_budget=4)
GAUGE = MetricSpec(
    name="moneypath_age_seconds", kind=MetricKind.GAUGE, help="Age.", unit=Unit.SECONDS, series_budget=4
)
HISTOGRAM = MetricSpec(
    name="moneypath_wait_seconds",
    kind=MetricKind.HISTOGRAM,
    help="Wait.",
    unit=Unit.SECONDS,
    buckets=(0.1, 1.0),
    series_budget=40,
)


@pytest.mark.parametrize(
    ("spec", "change", "problem"),
    [
        (COUNTER, {"name": "moneypath_Things_total"}, "lower_snake_case"),
        (COUNTER, {"name": "moneypath_things__x_total"}, "lower_snake_case"),
        (COUNTER, {"name": f"moneypath_{'x' * 100}_total"}, "lower_snake_case"),
        (COUNTER, {"name": "moneypath_things"}, "_total ends the names of counters"),
        (GAUGE, {"name": "moneypath_age_seconds_total"}, "_total ends the names of counters"),
        (GAUGE, {"name": "moneypath_age"}, "unit seconds must end the name"),
        (GAUGE, {"name": "moneypath_things_count", "unit": Unit.NONE}, "must not end in"),
        (GAUGE, {"unit": Unit.NONE}, "name ends in seconds but the unit is 'none'"),
        (GAUGE, {"precreate": True}, "not allowed for a gauge"),
        (GAUGE, {"buckets": (1.0,)}, "only a histogram"),
        (GAUGE, {"help": " "}, "help"),
        (GAUGE, {"help": "two\nlines"}, "help"),
        (HISTOGRAM, {"name": "moneypath_wait_bytes", "unit": Unit.BYTES}, "histograms are in seconds"),
        (HISTOGRAM, {"buckets": ()}, "at least one edge"),
        (HISTOGRAM, {"buckets": (0.0, 1.0)}, "at least one edge"),
        (HISTOGRAM, {"buckets": (1.0, float("inf"))}, "at least one edge"),
        (HISTOGRAM, {"buckets": (1.0, 0.1)}, "ascend"),
        (HISTOGRAM, {"buckets": (1.0, 1.0)}, "ascend"),
        (COUNTER, {"labels": {"le": ("1",)}}, "label le"),
        (COUNTER, {"labels": {"amount": ("1",)}}, "label amount"),
        (COUNTER, {"labels": {"Kind": ("1",)}}, "label Kind"),
        (COUNTER, {"labels": {"kind": ("a", "a")}}, "stands twice"),
        (COUNTER, {"labels": {"kind": ("",)}}, "empty, too long or not printable"),
        (COUNTER, {"labels": {"kind": ("a\nb",)}}, "empty, too long or not printable"),
        (COUNTER, {"labels": {"kind": ("x" * 129,)}}, "empty, too long or not printable"),
        (COUNTER, {"series_budget": 0}, "below 1"),
        (COUNTER, {"labels": {"kind": tuple("abcde")}, "precreate": True}, "4 is exceeded, .* make 5"),
        (GAUGE, {"labels": {"kind": tuple("abcde")}}, "4 is exceeded, .* make 5"),
        (
            HISTOGRAM,
            {"labels": {"kind": tuple("abcdefghi")}, "precreate": True},
            "40 is exceeded, .* make 45",
        ),
    ],
)
def test_rule_of_naming_is_enforced(spec: MetricSpec, change: dict[str, Any], problem: str) -> None:
    """Each rule refuses its own mistake and names the metric; the unchanged metric is accepted."""
    with pytest.raises(CatalogueInvalid, match=problem) as refused:
        replace(spec, **change)
    assert "metric " in refused.value.what


def test_labels_of_a_metric_cannot_be_changed(catalogue: Catalogue) -> None:
    """A declaration is immutable, so nobody can extend a closed set later."""
    labels: Any = catalogue["moneypath_payments_total"].labels
    with pytest.raises(TypeError):
        labels["provider"] = ("anything",)


WRONG_KINDS: list[tuple[dict[str, Any], str]] = [
    ({"name": None}, "name: None is not of type str"),
    ({"help": None}, "help: None is not of type str"),
    ({"kind": "counter"}, "kind: 'counter' is not of type MetricKind, allowed: counter, gauge, histogram"),
    ({"unit": "seconds"}, "unit: 'seconds' is not of type Unit"),
    ({"labels": None}, "labels: None is not of type Mapping"),
    ({"labels": {"side": "left"}}, "label side: 'left' is not a tuple of strings"),
    ({"labels": {"side": (1, 2)}}, "is not a tuple of strings"),
    ({"labels": {7: ("a",)}}, "is not a tuple of strings"),
    ({"buckets": None}, "buckets: None is not of type tuple"),
    ({"buckets": ("1",)}, "buckets: '1' is not a number"),
    ({"series_budget": "9"}, "series_budget: '9' is not of type int"),
    ({"series_budget": float("nan")}, "series_budget: nan is not of type int"),
    ({"precreate": 1}, "precreate: 1 is not of type bool"),
    ({"merge": "max"}, "merge: 'max' is not of type Merge"),
]


@pytest.mark.parametrize(("wrong", "reason"), WRONG_KINDS)
def test_a_value_of_another_kind_is_refused_by_name(wrong: dict[str, Any], reason: str) -> None:
    """Types are checked at run time; a single string is not a list of values."""
    given: dict[str, Any] = {"name": "team_steps_total", "kind": MetricKind.COUNTER, "help": "Steps."}
    with pytest.raises(CatalogueInvalid, match=reason):
        MetricSpec(**{**given, **wrong})
    assert MetricSpec(**given).name == "team_steps_total"


@pytest.mark.parametrize("unit", ["ms", "milliseconds", "minutes", "megabytes", "percent"])
def test_a_scaled_unit_is_refused(unit: str) -> None:
    """A name must end with a base unit; a word that merely ends like a scaled unit is fine."""
    with pytest.raises(CatalogueInvalid, match=f"{unit} is not a base unit; use one of seconds"):
        MetricSpec(f"team_size_{unit}", MetricKind.GAUGE, "-")
    assert MetricSpec(f"team_x{unit}", MetricKind.GAUGE, "-").name == f"team_x{unit}"
