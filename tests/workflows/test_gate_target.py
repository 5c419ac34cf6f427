"""The gate on a deployed service: it passes one that is well, and nothing that only looks so."""

import asyncio
import json
import re
import time
from collections.abc import AsyncIterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer
from tests.drills.story import PATH, PROJECT
from tests.target.drilled import drilled_target
from tests.target.stranger import KEY, Wallet, write_witnesses

from moneypath.alerting.conventions import watchdog_name
from moneypath.alerting.objective_counts import objective_counts
from moneypath.capacity.errors import GateRefused, GateUnmeasured
from moneypath.capacity.observation import CriterionStatus
from moneypath.capacity.target_gate import ALERTS, EVIDENCE, MONEY, RATE
from moneypath.capacity.verdict import GateOutcome
from moneypath.drills import target_load
from moneypath.target.errors import NotDrillable
from moneypath.target.loader import Target
from moneypath.workflows import gate_target
from moneypath.workflows.gate_target import (
    PreparedTargetGate,
    TargetGateResult,
    prepare_target_gate,
    run_target_gate,
)

COUNTS = objective_counts(PATH)
PLAN = """
title: Wallet before a release
load: {per_second: 20, users: 5, seed: 3}
warm_up: 1s
duration: 5s
"""


@dataclass(slots=True)
class Servers:
    """The Prometheus and the Alertmanager of the wallet; tests spoil what they say."""

    folder: Path
    environment: str = "staging"
    valid: dict[str, float | None] = field(default_factory=lambda: {one.id: 100_000.0 for one in COUNTS})
    bad: dict[str, float | None] = field(default_factory=lambda: {one.id: 0.0 for one in COUNTS})
    alerts: list[dict[str, str]] = field(default_factory=list)
    beats: bool = True
    witnessed: bool = True
    booked: int = 100
    scraped: bool = True

    def application(self) -> web.Application:
        """Return both."""
        app = web.Application()
        app.router.add_post("/api/v1/query", self._query)
        app.router.add_get("/api/v2/alerts", self._alerts)
        return app

    async def _alerts(self, _: web.Request) -> web.Response:
        labels = {"alertname": "WalletWatchdog", "environment": self.environment}
        return web.Response(text=json.dumps([{"labels": labels}]), content_type="application/json")

    async def _query(self, request: web.Request) -> web.Response:
        asked = str((await request.post())["query"])
        if asked.startswith("timestamp("):
            if self.witnessed:
                # Money moves while the gate drives, and not before.
                write_witnesses(self.folder, at=time.time(), booked=self.booked)
            now = time.time() + 0.01
            values = [now] * len(PATH.targets) if self.scraped else []
            return _answer(
                "vector",
                [{"metric": {"n": str(n)}, "value": [now, f"{at:.3f}"]} for n, at in enumerate(values)],
            )
        if asked.startswith("ALERTS"):
            return _answer("matrix", self._firing(float(asked.rpartition("@ ")[2])))
        value = self._counted(re.sub(r"\[\d+s\]", "[{window}]", asked))
        return _answer("vector", [] if value is None else [{"metric": {}, "value": [0, str(value)]}])

    def _counted(self, template: str) -> float | None:
        for one in COUNTS:
            if template == one.valid:
                return self.valid[one.id]
            if template == one.bad:
                return self.bad[one.id]
        raise AssertionError(template)

    def _firing(self, end: float) -> list[dict[str, Any]]:
        times = [[end - n / 100, "1"] for n in range(1000)]
        watchdog = {"alertname": watchdog_name(PATH), "severity": "none"}
        labels = [*([watchdog] if self.beats else []), *self.alerts]
        return [{"metric": {"alertstate": "firing", **one}, "values": times[::-1]} for one in labels]


def _answer(kind: str, result: list[dict[str, Any]]) -> web.Response:
    return web.json_response({"status": "success", "data": {"resultType": kind, "result": result}})


@pytest.fixture
def servers(tmp_path: Path) -> Servers:
    """Return servers that say that all is well."""
    return Servers(tmp_path)


@pytest.fixture
def wallet() -> Wallet:
    """Return a wallet that is well."""
    return Wallet()


@pytest.fixture
async def urls(servers: Servers, wallet: Wallet) -> AsyncIterator[dict[str, str]]:
    """Serve the wallet and its servers; return the variables of its target's file."""
    async with TestServer(wallet.application()) as service, TestServer(servers.application()) as watching:
        both = str(watching.make_url("")).rstrip("/")
        url = str(service.make_url("")).rstrip("/")
        yield {"wallet": url, "prometheus": both, "alertmanager": both}


