"""What a captured payment and an hour of capacity cost; integers and exact fractions, never a float.

Cost per transaction is all cost over all captured payments: the fees of the payments, and the price of the
provisioned capacity for the time that passed, idle or not. A capture that is refunded later keeps its fee.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Any, Final, Self

from refpay.errors import InvariantViolation, StartRefused
from refpay.money import EXPONENTS, Currency
from refpay.settings import PROVIDER_NAMES

METHOD: Final = "card"
_VERSION: Final = 1
_MAXIMUM_BYTES: Final = 256 * 1024
_COMPONENTS: Final = ("compute", "database", "messaging", "telemetry")
_BASIS_POINTS_MAXIMUM: Final = 10_000
_MICRO_UNITS: Final = 1_000_000
_WHOLE_MAXIMUM: Final = 10**12
_TEXT_MAXIMUM: Final = 20


@dataclass(frozen=True, slots=True)
class Fee:
    """What a provider takes for one captured payment; `fixed_minor` is in the payment's currency."""

    basis_points: int
    fixed_minor: Mapping[str, int]


@dataclass(frozen=True, slots=True)
class Provisioned:
    """Capacity that is paid for by the hour, in micro-units of the reporting currency."""

    component: str
    title: str
    micro_units_per_hour: int


@dataclass(frozen=True, slots=True)
class CostModel:
    """Fees by provider and method, provisioned capacity, and what currencies are worth."""

    reporting_currency: str
    fees: Mapping[tuple[str, str], Fee]
    provisioned: tuple[Provisioned, ...]
    # Micro-units of the reporting currency for one minor unit of a currency.
    rates: Mapping[str, Fraction]

    @classmethod
    def load(cls, file: Path) -> Self:
        """Read the generated file.

        Raises StartRefused with one sentence that names file and key, also for a provider, method or
        currency of this service that has no fee or no rate.
        """
        try:
            return cls._of(_parse(file))
        except _Unusable as problem:
            raise StartRefused(
                f"costs file is not usable: {file}: {problem}; it is generated: run `moneypath generate`"
            ) from problem

    @classmethod
    def _of(cls, content: object) -> Self:
        top = _keyed(content, "", ("version", "reporting_currency", "provider_fees", "provisioned", "rates"))
        if _whole(top["version"], "version", _VERSION) != _VERSION:
            raise _Unusable(f"version is {top['version']}, allowed: {_VERSION}")
        fees: dict[tuple[str, str], Fee] = {}
        for index, entry in enumerate(_items(top["provider_fees"], "provider_fees")):
            pair, fee = _fee(entry, f"provider_fees[{index}]")
            if pair in fees:
                raise _Unusable(f"provider_fees[{index}]: {' '.join(pair)} stands twice")
            fees[pair] = fee
        for provider in PROVIDER_NAMES:
            if (provider, METHOD) not in fees:
                raise _Unusable(f"provider_fees: no fee of provider {provider} for method {METHOD}")
        provisioned = tuple(
            _provisioned(entry, f"provisioned[{index}]")
            for index, entry in enumerate(_items(top["provisioned"], "provisioned"))
        )
        rates = _keyed(top["rates"], "rates", ("as_of", "to_reporting"))
        _text(rates["as_of"], "rates.as_of")
        worth = _by_currency(rates["to_reporting"], "rates.to_reporting")
        return cls(
            reporting_currency=_text(top["reporting_currency"], "reporting_currency"),
            fees=fees,
            provisioned=provisioned,
            rates={code: _rate(value, code) for code, value in worth.items()},
        )

    def fee_minor(self, provider: str, method: str, currency: str, amount_minor: int) -> int:
        """Return the fee of a captured payment in minor units: fixed, plus basis points rounded half up.

        The same formula as the acquirers', fixed + (amount * basis_points + 5000) // 10000.
        """
        fee = self.fees.get((provider, method))
        if fee is None or currency not in fee.fixed_minor or amount_minor < 0:
            raise InvariantViolation(f"no fee: {provider} {method} {currency} {amount_minor}")
        return fee.fixed_minor[currency] + (amount_minor * fee.basis_points + 5000) // 10_000

    def to_micro_units(self, currency: str, minor_units: int) -> int:
        """Return money in micro-units of the reporting currency; halves go up, towards the greater number."""
        rate = self.rates.get(currency)
        if rate is None:
            raise InvariantViolation(f"no exchange rate: {currency}")
        exact = minor_units * rate
        return (2 * exact.numerator + exact.denominator) // (2 * exact.denominator)


