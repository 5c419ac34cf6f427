"""The cost model of moneypath.yaml, and the file that services read."""

import copy
import json
from pathlib import Path
from typing import Any

import pytest
import yaml

from moneypath.path.costs import write_costs
from moneypath.path.loader import load
from moneypath.path.model import MoneyPath
from moneypath.path.source import DeclarationInvalid, parse_yaml


def written(path: MoneyPath) -> Any:
    """Return the generated file's content."""
    assert path.costs is not None
    return json.loads(write_costs(path.costs, reporting_currency=path.reporting_currency))


def refusal(document: Any) -> str:
    """Return what is said about a declaration that must be refused."""
    with pytest.raises(DeclarationInvalid) as caught:
        parse_yaml(yaml.safe_dump(document, sort_keys=False), MoneyPath, file="moneypath.yaml")
    return caught.value.what


def test_the_committed_file_is_what_the_declaration_yields(declaration_file: Path) -> None:
    """Services read the costs of this declaration, not of an older one."""
    path = load(declaration_file)
    committed = (declaration_file.parent / path.outputs.costs).read_text(encoding="utf-8")
    assert path.costs is not None
    assert write_costs(path.costs, reporting_currency=path.reporting_currency) == committed


def test_prices_are_whole_micro_units_and_rates_stay_text(declaration_file: Path) -> None:
    """0.192 an hour is 192000 micro-units; 0.0061 never passes through a float."""
    content = written(load(declaration_file))
    assert (content["version"], content["reporting_currency"]) == (1, "EUR")
    north = {"EUR": 10, "USD": 11, "JPY": 16, "KWD": 35}
    fee = {"provider": "north", "method": "card", "basis_points": 140, "fixed_minor": north}
    assert content["provider_fees"][0] == fee
    prices = {one["component"]: one["micro_units_per_hour"] for one in content["provisioned"]}
    assert prices == {"compute": 192_000, "database": 310_000, "messaging": 60_000, "telemetry": 45_000}
    rates = {"EUR": "1", "USD": "0.92", "JPY": "0.0061", "KWD": "3.01"}
    assert content["rates"] == {"as_of": "2026-11-20", "to_reporting": rates}


@pytest.mark.parametrize("rate", ["0.000000000001", "100000", "999999.999999999999"])
def test_no_rate_is_written_with_an_exponent(declaration: str, rate: str) -> None:
    """What a person wrote as a decimal is a decimal in the file, however small or large."""
    text = declaration.replace('KWD: "3.01"', f'KWD: "{rate}"')
    content = written(parse_yaml(text, MoneyPath, file="moneypath.yaml"))
    assert content["rates"]["to_reporting"]["KWD"] == rate


@pytest.mark.parametrize(
    ("price", "micro"), [("0.000001", 1), ("0.192001", 192_001), ("999999.999999", 999_999_999_999)]
)
def test_no_price_is_rounded(declaration: str, price: str, micro: int) -> None:
    """The sixth decimal of an hour's price is a whole micro-unit."""
    text = declaration.replace('price_per_hour: "0.192"', f'price_per_hour: "{price}"')
    content = written(parse_yaml(text, MoneyPath, file="moneypath.yaml"))
    assert content["provisioned"][0]["micro_units_per_hour"] == micro


def test_every_provider_has_a_fee(declaration: str) -> None:
    """A provider without a fee would look free."""
    document = yaml.safe_load(declaration)
    del document["costs"]["provider_fees"][1]
    assert 'costs.provider_fees: there is no fee of provider "south" for method "card"' in refusal(document)


def test_a_fee_stands_once(declaration: str) -> None:
    """Of two fees for the same payment nobody knows which one holds."""
    document = yaml.safe_load(declaration)
    document["costs"]["provider_fees"].append(copy.deepcopy(document["costs"]["provider_fees"][0]))
    assert 'costs.provider_fees[2]: the fee of "north" for "card" stands twice' in refusal(document)


def test_a_new_currency_needs_fees_and_a_rate(declaration: str) -> None:
    """A currency that is declared is a currency that costs."""
    document = yaml.safe_load(declaration)
    document["currencies"]["CHF"] = 2
    said = refusal(document)
    assert said.count('there is no fixed fee for currency "CHF"') == 2
    assert 'there is no rate for currency "CHF"' in said


def test_a_component_may_have_several_prices(declaration: str) -> None:
    """Two kinds of machines are two lines of compute."""
    document = yaml.safe_load(declaration)
    more = {"component": "compute", "title": "Worker", "price_per_hour": "0.1"}
    document["costs"]["provisioned"].append(more)
    text = yaml.safe_dump(document, sort_keys=False)
    last = written(parse_yaml(text, MoneyPath, file="moneypath.yaml"))["provisioned"][-1]
    assert last == {"component": "compute", "title": "Worker", "micro_units_per_hour": 100_000}
