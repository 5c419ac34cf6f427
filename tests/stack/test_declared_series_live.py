"""A wallet without our library under the guide's declaration, on a real Prometheus and Alertmanager."""

import asyncio
import itertools
import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import pytest
import yaml
from fastapi import FastAPI, HTTPException

from moneypath.alerting import render, routing, rule_groups
from moneypath.alerting.timing import Scale
from moneypath.polling import poll_until
from moneypath.prometheus.client import Prometheus
from moneypath.stack import alertmanager, prometheus, secrets
from moneypath.stack.binaries import Binary
from moneypath.stack.pager.spec import spec as pager_spec
from moneypath.stack.ports import PortPool
from moneypath.stack.supervisor import Supervisor
from moneypath.workflows import board, generate, series_check
from moneypath.workflows.declaration import load_declaration

from .flask_wallet import BANKS, CURRENCIES, serving_flask, wallet
from .serving import serving

GUIDE = Path(__file__).parents[2] / "docs" / "guides" / "series-you-have.md"
DECLARATION, *_ = re.findall(r"```yaml\n(.*?)```", GUIDE.read_text("utf-8"), re.DOTALL)
SCALE = Scale(12)
ALERT = "MoneyPathBankRequestsHardDown"
PAUSE_SECONDS = 0.05


class Banks:
    """Two banks; those that are `broken` answer with an error."""

    def __init__(self) -> None:
        self.broken: set[str] = set()

    def app(self) -> FastAPI:
        """Return their application."""
        app = FastAPI()

        @app.post("/{bank}")
        async def transfer(bank: str) -> dict[str, str]:
            if bank in self.broken:
                raise HTTPException(503)
            return {"status": "applied"}

        return app


@dataclass(frozen=True)
class Running:
    """What a test may ask and break."""

    project: Path
    banks: Banks
    seen: Prometheus
    prometheus_url: str
    pager_url: str

    async def until(self, promql: str) -> None:
        """Wait until a query has a result."""
        async with asyncio.timeout(120):
            while not await self.seen.query(promql):  # noqa: ASYNC110 - Prometheus has no event
                await asyncio.sleep(0.2)

    async def page(self, role: str, alert: str) -> dict[str, Any]:
        """Wait for the first page of an alert to a role."""
        after = 0
        async with asyncio.timeout(120), httpx.AsyncClient(trust_env=False, timeout=60) as client:
            while True:
                asked = {"after": str(after), "wait_seconds": "20"}
                answer = (await client.get(f"{self.pager_url}/pages", params=asked)).json()
                for each in answer["pages"]:
                    after = max(after, each["seq"])
                    if each["role"] == role and each["alerts"][0]["name"] == alert:
                        found: dict[str, Any] = each["alerts"][0]
                        return found


async def transfer(url: str) -> None:
    """Transfer steadily through both banks in all currencies, whatever is answered, until cancelled."""
    async with httpx.AsyncClient(base_url=url, trust_env=False, timeout=10) as client:
        for bank, currency in itertools.cycle(itertools.product(BANKS, CURRENCIES)):
            await client.post(f"/transfers/{bank}", params={"currency": currency})
            await asyncio.sleep(PAUSE_SECONDS)


@asynccontextmanager
async def running(
    folder: Path, ports: PortPool, prometheus_binary: Binary, alertmanager_binary: Binary
) -> AsyncIterator[Running]:
    """Run the banks, the wallet with traffic, Prometheus, Alertmanager and a pager."""
    project, banks = folder / "project", Banks()
    project.mkdir()
    (project / "moneypath.yaml").write_text(DECLARATION, encoding="utf-8")
    generate.write(project)
    path = load_declaration(project)
    rules, routes = folder / "wallet.rules.yml", folder / "routes.yml"
    rules.write_text(render.rules(rule_groups.build(path), SCALE), encoding="utf-8")
    secrets.mint(folder / "secrets", ["pager_token", "role_eng_token"])
    at = {name: ports.reserve(name) for name in ("pager", "alertmanager", "prometheus")}
    urls = {name: f"http://127.0.0.1:{port}" for name, port in at.items()}
    token = str(folder / "secrets" / "pager_token")
    routes.write_text(
        routing.configuration(path, SCALE, pager_url=urls["pager"], credentials_file=token), encoding="utf-8"
    )
    async with serving(banks.app()) as bank_url, Supervisor(folder / "run") as supervisor:
        client = httpx.Client(base_url=bank_url, trust_env=False, timeout=5)
        with client, serving_flask(wallet(client)) as service:
            await supervisor.start(
                pager_spec(folder / "pager", at["pager"], secrets_folder=folder / "secrets")
            )
            await supervisor.start(
                alertmanager.spec(
                    alertmanager_binary, folder / "alertmanager", at["alertmanager"], config_file=routes
                )
            )
            await supervisor.start(
                prometheus.spec(
                    prometheus_binary,
                    folder / "prometheus",
                    at["prometheus"],
                    rule_files=[rules],
                    scrape_targets={"wallet": service.removeprefix("http://")},
                    scrape_interval_seconds=float(SCALE.timing.scrape_seconds),
                    evaluation_interval_seconds=float(SCALE.timing.evaluation_seconds),
                    alertmanager_url=urls["alertmanager"],
                    resend_delay_seconds=1,
                )
            )
            transferring = asyncio.create_task(transfer(service))
            try:
                yield Running(
                    project, banks, Prometheus(urls["prometheus"]), urls["prometheus"], urls["pager"]
                )
            finally:
                transferring.cancel()
                await asyncio.gather(transferring, return_exceptions=True)


