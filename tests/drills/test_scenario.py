"""A drill file that cannot work is refused with file, line and key before anything is started."""

import re
from collections.abc import Callable
from pathlib import Path

import pytest

from moneypath.drills.scenario import load_scenario
from moneypath.path.source import DeclarationInvalid, DeclarationIssues

DRILL = Path(__file__).parents[2] / "drills" / "drill-002-partial-provider-outage.yaml"
HARD_DOWN = DRILL.with_name("drill-031-hard-down.yaml")


def test_the_drill_of_the_house_loads() -> None:
    """The committed drill is sound; its canary uses the range that the fault hits."""
    scenario = load_scenario(DRILL)
    assert scenario.card_range == "411111"
    assert scenario.expect.pages[0].within == 600


def test_where_the_target_tells_the_canary_stays_out_of_it() -> None:
    """The canary of the card-testing drill pays with a range of honest buyers, not with the tested one."""
    scenario = load_scenario(DRILL.with_name("drill-017-card-testing.yaml"))
    hit = {each for step in scenario.timeline if step.params for each in step.params.card_ranges}
    assert hit == {"421234"}
    assert scenario.card_range in set(scenario.load.card_ranges) - hit


@pytest.mark.parametrize("file", sorted(DRILL.parent.glob("drill-*.yaml")), ids=lambda file: file.stem)
def test_a_silent_provider_tells_nothing_by_itself_either(file: Path) -> None:
    """Where a drill wants outcomes to be unknown, the webhooks of just those payments are lost, and first."""
    steps = [step for step in load_scenario(file).timeline if step.fault]
    lost = [step for step in steps if step.fault == "provider.webhook_lost"]
    silent = [step for step in steps if step.fault in ("provider.drop", "provider.hang")]
    for step in silent:
        assert any(
            each.params is not None
            and step.params is not None
            and (each.target, each.at) == (step.target, step.at)
            and (each.params.rate, each.params.card_ranges) == (step.params.rate, step.params.card_ranges)
            and steps.index(each) < steps.index(step)
            for each in lost
        ), step.id
    assert bool(silent) == (file in (DRILL, HARD_DOWN))


BROKEN: list[tuple[str, Callable[[str], str], str]] = [
    ("unknown key", lambda t: t.replace("mode: ci", "mode: ci\nspeed: 3"), "speed"),
    ("missing key", lambda t: t.replace("mode: ci\n", ""), "mode"),
    ("other mode", lambda t: t.replace("mode: ci", "mode: chaos"), "mode"),
    ("scale too high", lambda t: t.replace("scale: 60", "scale: 600"), "clock.scale"),
    ("duration without unit", lambda t: t.replace("within: 9m", "within: 9"), "within"),
    ("rate above one", lambda t: t.replace("rate: 0.2", "rate: 1.2"), "rate"),
    ("unknown fault", lambda t: t.replace("provider.refuse", "explode"), "fault"),
    ("end of what never began", lambda t: t.replace("end: [north-refuses,", "end: [south-refuses,"), "end"),
    (
        "entry that does nothing",
        lambda t: re.sub(r"end: \[north-refuses, .*\]", "end: []", t),
        "timeline",
    ),
    ("id used twice", lambda t: t.replace("id: north-does-not-answer", "id: north-refuses"), "north-refuses"),
    ("nobody follows", lambda t: t.replace(", follows: partial-provider-outage", ""), "responders"),
    (
        "another runbook",
        lambda t: t.replace("follows: partial-provider-outage", "follows: ledger-imbalance"),
        "follows",
    ),
    (
        "one who acts and approves",
        lambda t: t.replace(
            "follows: partial-provider-outage", "follows: partial-provider-outage, approves: true"
        ),
        "approves",
    ),
    ("responder without page", lambda t: t.replace("  eng: {ack_after", "  support: {ack_after"), "support"),
    (
        "expectation outside the grammar",
        lambda t: t.replace('expect: {any: "> 0.2"}', 'expect: {any: "big"}'),
        "expect",
    ),
    ("lease too long", lambda t: t.replace("fault_ttl: 10s", "fault_ttl: 10m"), "fault_ttl"),
    ("no weights", lambda t: re.sub(r"weights: .*", "weights: {}", t), "weights"),
    ("no card ranges", lambda t: t.replace('{"411111": 7, "550000": 3}', "{}"), "card_ranges"),
    (
        "a parameter that the fault has not",
        lambda t: t.replace("params: {rate: 0.2,", "params: {rate: 0.2, what: amount,"),
        "provider.refuse has no such parameter",
    ),
    (
        "a parameter that is missing",
        lambda t: t.replace("fault: provider.refuse", "fault: provider.hang"),
        "provider.hang needs `latency`",
    ),
    (
        "a provider's fault without provider",
        lambda t: t.replace("    target: north\n    params: {rate: 0.2", "    params: {rate: 0.2"),
        "needs a `target`",
    ),
    (
        "traffic at a provider",
        lambda t: t.replace("provider.refuse", "traffic.card_testing"),
        "needs a `target`",
    ),
    (
        "an effect that nobody can tell",
        lambda t: re.sub(
            r"timeline:\n.*?  - at: 34m",
            "effective_when: target_hit\ntimeline:\n  - at: 0s\n    id: north-refuses\n"
            "    fault: traffic.card_testing\n    params: {card_ranges: ['411111'], per_second: 5}\n"
            "  - at: 0s\n    id: north-does-not-answer\n"
            "    fault: traffic.card_testing\n    params: {card_ranges: ['411111'], per_second: 5}\n"
            "  - at: 34m",
            t,
            flags=re.S,
        ),
        "effective_when",
    ),
    (
        "harm that the fault ends by itself",
        lambda t: t.replace("within: 22m", "within: 23m"),
        "expect.harm.within",
    ),
    (
        "fault that ends before the repair can show",
        lambda t: t.replace("at: 34m", "at: 12m"),
        "too little of the fault's 12 min",
    ),
    ("harm that one sample ends", lambda t: t.replace("      for: 5m\n", ""), "has `evidence` without `for`"),
    (
        "harm whose end need not last",
        lambda t: re.sub(
            r"    expect:\n      value: (.*)\n      for: .*\n      evidence: .*\n",
            r"    expect: {value: \1}\n",
            t,
        ),
        "says nothing of how long harm stays over",
    ),
    (
        "steady state that holds twice",
        lambda t: t.replace(
            'expect: {value: "<= 0.001"}',
            'expect: {value: "<= 0.001", for: 5m, evidence: {min: 1, query: a_total}}',
        ),
        "has no `for` and `evidence` here",
    ),
    (
        "page that no alert sends",
        lambda t: re.sub(r"\{alert: MoneyPathAuthorizationBudgetBurn, role: eng, ", "{role: eng, ", t),
        "expect.pages[0].alert",
    ),
    (
        "page of an alert that nobody expects",
        lambda t: t.replace(
            "{alert: MoneyPathAuthorizationBudgetBurn, role: eng", "{alert: MoneyPathFraudSpike, role: eng"
        ),
        "MoneyPathFraudSpike is not expected to fire",
    ),
    ("page twice", lambda t: t.replace("role: ops, within: 10m", "role: eng, within: 10m"), "stands twice"),
    (
        "alert that must not fire and may",
        lambda t: t.replace("    - MoneyPathFraudSpike\n", "    - MoneyPathIndeterminateUnresolved\n"),
        "is expected or allowed to fire",
    ),
    (
        "no word about objectives",
        lambda t: re.sub(r"  harmed_objectives: .*\n", "", t),
        "expect.harmed_objectives",
    ),
    ("harm without words", lambda t: t.replace("    title: share of new payments that fail\n", ""), "title"),
    ("weight of an unknown part", lambda t: t.replace("quiet: 1", "luck: 1"), "luck"),
]


