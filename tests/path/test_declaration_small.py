"""What a small declaration may leave out, and what is said when it contradicts itself."""
# ruff: noqa: E501  # the table of mistakes reads better with one mistake a line

from typing import Any, get_args

import pytest
from pydantic import BaseModel, TypeAdapter, ValidationError

from moneypath.drills.expected import ExpectedPage
from moneypath.drills.scenario import Scenario
from moneypath.path.model import MoneyPath
from moneypath.path.objectives import AvailabilitySlo, LatencySlo
from moneypath.path.parts import RoleId, Stage
from moneypath.path.source import DeclarationInvalid, parse_yaml
from moneypath.runbooks.model import Communication, FrontMatter

BASE = """\
name: Checkout
roles: {eng: {}, desk: {paged: false}}
providers: [{id: north}]
targets: [{job: checkout}]
slos:
  - {kind: availability, id: authorization-availability, objective: "0.999"}
"""


def declared(text: str) -> MoneyPath:
    """Return the money path of a text."""
    return parse_yaml(text, MoneyPath, file="moneypath.yaml")


def test_defaults_follow_from_what_is_declared() -> None:
    """Stage, owner, titles, currencies: nothing is left for who reads the declaration to fill in."""
    path = declared(
        BASE + "reporting_currency: KWD\nchecks: [{id: no_gaps, series: [moneypath_duplicate_charges]}]\n"
    )
    assert path.currencies == {"KWD": 3}
    assert path.stages == (Stage(id="payments", title="Payments", owner_role="eng", uses_providers=True),)
    assert path.roles["eng"].title == "Eng"
    assert path.providers[0].schemes == path.schemes
    (check,) = path.checks
    assert (check.alerts.violated, check.alerts.stale) == ("MoneyPathNoGapsViolated", "MoneyPathNoGapsStale")
    assert (check.stage, check.roles, check.stale_roles, check.title) == (
        "payments",
        ("eng",),
        ("eng",),
        "No gaps",
    )
    assert path.watchdog.roles == ("eng",)
    (slo,) = path.slos
    assert isinstance(slo, AvailabilitySlo)
    assert slo.traffic is None
    assert slo.hard_down is not None


def test_an_alert_goes_to_the_owner_of_its_stage() -> None:
    """Unless no page reaches the owner: then to the first role that one reaches."""
    stages = "stages: [{id: intake, owner_role: desk}, {id: ledger, owner_role: ops}]\n"
    text = BASE.replace("{eng: {}", "{eng: {}, ops: {}") + stages
    path = declared(text.replace("{job: checkout}", "{job: checkout}, {job: books, stage: ledger}"))
    assert [target.roles for target in path.targets] == [("eng",), ("ops",)]


def test_without_providers_payments_count_together() -> None:
    """Nothing is kept apart by a provider that does not exist, and no metric has the label."""
    path = declared(BASE.replace("providers: [{id: north}]\n", ""))
    (slo,) = path.availability_slos()
    assert slo.per is None
    catalogue = path.catalogue()
    assert catalogue["moneypath_payments_total"].labels["provider"] == ("none",)
    assert "moneypath_provider_routing_active" not in catalogue


def test_a_null_burn_is_not_the_default_burn() -> None:
    """Left out, an objective pages; null, nobody is paged for it."""
    latency = '  - {kind: latency, id: slow, threshold_seconds: "1", objective: "0.99"BURN}\n'
    given = declared(BASE + latency.replace("BURN", "")).slos[1]
    none = declared(BASE + latency.replace("BURN", ", burn: null")).slos[1]
    assert isinstance(given, LatencySlo)
    assert given.burn is not None
    assert given.burn.alert == "MoneyPathSlowBurn"
    assert none.burn is None