async def test_the_page_names_the_bank_of_a_service_without_our_library(
    tmp_path: Path, port_pool: PortPool, prometheus_binary: Binary, alertmanager_binary: Binary
) -> None:
    """While all is well nothing fires and no panel is empty; then one bank fails, and its page says which."""
    async with running(tmp_path, port_pool, prometheus_binary, alertmanager_binary) as live:
        await live.until("path:transfer_latency:p99_5m and on () path:bank_requests_bad:ratio_rate5m")
        await live.until('count(provider:bank_requests_valid:increase1m{provider!="none"} >= 10) == 2')
        result = await poll_until(
            lambda: board.check_board(live.project, live.prometheus_url),
            lambda found: found.passed,
            every_seconds=0.5,
            within_seconds=60,
        )
        assert result.findings == ()
        # The list of firing alerts, and their marks on every panel.
        assert result.proof.quiet == 2
        assert not await live.seen.query('ALERTS{alertstate="firing", alertname!="MoneyPathWatchdog"}')
        declared = await series_check.check_series(live.project, live.seen)
        assert declared.problems == ()
        assert 'wallet_bank_requests_total with result="TIMEOUT"' in declared.unseen

        live.banks.broken.add("ACME")
        page = await live.page("eng", ALERT)
        assert page["labels"]["provider"] == "acme"
        assert "at acme fail" in page["annotations"]["description"]
        ever = await live.seen.query(
            f'max by (provider) (ALERTS{{alertname="{ALERT}", alertstate="firing"}})'
        )
        assert {sample.labels["provider"] for sample in ever} == {"acme"}

        await require_differences(live)


async def require_differences(live: Running) -> None:
    """Hold declarations that are not so against the same Prometheus: each is told in a sentence."""
    for change, told in DIFFERENCES:
        document = yaml.safe_load(DECLARATION)
        change(document)
        (live.project / "moneypath.yaml").write_text(yaml.safe_dump(document), encoding="utf-8")
        result = await series_check.check_series(live.project, live.seen)
        assert [f"{each.series} {each.what}" for each in result.problems] == [told]
        with pytest.raises(series_check.SeriesDiffer, match=re.escape(told.split(" ", 1)[1])):
            series_check.require(result)


def _renamed(document: Any) -> None:
    document["series"]["wallet_outbox_row"] = document["series"].pop("wallet_outbox_rows")
    document["guards"] = []


def _label(document: Any) -> None:
    document["series"]["wallet_bank_requests_total"]["labels"]["branch"] = ["a"]


def _value(document: Any) -> None:
    document["series"]["wallet_bank_requests_total"]["labels"]["cur"] = ["EUR", "USDC"]


def _edge(document: Any) -> None:
    document["series"]["wallet_transfer_seconds"]["buckets"] = [0.1, 0.25, 0.5, 2]


def _kind(document: Any) -> None:
    document["series"]["wallet_transfer_seconds"] = {"kind": "counter"}
    document["slos"] = document["slos"][:1]


def _no_histogram(document: Any) -> None:
    document["series"]["wallet_outbox_rows"] = {"kind": "histogram", "buckets": [1]}
    document["guards"] = []


DIFFERENCES = (
    (_renamed, 'wallet_outbox_row is not there, did you mean "wallet_outbox_rows"?'),
    (_label, "wallet_bank_requests_total has no label branch"),
    (_value, "wallet_bank_requests_total cur has values that are not declared: POINTS"),
    (_edge, "wallet_transfer_seconds has no bucket edge 0.25, 2; it has 0.1, 0.5, 1, 5"),
    (_kind, "wallet_transfer_seconds is a histogram or a summary, and no counter"),
    (_no_histogram, "wallet_outbox_rows is no histogram"),
)
