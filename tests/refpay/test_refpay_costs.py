"""What a captured payment costs: exact in every currency, refused when the file is not as it should be."""

import asyncio
import json
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from decimal import ROUND_FLOOR, Decimal
from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import pytest_asyncio
from hypothesis import given, settings
from hypothesis import strategies as st

import refpay
from moneypath.path.costs import fee_micro_units
from moneypath.path.loader import FILE_NAME, load
from moneypath.telemetry import Catalogue, setup
from refpay.clock import SystemClock
from refpay.costs import CostModel, Provisioned
from refpay.errors import InvariantViolation, StartRefused
from refpay.measures import WORKER_METRICS, ServiceMetrics
from refpay.money import EXPONENTS, MAXIMUM_MINOR, Currency
from refpay.worker.jobs import CapacityMeter
from refpay.worker.main import open_worker

if TYPE_CHECKING:
    from tests.refpay.conftest import Client, RefpayDb

    from refpay.settings import Settings

CATALOGUE = Path(refpay.__file__).with_name("catalogue.json")
COMMITTED = Path(refpay.__file__).with_name("costs.json")
COSTS = CostModel.load(COMMITTED)
DECLARED = load(Path(__file__).parents[2] / FILE_NAME)
FEE_OF = fee_micro_units(DECLARED.costs, DECLARED.currencies)
RATES = {"EUR": Decimal(1), "USD": Decimal("0.92"), "JPY": Decimal("0.0061"), "KWD": Decimal("3.01")}


@pytest.mark.parametrize(
    ("provider", "currency", "amount", "fee"),
    [
        ("north", "EUR", 1000, 24),  # 10 + 14
        ("south", "EUR", 1000, 27),  # 15 + 12
        ("north", "JPY", 1000, 30),
        ("north", "KWD", 12_345, 208),  # 35 + 172.83
        ("north", "USD", 25, 11),  # 0.35 rounds down
        ("north", "USD", 36, 12),  # 0.504 rounds up
        ("south", "EUR", 375, 20),  # 4.5: the half goes up
        ("south", "EUR", 0, 15),
    ],
)
def test_a_fee_is_fixed_plus_basis_points_half_up(
    provider: str, currency: str, amount: int, fee: int
) -> None:
    """To the minor unit, by hand."""
    assert COSTS.fee_minor(provider, "card", currency, amount) == fee


@given(amount=st.integers(0, MAXIMUM_MINOR), currency=st.sampled_from(Currency))
def test_fees_never_drift_however_large_the_amount(amount: int, currency: Currency) -> None:
    """The rounded fee is within half a minor unit of the exact one; a float would lose digits above 2^53."""
    fixed = {"EUR": 10, "USD": 11, "JPY": 16, "KWD": 35}[currency]
    fee = COSTS.fee_minor("north", "card", currency, amount)
    assert -5000 < (fee - fixed) * 10_000 - amount * 140 <= 5000


@given(amount=st.integers(0, MAXIMUM_MINOR), currency=st.sampled_from(Currency))
def test_micro_units_are_exact_and_halves_go_up(amount: int, currency: Currency) -> None:
    """Against decimal arithmetic with enough digits for every product."""
    exact = Decimal(amount) * RATES[currency] * 10**6 / 10 ** EXPONENTS[currency]
    assert COSTS.to_micro_units(currency, amount) == int(
        (exact + Decimal("0.5")).to_integral_value(ROUND_FLOOR)
    )


@given(
    amount=st.integers(0, MAXIMUM_MINOR),
    currency=st.sampled_from(Currency),
    provider=st.sampled_from(["north", "south"]),
)
def test_who_compares_the_metrics_expects_the_same_fee(
    amount: int, currency: Currency, provider: str
) -> None:
    """The comparison works the fee out from the declaration, in code of its own."""
    fee = COSTS.to_micro_units(currency, COSTS.fee_minor(provider, "card", currency, amount))
    assert FEE_OF(provider, currency, amount) == fee


