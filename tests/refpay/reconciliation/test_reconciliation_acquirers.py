"""The real acquirers: what they book is reconciled, what they misstate breaks, a second booking is found."""

import asyncio
import sys
from collections.abc import AsyncIterator, Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest_asyncio

from moneypath.stack.server import ServerSpec, http_ready
from refpay.settings import read_settings
from refpay.worker.main import open_worker

from .bench import FEES

if TYPE_CHECKING:
    from tests.refpay.conftest import Acquirer, Book, Client

    from moneypath.stack.ports import PortBook
    from moneypath.stack.supervisor import Supervisor

SOURCES = Path(__file__).parents[3] / "src"
BREAKS = "moneypath_reconciliation_breaks"


@pytest_asyncio.fixture(loop_scope="session")
async def hasty_acquirers(
    supervisor: "Supervisor",
    ports: "PortBook",
    secrets_folder: Path,
    tmp_path: Path,
    make_acquirer: Callable[..., "Acquirer"],
) -> AsyncIterator[Mapping[str, "Acquirer"]]:
    """Run both acquirers with settlement periods of a second and the declared fees."""
    found = {}
    for name, (basis_points, fixed) in FEES.items():
        port = ports.reserve(f"hasty-{name}")
        url = f"http://127.0.0.1:{port}"
        fees = ",".join(f"{currency}={minor}" for currency, minor in fixed.items())
        command = (
            *(sys.executable, "-m", "acquirers", "--name", name, "--dialect", name, "--port", str(port)),
            *("--book", str(tmp_path / f"{name}.db"), "--secrets-folder", str(secrets_folder)),
            *("--decline-rate", "0", "--latency-ms", "0", "--settlement-period-seconds", "1"),
            *("--fee-basis-points", str(basis_points), "--fee-fixed", fees),
        )
        ready = http_ready(f"{url}/readyz")
        server = ServerSpec(name=f"hasty-{name}", command=command, ready=ready, cwd=SOURCES)
        await supervisor.start(server)
        found[name] = make_acquirer(name, url)
    yield found
    for name in found:
        await supervisor.stop(f"hasty-{name}")


async def until(worker: "Client", *, breaks: int, provider: str, name: str) -> None:
    """Wait until a provider has this many breaks of a class."""
    async with asyncio.timeout(60):
        while await worker.metric(BREAKS, provider=provider, **{"class": name}) != breaks:  # noqa: ASYNC110
            await asyncio.sleep(0.05)


async def test_real_reports_agree_break_and_agree_again(
    book: "Book",
    secrets_folder: Path,
    hasty_acquirers: Mapping[str, "Acquirer"],
    make_environment: Callable[..., dict[str, str]],
    run_api: Callable[..., Any],
    serve: Callable[..., Any],
) -> None:
    """Every capture and refund is matched once, in both dialects; a misstated amount comes and goes."""
    urls = {f"REFPAY_{name.upper()}_URL": acquirer.url for name, acquirer in hasty_acquirers.items()}
    environment = make_environment(book, secrets_folder, **urls, REFPAY_RECONCILE_INTERVAL_SECONDS="0.05")
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
        assert await book.rows("SELECT class FROM reconciliation.break") == []
        for provider, expected in moved.items():
            assert await worker.metric(rows, provider=provider, result="matched") == expected
            await hasty_acquirers[provider].inject(kind="misstate", what="amount")
            await until(worker, breaks=expected, provider=provider, name="amount")
            await hasty_acquirers[provider].heal()
            await until(worker, breaks=0, provider=provider, name="amount")


async def test_a_capture_that_is_booked_twice_is_a_double_charge(
    book: "Book",
    secrets_folder: Path,
    hasty_acquirers: Mapping[str, "Acquirer"],
    make_environment: Callable[..., dict[str, str]],
    run_api: Callable[..., Any],
    serve: Callable[..., Any],
) -> None:
    """The acquirer forgets our key between two attempts; our book has one movement, the reports two."""
    urls = {f"REFPAY_{name.upper()}_URL": acquirer.url for name, acquirer in hasty_acquirers.items()}
    environment = make_environment(book, secrets_folder, **urls, REFPAY_RECONCILE_INTERVAL_SECONDS="0.05")
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
        (ours,) = await book.rows("SELECT provider_reference FROM payments.operation WHERE kind = 'capture'")
        (extra,) = await book.rows("SELECT movement FROM reconciliation.break")
        assert extra["movement"] != ours["provider_reference"]
