"""The tree of rules: what is generated, and what a dilation of time may change in it."""

import re
from pathlib import Path

import pytest
import yaml

from moneypath.alerting import analysis, render, rule_groups
from moneypath.alerting.errors import ScaleInvalid
from moneypath.alerting.generate import clamped, generate, write_live
from moneypath.alerting.rules import (
    AlertRule,
    LiteralKind,
    RuleLiteral,
    decimal_text,
    duration_text,
    fixed,
    hold,
    window,
)
from moneypath.alerting.timing import Scale
from moneypath.path.model import MoneyPath

from .conftest import RunTool

NUMBER = re.compile(r"(?<![\w.:])\d+(?:\.\d+)?(?:ms|s|m|h|d)?\b")
STRING = re.compile(r'"[^"]*"')


def outside_literals(money_path: MoneyPath, scale: Scale) -> object:
    """Return the rule file with every marked literal blotted out."""
    groups = rule_groups.build(money_path)
    document = render.document(groups, scale)
    for group, written in zip(groups, document["groups"], strict=True):
        written["interval"] = "interval"
        for rule, output in zip(group.rules, written["rules"], strict=True):
            pattern = re.escape(rule.expr.text(lambda _: "\0")).replace("\0", r"[0-9.a-z]+")
            assert re.fullmatch(pattern, output["expr"])
            output["expr"] = rule.expr.text(lambda literal: f"<{literal.kind}>")
            if isinstance(rule, AlertRule) and rule.hold:
                assert re.fullmatch(r"[0-9a-z]+", output["for"])
                output["for"] = f"<{rule.hold.kind}>"
    return document


def test_the_committed_files_are_what_the_declaration_yields(money_path: MoneyPath, root: Path) -> None:
    """The files under alerts/ are generated, complete, and nothing else lies there."""
    generated = generate(money_path)
    on_disk = {str(file.relative_to(root)) for file in (root / "alerts").rglob("*") if file.is_file()}
    assert on_disk == set(generated)
    for name, text in generated.items():
        assert (root / name).read_text(encoding="utf-8") == text, f"{name} differs, run `make generate`"


def test_generation_is_deterministic(money_path: MoneyPath) -> None:
    """The same declaration yields the same text, or a drift check would be noise."""
    assert generate(money_path) == generate(money_path)


def test_scaled_and_unscaled_rules_are_equal_outside_marked_literals(money_path: MoneyPath) -> None:
    """A dilation changes windows and ages, and nothing else."""
    assert outside_literals(money_path, Scale(1)) == outside_literals(money_path, Scale(60))


def test_scaled_and_unscaled_rules_do_differ(money_path: MoneyPath) -> None:
    """The comparison above compares two different files."""
    groups = rule_groups.build(money_path)
    assert render.rules(groups, Scale(1)) != render.rules(groups, Scale(60))


def test_every_number_in_an_expression_is_a_marked_literal(money_path: MoneyPath) -> None:
    """No literal hides in the text of an expression, where no dilation would find it."""
    for group in rule_groups.build(money_path):
        for rule in group.rules:
            text = "".join(part for part in rule.expr.parts if isinstance(part, str))
            assert not NUMBER.search(STRING.sub("", text)), text


def test_counts_and_shares_are_never_scaled() -> None:
    """Only windows, holds and ages shrink: an event is an event at any speed."""
    for mark, expected in (
        (LiteralKind.WINDOW, 60),
        (LiteralKind.HOLD, 60),
        (LiteralKind.AGE, 60),
        (LiteralKind.COUNT, 3600),
        (LiteralKind.FIXED, 3600),
    ):
        assert Scale(60).apply(RuleLiteral(mark, window(3600, "w").value, "x")) == expected


def test_a_window_never_shrinks_below_four_scrapes_and_says_so(money_path: MoneyPath) -> None:
    """One minute at scale 60 stays 5 s and is reported; one hour becomes one minute and is not."""
    assert Scale(60).apply(window(60, "short")) == 5
    lines = clamped(rule_groups.build(money_path), Scale(60))
    assert "window_60: 1m at scale 60 would be 1s, is kept at 5s" in lines
    assert not any("window_3600" in line for line in lines)
    assert clamped(rule_groups.build(money_path), Scale(1)) == ()


