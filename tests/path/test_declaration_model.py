"""moneypath.yaml: every key counts, every reference leads somewhere."""
# ruff: noqa: E501  # the tables of mistakes read better with one mistake a line

import copy
import re
from collections.abc import Iterator
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
import yaml

from moneypath.path.loader import build_catalogue, load
from moneypath.path.model import MoneyPath
from moneypath.path.source import DeclarationInvalid, parse_yaml

Location = tuple[str | int, ...]

# Deleting or renaming one of these leaves a declaration that is meant to be possible.
FREE_KEYS = {("roles", "support")}
# These may be absent, and may not be misspelt. Every other key is missed by name.
OPTIONAL_KEYS = {
    "reporting_currency", "links", "runbooks", "dashboards", "alerts", "prefix", "violated", "stale",
    "outputs", "catalogue", "costs", "docs", "compose", "currencies", "schemes", "title", "paged", "stages",
    "owner_role", "uses_providers", "leads_to", "controls", "providers", "licence",
    "outcome_deadline_seconds", "data_residency", "checks", "guards", "watchdog", "telemetry", "operations",
    "traffic", "cohorts", "metrics", "exported", "stage", "roles", "runbook", "dashboard",
    "stale_after_seconds", "stale_roles", "stale_runbook", "window_days", "operation", "per",
    "excluded_outcomes", "bad_outcomes", "bad_results", "burn", "tiers", "detect_at_ratio",
    "detect_within_seconds", "hard_down", "bad_share", "histogram", "select", "alert",
    "missing_after_seconds", "by", "environment",
}  # fmt: skip
# These may be null by design.
NULLABLE_KEYS = {
    "hard_down", "burn", "evidence", "by", "per", "traffic", "costs", "compose",
    "detect_at_ratio", "detect_within_seconds", "environment",
}  # fmt: skip


def one_of_each(declaration: str) -> Any:
    """Return the declaration with one part of each kind, since parts of a kind share their model."""
    document = yaml.safe_load(declaration)
    for key in ("stages", "providers", "targets", "checks"):
        document[key] = document[key][:1]
    for key in ("slos", "guards"):
        kinds: dict[str, Any] = {}
        for part in document[key]:
            kinds.setdefault(part["kind"], part)
        document[key] = list(kinds.values())
    document["costs"]["provider_fees"] = document["costs"]["provider_fees"][:1]
    (stage,) = document["stages"]
    stage["leads_to"] = []
    for key in ("targets", "slos", "checks", "guards"):
        for part in document[key]:
            part["stage"] = stage["id"]
    return document


def text_of(document: Any) -> str:
    """Return a document as YAML; the C library writes the same six times as quickly."""
    text: str = yaml.dump(document, Dumper=yaml.CSafeDumper, sort_keys=False)
    return text


def is_nullable(at: Location) -> bool:
    """Tell whether null is allowed at `at`."""
    return at[-1] in NULLABLE_KEYS and at not in {
        ("slos", 0, "burn"),
        ("outputs", "costs"),
        ("telemetry", "traffic"),
    }


def is_optional(at: Location) -> bool:
    """Tell whether the key at `at` may be left out."""
    if at[0] == "roles":
        return len(at) > 2 or at in FREE_KEYS
    if at[0] == "costs":
        return len(at) == 1
    return at[-1] in OPTIONAL_KEYS or (at[-1] == "min_events" and at[-2] in {"burn", "hard_down"})


def refusals(text: str) -> list[str]:
    """Return the problems of `text`, or nothing when it is a valid declaration."""
    try:
        parse_yaml(text, MoneyPath, file="moneypath.yaml")
    except DeclarationInvalid as error:
        return error.what.splitlines()
    return []


def locations(value: Any, at: Location = ()) -> Iterator[Location]:
    """Yield the place of every key and list item below `value`."""
    pairs = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, inner in pairs:
        yield (*at, key)
        yield from locations(inner, (*at, key))


def parent(document: Any, at: Location) -> Any:
    """Return what holds the key at `at`."""
    for key in at[:-1]:
        document = document[key]
    return document