@pytest.mark.parametrize(
    ("currency", "minor", "micro"),
    [("EUR", 24, 240_000), ("USD", 1, 9_200), ("JPY", 1, 6_100), ("KWD", 1, 3_010), ("EUR", -1, -10_000)],
)
def test_exponents_are_the_currencies_own(currency: str, minor: int, micro: int) -> None:
    """A yen has no decimals and a dinar three."""
    assert COSTS.to_micro_units(currency, minor) == micro


def test_a_half_micro_unit_goes_up(tmp_path: Path) -> None:
    """0.0000005 of the reporting currency is half a micro-unit."""
    content = json.loads(COMMITTED.read_text())
    content["rates"]["to_reporting"]["JPY"] = "0.0000005"
    costs = CostModel.load(write(tmp_path, content))
    assert [costs.to_micro_units("JPY", minor) for minor in (1, 2, 3, -1, -3)] == [1, 1, 2, 0, -1]


def test_what_has_no_price_is_refused() -> None:
    """Nothing is free by accident."""
    for arguments in (("west", "card", "EUR", 1), ("north", "cash", "EUR", 1), ("north", "card", "CHF", 1)):
        with pytest.raises(InvariantViolation):
            COSTS.fee_minor(*arguments)
    with pytest.raises(InvariantViolation):
        COSTS.fee_minor("north", "card", "EUR", -1)
    with pytest.raises(InvariantViolation):
        COSTS.to_micro_units("CHF", 1)
    for currencies in (("CHF", "EUR"), ("EUR", "CHF")):
        with pytest.raises(InvariantViolation):
            COSTS.exchange(currencies[0], 1, currencies[1])


@given(
    amount=st.integers(0, MAXIMUM_MINOR), currency=st.sampled_from(Currency), into=st.sampled_from(Currency)
)
def test_an_exchange_is_worth_the_same(amount: int, currency: Currency, into: Currency) -> None:
    """To half a minor unit, whatever decimals the currencies have."""
    found = COSTS.exchange(currency, amount, into)
    worth = [Fraction(RATES[one]) / 10 ** EXPONENTS[one] for one in (currency, into)]
    assert -1 < 2 * (found - amount * worth[0] / worth[1]) <= 1
    assert COSTS.exchange(currency, amount, currency) == amount


def write(folder: Path, content: Any) -> Path:
    """Write a costs file."""
    file = folder / "costs.json"
    file.write_text(content if isinstance(content, str) else json.dumps(content))
    return file


@pytest.mark.parametrize(
    ("place", "value", "said"),
    [
        (("version",), 2, "version: Input should be 1"),
        (("version",), 0, "version: Input should be 1"),
        (("provider_fees",), [], "provider_fees: List should have at least 1 item"),
        (
            ("provider_fees", 0, "basis_points"),
            1.4,
            "provider_fees[0].basis_points: Input should be a valid integer",
        ),
        (
            ("provider_fees", 0, "basis_points"),
            True,
            "provider_fees[0].basis_points: Input should be a valid integer",
        ),
        (
            ("provider_fees", 0, "fixed_minor", "EUR"),
            -1,
            "provider_fees[0].fixed_minor.EUR: Input should be greater",
        ),
        (
            ("provider_fees", 0, "fixed_minor"),
            {"EUR": 1},
            "provider_fees[0].fixed_minor: Value error, is missing: USD",
        ),
        (("provider_fees", 1, "provider"), "north", "provider_fees: a provider has two fees"),
        (("provider_fees", 1, "provider"), "west", "no fee of provider south for method card"),
        (("provisioned", 0, "component"), "coffee", "provisioned[0].component: Input should be 'compute'"),
        (
            ("provisioned", 0, "micro_units_per_hour"),
            "1",
            "provisioned[0].micro_units_per_hour: Input should be a valid integer",
        ),
        (("rates", "to_reporting", "USD"), 0.92, "rates.to_reporting.USD: Input should be a valid string"),
        (("rates", "to_reporting", "USD"), "1e3", "rates.to_reporting.USD: String should match pattern"),
        (("rates", "to_reporting", "USD"), "0.0", "rates.to_reporting.USD: Value error, allowed: above 0"),
        (("rates", "to_reporting"), [], "rates.to_reporting: Input should be an object"),
        (("discount",), 1, "discount: Extra inputs are not permitted"),
    ],
)
def test_a_wrong_file_is_one_sentence(
    tmp_path: Path, place: tuple[str | int, ...], value: object, said: str
) -> None:
    """It names the file, the key and how to make the file anew."""
    content: Any = json.loads(COMMITTED.read_text())
    inner = content
    for key in place[:-1]:
        inner = inner[key]
    inner[place[-1]] = value
    file = write(tmp_path, content)
    with pytest.raises(StartRefused) as caught:
        CostModel.load(file)
    assert said in caught.value.detail
    assert str(file) in caught.value.detail
    assert "moneypath generate" in caught.value.detail


