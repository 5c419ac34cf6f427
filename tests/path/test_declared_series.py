"""Series that services export already: what is refused, by which key, and what is accepted as it is."""

import copy
import json
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from moneypath.path.model import MoneyPath
from moneypath.path.presets import PRESETS, Preset
from moneypath.path.source import DeclarationInvalid, parse_yaml

WALLET = """
name: Wallet
roles: {eng: {}}
providers: [{id: acme}, {id: first_bank}]
currencies: {EUR: 2, USDC: 6, POINTS: 0}
targets: [{job: wallet}]
series:
  bank_calls_total:
    kind: counter
    labels:
      bank: [ACME, first-bank, internal]
      result: [APPLIED, REJECTED, ERROR]
      op: [TOP_UP, payout]
      cur: [EUR, USDC, POINTS]
      path: any
    roles: {provider: bank, operation: op, currency: cur}
    ids: {ACME: acme, first-bank: first_bank, internal: none, TOP_UP: top_up}
  bank_call_seconds: {kind: histogram, labels: {status: [ok, error]}, buckets: [0, 0.5, 5, 10]}
  bank_call_milliseconds: {kind: histogram, buckets: [100, 500]}
  outbox_rows: {kind: gauge}
  last_payout_unixtime: {kind: gauge, time: true}
  queue_rows: {kind: gauge, labels: {queue: [a, b]}}
slos:
  - kind: availability
    id: top-ups
    operation: top_up
    objective: "0.999"
    traffic: {min_events: 5}
    events:
      series: bank_calls_total
      valid: [{label: result, values: [APPLIED, ERROR]}]
      bad: [{label: result, values: [ERROR]}]
  - kind: latency
    id: bank-latency
    objective: "0.99"
    threshold_seconds: "0.5"
    histogram: {series: bank_call_seconds}
  - kind: events
    id: bank-errors
    objective: "0.99"
    series: bank_call_seconds_count
    label: status
    good: [ok]
    bad: [error]
guards:
  - {kind: level, id: outbox, series: outbox_rows, above: 100, evidence: {series: outbox_rows}}
  - {kind: age, id: payouts, series: last_payout_unixtime, older_than_seconds: 600, evidence: null}
"""


def document() -> Any:
    """Return the wallet's declaration as a value that a test may change."""
    return yaml.safe_load(WALLET)


def parsed(declared: Any) -> MoneyPath:
    """Return the money path of a value."""
    return parse_yaml(json.dumps(declared), MoneyPath, file="moneypath.yaml")


def changed(at: str, value: Any) -> Any:
    """Return the wallet's declaration with `value` at a path of keys; a missing key is added."""
    found = document()
    *keys, last = (int(key) if key.isdigit() else key for key in at.split("/"))
    inner = found
    for key in keys:
        inner = inner[key]
    if value is ...:
        del inner[last]
    else:
        inner[last] = value
    return found


def refusals(declared: Any) -> list[str]:
    """Return key, sentence and what is allowed of each problem."""
    with pytest.raises(DeclarationInvalid) as refused:
        parsed(declared)
    return [f"{each.key}: {each.what}; {each.allowed}" for each in refused.value.problems]


def test_names_values_and_currencies_are_as_they_are() -> None:
    """Capitals, hyphens and a histogram's count; currencies of four and six letters, and no decimals."""
    path = parsed(document())
    counted = path.slos[0].counted  # type: ignore[union-attr]
    assert counted is not None
    assert counted.providers == (("acme", ("ACME",)), ("first_bank", ("first-bank",)))
    assert [match.values for match in counted.operation] == [("TOP_UP",)]
    assert path.currencies == {"EUR": 2, "USDC": 6, "POINTS": 0}


def test_services_never_record_what_they_export_already() -> None:
    """The catalogue that they load has ours alone; what rules may read has both."""
    path = parsed(document())
    assert not set(path.series) & {spec.name for spec in path.catalogue()}
    assert set(path.series) <= {spec.name for spec in path.known_metrics()}


def test_a_label_without_a_list_has_what_is_selected_and_one_more() -> None:
    """So that a generated test can show that the rest does not count."""
    selected = changed("slos/0/events/valid", [{"label": "path", "values": ["/top-ups/{id}", "other"]}])
    labels = parsed(selected).known_metrics()["bank_calls_total"].labels
    assert labels["path"] == ("/top-ups/{id}", "other", "other_other")


def test_an_objective_without_a_provider_label_counts_all_together() -> None:
    """It is not kept apart, and asking for that by name is refused."""
    plain = changed("series/bank_calls_total/roles", {"operation": "op", "currency": "cur"})
    plain["series"]["bank_calls_total"]["ids"] = {"TOP_UP": "top_up"}
    path = parsed(plain)
    assert path.slos[0].per is None  # type: ignore[union-attr]
    plain["slos"][0]["per"] = "provider"
    assert refusals(plain) == [
        "slos[0].per: no label of the series names a provider; null, or roles.provider of the series"
    ]


