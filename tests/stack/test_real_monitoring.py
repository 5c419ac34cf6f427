"""Real Prometheus and Alertmanager: history, scrapes, flags, and a page that arrives."""

import asyncio
import time
from pathlib import Path
from typing import Any

import aiohttp
import pytest
import yaml

from moneypath.stack import alertmanager, binaries, prometheus, secrets
from moneypath.stack.binaries import Binary
from moneypath.stack.errors import FolderUnwritable, HistoryRefused, ServerDied
from moneypath.stack.pager.spec import spec as pager_spec
from moneypath.stack.ports import PortPool
from moneypath.stack.supervisor import Supervisor

_ODD = "ein schöner Pfad [1]"


async def _get(url: str, **parameters: str) -> Any:
    async with aiohttp.ClientSession() as session, session.get(url, params=parameters) as answer:
        assert answer.status == 200, await answer.text()
        return await answer.json()


async def _query(url: str, promql: str, **parameters: str) -> list[Any]:
    answer = await _get(f"{url}/api/v1/query", query=promql, **parameters)
    result: list[Any] = answer["data"]["result"]
    return result


def _rule(folder: Path) -> Path:
    file = folder / "watchdog.rules.yml"
    rule = {
        "alert": "MoneyPathWatchdog",
        "expr": "vector(1)",
        "labels": {"severity": "critical"},
        "annotations": {"summary": "schön"},
    }
    file.write_text(yaml.safe_dump({"groups": [{"name": "g", "rules": [rule]}]}))
    return file


def _routes(folder: Path, pager_url: str, token_file: Path) -> Path:
    file = folder / "routes.yml"
    webhook = {
        "url": f"{pager_url}/pages/eng",
        "http_config": {"authorization": {"credentials_file": str(token_file)}},
    }
    tree = {
        "route": {"receiver": "role-eng", "group_wait": "0s", "group_interval": "100ms"},
        "receivers": [{"name": "role-eng", "webhook_configs": [webhook]}],
    }
    file.write_text(yaml.safe_dump(tree))
    return file


async def test_an_alert_becomes_a_page(
    tmp_path: Path, port_pool: PortPool, prometheus_binary: Binary, alertmanager_binary: Binary
) -> None:
    """Rule, Prometheus, Alertmanager, pager: the real payload passes the pager's validation."""
    run = tmp_path / _ODD
    secrets.mint(tmp_path / "secrets", ["pager_token", "role_eng_token"])
    ports = {name: port_pool.reserve(name) for name in ("pager", "alertmanager", "prometheus")}
    urls = {name: f"http://127.0.0.1:{port}" for name, port in ports.items()}
    async with Supervisor(run) as supervisor:
        await supervisor.start(pager_spec(run / "pager", ports["pager"], secrets_folder=tmp_path / "secrets"))
        routes = _routes(tmp_path, urls["pager"], tmp_path / "secrets" / "pager_token")
        await supervisor.start(
            alertmanager.spec(
                alertmanager_binary, run / "alertmanager", ports["alertmanager"], config_file=routes
            )
        )
        await supervisor.start(
            prometheus.spec(
                prometheus_binary,
                run / "prometheus",
                ports["prometheus"],
                rule_files=[_rule(tmp_path)],
                scrape_targets={},
                alertmanager_url=urls["alertmanager"],
                resend_delay_seconds=1,
            )
        )
        answer = await _get(f"{urls['pager']}/pages", after="0", wait_seconds="30")
        assert [page["role"] for page in answer["pages"]] == ["eng"]
        (alert,) = answer["pages"][0]["alerts"]
        assert (alert["name"], alert["annotations"]) == ("MoneyPathWatchdog", {"summary": "schön"})
        assert abs(alert["starts_at"] - time.time()) < 60
        assert (await _get(f"{urls['pager']}/healthz"))["refused"] == 0