@pytest.mark.parametrize(("name", "spoil", "key"), BROKEN, ids=[case[0] for case in BROKEN])
def test_each_mistake_names_file_line_and_key(
    tmp_path: Path, name: str, spoil: Callable[[str], str], key: str
) -> None:
    """Every refusal stands as file:line: key, and the text differs from the sound one."""
    text = DRILL.read_text(encoding="utf-8")
    assert spoil(text) != text, name
    file = tmp_path / "drill-900-broken.yaml"
    file.write_text(spoil(text), encoding="utf-8")
    with pytest.raises(DeclarationInvalid) as caught:
        load_scenario(file)
    first = str(caught.value).splitlines()[0]
    assert first.startswith(f"{file}:"), first
    assert key in str(caught.value), str(caught.value)


def test_a_drill_runs_at_another_scale() -> None:
    """Only the clock changes; what is written in production time stays."""
    scenario = load_scenario(HARD_DOWN)
    in_production = scenario.at_scale(1)
    assert in_production.clock.model_dump() == {"scale": 1, "seed": scenario.clock.seed}
    assert in_production.expect == scenario.expect
    assert in_production.at_scale(scenario.clock.scale) == scenario


def test_a_scale_at_which_the_times_do_not_fit_is_refused() -> None:
    """At scale 60 harm cannot stay over for less than five real seconds, which are five minutes there."""
    with pytest.raises(DeclarationIssues) as caught:
        load_scenario(HARD_DOWN).at_scale(60)
    assert [issue.location for issue in caught.value.issues] == [("expect", "harm", "within")]


def test_a_fault_that_no_payment_shows_needs_the_word_of_its_target(tmp_path: Path) -> None:
    """A wrong line in a report harms nobody who pays: a canary would wait for ever."""
    text = DRILL.with_name("drill-012-settlement-mismatch.yaml").read_text(encoding="utf-8")
    file = tmp_path / "drill-012-of-tests.yaml"
    file.write_text(text.replace("effective_when: target_hit\n", ""), encoding="utf-8")
    with pytest.raises(DeclarationInvalid, match="needs a fault that a payment meets"):
        load_scenario(file)
