"""The real acquirers: what they book is reconciled, what they misstate breaks, a second booking is found."""

import asyncio
import sys
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Mapping
from decimal import ROUND_HALF_UP, Decimal
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest_asyncio

from moneypath.stack.server import ServerSpec, http_ready
from refpay.settings import read_settings
from refpay.worker.main import open_worker

from .bench import FEES

if TYPE_CHECKING:
    from tests.refpay.conftest import Acquirer, Client, RefpayDb

    from moneypath.stack.ports import PortPool
    from moneypath.stack.supervisor import Supervisor

SOURCES = Path(__file__).parents[3] / "src"
BREAKS = "moneypath_reconciliation_breaks"


Start = Callable[..., Awaitable[Mapping[str, "Acquirer"]]]


@pytest_asyncio.fixture(loop_scope="session")
async def start_hasty(
    supervisor: "Supervisor",
    ports: "PortPool",
    secrets_folder: Path,
    tmp_path: Path,
    make_acquirer: Callable[..., "Acquirer"],
) -> AsyncIterator[Start]:
    """Run both acquirers with periods of a second and the declared fees, once again with other flags."""
    found: dict[str, Acquirer] = {}
    reserved = {name: ports.reserve(f"hasty-{name}") for name in FEES}

    async def stop() -> None:
        for name in found:
            await supervisor.stop(f"hasty-{name}")

    async def start(*flags: str) -> Mapping[str, "Acquirer"]:
        await stop()
        for name, (basis_points, fixed) in FEES.items():
            port = reserved[name]
            url = f"http://127.0.0.1:{port}"
            fees = ",".join(f"{currency}={minor}" for currency, minor in fixed.items())
            command = (
                sys.executable,
                "-m",
                "acquirers",
                "--name",
                name,
                "--dialect",
                name,
                "--port",
                str(port),
                "--book",
                str(tmp_path / f"{name}.db"),
                "--secrets-folder",
                str(secrets_folder),
                "--decline-rate",
                "0",
                "--latency-ms",
                "0",
                "--settlement-period-seconds",
                "1",
                "--fee-basis-points",
                str(basis_points),
                "--fee-fixed",
                fees,
                *flags,
            )
            ready = http_ready(f"{url}/readyz")
            server = ServerSpec(name=f"hasty-{name}", command=command, ready=ready, cwd=SOURCES)
            await supervisor.start(server)
            found[name] = make_acquirer(name, url)
        return found

    yield start
    await stop()


@pytest_asyncio.fixture(loop_scope="session")
async def hasty_acquirers(start_hasty: Start) -> Mapping[str, "Acquirer"]:
    """Run both acquirers."""
    return await start_hasty()


async def until(worker: "Client", *, breaks: int, provider: str, name: str) -> None:
    """Wait until a provider has this many breaks of a class."""
    async with asyncio.timeout(60):
        while await worker.metric(BREAKS, provider=provider, **{"class": name}) != breaks:  # noqa: ASYNC110
            await asyncio.sleep(0.05)


async def test_real_reports_agree_break_and_agree_again(
    db: "RefpayDb",
    secrets_folder: Path,
    hasty_acquirers: Mapping[str, "Acquirer"],
    make_environment: Callable[..., dict[str, str]],
    patience: Mapping[str, str],
    run_api: Callable[..., Any],
    serve: Callable[..., Any],
) -> None:
    """Every capture and refund is matched once, in both dialects; a misstated amount comes and goes."""
    urls = {f"REFPAY_{name.upper()}_URL": acquirer.url for name, acquirer in hasty_acquirers.items()}
    environment = make_environment(
        db, secrets_folder, **urls, **patience, REFPAY_RECONCILE_INTERVAL_SECONDS="0.05"
    )
    settings = read_settings(environment)
    rows = "moneypath_reconciliation_rows_total"
    async with run_api(settings) as api, open_worker(settings) as app, serve(app) as worker:
        moved = dict.fromkeys(hasty_acquirers, 0)
        # By its reference an order is routed: of these some go to north and some to south.
        for number, currency in enumerate(("EUR", "USD", "JPY", "KWD") * 4):
            order = {"merchant_reference": f"order-{number}", "currency": currency}
            payment = await api.captured(**order, amount_minor=12345)
            refunded = await api.post(f"/v1/payments/{payment['id']}/refunds", {"amount_minor": 45})
            assert refunded.status == 201
            moved[payment["provider"]] += 2
        assert all(moved.values())
        async with asyncio.timeout(60):
            for provider, expected in moved.items():
                while await worker.metric(rows, provider=provider, result="matched") < expected:  # noqa: ASYNC110
                    await asyncio.sleep(0.05)
        assert await db.rows("SELECT class FROM reconciliation.break") == []
        for provider, expected in moved.items():
            assert await worker.metric(rows, provider=provider, result="matched") == expected
            await hasty_acquirers[provider].inject(kind="misstate", what="amount")
            await until(worker, breaks=expected, provider=provider, name="amount")
            await hasty_acquirers[provider].heal()
            await until(worker, breaks=0, provider=provider, name="amount")