class _Unusable(Exception):
    """Which key, and what is wrong with it."""


def _parse(file: Path) -> object:
    try:
        with file.open("rb") as stream:
            content = stream.read(_MAXIMUM_BYTES + 1)
    except OSError as problem:
        raise _Unusable(f"cannot be read ({problem.strerror})") from problem
    if len(content) > _MAXIMUM_BYTES:
        raise _Unusable(f"is too large, allowed: {_MAXIMUM_BYTES} bytes")
    try:
        return json.loads(content)
    except (ValueError, RecursionError) as problem:
        raise _Unusable("is not JSON") from problem


def _fee(entry: object, at: str) -> tuple[tuple[str, str], Fee]:
    keyed = _keyed(entry, at, ("provider", "method", "basis_points", "fixed_minor"))
    fixed = _by_currency(keyed["fixed_minor"], f"{at}.fixed_minor")
    fee = Fee(
        _whole(keyed["basis_points"], f"{at}.basis_points", _BASIS_POINTS_MAXIMUM),
        {code: _whole(value, f"{at}.fixed_minor.{code}", _WHOLE_MAXIMUM) for code, value in fixed.items()},
    )
    return (_text(keyed["provider"], f"{at}.provider"), _text(keyed["method"], f"{at}.method")), fee


def _provisioned(entry: object, at: str) -> Provisioned:
    keyed = _keyed(entry, at, ("component", "title", "micro_units_per_hour"))
    component = _text(keyed["component"], f"{at}.component")
    if component not in _COMPONENTS:
        raise _Unusable(f"{at}.component is {component!r}, allowed: {', '.join(_COMPONENTS)}")
    price = _whole(keyed["micro_units_per_hour"], f"{at}.micro_units_per_hour", _WHOLE_MAXIMUM)
    return Provisioned(component, _text(keyed["title"], f"{at}.title"), price)


def _rate(value: object, code: str) -> Fraction:
    text = _text(value, f"rates.to_reporting.{code}")
    whole, _, decimals = text.partition(".")
    if len(text) > _TEXT_MAXIMUM or not (whole + decimals).isdecimal() or not text.isascii():
        raise _Unusable(f"rates.to_reporting.{code} is {text[:_TEXT_MAXIMUM]!r}, allowed: a decimal as text")
    rate = Fraction(f"{whole}.{decimals or 0}")
    if rate <= 0:
        raise _Unusable(f"rates.to_reporting.{code} is {text!r}, allowed: above 0")
    return rate * Fraction(_MICRO_UNITS, 10 ** EXPONENTS[Currency(code)])


def _by_currency(value: object, at: str) -> dict[str, Any]:
    """Return one value for each currency of this service; the declaration may know more of them."""
    if not isinstance(value, dict):
        raise _Unusable(f"{at} is not an object")
    for currency in Currency:
        if currency.value not in value:
            raise _Unusable(f"{at}.{currency} is missing, needed: {', '.join(Currency)}")
    return {currency.value: value[currency.value] for currency in Currency}


def _keyed(value: object, at: str, keys: tuple[str, ...]) -> dict[str, Any]:
    if not isinstance(value, dict):
        raise _Unusable(f"{at or 'content'} is not an object")
    wrong = set(value) ^ set(keys)
    if wrong:
        key = min(wrong)
        what = "is unknown" if key in value else "is missing"
        raise _Unusable(f"{at}{'.' if at else ''}{key} {what}, needed: {', '.join(keys)}")
    return value


def _items(value: object, at: str) -> list[object]:
    if not isinstance(value, list) or not value:
        raise _Unusable(f"{at} is not a list with at least one item")
    return value


def _text(value: object, at: str) -> str:
    if not isinstance(value, str) or not value:
        raise _Unusable(f"{at} is not text")
    return value


def _whole(value: object, at: str, most: int) -> int:
    if type(value) is not int or not 0 <= value <= most:
        raise _Unusable(f"{at} is not a whole number from 0 to {most}")
    return value