async def test_history_is_there_and_continues_under_one_name(
    tmp_path: Path, port_pool: PortPool, prometheus_binary: Binary, promtool_binary: Binary
) -> None:
    """Backfilled samples are found, live ones bear job and instance of the same name, flags are set."""
    folder = tmp_path / _ODD
    port = port_pool.reserve("prometheus")
    now = int(time.time())
    lines = [f'shop_sales_total{{job="self",instance="self"}} {n} {now - 600 + n}' for n in range(300)]
    text = "\n".join(["# TYPE shop_sales counter", *lines, "# EOF", ""])
    assert await prometheus.backfill(promtool_binary, folder / "prometheus" / "data", text) >= 1
    url = f"http://127.0.0.1:{port}"
    async with Supervisor(folder) as supervisor:
        await supervisor.start(
            prometheus.spec(
                prometheus_binary,
                folder / "prometheus",
                port,
                rule_files=[],
                scrape_targets={"self": f"127.0.0.1:{port}"},
                lookback_seconds=2.5,
                for_grace_period_seconds=1,
                for_outage_tolerance_seconds=60,
            )
        )
        (then,) = await _query(url, "increase(shop_sales_total[100s])", time=str(now - 400))
        assert 95 < float(then["value"][1]) < 105
        flags = (await _get(f"{url}/api/v1/status/flags"))["data"]
        wanted = {
            "query.lookback-delta": "2s500ms",
            "rules.alert.for-grace-period": "1s",
            "rules.alert.for-outage-tolerance": "1m",
            "rules.alert.resend-delay": "1m",
        }
        assert {name: flags[name] for name in wanted} == wanted
        async with asyncio.timeout(20):
            # Prometheus tells nobody of a first scrape, so there is no event to wait for.
            while not (up := await _query(url, "up")):  # noqa: ASYNC110
                await asyncio.sleep(0.1)
        assert up[0]["metric"] == {"__name__": "up", "job": "self", "instance": "self"}


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("# TYPE a gauge\na 1 1700000000\n", "does not end in"),
        ("# TYPE a gauge\na one 1700000000\n# EOF\n", "promtool said"),
        ("# EOF\n", "refused"),
    ],
)
async def test_a_history_that_is_none_is_refused(
    tmp_path: Path, promtool_binary: Binary, text: str, words: str
) -> None:
    """Torn, unreadable or empty: a start without history must not look like one with it."""
    with pytest.raises(HistoryRefused, match=words):
        await prometheus.backfill(promtool_binary, tmp_path / "data", text)


async def test_a_wrong_rule_says_what_prometheus_said(
    tmp_path: Path, port_pool: PortPool, prometheus_binary: Binary, supervisor: Supervisor
) -> None:
    """The rule's error is in the last log lines, the tool to check with in the hint."""
    file = tmp_path / "wrong.yml"
    file.write_text("groups: [{name: g, rules: [{alert: A, expr: 'sum('}]}]")
    spec = prometheus.spec(
        prometheus_binary,
        tmp_path / "p",
        port_pool.reserve("prometheus"),
        rule_files=[file],
        scrape_targets={},
    )
    with pytest.raises(
        ServerDied, match=r"prometheus (.|\n)*could not parse expression(.|\n)*promtool check config"
    ):
        await supervisor.start(spec)


async def test_a_wrong_route_says_what_alertmanager_said(
    tmp_path: Path, port_pool: PortPool, alertmanager_binary: Binary, supervisor: Supervisor
) -> None:
    """The unknown receiver is in the last log lines."""
    file = tmp_path / "wrong.yml"
    file.write_text("route: {receiver: nowhere}\nreceivers: [{name: x}]\n")
    port = port_pool.reserve("alertmanager")
    with pytest.raises(ServerDied, match=r"alertmanager (.|\n)*nowhere(.|\n)*amtool check-config"):
        await supervisor.start(alertmanager.spec(alertmanager_binary, tmp_path / "a", port, config_file=file))


def test_a_missing_rule_file_is_not_passed_over(tmp_path: Path) -> None:
    """Prometheus takes a pattern that matches nothing for no rules; here the file must be there."""
    binary = Binary("prometheus", Path("/nowhere"), "3", binaries.Origin.PATH)
    with pytest.raises(FolderUnwritable):
        prometheus.spec(binary, tmp_path, 1, rule_files=[tmp_path / "none.yml"], scrape_targets={})


@pytest.mark.parametrize(("seconds", "text"), [(1, "1s"), (0.25, "250ms"), (2.5, "2500ms"), (3600, "3600s")])
def test_durations_are_exact(seconds: float, text: str) -> None:
    """Prometheus' notation has no fractions."""
    assert prometheus.duration(seconds) == text


def test_a_duration_of_nothing_is_refused() -> None:
    """An interval of 0 would mean the default to some flags and an endless loop to others."""
    with pytest.raises(ValueError, match=r"at least 0\.001"):
        prometheus.duration(0)