def test_a_hold_outlasts_the_start_of_prometheus_at_any_scale(money_path: MoneyPath) -> None:
    """Its first scrape comes up to 5 s and an interval after its rules, and a rate needs two."""
    assert Scale(60).apply(hold(15, "short")) == 10
    assert Scale(60).apply(hold(5, "shorter")) == 5, "never longer than in production"
    assert Scale(60).apply(hold(3600, "long")) == 60
    lines = clamped(rule_groups.build(money_path), Scale(60))
    assert "stale_hold: 15s at scale 60 would be 250ms, is kept at 10s" in lines
    assert all(
        alert.hold.kind is LiteralKind.HOLD
        for alert in rule_groups.alerts(rule_groups.build(money_path))
        if alert.hold
    )


@pytest.mark.parametrize("factor", [0, -1, 61])
def test_a_dilation_beyond_its_limits_is_refused(factor: int) -> None:
    """Scales under 1 and over 60 are refused with the allowed range."""
    with pytest.raises(ScaleInvalid, match="Use 1 to 60"):
        Scale(factor)


def test_numbers_carry_no_float_noise(money_path: MoneyPath) -> None:
    """99.9 % at a factor of 14.4 reads 0.0144, in the rules and their tests."""
    files = generate(money_path)
    assert "> 0.0144\n" in files["alerts/rules/moneypath.rules.yml"]
    for name, text in files.items():
        assert not re.search(r"\d\.\d*(?:0{7}|9{7})\d", text), name


@pytest.mark.parametrize(
    ("seconds", "text"), [(3600, "1h"), (300, "5m"), (90, "90s"), (5, "5s"), (0, "0s"), (0.5, "500ms")]
)
def test_durations_are_written_in_the_largest_unit(seconds: float, text: str) -> None:
    """Durations read the way people write them."""
    assert duration_text(fixed(0, "x").value + type(fixed(0, "x").value)(seconds)) == text


@pytest.mark.parametrize(("numerator", "text"), [(1, "0.333333333"), (3, "1"), (0, "0"), (30, "10")])
def test_decimals_are_exact_or_cut_at_nine_places(numerator: int, text: str) -> None:
    """A number without an end is cut, one with an end is written whole."""
    assert decimal_text(fixed(numerator, "x").value / 3) == text


def test_live_rules_are_valid_and_keep_the_names_of_production(
    money_path: MoneyPath, tmp_path: Path, promtool: RunTool
) -> None:
    """The live rule file passes promtool, evaluates each second, and records under unscaled names."""
    live = write_live(
        money_path,
        tmp_path / "run",
        Scale(60),
        pager_url="http://127.0.0.1:1",
        credentials_file=tmp_path / "t",
    )
    result = promtool("check", "rules", live.rule_file, cwd=tmp_path)
    assert result.returncode == 0, result.stdout + result.stderr
    document = yaml.safe_load(live.rule_file.read_text(encoding="utf-8"))
    assert {group["interval"] for group in document["groups"]} == {"1s"}
    names = {rule.get("record") for group in document["groups"] for rule in group["rules"]}
    assert "provider:authorization_bad:ratio_rate1h" in names
    assert "provider:authorization_bad:ratio_rate5m" in names
    assert "provider:authorization_bad:ratio_rate1m" in names


def test_the_analysis_reads_the_same_text_as_prometheus(money_path: MoneyPath) -> None:
    """What is analysed is the expression of the rule file, not another rendering of it."""
    groups = rule_groups.build(money_path)
    document = render.document(groups, Scale(1))
    for group, written in zip(groups, document["groups"], strict=True):
        for rule, output in zip(group.rules, written["rules"], strict=True):
            assert analysis.unscaled_text(rule.expr) == output["expr"]
