"""A mutation that survives is named, unless a reason covers it; a reason that covers nothing is named too."""

from pathlib import Path

import pytest

from mutation import Mutant, Reason, ReasonsInvalid, changed_lines, parse_results, read_reasons, show

RESULTS = """
    moneypath.drills.scoring.x_score__mutmut_1: killed
    moneypath.drills.scoring.x_score__mutmut_2: survived
    moneypath.oracle.claims.x_claim__mutmut_1: no tests
    moneypath.oracle.claims.x_claim__mutmut_2: timeout
"""


def reason(tmp_path: Path, module: str, line: str) -> Reason:
    """Return one reason, as its file has it."""
    file = tmp_path / "reasons.yaml"
    file.write_text(f"- {{module: '{module}', line: '{line}', reason: as it is}}\n")
    (only,) = read_reasons(file)
    return only


def test_each_survivor_is_counted_and_named() -> None:
    """What no test runs has survived as well; a mutant that never ends is noticed."""
    report, complete = show(parse_results(RESULTS), ())
    assert not complete
    assert [line.split() for line in report.splitlines()[1:4]] == [
        ["moneypath.drills.scoring", "2", "1", "0", "1", "50.0%"],
        ["moneypath.oracle.claims", "2", "1", "0", "1", "50.0%"],
        ["all", "4", "2", "0", "2", "50.0%"],
    ]
    assert "x_score__mutmut_2: survived" in report
    assert "x_claim__mutmut_1: no tests" in report
    assert "x_score__mutmut_1" not in report


def test_mutants_that_were_not_run_are_open_and_not_named() -> None:
    """After a run of some modules the others are counted, and no reason covers what nobody tried."""
    unrun = [
        Mutant(f"moneypath.oracle.claims.x_claim__mutmut_{number}", "not checked") for number in range(3)
    ]
    report, complete = show([*parse_results(RESULTS)[:1], *unrun], ())
    assert not complete
    assert report.splitlines()[2].split() == ["moneypath.oracle.claims", "3", "0", "0", "3", "0.0%"]
    assert report.endswith("3 mutants were not run\n")
    assert "mutmut_2" not in report


@pytest.mark.parametrize(
    ("module", "line", "covered"),
    [
        (r"moneypath\.drills\..*", "XX", True),
        (r"moneypath\.drills\.scoring", "source=None", False),
        ("moneypath", "XX", False),
        (r"moneypath\.oracle\..*", "XX", False),
    ],
)
def test_a_reason_covers_its_module_and_line_alone(
    tmp_path: Path, module: str, line: str, covered: bool
) -> None:
    """A reason for one module would excuse another's hole."""
    survivor = Mutant("moneypath.drills.scoring.x_score__mutmut_2", "survived", ('say("XXoverXX")',))
    report, complete = show([survivor], [reason(tmp_path, module, line)])
    assert complete is covered
    assert ("no survivor has this reason any more: as it is" in report) is not covered


def test_what_a_mutant_has_instead_is_read_from_its_difference() -> None:
    """Neither the file's name nor what was there before."""
    diff = "--- a.py\n+++ a.py\n@@ -1,2 +1,2 @@\n-    return a < b\n+    return a <= b\n     pass"
    assert changed_lines(diff) == ("return a <= b",)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("- {module: a, line: b}\n", "entry 1 needs line, module, reason"),
        ("- {module: a, line: '(', reason: c}\n", "entry 1: '(' is no pattern"),
        ("- word\n", "entry 1 needs"),
    ],
)
def test_a_reason_that_is_none_is_refused(tmp_path: Path, text: str, words: str) -> None:
    """The sentence names the file and the entry."""
    file = tmp_path / "reasons.yaml"
    file.write_text(text)
    with pytest.raises(ReasonsInvalid) as refused:
        read_reasons(file)
    assert str(file) in str(refused.value)
    assert words in str(refused.value)
