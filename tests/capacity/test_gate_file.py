"""The gate file: the committed one is sound, and every mistake is named with file, line and key."""

from pathlib import Path

import pytest

from moneypath.capacity.gate_file import ALWAYS_REQUIRED, Gate, Measure, load_gate
from moneypath.path.model import MoneyPath
from moneypath.path.problems import DeclarationInvalid

from .changed_figures import GATE_FILE

PERIOD = 10_000
FOUR_MINUTES = 240.0
APPROVED = 0.97


def test_the_committed_gate_is_certain_to_see_one_loss_in_ten_thousand(path: MoneyPath) -> None:
    """At the least rate that is no excuse it posts over 10,000 times, and ends within four minutes."""
    gate, _ = load_gate(GATE_FILE, path)
    least = gate.load.checkouts_per_second * float(gate.limits.least_rate_ratio) * gate.duration * APPROVED
    assert least >= gate.limits.least_postings >= PERIOD
    assert gate.warm_up + gate.duration + gate.drain / 2 < FOUR_MINUTES


def test_every_measure_is_always_required_or_listed(path: MoneyPath) -> None:
    """None is forgotten, and what is always required cannot be made optional."""
    gate, _ = load_gate(GATE_FILE, path)
    assert {*gate.required, *gate.optional} == set(Measure) - ALWAYS_REQUIRED
    assert all(gate.requires(measure) for measure in ALWAYS_REQUIRED)
    assert not any(gate.requires(measure) for measure in gate.optional)


def test_the_objectives_are_those_of_the_declaration(path: MoneyPath) -> None:
    """Not second numbers beside them; and the alerts of every check are violations."""
    gate, objectives = load_gate(GATE_FILE, path)
    declared = {slo.id: slo for slo in path.slos}
    assert objectives.availability is declared[gate.objectives.availability]
    assert objectives.latency is declared[gate.objectives.authorization_latency]
    assert objectives.ledger_writes is declared[gate.objectives.ledger_write_success]
    assert objectives.within_seconds == 1.0
    assert objectives.violations == {check.alerts.violated for check in path.checks}


@pytest.mark.parametrize(
    ("old", "new", "words"),
    [
        ("scale: 60", "scale: 61", "scale"),
        ("checkouts_per_second: 60", "checkouts_per_second: 500", "load.checkouts_per_second"),
        ("duration: 185s", "duration: 185", "is not a duration"),
        ("duration: 185s", "duration: 1s", "duration"),
        ('least_rate_ratio: "0.95"', "least_rate_ratio: 0.95", "a decimal in quotes"),
        ("availability: authorization-availability", "availability: uptime", "authorization-availability"),
        ("authorization_latency: authorization-latency", "authorization_latency: x", "authorization-latency"),
        ("write_success: ledger-write-success", "write_success: ledger-write-succes", "did you mean"),
        ("write_success: ledger-write-success", "write_success: authorization-latency", "of this kind"),
        ('"411111": 6', '"311111": 6', "load.card_ranges"),
        ("  - ledger_durability\n", "", "ledger_durability is neither required nor optional"),
        ("  - ledger_durability", "  - ledger_durability\n  - availability", "availability stands twice"),
        ("  - ledger_durability", "  - ledger_durability\n  - oracle", "oracle is always required"),
        ("seed: 1", "sed: 1", "did you mean"),
    ],
)
def test_a_mistake_is_named(
    path: MoneyPath, gate_text: str, tmp_path: Path, old: str, new: str, words: str
) -> None:
    """One sentence that says where and what."""
    assert gate_text.count(f"\n{old}") == 1 or gate_text.count(old) == 1, old
    file = tmp_path / "gate.yaml"
    file.write_text(gate_text.replace(old, new), encoding="utf-8")
    with pytest.raises(DeclarationInvalid) as refused:
        load_gate(file, path)
    assert words in refused.value.what
    assert refused.value.what.startswith(f"{file}:")


def test_an_objective_that_is_not_declared_is_named_at_its_line(
    path: MoneyPath, gate_text: str, tmp_path: Path
) -> None:
    """The line of the key, not of the file."""
    file = tmp_path / "gate.yaml"
    file.write_text(gate_text.replace("availability: authorization-", "availability: "), encoding="utf-8")
    line = next(n for n, text in enumerate(gate_text.splitlines(), 1) if "availability: auth" in text)
    with pytest.raises(DeclarationInvalid) as refused:
        load_gate(file, path)
    assert refused.value.what.startswith(f"{file}:{line}: objectives.availability:")


def test_the_plan_is_a_ceiling(gate: Gate) -> None:
    """The load generator cannot send more than the budgets are computed from."""
    assert gate.planned_checkouts >= gate.load.checkouts_per_second * gate.duration