EVENTS = """\
  - kind: events
    id: writes
    series: moneypath_ledger_writes_total
    label: outcome
    good: [committed]
    bad: [failed]
    objective: "0.999"
"""


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (BASE.replace("name: Checkout\n", ""), "name: missing key"),
        (BASE.replace("roles: {eng: {}, desk: {paged: false}}\n", ""), "roles: missing key"),
        (BASE.replace("targets: [{job: checkout}]\n", ""), "targets: missing key"),
        (BASE.replace("{eng: {}, desk", "{desk"), r"none of these roles is paged"),
        (BASE.replace("eng: {}", "Eng: {}"), r'roles\.Eng: "Eng": does not match'),
        (BASE.replace("kind: availability,", "kind: availability, operation: top_up,"), r'slos\[0\]\.operation: there is no operation "top_up".*authorize, capture'),
        (BASE + BASE.splitlines()[-1].replace("authorization-", "other-"), r'slos\[1\]\.operation: "authorize" has an availability objective already; allowed: one for each operation'),
        (BASE + "alerts: {prefix: acme}\n", r"alerts\.prefix: .*CamelCase"),
        (BASE + EVENTS + "    burn: {alert: AcmeWritesFail}\n", r'slos\[1\]\.burn\.alert: "AcmeWritesFail" does not begin with the prefix of all alerts; allowed: MoneyPath, an object'),
        (BASE + EVENTS + "    burn: {alert: MoneyPathway}\n", r'"MoneyPathway" does not begin with the prefix'),
        (BASE + "checks: [{id: c, series: [moneypath_duplicate_charges], alerts: {stale: AcmeStale}}]\n", r'checks\[0\]\.alerts\.stale: "AcmeStale" does not begin'),
        (BASE + "guards: [{kind: level, id: g, series: moneypath_queue_depth, above: 1, evidence: null, alert: AcmeDeep}]\n", r'guards\[0\]\.alert: "AcmeDeep" does not begin'),
        (BASE + EVENTS + "    select: [{label: kinds, values: [posting]}]\n", r'slos\[1\]\.select\[0\]\.label: moneypath_ledger_writes_total has no label "kinds", did you mean "kind"'),
        (BASE + EVENTS + "    select: [{label: kind, values: [postings]}]\n", r'slos\[1\]\.select\[0\]\.values\[0\]: kind is never "postings"'),
        (BASE + EVENTS + "    select: [{label: outcome, values: [failed]}]\n", r"slos\[1\]\.select\[0\]\.label: outcome tells good from bad, so it selects nothing"),
        (BASE + "telemetry: {exported: [moneypath_no_such]}\n", r'telemetry\.exported\[0\]: there is no metric "moneypath_no_such"'),
        (BASE + "outputs: {catalogue: catalogue.yaml}\n", r"outputs\.catalogue: .*ends in \.json"),
        (BASE.replace("providers: [{id: north}]\n", "").replace("kind: availability,", "kind: availability, bad_results: [technical_decline],"), r"slos\[0\]\.bad_results: results are counted by provider, and none is declared"),
    ],
)  # fmt: skip
def test_a_contradiction_is_said_with_what_is_allowed(text: str, expected: str) -> None:
    """With file and line."""
    with pytest.raises(
        DeclarationInvalid, match=rf"moneypath\.yaml:\d+: .*{expected}|moneypath\.yaml:\d+: {expected}"
    ):
        declared(text)


def test_a_role_has_one_pattern_wherever_it_is_named() -> None:
    """Declared, in a runbook and in a drill: what one of them takes, the others take."""

    def takes(check: Any, value: str) -> bool:
        try:
            TypeAdapter(check).validate_python(value)
        except ValidationError:
            return False
        return True

    def metadata(model: type[BaseModel], field: str) -> Any:
        return model.model_fields[field].metadata

    assert takes(RoleId, "on-call")
    assert takes(RoleId, "risk_desk")
    assert not takes(RoleId, "Eng")
    assert not takes(RoleId, "a|b")
    expected = metadata(ExpectedPage, "role")
    assert expected
    assert metadata(FrontMatter, "owner_role") == metadata(Communication, "role") == expected
    for model, field in ((FrontMatter, "roles"), (Scenario, "responders"), (MoneyPath, "roles")):
        assert get_args(model.model_fields[field].annotation)[0] == RoleId