def assert_refused(document: Any, at: Location) -> None:
    """Assert that `document` is refused by lines with a line number, one of them naming the key."""
    found = refusals(text_of(document))
    assert found, at
    assert all(re.match(r"moneypath\.yaml:\d+: ", line) for line in found), found
    name = str(at[-1]) if isinstance(at[-1], str) else f"[{at[-1]}]"
    assert any(name in line for line in found), (at, found)


def test_the_declaration_of_the_repository_is_valid(declaration_file: Path) -> None:
    """The file loads, and its objective is exactly 99.9 %."""
    path = load(declaration_file)
    assert path.slos[0].objective == Decimal("0.999")
    assert path.provider_ids() == ("north", "south")
    assert path.paged_roles() == ("eng", "ops", "compliance", "support")
    assert path.currencies == {"EUR": 2, "USD": 2, "JPY": 0, "KWD": 3}


@pytest.mark.heavy
def test_deleting_any_key_is_refused_by_name(declaration: str) -> None:
    """A deleted key is missed by name, unless it is one of those that may be left out."""
    original = one_of_each(declaration)
    for at in locations(original):
        if isinstance(at[-1], int):
            continue
        document = copy.deepcopy(original)
        del parent(document, at)[at[-1]]
        if not is_optional(at):
            assert_refused(document, at)
        elif found := refusals(text_of(document)):
            # Others speak of it by name: a role, a stage, an id of a list that is now the default.
            assert all(re.match(r"moneypath\.yaml:\d+: ", line) for line in found), found


@pytest.mark.heavy
def test_renaming_any_key_is_refused_by_name(declaration: str) -> None:
    """A misspelt key is unknown, and the right one is missed or suggested."""
    original = one_of_each(declaration)
    for at in locations(original):
        if isinstance(at[-1], int) or at[0] == "currencies":
            continue
        document = copy.deepcopy(original)
        holder = parent(document, at)
        renamed = {(f"{key}q" if key == at[-1] else key): value for key, value in holder.items()}
        holder.clear()
        holder.update(renamed)
        if at in FREE_KEYS:
            assert not refusals(text_of(document))
        else:
            assert_refused(document, at)


@pytest.mark.parametrize("other", [7, True, None, "some words", {"a": 1}], ids=str)
@pytest.mark.heavy
def test_changing_the_type_of_any_value_is_refused_by_name(declaration: str, other: Any) -> None:
    """Text for a number, a number for text, a list for a mapping: nothing is converted on the quiet."""
    original = one_of_each(declaration)
    for at in locations(original):
        value = parent(original, at)[at[-1]]
        if type(other) is type(value) or (other is None and is_nullable(at)):
            continue
        document = copy.deepcopy(original)
        parent(document, at)[at[-1]] = other
        assert_refused(document, at)


