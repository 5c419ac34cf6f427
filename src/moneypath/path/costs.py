"""The cost model: provider fees, capacity by the hour, exchange rates, and the generated costs file.

Services read the generated file, not the declaration.
"""

import json
import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from datetime import date
from decimal import Decimal
from fractions import Fraction
from typing import Annotated, Final

from pydantic import BeforeValidator, Field

from moneypath.path.parts import CurrencyCode, Declared, SnakeId, Title
from moneypath.path.problems import DeclarationIssue, Location, suggest
from moneypath.telemetry.catalogue.label_sets import OPTIONAL_LABEL_SETS
from moneypath.telemetry.catalogue.vocabulary import CostComponent

FORMAT_VERSION: Final = 1
METHODS: Final = OPTIONAL_LABEL_SETS["methods"]
PROVISIONED: Final = tuple(one for one in CostComponent if one is not CostComponent.PROVIDER_FEE)

CARD: Final = "card"
_MICRO_UNITS: Final = 1_000_000


def _exact(whole: int, decimals: int) -> BeforeValidator:
    pattern = re.compile(rf"[0-9]{{1,{whole}}}(\.[0-9]{{1,{decimals}}})?")

    def read(value: object) -> Decimal:
        # A ValueError even for a wrong type: pydantic makes problems of nothing else.
        if not isinstance(value, str) or not pattern.fullmatch(value):
            raise ValueError("should be a decimal in quotes, which is kept exactly")
        return Decimal(value)

    return BeforeValidator(read)


# Six decimals: the price of an hour is a whole number of micro-units.
Price = Annotated[
    Decimal,
    _exact(6, 6),
    Field(gt=0, description='a decimal in quotes above 0 with at most 6 decimals, such as "0.192"'),
]
Rate = Annotated[
    Decimal,
    _exact(6, 12),
    Field(gt=0, description='a decimal in quotes above 0 with at most 12 decimals, such as "0.92"'),
]
MinorUnits = Annotated[
    int, Field(ge=0, le=1_000_000, description="whole minor units of the currency, from 0 to 1000000")
]


class ProviderFee(Declared):
    """The fee of a provider for one captured payment: `fixed` plus `basis_points` of the amount."""

    provider: SnakeId = Field(description="the id of a provider")
    method: SnakeId = Field(description=f"a payment method: {', '.join(METHODS)}")
    basis_points: int = Field(ge=0, le=10_000, description="hundredths of a percent, whole, 0 to 10000")
    fixed: dict[CurrencyCode, MinorUnits] = Field(
        min_length=1, max_length=40, description="minor units a payment, for each currency"
    )


class Provisioned(Declared):
    """Capacity that is paid for by the hour, used or not; the price is in the reporting currency."""

    component: CostComponent = Field(description=", ".join(PROVISIONED))
    title: Title
    price_per_hour: Price


class Rates(Declared):
    """Exchange rates of one day: what one major unit of a currency is worth in the reporting currency."""

    as_of: date = Field(description="a date, such as 2026-11-20")
    source: Title
    to_reporting: dict[CurrencyCode, Rate] = Field(
        min_length=1, max_length=40, description="a decimal in quotes for each currency"
    )


class Costs(Declared):
    """Everything that a captured payment costs."""

    provider_fees: tuple[ProviderFee, ...] = Field(min_length=1, max_length=100)
    provisioned: tuple[Provisioned, ...] = Field(min_length=1, max_length=50)
    rates: Rates


def cost_issues(
    costs: Costs, *, providers: Sequence[str], currencies: Iterable[str], reporting_currency: str
) -> Iterator[DeclarationIssue]:
    """Yield contradictions within the costs, and between them and the rest of the declaration."""
    known = tuple(currencies)
    yield from _fee_issues(costs.provider_fees, providers, known)
    titles: set[str] = set()
    for index, one in enumerate(costs.provisioned):
        at: Location = ("costs", "provisioned", index)
        if one.component not in PROVISIONED:
            what = f'"{one.component}" is no capacity, it follows from provider_fees'
            yield DeclarationIssue((*at, "component"), what, ", ".join(PROVISIONED))
        if one.title in titles:
            yield DeclarationIssue((*at, "title"), f'"{one.title}" stands twice', "each once")
        titles.add(one.title)
    rates = ("costs", "rates", "to_reporting")
    yield from _currency_issues(rates, costs.rates.to_reporting, known, "rate")
    own = costs.rates.to_reporting.get(reporting_currency)
    if own is not None and own != 1:
        what = f"{own} is not what the reporting currency is worth in itself"
        yield DeclarationIssue((*rates, reporting_currency), what, '"1"')