REFUSED = {
    each["case"]: (each["at"], each.get("value", ...), each["says"])
    for each in yaml.safe_load(Path(__file__).with_name("declared_series_refusals.yaml").read_text("utf-8"))
}


@pytest.mark.parametrize("case", REFUSED)
def test_what_cannot_be_is_refused_by_key(case: str) -> None:
    """One sentence names the key, what is wrong and what is allowed."""
    at, value, expected = REFUSED[case]
    assert any(expected in each for each in refusals(changed(at, value))), refusals(changed(at, value))


def test_evidence_needs_members_that_somebody_knows() -> None:
    """A label of any value, and one whose values differ from those elsewhere: both would page forever."""
    guard = {
        "kind": "level",
        "id": "rows",
        "series": "queue_rows",
        "above": 9,
        "evidence": {"series": "queue_rows"},
    }
    assert parsed(changed("guards/0", guard)).guards
    open_label = changed("guards/0", guard)
    open_label["series"]["queue_rows"]["labels"]["queue"] = "any"
    assert "any value of queue may occur" in refusals(open_label)[0]
    ours = {"kind": "level", "id": "depth", "series": "moneypath_queue_depth", "above": 1}
    both = changed("guards/1", guard)
    both["guards"][0] = {**ours, "evidence": {"series": "moneypath_queue_depth"}}
    assert "queue of queue_rows has other values than it has elsewhere" in refusals(both)[0]


def test_a_second_objective_of_one_operation_is_refused_whoever_counts_it() -> None:
    """Their recorded series would have one name; without an operation the id names them."""
    twice = document()
    twice["slos"].append({**copy.deepcopy(twice["slos"][0]), "id": "others"})
    assert 'slos[3].operation: "top_up" has an availability objective already' in refusals(twice)[0]
    del twice["slos"][3]["operation"]
    assert parsed(twice).slos[3].id == "others"


@pytest.mark.parametrize("code", ["EU", "usdc", "US-DC", "1INCH", "THIRTEENCHARS"])
def test_what_is_no_currency_is_refused(code: str) -> None:
    """Three to twelve capital letters and digits, of which the first is a letter."""
    assert any("does not match" in each for each in refusals(changed(f"currencies/{code}", 2)))


def test_more_decimals_than_eighteen_are_refused() -> None:
    """Ether has eighteen."""
    assert parsed(changed("currencies/ETH", 18)).currencies["ETH"] == 18
    assert any("currencies.ETH" in each for each in refusals(changed("currencies/ETH", 19)))


def test_a_reporting_currency_outside_iso_4217_has_to_say_its_decimals() -> None:
    """Two decimals would be a guess, and show a millionth of a coin as a hundredth."""
    short = document()
    del short["currencies"]
    short["reporting_currency"] = "USDC"
    short["series"]["bank_calls_total"]["labels"]["cur"] = ["USDC"]
    assert refusals(short)[0].startswith(
        "reporting_currency: the decimals of USDC are not known; a currency of"
    )
    short["currencies"] = {"USDC": 6}
    assert parsed(short).currencies == {"USDC": 6}


@pytest.mark.parametrize(("preset", "name"), [(each, name) for each in Preset for name in PRESETS[each]])
def test_a_preset_knows_kind_labels_and_edges(preset: Preset, name: str) -> None:
    """What is declared besides takes the place of its own, label by label."""
    bare = parsed(changed(f"series/{name}", {"preset": preset.value})).series[name]
    known = PRESETS[preset][name]
    assert bare.kind is known.kind
    assert bare.buckets == known.buckets
    assert set(bare.labels) == set(known.labels)
    narrowed = parsed(changed(f"series/{name}", {"preset": preset.value, "labels": {"env": ["prod"]}}))
    assert narrowed.series[name].labels == {**bare.labels, "env": ("prod",)}


@given(
    threshold=st.decimals("0.001", "3600", places=3),
    edges=st.sets(st.integers(1, 10_000), min_size=1, max_size=8),
)
def test_a_threshold_is_accepted_exactly_if_it_is_an_edge(threshold: Any, edges: set[int]) -> None:
    """For any edges: what is accepted has a bucket that ends there."""
    declared = changed("series/bank_call_seconds/buckets", [edge / 1000 for edge in sorted(edges)])
    declared["slos"][1]["threshold_seconds"] = str(threshold)
    if int(threshold * 1000) in edges:
        parsed(declared)
    else:
        assert "is no bucket edge of bank_call_seconds" in refusals(declared)[0]