@pytest.mark.parametrize(
    ("content", "said"), [("{", "Invalid JSON"), ("[" * 10_000, "Invalid JSON"), ("[]", "an object")]
)
def test_a_file_that_is_no_object_is_refused(tmp_path: Path, content: str, said: str) -> None:
    """Broken, absurdly deep, or something else."""
    with pytest.raises(StartRefused, match=said):
        CostModel.load(write(tmp_path, content))


def test_a_missing_or_huge_file_is_refused(tmp_path: Path) -> None:
    """With what the system says about it, or with the size that is allowed."""
    with pytest.raises(StartRefused, match="cannot be read"):
        CostModel.load(tmp_path / "none.json")
    with pytest.raises(StartRefused, match="too large"):
        CostModel.load(write(tmp_path, " " * (256 * 1024 + 1)))


def test_a_currency_that_this_service_does_not_move_is_no_mistake(tmp_path: Path) -> None:
    """The declaration may be ahead of the service."""
    content = json.loads(COMMITTED.read_text())
    content["rates"]["to_reporting"]["CHF"] = "1.05"
    assert CostModel.load(write(tmp_path, content)).rates == COSTS.rates


@dataclass
class FakeClock(SystemClock):
    """Stands where it is put."""

    seconds: float = 1_000_000.0

    def monotonic(self) -> float:
        """Return what was set."""
        return self.seconds


def meter(clock: FakeClock, *prices: int) -> tuple[CapacityMeter, Callable[[], float]]:
    """Return a meter of compute at these prices an hour, and what reads its counter."""
    recorder = setup(Catalogue.load(CATALOGUE), service="refpay-worker", metrics=WORKER_METRICS)
    provisioned = [
        Provisioned(component="compute", title=f"machine {index}", micro_units_per_hour=price)
        for index, price in enumerate(prices)
    ]
    made = CapacityMeter(provisioned, measures=ServiceMetrics(recorder), clock=clock)

    def charged() -> float:
        text = recorder.render().decode()
        series = 'moneypath_cost_micro_units_total{component="compute",provider="none"} '
        return float(next(line for line in text.splitlines() if line.startswith(series)).split(" ")[1])

    return made, charged


def test_an_hour_costs_its_price_however_often_it_is_charged() -> None:
    """3600 charges of a second are one price exactly, and two machines are two prices."""
    clock = FakeClock()
    made, charged = meter(clock, 192_001, 7)
    for _ in range(3600):
        clock.seconds += 1
        made.charge()
    assert charged() == 192_008


@given(
    parts=st.lists(st.floats(0, 5_000, allow_nan=False), min_size=1, max_size=40), price=st.integers(1, 10**9)
)
@settings(max_examples=60)
def test_any_partition_of_a_time_costs_the_same(parts: list[float], price: int) -> None:
    """Within a micro-unit of price times time after every part: no drift, and nothing ahead of time."""
    clock = FakeClock()
    made, charged = meter(clock, price)
    begun = Fraction(clock.seconds)
    for part in parts:
        clock.seconds += part
        made.charge()
        due = price * (Fraction(clock.seconds) - begun) / 3600
        assert 0 <= due - int(charged()) < 1


