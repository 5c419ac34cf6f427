"""The guides' service and the ten-line declaration on a real Prometheus: nothing fires, no panel is empty."""

import asyncio
import re
from pathlib import Path
from typing import Any

import httpx
import pytest
from fastapi import FastAPI

from moneypath.alerting import render, rule_groups
from moneypath.alerting.timing import Scale
from moneypath.polling import poll_until
from moneypath.prometheus.client import Prometheus
from moneypath.stack import prometheus
from moneypath.stack.binaries import Binary
from moneypath.stack.ports import PortPool
from moneypath.stack.supervisor import Supervisor
from moneypath.workflows import board, generate
from moneypath.workflows.declaration import load_declaration

from .serving import serving

GUIDES = Path(__file__).parents[2] / "docs" / "guides"
_, SERVICE, _ = re.findall(r"```python\n(.*?)```", (GUIDES / "ten-lines.md").read_text("utf-8"), re.DOTALL)
DECLARATION, *_ = re.findall(
    r"```yaml\n(.*?)```", (GUIDES / "small-declaration.md").read_text("utf-8"), re.DOTALL
)
SCALE = Scale(12)
PAUSE_SECONDS = 0.05


def bank() -> FastAPI:
    """Return a bank that approves everything."""
    app = FastAPI()

    @app.post("/authorizations")
    async def authorize() -> dict[str, str]:
        return {"status": "approved"}

    return app


def printed_service(url: str, monkeypatch: pytest.MonkeyPatch) -> FastAPI:
    """Run the guide's listing."""
    monkeypatch.setenv("NORTH_URL", url)
    module: dict[str, Any] = {"__name__": "checkout"}
    exec(compile(SERVICE, "ten-lines.md", "exec"), module)  # noqa: S102 - that is the point
    app = module["app"]
    assert isinstance(app, FastAPI)
    return app


async def pay(url: str) -> None:
    """Pay steadily until cancelled."""
    async with httpx.AsyncClient(base_url=url, trust_env=False, timeout=10) as client:
        while True:
            answer = await client.post("/payments", params={"amount": 4200})
            answer.raise_for_status()
            await asyncio.sleep(PAUSE_SECONDS)


async def until(seen: Prometheus, promql: str) -> None:
    """Wait until a query has a result."""
    async with asyncio.timeout(120):
        while not await seen.query(promql):  # noqa: ASYNC110 - Prometheus has no event
            await asyncio.sleep(0.2)


async def test_no_panel_is_empty_and_no_alert_fires(
    tmp_path: Path, port_pool: PortPool, prometheus_binary: Binary, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Every query of the board finds data, but for the list of alerts that fire."""
    project = tmp_path / "project"
    project.mkdir()
    (project / "moneypath.yaml").write_text(DECLARATION, encoding="utf-8")
    generate.write(project)
    rules = tmp_path / "small.rules.yml"
    path = load_declaration(project)
    rules.write_text(render.rules(rule_groups.build(path), SCALE), encoding="utf-8")
    port = port_pool.reserve("prometheus")
    async with serving(bank()) as north, serving(printed_service(north, monkeypatch)) as service:
        spec = prometheus.spec(
            prometheus_binary,
            tmp_path / "prometheus",
            port,
            rule_files=[rules],
            scrape_targets={"checkout": service.removeprefix("http://")},
            scrape_interval_seconds=float(SCALE.timing.scrape_seconds),
            evaluation_interval_seconds=float(SCALE.timing.evaluation_seconds),
        )
        seen = Prometheus(f"http://127.0.0.1:{port}")
        async with Supervisor(tmp_path / "run") as supervisor:
            await supervisor.start(spec)
            paying = asyncio.create_task(pay(service))
            try:
                await until(seen, "path:authorization_latency:p99_5m and path:authorization_bad:ratio_rate5m")
                await until(seen, 'ALERTS{alertname="MoneyPathWatchdog", alertstate="firing"}')
                await until(seen, 'sum(increase(moneypath_payments_total{outcome="succeeded"}[10s])) > 50')
                # A rate has data after two scrapes in its window, which a busy machine may put off.
                result = await poll_until(
                    lambda: board.check_board(project, f"http://127.0.0.1:{port}"),
                    lambda found: found.passed,
                    every_seconds=0.5,
                    within_seconds=60,
                )
                firing = await seen.query('ALERTS{alertstate="firing", alertname!="MoneyPathWatchdog"}')
            finally:
                paying.cancel()
                await asyncio.gather(paying, return_exceptions=True)
    assert firing == ()
    assert result.findings == ()
    # The list of firing alerts, and their marks on every panel.
    assert result.proof.quiet == 2
    assert result.proof.panels == 8