def target_of(folder: Path, urls: dict[str, str] | None = None, **changes: Any) -> Target:
    """Return the wallet at these addresses."""
    write_witnesses(folder)
    return drilled_target(folder, given=urls or {}, **changes)


def prepared(folder: Path, target: Target, plan: str = PLAN) -> PreparedTargetGate:
    """Return a gate whose window is a moment."""
    file = folder / "gate.yaml"
    file.write_text(plan)
    found = prepare_target_gate(PROJECT, file, target)
    short = {"warm_up": 0.05, "duration": 0.1, "drain": 0.0}
    return replace(found, gate=found.gate.model_copy(update=short))


async def run(
    folder: Path,
    urls: dict[str, str],
    environment: str | None = "staging",
    plan: str = PLAN,
    **changes: Any,
) -> TargetGateResult:
    """Run the gate on the wallet."""
    gate = prepared(folder, target_of(folder, urls, **changes), plan)
    return await run_target_gate(gate, environment, folder / "run", lambda _: None)


def kept_back(result: TargetGateResult) -> dict[str, str]:
    """Return what keeps a build from passing, with the status of each."""
    return {
        str(one.measure): one.status.value
        for one in result.verdict.results
        if one.status is not CriterionStatus.MET
    }


async def test_a_service_that_is_well_passes(tmp_path: Path, urls: dict[str, str], wallet: Wallet) -> None:
    """Every objective of the declaration is judged, and the verdict is written down."""
    result = await run(tmp_path, urls)
    assert kept_back(result) == {}
    assert (result.verdict.outcome, result.verdict.exit_code) == (GateOutcome.PASSED, 0)
    assert {str(one.measure) for one in result.verdict.results} == {
        RATE, EVIDENCE, ALERTS, MONEY, *(one.id for one in COUNTS)
    }  # fmt: skip
    written = json.loads((result.folder / gate_target.VERDICT).read_text())
    assert (written["target"], written["outcome"], written["figures"]["whole"]) == ("wallet", "passed", True)
    assert list(result.phases) == ["warm-up", "window", "audit"]
    assert wallet.calls.count("top-up") == 8
    assert (result.folder / gate_target.ANSWERS).read_text()


async def test_live_traffic_needs_no_environment(tmp_path: Path, urls: dict[str, str]) -> None:
    """Nothing is driven, and nothing is broken, so nobody has to say that it may be; not even its file."""
    result = await run(tmp_path, urls, None, load={"live": True}, drillable=False)
    assert result.verdict.outcome is GateOutcome.PASSED
    assert not (result.folder / gate_target.ANSWERS).exists()
    assert (await run(tmp_path, urls, "staging", load={"live": True})).verdict.exit_code == 0


async def test_a_load_is_driven_only_where_somebody_says_so(
    tmp_path: Path, urls: dict[str, str], wallet: Wallet
) -> None:
    """Without the environment, in another one, or where the file forbids it, nobody is asked anything."""
    for environment, changes, said in (
        (None, {}, "nobody named the environment"),
        ("production", {}, "wallet runs in staging, not in production"),
        ("staging", {"drillable": False}, "wallet is not drillable"),
        ("production", {"load": {"live": True}}, "wallet runs in staging, not in production"),
    ):
        with pytest.raises(NotDrillable, match=said):
            await run(tmp_path, urls, environment, **changes)
    assert wallet.calls == []
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize("load", [{}, {"load": {"live": True}}])
async def test_a_prometheus_of_another_environment_is_not_read(
    tmp_path: Path, urls: dict[str, str], servers: Servers, load: dict[str, Any]
) -> None:
    """Its verdict would be on another service, whether load is driven or not."""
    servers.environment = "production"
    with pytest.raises(
        NotDrillable, match="The alerts say environment: production; the target is in staging"
    ):
        await run(tmp_path, urls, **load)


async def test_money_that_differs_fails(tmp_path: Path, urls: dict[str, str], servers: Servers) -> None:
    """The bank moved one cent more."""
    servers.booked = 101
    result = await run(tmp_path, urls)
    assert (result.verdict.outcome, kept_back(result)) == (GateOutcome.FAILED, {MONEY: "broken"})


async def test_witnesses_of_another_time_fail(tmp_path: Path, urls: dict[str, str], servers: Servers) -> None:
    """They agree on what was a minute ago; of this window they compare nothing."""
    servers.witnessed = False
    result = await run(tmp_path, urls)
    assert (result.verdict.outcome, kept_back(result)) == (GateOutcome.FAILED, {MONEY: "broken"})
    assert "nothing to compare" in result.verdict.figures.reasons[0]