def fee_micro_units(costs: Costs | None, exponents: Mapping[str, int]) -> Callable[[str, str, int], int]:
    """Return what a provider takes for one capture, by provider, currency and minor units of the capture.

    The fee is in micro-units of the reporting currency: fixed, plus basis points rounded half up to whole
    minor units, then exchanged at the declared rate and rounded again. Without costs there is none.
    `exponents` are the currencies'.
    """
    if costs is None:
        return lambda _provider, _currency, _captured: 0
    to_reporting = costs.rates.to_reporting
    fees = {fee.provider: fee for fee in costs.provider_fees if fee.method == CARD}

    def fee_of(provider: str, currency: str, captured_minor: int) -> int:
        fee = fees[provider]
        minor = fee.fixed[currency] + (captured_minor * fee.basis_points + 5_000) // 10_000
        rate = Fraction(to_reporting[currency])
        exact = minor * rate * _MICRO_UNITS / Fraction(10) ** exponents[currency]
        return (2 * exact.numerator + exact.denominator) // (2 * exact.denominator)

    return fee_of


def write_costs(costs: Costs, *, reporting_currency: str) -> str:
    """Return the generated file's JSON: integers, and decimals as text."""
    content = {
        "version": FORMAT_VERSION,
        "reporting_currency": reporting_currency,
        "provider_fees": [
            {
                "provider": fee.provider,
                "method": fee.method,
                "basis_points": fee.basis_points,
                "fixed_minor": dict(fee.fixed),
            }
            for fee in costs.provider_fees
        ],
        "provisioned": [
            {
                "component": one.component.value,
                "title": one.title,
                "micro_units_per_hour": int(one.price_per_hour * _MICRO_UNITS),
            }
            for one in costs.provisioned
        ],
        "rates": {
            "as_of": costs.rates.as_of.isoformat(),
            "to_reporting": {code: f"{rate:f}" for code, rate in costs.rates.to_reporting.items()},
        },
    }
    return json.dumps(content, indent=2, ensure_ascii=False) + "\n"


def _fee_issues(
    fees: Sequence[ProviderFee], providers: Sequence[str], currencies: Sequence[str]
) -> Iterator[DeclarationIssue]:
    seen: set[tuple[str, str]] = set()
    for index, fee in enumerate(fees):
        at: Location = ("costs", "provider_fees", index)
        yield from _known((*at, "provider"), fee.provider, providers, "provider")
        yield from _known((*at, "method"), fee.method, METHODS, "method")
        if (fee.provider, fee.method) in seen:
            yield DeclarationIssue(
                at, f'the fee of "{fee.provider}" for "{fee.method}" stands twice', "each once"
            )
        seen.add((fee.provider, fee.method))
        yield from _currency_issues((*at, "fixed"), fee.fixed, currencies, "fixed fee")
    for provider in providers:
        for method in METHODS:
            if (provider, method) not in seen:
                what = f'there is no fee of provider "{provider}" for method "{method}"'
                yield DeclarationIssue(("costs", "provider_fees"), what, "one for each provider and method")


def _currency_issues(
    at: Location, given: Iterable[str], currencies: Sequence[str], kind: str
) -> Iterator[DeclarationIssue]:
    names = tuple(given)
    for name in names:
        yield from _known((*at, name), name, currencies, "currency")
    for currency in currencies:
        if currency not in names:
            yield DeclarationIssue(
                at, f'there is no {kind} for currency "{currency}"', "one for each currency"
            )


def _known(at: Location, name: str, names: Sequence[str], kind: str) -> Iterator[DeclarationIssue]:
    if name not in names:
        yield DeclarationIssue(
            at, f'there is no {kind} "{name}"{suggest(name, names)}', ", ".join(sorted(names))
        )