def test_a_clock_that_runs_backwards_takes_nothing_back() -> None:
    """A counter that falls would look like a restart; what was charged is not charged again either."""
    clock = FakeClock()
    made, charged = meter(clock, 3_600)
    for seconds, expected in ((10, 10), (-5, 10), (4, 10), (3, 12)):
        clock.seconds += seconds
        made.charge()
        assert charged() == expected


@pytest_asyncio.fixture(loop_scope="session")
async def worker(live_settings: "Settings", serve: Any) -> AsyncIterator["Client"]:
    """Run a real worker and speak to it."""
    async with open_worker(live_settings) as app, serve(app) as client:
        yield client


async def micro_units(client: "Client", component: str, provider: str) -> float:
    """Return one series of cost."""
    return await client.metric("moneypath_cost_micro_units_total", component=component, provider=provider)


async def test_each_captured_payment_costs_its_fee_once(api: "Client") -> None:
    """An authorization costs nothing, a repeated capture nothing more, a refund gives nothing back."""
    authorized = (await api.authorize(amount_minor=1000, currency="EUR")).body
    provider = authorized["provider"]
    assert await micro_units(api, "provider_fee", provider) == 0
    path = f"/v1/payments/{authorized['id']}/capture"
    for _ in range(3):
        assert (await api.post(path, {}, key="the-capture")).status == 200
    assert (await api.post(f"/v1/payments/{authorized['id']}/refunds", {"amount_minor": 400})).status == 201
    fee = {"north": 240_000, "south": 270_000}[provider]
    assert await micro_units(api, "provider_fee", provider) == fee
    other = "south" if provider == "north" else "north"
    assert await micro_units(api, "provider_fee", other) == 0
    captured = "moneypath_captured_minor_units_total"
    assert await api.metric(captured, provider=provider, currency="EUR") == 1000


async def test_a_part_costs_the_fee_of_the_part(api: "Client") -> None:
    """Basis points of what was captured, not of what was authorized."""
    authorized = (await api.authorize(amount_minor=100_000, currency="EUR")).body
    assert (await api.post(f"/v1/payments/{authorized['id']}/capture", {"amount_minor": 1000})).status == 200
    fee = {"north": 240_000, "south": 270_000}[authorized["provider"]]
    assert await micro_units(api, "provider_fee", authorized["provider"]) == fee


async def test_a_capture_that_the_worker_settles_costs_there(
    api: "Client", worker: "Client", acquirers: Any, db: "RefpayDb"
) -> None:
    """The API never knew the outcome, so it counts nothing; the worker counts the fee once."""
    authorized = (await api.authorize(amount_minor=1000, currency="EUR")).body
    provider = authorized["provider"]
    await acquirers[provider].inject(kind="drop", scope={"operations": ["capture"]})
    assert (await api.post(f"/v1/payments/{authorized['id']}/capture", {})).status == 202
    await acquirers[provider].heal()
    async with asyncio.timeout(60):
        while await db.rows("SELECT 1 FROM oracle.unresolved_operations", role="refpay_oracle"):  # noqa: ASYNC110
            await asyncio.sleep(0.02)
        fee = {"north": 240_000, "south": 270_000}[provider]
        while await micro_units(worker, "provider_fee", provider) != fee:  # noqa: ASYNC110
            await asyncio.sleep(0.02)
    assert await micro_units(api, "provider_fee", provider) == 0


async def test_an_idle_worker_charges_its_capacity(worker: "Client") -> None:
    """Nothing is paid, and it costs; each component has a price of its own."""
    async with asyncio.timeout(30):
        for component in ("database", "compute", "messaging", "telemetry"):
            while not await micro_units(worker, component, "none"):  # noqa: ASYNC110
                await asyncio.sleep(0.02)
    assert await micro_units(worker, "provider_fee", "none") == 0
