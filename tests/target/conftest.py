"""A stranger's service with a real Prometheus and a real Alertmanager."""

from collections.abc import AsyncIterator, Iterator, Mapping
from pathlib import Path
from typing import Final

import pytest
import yaml
from aiohttp.test_utils import TestServer

from moneypath.polling import poll_until
from moneypath.prometheus import Prometheus
from moneypath.stack import alertmanager, binaries, prometheus
from moneypath.stack.ports import PortPool
from moneypath.stack.supervisor import Supervisor

from .stranger import Wallet

WATCHDOG: Final = {"alert": "WalletWatchdog", "expr": "vector(1)", "labels": {"severity": "none"}}
RULES: Final = {"groups": [{"name": "g", "rules": [WATCHDOG]}]}
ROUTES: Final = {"route": {"receiver": "nobody"}, "receivers": [{"name": "nobody"}]}


@pytest.fixture
def port_pool() -> Iterator[PortPool]:
    """Reserve ports for one test."""
    with PortPool({}) as reserved:
        yield reserved


@pytest.fixture
def wallet() -> Wallet:
    """Return the state of the stranger's service."""
    return Wallet()


@pytest.fixture
async def wallet_url(wallet: Wallet) -> AsyncIterator[str]:
    """Serve the stranger's service."""
    async with TestServer(wallet.application()) as server:
        yield str(server.make_url("")).rstrip("/")


@pytest.fixture
async def addresses(tmp_path: Path, port_pool: PortPool, wallet_url: str) -> AsyncIterator[Mapping[str, str]]:
    """Start Prometheus and Alertmanager for the service; return the variables of its target's file."""
    ports = {name: port_pool.reserve(name) for name in ("prometheus", "alertmanager")}
    urls = {name: f"http://127.0.0.1:{port}" for name, port in ports.items()}
    rules, routes = tmp_path / "rules.yml", tmp_path / "routes.yml"
    rules.write_text(yaml.safe_dump(RULES))
    routes.write_text(yaml.safe_dump(ROUTES))
    async with Supervisor(tmp_path / "run") as supervisor:
        await supervisor.start(
            alertmanager.spec(
                binaries.find("alertmanager"),
                tmp_path / "run/alertmanager",
                ports["alertmanager"],
                config_file=routes,
            )
        )
        await supervisor.start(
            prometheus.spec(
                binaries.find("prometheus"),
                tmp_path / "run/prometheus",
                ports["prometheus"],
                rule_files=[rules],
                scrape_targets={"wallet": wallet_url.removeprefix("http://")},
                alertmanager_url=urls["alertmanager"],
                resend_delay_seconds=1,
                external_labels={"environment": "staging"},
            )
        )
        up = await poll_until(
            lambda: Prometheus(urls["prometheus"]).value("count(up == 1) and on () count(ALERTS)"),
            bool,
            every_seconds=0.1,
            within_seconds=60,
        )
        assert up
        yield {"wallet": wallet_url, **urls}