async def test_without_witnesses_only_a_plan_that_says_so_passes(
    tmp_path: Path, urls: dict[str, str]
) -> None:
    """Else nobody would have looked at the money, and the gate would have passed it."""
    with pytest.raises(GateRefused, match="no `witnesses`, so nobody would audit its money") as raised:
        await run(tmp_path, urls, witnesses=None)
    assert "`ledger_truth: unknown`" in raised.value.hint
    result = await run(tmp_path, urls, plan=f"{PLAN}ledger_truth: unknown\n", witnesses=None)
    assert (result.verdict.outcome, kept_back(result)) == (GateOutcome.PASSED, {MONEY: "unmeasured"})


async def test_unknown_hides_no_money_that_was_audited(
    tmp_path: Path, urls: dict[str, str], servers: Servers
) -> None:
    """What a plan said beforehand is no excuse for what the witnesses say."""
    servers.booked = 101
    result = await run(tmp_path, urls, plan=f"{PLAN}ledger_truth: unknown\n")
    assert result.verdict.outcome is GateOutcome.FAILED


FIRST = COUNTS[0].id
# Of this one objective the rate is told too.
NONE = {FIRST: "inconclusive", EVIDENCE: "inconclusive", RATE: "inconclusive"}


@pytest.mark.parametrize(
    ("spoil", "outcome", "kept"),
    [
        ({"bad": 90_000.0}, GateOutcome.FAILED, {FIRST: "broken"}),
        ({"valid": float("nan")}, GateOutcome.INCONCLUSIVE, NONE),
        ({"valid": None}, GateOutcome.INCONCLUSIVE, NONE),
        ({"valid": 0.0}, GateOutcome.INCONCLUSIVE, NONE),
        ({"valid": 99.0}, GateOutcome.INCONCLUSIVE, {EVIDENCE: "inconclusive"}),
    ],
)
async def test_an_objective_is_judged_by_what_was_counted(
    tmp_path: Path,
    urls: dict[str, str],
    servers: Servers,
    spoil: dict[str, float | None],
    outcome: GateOutcome,
    kept: dict[str, str],
) -> None:
    """Bad events fail it, and none at all prove nothing."""
    for name, value in spoil.items():
        getattr(servers, name)[FIRST] = value
    result = await run(tmp_path, urls)
    assert (result.verdict.outcome, kept_back(result)) == (outcome, kept)


async def test_only_the_chosen_objectives_are_judged(
    tmp_path: Path, urls: dict[str, str], servers: Servers
) -> None:
    """The others may be missed."""
    servers.bad[FIRST] = 90_000.0
    other = COUNTS[1].id
    result = await run(tmp_path, urls, plan=f"{PLAN}objectives: [{other}]\n")
    assert result.verdict.outcome is GateOutcome.PASSED
    assert FIRST not in {str(one.measure) for one in result.verdict.results}


async def test_a_load_that_asked_too_little_proves_nothing(
    tmp_path: Path, urls: dict[str, str], servers: Servers
) -> None:
    """Whatever was good about the little that there was."""
    servers.valid = dict.fromkeys(servers.valid, 0.1)
    result = await run(tmp_path, urls, plan=f"{PLAN}least_events: 1\n")
    assert result.verdict.outcome is GateOutcome.INCONCLUSIVE
    assert kept_back(result) == {RATE: "inconclusive", EVIDENCE: "inconclusive"}


@pytest.mark.parametrize(("severity", "strict", "outcome"), [
    ("critical", False, GateOutcome.FAILED), ("warning", False, GateOutcome.PASSED),
    ("warning", True, GateOutcome.FAILED), ("none", True, GateOutcome.PASSED),
])  # fmt: skip
async def test_an_alert_that_fired_fails(
    tmp_path: Path, urls: dict[str, str], servers: Servers, severity: str, strict: bool, outcome: GateOutcome
) -> None:
    """A warning only where the plan says so."""
    servers.alerts = [{"alertname": "WalletDown", "severity": severity}]
    result = await run(tmp_path, urls, plan=f"{PLAN}warnings_fail: {str(strict).lower()}\n")
    assert result.verdict.outcome is outcome


async def test_without_a_watchdog_no_alert_is_known_not_to_have_fired(
    tmp_path: Path, urls: dict[str, str], servers: Servers
) -> None:
    """Rules that nobody evaluates never fire."""
    servers.beats = False
    result = await run(tmp_path, urls)
    assert (result.verdict.outcome, kept_back(result)) == (GateOutcome.FAILED, {ALERTS: "unknown"})


async def test_a_service_that_is_ill_before_is_not_measured(
    tmp_path: Path, urls: dict[str, str], wallet: Wallet
) -> None:
    """Nothing is driven at one whose canary is not answered well."""
    wallet.lies = {"broken"}
    with pytest.raises(
        GateUnmeasured, match="8 of 8 canaries were not answered well, the first with 502"
    ) as raised:
        await run(tmp_path, urls)
    assert raised.value.exit_code == 3
    assert not (tmp_path / "run" / "gate" / gate_target.ANSWERS).exists()


