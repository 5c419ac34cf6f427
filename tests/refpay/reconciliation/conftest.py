"""Fixtures: acquirers that serve given reports, and a bench to reconcile with them."""

from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import pytest_asyncio

from .bench import Bench, FakeAcquirer, open_acquirers, open_bench

if TYPE_CHECKING:
    from tests.refpay.conftest import RefpayDb


@pytest_asyncio.fixture(loop_scope="session")
async def fakes(secrets_folder: Path) -> AsyncIterator[dict[str, FakeAcquirer]]:
    """Give a test acquirers of its own."""
    async with open_acquirers(secrets_folder) as found:
        yield found


@pytest.fixture
def fake_environment(
    db: "RefpayDb",
    secrets_folder: Path,
    fakes: Mapping[str, FakeAcquirer],
    make_environment: Callable[..., Any],
) -> dict[str, str]:
    """Return the environment of a process that talks to the fakes."""
    urls = {f"REFPAY_{name.upper()}_URL": fake.url for name, fake in fakes.items()}
    # A shared machine hashes and sends the large report slowly; only what hangs for ever has to time out.
    quick = {
        "REFPAY_RECONCILE_INTERVAL_SECONDS": "0.05",
        "REFPAY_PROVIDER_TIMEOUT_SECONDS": "3",
        "REFPAY_OUTCOME_DEADLINE_SECONDS": "8",
    }
    return dict(make_environment(db, secrets_folder, **urls, **quick))


@pytest_asyncio.fixture(loop_scope="session")
async def bench(
    db: "RefpayDb", fake_environment: dict[str, str], fakes: Mapping[str, FakeAcquirer]
) -> AsyncIterator[Bench]:
    """Give a test a bench on an empty database."""
    async with open_bench(db, fake_environment, fakes) as opened:
        yield opened


@pytest.fixture(scope="session")
def make_bench(
    open_db: Callable[[], Any], secrets_folder: Path, make_environment: Callable[..., Any]
) -> Callable[[], Any]:
    """Return what opens a bench with a database and acquirers of its own: an async context manager."""

    @asynccontextmanager
    async def opened() -> AsyncIterator[Bench]:
        async with open_db() as db, open_acquirers(secrets_folder) as acquirers:
            urls = {f"REFPAY_{name.upper()}_URL": fake.url for name, fake in acquirers.items()}
            environment = make_environment(db, secrets_folder, **urls)
            async with open_bench(db, environment, acquirers) as bench:
                yield bench

    return opened
