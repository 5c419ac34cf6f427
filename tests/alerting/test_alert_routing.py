"""The Alertmanager configuration. Routes are tested here; that a page arrives, only its delivery proves."""

from pathlib import Path

import pytest
import yaml

from moneypath.alerting import rule_groups
from moneypath.alerting.generate import ALERTMANAGER_FILE, write_live
from moneypath.alerting.routing import configuration
from moneypath.alerting.timing import Scale
from moneypath.path.model import MoneyPath

from .conftest import RunTool


def receivers(amtool: RunTool, root: Path, **labels: str) -> list[str]:
    """Return the receivers that the committed configuration chooses for an alert with `labels`."""
    pairs = [f"{key}={value}" for key, value in labels.items()]
    result = amtool(
        "config", "routes", "test", f"--config.file={ALERTMANAGER_FILE}", *pairs, cwd=root / "alerts"
    )
    assert result.returncode == 0, result.stdout + result.stderr
    return result.stdout.strip().split(",")


def test_the_committed_configuration_is_valid(root: Path, amtool: RunTool) -> None:
    """amtool accepts the committed file."""
    result = amtool("check-config", ALERTMANAGER_FILE, cwd=root / "alerts")
    assert result.returncode == 0, result.stdout + result.stderr


def test_the_live_configuration_is_valid_and_leads_to_the_pager(
    money_path: MoneyPath, tmp_path: Path, amtool: RunTool
) -> None:
    """The live file is accepted, points at the pager, and names the file of its token, not the token."""
    token = tmp_path / "pager_token"
    token.write_text("do-not-leak", encoding="utf-8")
    live = write_live(
        money_path, tmp_path, Scale(60), pager_url="http://127.0.0.1:4711/", credentials_file=token
    )
    result = amtool("check-config", live.alertmanager_file, cwd=tmp_path)
    assert result.returncode == 0, result.stdout + result.stderr
    text = live.alertmanager_file.read_text(encoding="utf-8")
    assert "url: http://127.0.0.1:4711/pages/compliance\n" in text
    assert "url: http://127.0.0.1:4711/heartbeats\n" in text
    assert str(token) in text
    assert "do-not-leak" not in text


def test_every_role_has_a_route_of_its_own(money_path: MoneyPath, root: Path, amtool: RunTool) -> None:
    """An alert for one role reaches that role and nobody else."""
    for role in money_path.paged_roles():
        assert receivers(amtool, root, alertname="X", roles=f"|{role}|") == [f"role-{role}"]


def test_an_alert_for_several_roles_pages_each_once(root: Path, amtool: RunTool) -> None:
    """`continue: true` lets one alert reach every role it names, in the order of the file."""
    found = receivers(amtool, root, alertname="X", roles="|eng|ops|compliance|")
    assert found == ["role-eng", "role-ops", "role-compliance"]


def test_a_role_is_not_found_inside_the_name_of_another(root: Path, amtool: RunTool) -> None:
    """The bars keep `eng` from matching `engine`; what no role claims goes to the first role."""
    assert receivers(amtool, root, alertname="X", roles="|devops|ops|") == ["role-ops"]
    assert receivers(amtool, root, alertname="X", roles="|engine|") == ["role-eng"]


def test_the_watchdog_is_a_heartbeat_and_pages_nobody(root: Path, amtool: RunTool) -> None:
    """The heartbeat goes to its own receiver although it names a role."""
    assert receivers(amtool, root, alertname="MoneyPathWatchdog", roles="|eng|") == ["watchdog"]


def test_every_generated_alert_reaches_exactly_its_roles(
    money_path: MoneyPath, root: Path, amtool: RunTool
) -> None:
    """The labels of every rule, sent through the routes, reach the roles that the rule names."""
    for alert in rule_groups.alerts(rule_groups.build(money_path)):
        roles = alert.labels["roles"].strip("|").split("|")
        # The routes stand in the order of the roles in the file.
        paged = [f"role-{role}" for role in money_path.paged_roles() if role in roles]
        expected = ["watchdog"] if alert.labels["severity"] == "none" else paged
        assert receivers(amtool, root, alertname=alert.name, **alert.labels) == expected


@pytest.mark.parametrize("name", ["MoneyPathWatchdog", "MoneyPathLedgerImbalance"])
def test_another_environment_pages_nobody(root: Path, amtool: RunTool, name: str) -> None:
    """Neither its alerts nor its heartbeat, which would hide that ours stopped; no label means ours."""
    ours = receivers(amtool, root, alertname=name, roles="|ops|")
    assert ours == (["watchdog"] if name.endswith("Watchdog") else ["role-ops"])
    assert receivers(amtool, root, alertname=name, roles="|ops|", environment="production") == ours
    for other in ("staging", "production-2", "prod"):
        found = receivers(amtool, root, alertname=name, roles="|ops|", environment=other)
        assert found == ["another-environment"]


def test_the_receiver_of_another_environment_tells_nobody(money_path: MoneyPath) -> None:
    """It has no integration; without a declared environment there is none."""
    text = configuration(money_path, Scale(1), pager_url="http://x", credentials_file="t")
    assert yaml.safe_load(text)["receivers"][0] == {"name": "another-environment"}
    alerts = money_path.alerts.model_copy(update={"environment": None})
    path = money_path.model_copy(update={"alerts": alerts})
    assert "environment" not in configuration(path, Scale(1), pager_url="http://x", credentials_file="t")
    live = configuration(path, Scale(1), pager_url="http://x", credentials_file="t", environment="bench")
    assert 'environment!="bench"' in live


def test_a_role_that_is_not_paged_has_no_receiver(money_path: MoneyPath) -> None:
    """Only roles that a page can reach get a route."""
    silent = money_path.roles["support"].model_copy(update={"paged": False})
    path = money_path.model_copy(update={"roles": {**money_path.roles, "support": silent}})
    document = yaml.safe_load(configuration(path, Scale(1), pager_url="http://x", credentials_file="t"))
    assert "role-support" not in {receiver["name"] for receiver in document["receivers"]}


@pytest.mark.parametrize("factor", [1, 60])
def test_nothing_inhibits_an_integrity_alert(money_path: MoneyPath, factor: int) -> None:
    """Double charges happen during outages, so no alert silences another."""
    text = configuration(money_path, Scale(factor), pager_url="http://x", credentials_file="t")
    assert "inhibit" not in text


def test_group_intervals_suit_the_oldest_alertmanager(money_path: MoneyPath) -> None:
    """Version 0.25 refuses a group interval of 0, and the heartbeat must not wait for the group."""
    text = configuration(money_path, Scale(60), pager_url="http://x", credentials_file="t")
    route = yaml.safe_load(text)["route"]
    assert (route["group_wait"], route["group_interval"]) == ("0s", "500ms")
    assert route["group_by"] == ["alertname", "provider"]
    assert route["routes"][1]["repeat_interval"] == "1s"
