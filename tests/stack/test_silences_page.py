"""Whoever silences an integrity alert is seen: the generated rules on real servers, from silence to page."""

import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import aiohttp
import pytest

from moneypath.alerting.silences.matchers import Matcher
from moneypath.alerting.timing import Scale
from moneypath.path.loader import load
from moneypath.polling import poll_until
from moneypath.prometheus import Prometheus
from moneypath.stack import secrets
from moneypath.stack.pager.spec import spec as pager_spec
from moneypath.stack.ports import PortPool
from moneypath.stack.supervisor import Supervisor
from moneypath.workflows.monitoring import MonitoringBuilder, find_programs

from .silence_support import expire, session_to, silence

PATH = load(Path(__file__).parents[2] / "moneypath.yaml")
WITHIN_SECONDS: Final = 60.0
SILENCED, DOUBLE = "MoneyPathIntegrityAlertSilenced", "MoneyPathDoubleCharge"


@dataclass(frozen=True, slots=True)
class Monitoring:
    """The running servers of one test."""

    supervisor: Supervisor
    prometheus: Prometheus
    alertmanager: aiohttp.ClientSession
    pager: aiohttp.ClientSession

    async def becomes(self, promql: str, wanted: bool) -> None:
        """Wait until a query finds something, or nothing."""

        async def ask() -> bool:
            return bool(await self.prometheus.query(promql))

        assert await self.until(ask, lambda found: found is wanted), promql

    async def until(self, ask: Callable[[], Awaitable[Any]], holds: Callable[[Any], bool]) -> bool:
        """Wait until an answer holds; return whether it does."""
        return holds(await poll_until(ask, holds, every_seconds=0.2, within_seconds=WITHIN_SECONDS))

    async def pages(self) -> list[tuple[str, str, str]]:
        """Return role, state and muted alert of every page that told of a silence."""
        async with self.pager.get("/pages", params={"after": "0"}) as answer:
            pages = (await answer.json())["pages"]
        return [
            (page["role"], alert["status"], alert["labels"]["alert"])
            for page in pages
            for alert in page["alerts"]
            if alert["name"] == SILENCED
        ]

    async def heartbeat_age(self) -> float:
        """Return how long ago the last heartbeat arrived, in seconds."""
        async with self.pager.get("/heartbeats") as answer:
            at = (await answer.json())["last_at"]
        return time.time() - (at or 0.0)

    async def silence(self, *matchers: Matcher) -> str:
        """Make a silence of ten minutes."""
        now = time.time()
        made = await silence(self.alertmanager, matchers, starts=now - 1, ends=now + 600)
        assert made is not None
        return made


@pytest.fixture
async def monitoring(tmp_path: Path, port_pool: PortPool) -> AsyncIterator[Monitoring]:
    """Start pager, Alertmanager, the exporter and Prometheus with the generated rules, 60 times as fast."""
    token = "pager_token"  # a file's name
    roles = [f"role_{role}_token" for role in PATH.paged_roles()]
    secrets.mint(tmp_path / "secrets", [token, *roles])
    port = port_pool.reserve("pager")
    async with Supervisor(tmp_path / "run") as supervisor, AsyncExitStack() as sessions:
        await supervisor.start(pager_spec(tmp_path / "run/pager", port, secrets_folder=tmp_path / "secrets"))
        begun = await MonitoringBuilder(
            PATH, Scale(60), tmp_path / "run", port_pool, supervisor, environment="test"
        ).begin(
            find_programs(lambda _: None),
            pager_url=f"http://127.0.0.1:{port}",
            pager_token_file=tmp_path / "secrets" / token,
            targets={},
            events_per_second=1,
        )
        yield Monitoring(
            supervisor,
            Prometheus(begun.prometheus),
            await sessions.enter_async_context(session_to(begun.alertmanager)),
            await sessions.enter_async_context(session_to(f"http://127.0.0.1:{port}")),
        )


async def test_a_silence_pages_and_ends_with_it(monitoring: Monitoring) -> None:
    """Engineering, operations and compliance are paged for a silenced double charge, and told of its end."""
    live = 'moneypath_integrity_alert_silences{job="alert-silences"}'
    await monitoring.becomes(f"count({live} == 0) == {len(PATH.integrity_alerts())}", True)
    assert await monitoring.pages() == []
    made = await monitoring.silence(Matcher("alertname", DOUBLE))
    roles = ("compliance", "eng", "ops")
    firing = [(role, "firing", DOUBLE) for role in roles]
    assert await monitoring.until(monitoring.pages, lambda pages: set(firing) <= set(pages))
    left = await monitoring.prometheus.query(
        "moneypath_integrity_alert_silence_end_timestamp_seconds - time()"
    )
    assert [(one.labels["alert"], 480 < one.value < 601) for one in left] == [(DOUBLE, True)]
    await expire(monitoring.alertmanager, made)
    resolved = {(role, "resolved", DOUBLE) for role in roles}
    assert await monitoring.until(monitoring.pages, lambda pages: resolved <= set(pages))
    assert {alert for _, _, alert in await monitoring.pages()} == {DOUBLE}


async def test_a_silence_that_mutes_the_page_stops_the_heartbeat(monitoring: Monitoring) -> None:
    """By urgency: no page tells of it, the watchdog is not muted, yet its heartbeat ends."""
    watchdog = 'ALERTS{alertname="MoneyPathWatchdog", alertstate="firing"}'
    await monitoring.becomes(
        f'{watchdog} and on () moneypath_integrity_alert_silences{{alert="{DOUBLE}"}}', True
    )
    assert await monitoring.until(monitoring.heartbeat_age, lambda age: age < 5)
    made = await monitoring.silence(Matcher("severity", "critical"))
    await monitoring.becomes(watchdog, False)
    count = len(PATH.integrity_alerts())
    await monitoring.becomes(f"count(moneypath_integrity_alert_silences > 0) == {count}", True)
    await monitoring.becomes(f'count(ALERTS{{alertname="{SILENCED}", alertstate="firing"}}) == {count}', True)
    assert await monitoring.until(monitoring.heartbeat_age, lambda age: age > 10)
    assert await monitoring.pages() == []
    await expire(monitoring.alertmanager, made)
    assert await monitoring.until(monitoring.heartbeat_age, lambda age: age < 5)


async def test_when_nobody_can_ask_any_more_it_is_stale_and_not_zero(monitoring: Monitoring) -> None:
    """Alertmanager gone: numbers absent, the alert goes on, the stale guard speaks; exporter gone: down."""
    number = f'moneypath_integrity_alert_silences{{alert="{DOUBLE}"}}'
    await monitoring.silence(Matcher("alertname", DOUBLE))
    telling = f'ALERTS{{alertname="{SILENCED}", alertstate="firing", alert="{DOUBLE}"}}'
    await monitoring.becomes(telling, True)
    await monitoring.supervisor.kill("alertmanager")
    await monitoring.becomes(number, False)
    await monitoring.becomes('ALERTS{alertname="MoneyPathSilenceCheckStale", alertstate="firing"}', True)
    assert await monitoring.prometheus.query(telling)
    assert not await monitoring.prometheus.query(f"{number} == 0")
    down = 'ALERTS{alertname="MoneyPathTargetDown", alertstate="firing", job="alert-silences"}'
    assert not await monitoring.prometheus.query(down)
    await monitoring.supervisor.kill("alert-silences")
    await monitoring.becomes(down, True)