@pytest.mark.parametrize(
    ("before", "after", "expected"),
    [
        ("owner_role: eng", "owner_role: egn", r'stages\[0\]\.owner_role: there is no role "egn", did you mean "eng"\?; allowed: compliance, eng, ops, support'),
        ("leads_to: [capture]", "leads_to: [captur]", r'stages\[0\]\.leads_to\[0\]: there is no stage "captur", did you mean "capture"\?'),
        ("leads_to: [capture]", "leads_to: [authorization]", r'stages\[0\]\.leads_to: "authorization" leads to itself'),
        ("kind: kyc, owner_role: compliance", "kind: kyc, owner_role: complience", r'stages\[0\]\.controls\[0\]\.owner_role: there is no role "complience", did you mean "compliance"\?'),
        ("kind: sanctions", "kind: sanction", r'stages\[0\]\.controls\[1\]\.kind: "sanction": is not an allowed value, did you mean "sanctions"\?; allowed: kyc, sanctions, licence, data_residency'),
        ("id: acquiring-licence", "id: merchant-identity", r'stages\[1\]\.controls\[0\]\.id: "merchant-identity" stands twice'),
        ("schemes: [visa, mastercard]\n    outcome", "schemes: [viza]\n    outcome", r'providers\[0\]\.schemes\[0\]: there is no scheme "viza"'),
        ("  - id: south", "  - id: north", r'providers\[1\]\.id: "north" stands twice'),
        ("  - id: south", "  - id: none", r'providers\[1\]\.id: "none" stands for payments that no provider answered'),
        ("  - job: refpay-worker", "  - job: refpay-api", r'targets\[1\]\.job: "refpay-api" stands twice'),
        ("reporting_currency: EUR", "reporting_currency: CHF", 'reporting_currency: there is no currency "CHF"'),
        ("roles: [eng, ops, compliance]", "roles: [eng, auditor]", r'slos\[3\]\.roles\[1\]: there is no role "auditor"'),
        ("roles: [eng, ops, compliance]", "roles: [eng, eng]", r'slos\[3\]\.roles\[1\]: "eng" stands twice'),
        ("excluded_outcomes: [rejected", "excluded_outcomes: [failed", r"slos\[0\]\.bad_outcomes: failed cannot be bad and left out"),
        ("operation: authorize", "operation: capture", r"slos\[0\]\.bad_results: only authorizations have results"),
        ("[failed, indeterminate, shed]", "[failed, indeterminate, sched]", r'slos\[0\]\.bad_outcomes\[2\]: "sched": is not an allowed value, did you mean "shed"'),
        ('objective: "0.999"', "objective: 0.999", r"slos\[0\]\.objective: 0\.999: should be a decimal in quotes"),
        ('objective: "0.999"', 'objective: "99.9"', r"slos\[0\]\.objective: "),
        ('objective: "0.999"', 'objective: "1"', r"slos\[0\]\.objective: "),
        ("window_days: 30", "window_days: 365", r"slos\[0\]\.window_days: 365: should be less than or equal to 90"),
        ("EUR: 2", "EUR: 19", r"currencies\.EUR: 19: should be less than or equal to 18"),
        ("MoneyPathLedgerImbalance", "ledger_imbalance", r"checks\[0\]\.alerts\.violated: "),
        ("kind: latency", "kind: latencies", r'slos\[1\]\.kind: "latencies": is not an allowed value, did you mean "latency"\?; allowed: availability, latency, events'),
        ("kind: age", "kind: aged", r'guards\[\d+\]\.kind: "aged": is not an allowed value, did you mean "age"\?; allowed: age, deadline, level, increase, ratio'),
        ("series: moneypath_payment_duration_seconds", "series: moneypath_payment_seconds", r'slos\[1\]\.histogram\.series: there is no histogram "moneypath_payment_seconds", did you mean "moneypath_payment_duration_seconds"\?; allowed: .*moneypath_ledger_write_duration_seconds'),
        ("series: moneypath_payment_duration_seconds", "series: moneypath_payments_total", r'slos\[1\]\.histogram\.series: there is no histogram "moneypath_payments_total"'),
        ("label: operation, values: [authorize]", "label: operations, values: [authorize]", r'slos\[1\]\.histogram\.select\[0\]\.label: moneypath_payment_duration_seconds has no label "operations", did you mean "operation"\?; allowed: operation, outcome'),
        ("label: operation, values: [authorize]", "label: operation, values: [authorise]", r'slos\[1\]\.histogram\.select\[0\]\.values\[0\]: operation is never "authorise", did you mean "authorize"\?; allowed: authorize, capture'),
        ("label: operation, values: [authorize]", "label: outcome, values: [failed]", r'slos\[1\]\.histogram\.select\[1\]\.label: "outcome" stands twice'),
        ('threshold_seconds: "1"', 'threshold_seconds: "4000"', r'slos\[1\]\.threshold_seconds: 4000 s is no latency; allowed: at most 3600'),
        ('threshold_seconds: "1"', "threshold_seconds: 1", r'slos\[1\]\.threshold_seconds: 1: should be a decimal in quotes'),
        ("series: moneypath_ledger_writes_total", "series: moneypath_ledger_write_total", r'slos\[2\]\.series: there is no counter "moneypath_ledger_write_total", did you mean'),
        ("label: result\n    good: [found]", "label: outcome\n    good: [found]", r'slos\[3\]\.label: moneypath_ledger_probe_total has no label "outcome"; allowed: result'),
        ("good: [committed]", "good: [comitted]", r'slos\[2\]\.good\[0\]: outcome is never "comitted", did you mean "committed"'),
        ("bad: [rejected, failed, unknown]", "bad: [rejected, committed]", r"slos\[2\]\.bad: committed cannot be good and bad at the same time"),
        ("series: [moneypath_duplicate_charges]", "series: [moneypath_double_charges]", r'checks\[3\]\.series\[0\]: there is no gauge "moneypath_double_charges"'),
        ("series: [moneypath_duplicate_charges]", "series: [moneypath_payments_total]", r'checks\[3\]\.series\[0\]: there is no gauge "moneypath_payments_total"'),
        ("series: [moneypath_duplicate_charges]", "series: [moneypath_duplicate_charges, moneypath_captures_without_posting]", r"checks\[3\]\.series\[1\]: moneypath_captures_without_posting has the labels provider, not none; allowed: series with the same labels"),
        ("series: moneypath_reconciliation_watermark_timestamp_seconds\n", "series: moneypath_reconciliation_breaks\n", r"guards\[\d+\]\.series: moneypath_reconciliation_breaks is no time, the guard is of the kind age; allowed: .*moneypath_settlement_due_timestamp_seconds"),
        ("series: moneypath_queue_depth\n", "series: moneypath_queue_oldest_timestamp_seconds\n", r"guards\[\d+\]\.series: moneypath_queue_oldest_timestamp_seconds is a time, the guard is of the kind level"),
        ("evidence: {series: moneypath_indeterminate_payments", "evidence: {series: moneypath_indeterminate_minor_units", r"guards\[\d+\]\.evidence\.series: moneypath_indeterminate_minor_units has the labels provider, currency, moneypath_indeterminate_oldest_timestamp_seconds has provider; allowed: a gauge with the same single label"),
        ("evidence: {series: moneypath_indeterminate_payments", "evidence: {series: moneypath_queue_depth", r"guards\[\d+\]\.evidence\.series: moneypath_queue_depth has the labels queue"),
        ("label: rule, values: [card_testing]", "label: rule, values: [card_tests]", r'guards\[\d+\]\.counter\.select\[0\]\.values\[0\]: rule is never "card_tests"'),
        ("by: null", "by: provide", r'guards\[\d+\]\.by: moneypath_cost_micro_units_total has no label "provide", did you mean "provider"'),
        ("fires: above", "fires: over", r'guards\[\d+\]\.fires: "over": is not an allowed value, did you mean "above"\?; allowed: above, below'),
        ('limit: "0.7"', 'limit: "0"', r'guards\[\d+\]\.limit: "0": should be greater than 0'),
        ("at_least: 20", "at_least: 0", r"guards\[\d+\]\.at_least: 0: should be greater than or equal to 1"),
        ("id: dead_letters", "id: single_charge", r'guards\[\d+\]\.id: "single_charge" is the id of a check'),
        ("id: dead_letters", "id: queue_age", r'guards\[\d+\]\.id: "queue_age" stands twice'),
        ("runbooks: https://moneypath.example/runbooks/", "runbooks: runbooks/", r"links\.runbooks: "),
        ("provider: south\n      method", "provider: sout\n      method", r'costs\.provider_fees\[1\]\.provider: there is no provider "sout", did you mean "south"\?; allowed: north, south'),
        ("provider: south\n      method: card", "provider: south\n      method: cart", r'costs\.provider_fees\[1\]\.method: there is no method "cart", did you mean "card"\?; allowed: card'),
        ("basis_points: 140", "basis_points: 1.4", r"costs\.provider_fees\[0\]\.basis_points: 1\.4: should be a valid integer"),
        ("basis_points: 140", "basis_points: 10001", r"costs\.provider_fees\[0\]\.basis_points: 10001: should be less than or equal to 10000"),
        ("fixed: {EUR: 10, USD: 11", "fixed: {EUR: 10, USX: 11", r'costs\.provider_fees\[0\]\.fixed\.USX: there is no currency "USX", did you mean "USD"\?'),
        ("fixed: {EUR: 10, USD: 11, ", "fixed: {EUR: 10, ", r'costs\.provider_fees\[0\]\.fixed: there is no fixed fee for currency "USD"'),
        ("fixed: {EUR: 10", "fixed: {EUR: -1", r"costs\.provider_fees\[0\]\.fixed\.EUR: -1: should be greater than or equal to 0"),
        ("component: messaging", "component: mesaging", r'costs\.provisioned\[2\]\.component: "mesaging": is not an allowed value, did you mean "messaging"\?'),
        ("component: messaging", "component: provider_fee", r'costs\.provisioned\[2\]\.component: "provider_fee" is no capacity.*allowed: compute, database, messaging, telemetry'),
        ("title: Message broker", "title: Metrics and logs", r'costs\.provisioned\[3\]\.title: "Metrics and logs" stands twice'),
        ('price_per_hour: "0.192"', "price_per_hour: 0.192", r"costs\.provisioned\[0\]\.price_per_hour: 0\.192: should be a decimal in quotes"),
        ('price_per_hour: "0.192"', 'price_per_hour: "0.1920001"', r"costs\.provisioned\[0\]\.price_per_hour: .*with at most 6 decimals"),
        ('price_per_hour: "0.192"', 'price_per_hour: "0"', r"costs\.provisioned\[0\]\.price_per_hour: "),
        ("as_of: 2026-11-20", "as_of: 2026-02-30", r'costs\.rates\.as_of: "2026-02-30": '),
        (', USD: "0.92"', "", r'costs\.rates\.to_reporting: there is no rate for currency "USD"'),
        ('KWD: "3.01"', 'KWD: "-3.01"', r"costs\.rates\.to_reporting\.KWD: "),
        ('to_reporting: {EUR: "1"', 'to_reporting: {EUR: "1.1"', r'costs\.rates\.to_reporting\.EUR: 1\.1 is not what the reporting currency is worth in itself; allowed: "1"'),
    ],
)  # fmt: skip
def test_a_contradiction_is_refused_at_its_line(
    declaration: str, before: str, after: str, expected: str
) -> None:
    """References, repetitions and impossible values are refused where they stand."""
    assert before in declaration
    text = declaration.replace(before, after, 1)
    found = refusals(text)
    pattern = re.compile(rf"moneypath\.yaml:(\d+): {expected}")
    matches = [match for line in found if (match := pattern.match(line))]
    assert matches, found
    shown = text.splitlines()[int(matches[0][1]) - 1]
    key = re.sub(r"\\\[\d\\\]", "", expected.split(":")[0]).split(r"\.")[-1]
    assert key in shown


