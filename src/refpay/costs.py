"""Cost of captured payments and of provisioned capacity, in integers and exact fractions, never floats.

Cost per transaction is all cost divided by all captured payments: their fees, and the price of the
provisioned capacity for the time that passed, idle or not. A capture that is refunded later keeps its fee.
"""

from fractions import Fraction
from pathlib import Path
from typing import Annotated, Final, Literal, Self, TypeVar

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationError, model_validator

from refpay.errors import InvariantViolation, StartRefused
from refpay.money import EXPONENTS, Currency
from refpay.settings import PROVIDER_NAMES, read_bounded

METHOD: Final = "card"
_MAXIMUM_BYTES: Final = 256 * 1024
_MICRO_UNITS: Final = 1_000_000

T = TypeVar("T")


def _each_currency(values: dict[str, T]) -> dict[str, T]:
    """Return one value for each currency of this service. The declaration may have more currencies."""
    missing = [currency.value for currency in Currency if currency.value not in values]
    if missing:
        raise ValueError(f"is missing: {', '.join(missing)}")
    return {currency.value: values[currency.value] for currency in Currency}


def _above_zero(decimal: str) -> str:
    if not Fraction(decimal):
        raise ValueError("allowed: above 0")
    return decimal


_Text = Annotated[str, Field(min_length=1)]
_Whole = Annotated[int, Field(ge=0, le=10**12)]
_Decimal = Annotated[str, Field(max_length=20, pattern=r"^[0-9]+(\.[0-9]+)?$"), AfterValidator(_above_zero)]


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True, frozen=True)


class Provisioned(_Strict):
    """Capacity that is paid for by the hour, in micro-units of the reporting currency."""

    component: Literal["compute", "database", "messaging", "telemetry"]
    title: _Text
    micro_units_per_hour: _Whole


class Fee(_Strict):
    """The fee of a provider for one captured payment. `fixed_minor` is in the payment's currency."""

    provider: _Text
    method: _Text
    basis_points: Annotated[int, Field(ge=0, le=10_000)]
    fixed_minor: Annotated[dict[str, _Whole], AfterValidator(_each_currency)]


class _Rates(_Strict):
    as_of: _Text
    to_reporting: Annotated[dict[str, _Decimal], AfterValidator(_each_currency)]


class CostModel(_Strict):
    """Fees by provider and method, provisioned capacity, and exchange rates."""

    version: Literal[1]
    reporting_currency: _Text
    provider_fees: Annotated[list[Fee], Field(min_length=1)]
    provisioned: Annotated[list[Provisioned], Field(min_length=1)]
    rates: _Rates

    @classmethod
    def load(cls, file: Path) -> Self:
        """Read the generated file.

        Raises StartRefused with one sentence that names file and key, also if a provider, method or currency
        of this service has no fee or no rate.
        """
        text = read_bounded(file, "costs file", _MAXIMUM_BYTES)
        try:
            return cls.model_validate_json(text)
        except ValidationError as problem:
            first = problem.errors(include_url=False)[0]
            place = "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in first["loc"])
            said = f"{place[1:] or 'content'}: {first['msg']}; it is generated: run `moneypath generate`"
            raise StartRefused(f"costs file is not usable: {file}: {said}") from problem

    @model_validator(mode="after")
    def _require_fees(self) -> Self:
        priced = [(fee.provider, fee.method) for fee in self.provider_fees]
        if len(set(priced)) < len(priced):
            raise ValueError("provider_fees: a provider has two fees for one method")
        for provider in PROVIDER_NAMES:
            if (provider, METHOD) not in priced:
                raise ValueError(f"provider_fees: no fee of provider {provider} for method {METHOD}")
        return self

    def fee_minor(self, provider: str, method: str, currency: str, amount_minor: int) -> int:
        """Return the fee of a captured payment in minor units: fixed, plus basis points rounded half up.

        The acquirers use the same formula: fixed + (amount * basis_points + 5000) // 10000.
        """
        agreed = [fee for fee in self.provider_fees if (fee.provider, fee.method) == (provider, method)]
        if not agreed or currency not in agreed[0].fixed_minor or amount_minor < 0:
            raise InvariantViolation(f"no fee: {provider} {method} {currency} {amount_minor}")
        return agreed[0].fixed_minor[currency] + (amount_minor * agreed[0].basis_points + 5000) // 10_000

    def to_micro_units(self, currency: str, minor_units: int) -> int:
        """Return money in micro-units of the reporting currency.

        Halves are rounded up, towards the greater number.
        """
        return _round(minor_units * self._worth(currency) * _MICRO_UNITS)

    def exchange(self, currency: str, minor_units: int, into: str) -> int:
        """Return money in minor units of another currency, rounded in the same way."""
        return _round(minor_units * self._worth(currency) / self._worth(into))

    def _worth(self, currency: str) -> Fraction:
        if currency not in self.rates.to_reporting:
            raise InvariantViolation(f"no exchange rate: {currency}")
        return Fraction(self.rates.to_reporting[currency]) / Fraction(10 ** EXPONENTS[Currency(currency)])


def _round(exact: Fraction) -> int:
    return (2 * exact.numerator + exact.denominator) // (2 * exact.denominator)