@pytest.mark.parametrize("how", ["dies", "sleeps"])
async def test_a_load_that_does_not_drive_gives_no_verdict(
    tmp_path: Path, urls: dict[str, str], monkeypatch: pytest.MonkeyPatch, how: str
) -> None:
    """It is no fault of the build: exit code 3 and not 1."""
    monkeypatch.setattr(target_load, "READY_SECONDS", 1.0)
    with pytest.raises(GateUnmeasured, match="load") as raised:
        await run(tmp_path, urls, how=how)
    assert raised.value.exit_code == 3


async def test_a_load_that_ends_meanwhile_gives_no_verdict(tmp_path: Path, urls: dict[str, str]) -> None:
    """Its window would be one without traffic."""
    command = [
        "{python}",
        "-c",
        "import sys, time; open(sys.argv[1], 'w').write('1' + chr(10)); time.sleep(0.4)",
    ]
    gate = prepared(tmp_path, target_of(tmp_path, urls, load={"command": [*command, "{answers_file}"]}))
    long = replace(gate, gate=gate.gate.model_copy(update={"duration": 600.0}))
    async with asyncio.timeout(60):
        with pytest.raises(GateUnmeasured, match="load"):
            await run_target_gate(long, "staging", tmp_path / "run", lambda _: None)


async def test_traffic_of_others_is_no_load(tmp_path: Path, urls: dict[str, str]) -> None:
    """The service counts as many events as it should; the load asked once and then nobody any more."""
    gate = prepared(tmp_path, target_of(tmp_path, urls, how="once"))
    busy = gate.gate.model_copy(
        update={"load": gate.gate.load.model_copy(update={"per_second": 200}), "duration": 0.3}
    )
    with pytest.raises(GateUnmeasured, match=r"the load: 2 lines of answers, .* needed: at least"):
        await run_target_gate(replace(gate, gate=busy), "staging", tmp_path / "run", lambda _: None)


async def test_processes_that_nobody_scrapes_give_no_verdict(
    tmp_path: Path, urls: dict[str, str], servers: Servers, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Counters of which the last scrape is missing are not those of the window."""
    monkeypatch.setattr(gate_target, "SCRAPED_WITHIN_SECONDS", 0.2)
    servers.scraped = False
    with pytest.raises(GateUnmeasured, match="Not every process answered a scrape"):
        await run(tmp_path, urls)


async def test_no_secret_stands_in_what_is_written(tmp_path: Path, urls: dict[str, str]) -> None:
    """Neither in the verdict nor in the logs of the run."""
    result = await run(tmp_path, urls)
    for file in result.folder.rglob("*"):
        if file.is_file():
            assert KEY not in file.read_text(encoding="utf-8", errors="replace")
            assert file.stat().st_mode & 0o077 == 0, file


@pytest.mark.parametrize(
    ("plan", "said"),
    [
        (f"{PLAN}objectives: [{FIRST}, {FIRST[:-1]}]\n", rf'objectives\[1\]: .*"{FIRST[:-1]}".*{FIRST}'),
        ("title: x\n", "load: missing key"),
        (f"{PLAN}scale: 60\n", "scale"),
        (PLAN.replace("per_second: 20", "per_second: 0"), r"load\.per_second"),
        (PLAN.replace("5s", "5"), "duration"),
        (f"{PLAN}ledger_truth: maybe\n", "ledger_truth"),
    ],
)
def test_a_wrong_plan_is_refused(tmp_path: Path, plan: str, said: str) -> None:
    """By file, line and key, with the exit code of bad input."""
    with pytest.raises(GateRefused, match=said) as raised:
        prepared(tmp_path, target_of(tmp_path), plan)
    assert raised.value.what.startswith(str(tmp_path / "gate.yaml"))
    assert raised.value.exit_code == 2


def test_what_cannot_be_gated_is_refused(tmp_path: Path) -> None:
    """A target without a load, a plan that is not there, and a project without a declaration."""
    with pytest.raises(GateRefused, match="the target has no `load`, so nothing would be measured"):
        prepared(tmp_path, target_of(tmp_path, load=None))
    with pytest.raises(GateRefused, match=r"none\.yaml"):
        prepare_target_gate(PROJECT, tmp_path / "none.yaml", target_of(tmp_path))
    with pytest.raises(GateRefused, match=r"moneypath\.yaml"):
        prepare_target_gate(tmp_path, tmp_path / "gate.yaml", target_of(tmp_path))