def test_a_role_nobody_can_page_does_not_answer_for_an_alert(declaration: str) -> None:
    """At least one role of every list has to be paged."""
    text = declaration.replace(
        "Payments engineering on call, paged: true", "Payments engineering on call, paged: false"
    )
    assert any(": watchdog.roles: none of these roles is paged" in line for line in refusals(text))


def test_a_stage_may_have_no_controls(declaration: str) -> None:
    """An empty list is said, not left out."""
    document = yaml.safe_load(declaration)
    for stage in document["stages"]:
        stage["controls"] = []
    assert not refusals(text_of(document))


def test_contradictions_are_all_shown_at_once(declaration: str) -> None:
    """Two wrong references are two lines."""
    text = declaration.replace("owner_role: eng", "owner_role: egn", 1).replace(
        "owner_role: ops", "owner_role: osp", 1
    )
    assert len(refusals(text)) == 2


def test_the_committed_catalogue_is_what_the_declaration_yields(declaration_file: Path) -> None:
    """The reference service reads the catalogue of this declaration, not of an older one."""
    path = load(declaration_file)
    assert path.outputs.catalogue == "src/refpay/catalogue.json"
    committed = (declaration_file.parent / path.outputs.catalogue).read_text(encoding="utf-8")
    assert build_catalogue(path).to_json() == committed


def test_the_catalogue_knows_what_is_declared_and_nothing_else(declaration_file: Path) -> None:
    """Labels are closed over the providers, currencies, schemes and checks of the declaration."""
    labels = build_catalogue(load(declaration_file))["moneypath_authorization_results_total"].labels
    assert labels["provider"] == ("north", "south")
    assert labels["currency"] == ("EUR", "USD", "JPY", "KWD")
    assert labels["scheme"] == ("visa", "mastercard")
