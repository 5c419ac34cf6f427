"""The guide's service, as printed, against the generated rules on a real Prometheus while a bank fails."""

import asyncio
import re
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
import pytest
from fastapi import FastAPI

from moneypath.alerting import render, rule_groups
from moneypath.alerting.timing import Scale
from moneypath.path.loader import FILE_NAME, load
from moneypath.path.objectives import AvailabilitySlo
from moneypath.prometheus.client import Prometheus
from moneypath.stack import prometheus
from moneypath.stack.binaries import Binary
from moneypath.stack.ports import PortPool
from moneypath.stack.supervisor import Supervisor

from .serving import serving

ROOT = Path(__file__).parents[2]
GUIDE = ROOT / "docs" / "guides" / "ten-lines.md"
_, OBSERVED, _ = re.findall(r"```python\n(.*?)```", GUIDE.read_text(encoding="utf-8"), re.DOTALL)
BANKS = ("north", "south")
ALERT = "MoneyPathAuthorizationHardDown"
FIRING = f'max by (provider) (ALERTS{{alertname="{ALERT}", alertstate="firing"}})'
PAUSE_SECONDS = 0.05


@dataclass
class Bank:
    """A bank of a test: it approves, says nothing, or answers in a way that the service does not read."""

    answer: dict[str, str] | None = field(default_factory=lambda: {"status": "approved"})

    def app(self) -> FastAPI:
        """Return its application."""
        app = FastAPI()

        @app.post("/authorizations")
        async def authorize() -> Any:
            if self.answer is None:
                await asyncio.Event().wait()
            return self.answer

        return app


def printed_service(bank: str, url: str, monkeypatch: pytest.MonkeyPatch) -> FastAPI:
    """Run the guide's listing, for this bank in the place of north."""
    monkeypatch.setenv(f"{bank.upper()}_URL", url)
    code = OBSERVED.replace("north", bank).replace("NORTH", bank.upper())
    module: dict[str, Any] = {"__name__": f"checkout_{bank}"}
    exec(compile(code, str(GUIDE), "exec"), module)  # noqa: S102 - that is the point
    app = module["app"]
    assert isinstance(app, FastAPI)
    return app


async def pay(url: str) -> None:
    """Pay steadily, whatever is answered, until cancelled."""
    async with (
        httpx.AsyncClient(base_url=url, trust_env=False, timeout=10) as client,
        asyncio.TaskGroup() as tasks,
    ):
        while True:
            tasks.create_task(client.post("/payments", params={"amount": 4200}))
            await asyncio.sleep(PAUSE_SECONDS)


@pytest.mark.parametrize(
    ("broken", "blamed"),
    [
        # The client's exception, after two seconds, names the bank.
        pytest.param({"north": None}, "north", id="one-bank-is-silent"),
        # Both banks approve, and the service stumbles over it: nobody is to be drained.
        pytest.param({bank: {"state": "approved"} for bank in BANKS}, "none", id="a-bug-of-our-own"),
        # Both at once: what they have in common is us.
        pytest.param(dict.fromkeys(BANKS), "none", id="all-banks-are-silent"),
    ],
)
@pytest.mark.parametrize("scale", [12, pytest.param(1, marks=[pytest.mark.proof, pytest.mark.timeout(400)])])
async def test_the_page_names_whose_failure_it_is(
    tmp_path: Path,
    port_pool: PortPool,
    prometheus_binary: Binary,
    monkeypatch: pytest.MonkeyPatch,
    broken: dict[str, dict[str, str] | None],
    blamed: str,
    scale: int,
) -> None:
    """Hard down fires for that provider and no other; in production's time within its promise."""
    path = load(ROOT / FILE_NAME)
    rules = tmp_path / "guide.rules.yml"
    rules.write_text(render.rules(rule_groups.build(path), Scale(scale)), encoding="utf-8")
    timing = Scale(scale).timing
    banks = {name: Bank() for name in BANKS}
    port = port_pool.reserve("prometheus")
    async with serving(banks["north"].app()) as north, serving(banks["south"].app()) as south:
        services = {
            name: printed_service(name, url, monkeypatch)
            for name, url in (("north", north), ("south", south))
        }
        async with serving(services["north"]) as first, serving(services["south"]) as second:
            targets = {"checkout-north": first, "checkout-south": second}
            spec = prometheus.spec(
                prometheus_binary,
                tmp_path / "prometheus",
                port,
                rule_files=[rules],
                scrape_targets={name: url.removeprefix("http://") for name, url in targets.items()},
                scrape_interval_seconds=float(timing.scrape_seconds),
                evaluation_interval_seconds=float(timing.evaluation_seconds),
            )
            seen = Prometheus(f"http://127.0.0.1:{port}")
            async with Supervisor(tmp_path / "run") as supervisor:
                await supervisor.start(spec)
                paying = [asyncio.create_task(pay(url)) for url in (first, second)]
                try:
                    await _until(
                        seen, 'count(provider:authorization_valid:increase1m{provider!="none"} >= 10) == 2'
                    )
                    assert not await seen.query(FIRING)
                    for name, answer in broken.items():
                        banks[name].answer = answer
                    await _until(seen, 'sum(moneypath_payments_total{outcome="indeterminate"}) > 0')
                    harmed = await seen.value("time()")
                    await _until(seen, FIRING)
                    paged = await seen.value("time()")
                    # What follows for as long as the window is: nobody else is blamed after all.
                    assert paged is not None
                    await _until(seen, f"vector(time()) > {paged + 60 / scale}")
                    at_last = await seen.query(FIRING)
                finally:
                    for task in paying:
                        task.cancel()
                    await asyncio.gather(*paying, return_exceptions=True)
                ever = await seen.query(f"max by (provider) (max_over_time(({FIRING})[10m:1s]))")
                assert {sample.labels["provider"] for sample in at_last} == {blamed}
                # A window of five seconds is too coarse for two banks to pass a limit at one instant.
                if scale == 1 or broken != dict.fromkeys(BANKS):
                    assert {sample.labels["provider"] for sample in ever} == {blamed}
    if scale == 1:
        (slo,) = (slo for slo in path.slos if isinstance(slo, AvailabilitySlo))
        assert slo.hard_down is not None
        assert slo.hard_down.detect_within_seconds is not None
        assert harmed is not None
        assert paged - harmed <= slo.hard_down.detect_within_seconds


async def _until(seen: Prometheus, promql: str) -> None:
    """Wait until a query has a result."""
    async with asyncio.timeout(240):
        while not await seen.query(promql):  # noqa: ASYNC110 - Prometheus has no event
            await asyncio.sleep(0.2)