async def test_a_capture_that_is_booked_twice_is_a_double_charge(
    db: "RefpayDb",
    secrets_folder: Path,
    hasty_acquirers: Mapping[str, "Acquirer"],
    make_environment: Callable[..., dict[str, str]],
    patience: Mapping[str, str],
    run_api: Callable[..., Any],
    serve: Callable[..., Any],
) -> None:
    """The acquirer forgets our key between two attempts; our book has one movement, the reports two."""
    urls = {f"REFPAY_{name.upper()}_URL": acquirer.url for name, acquirer in hasty_acquirers.items()}
    environment = make_environment(
        db, secrets_folder, **urls, **patience, REFPAY_RECONCILE_INTERVAL_SECONDS="0.05"
    )
    settings = read_settings(environment)
    async with run_api(settings) as api, open_worker(settings) as app, serve(app) as worker:
        authorized = (await api.authorize()).body
        provider = authorized["provider"]
        await hasty_acquirers[provider].inject(kind="forget")
        captured = await api.post(f"/v1/payments/{authorized['id']}/capture", {})
        assert captured.status == 200
        await until(worker, breaks=1, provider=provider, name="duplicate")
        async with asyncio.timeout(60):
            while await worker.metric("moneypath_duplicate_charge_minor_units", currency="EUR") != 1000:  # noqa: ASYNC110
                await asyncio.sleep(0.05)
        (ours,) = await db.rows("SELECT provider_reference FROM payments.operation WHERE kind = 'capture'")
        (extra,) = await db.rows("SELECT movement FROM reconciliation.break")
        assert extra["movement"] != ours["provider_reference"]


RATES = {"EUR": ("USD", "1.08"), "USD": ("JPY", "150.5"), "JPY": ("KWD", "0.00203")}
EXPONENT = {"EUR": 2, "USD": 2, "JPY": 0, "KWD": 3}
POSITIONS = """
    SELECT account, currency, sum(amount_minor)::bigint AS minor FROM ledger.line WHERE kind = 'fx'
    GROUP BY account, currency HAVING sum(amount_minor) <> 0
"""


def exchanged(moved: Iterable[tuple[str, str, int]]) -> dict[tuple[str, str], int]:
    """Return by hand what movements (provider, currency, amount) leave on the accounts."""
    sums: Counter[tuple[str, str]] = Counter()
    for provider, currency, minor in moved:
        into, rate = RATES.get(currency, (currency, ""))
        if not rate:
            continue
        units = Decimal(abs(minor)).scaleb(EXPONENT[into] - EXPONENT[currency]) * Decimal(rate)
        bought = int(units.to_integral_value(ROUND_HALF_UP)) * (1 if minor > 0 else -1)
        for one, change in ((currency, -minor), (into, bought)):
            sums[f"provider_receivable:{provider}", one] += change
            sums[f"fx_position:{one}", one] -= change
    return {place: minor for place, minor in sums.items() if minor}


async def test_what_real_acquirers_exchange_is_booked_and_corrected(
    db: "RefpayDb",
    secrets_folder: Path,
    start_hasty: Start,
    make_environment: Callable[..., dict[str, str]],
    patience: Mapping[str, str],
    run_api: Callable[..., Any],
    serve: Callable[..., Any],
) -> None:
    """In both dialects, to the minor unit; unflagged, until the rate is a wrong one; undone when it ends."""
    flag = ",".join(f"{sold}={bought}@{rate}" for sold, (bought, rate) in RATES.items())
    acquirers = await start_hasty("--settle-in", flag)
    urls = {f"REFPAY_{name.upper()}_URL": acquirer.url for name, acquirer in acquirers.items()}
    environment = make_environment(
        db, secrets_folder, **urls, **patience, REFPAY_RECONCILE_INTERVAL_SECONDS="0.05"
    )
    settings = read_settings(environment)
    moved: list[tuple[str, str, int]] = []

    async def positions(expected: dict[tuple[str, str], int]) -> None:
        async with asyncio.timeout(60):
            while {(r["account"], r["currency"]): r["minor"] for r in await db.rows(POSITIONS)} != expected:  # noqa: ASYNC110 - the worker is another process
                await asyncio.sleep(0.05)

    async with run_api(settings) as api, open_worker(settings) as app, serve(app) as worker:
        for number, currency in enumerate(("EUR", "USD", "JPY", "KWD") * 4):
            order = {"merchant_reference": f"order-{number}", "currency": currency}
            payment = await api.captured(**order, amount_minor=12345 + number)
            assert (
                await api.post(f"/v1/payments/{payment['id']}/refunds", {"amount_minor": 45})
            ).status == 201
            moved += [(payment["provider"], currency, minor) for minor in (12345 + number, -45)]
        assert {provider for provider, _, _ in moved} == set(acquirers)
        await positions(exchanged(moved))
        assert await db.rows("SELECT class FROM reconciliation.break") == []
        for check in ("ledger_balance", "captures_posted", "settlement_matched"):
            assert await worker.metric("moneypath_check_violations", check=check) == 0
        # A decimal too many: booked as it is stated, and found.
        await start_hasty("--settle-in", "EUR=USD@10.8")
        euros = Counter(provider for provider, currency, _ in moved if currency == "EUR")
        for provider in acquirers:
            await until(worker, breaks=euros[provider], provider=provider, name="amount")
        await start_hasty()
        await positions({})
        for provider in acquirers:
            await until(worker, breaks=0, provider=provider, name="amount")
