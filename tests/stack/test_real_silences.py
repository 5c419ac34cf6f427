"""Silences of a real Alertmanager: which integrity alert each mutes, and what is known when it is gone."""

import asyncio
import random
import re
import time
from collections.abc import AsyncIterator, Mapping
from pathlib import Path

import aiohttp
import pytest
from aiohttp import web

from moneypath.alerting.errors import SilencesUnknown
from moneypath.alerting.silences import integrity_alerts
from moneypath.alerting.silences.alertmanager import ANSWER_BYTES_MAX, Alertmanager
from moneypath.alerting.silences.counting import SilenceReader
from moneypath.alerting.silences.exporter import Exporter
from moneypath.alerting.silences.integrity_alerts import IntegrityAlerts
from moneypath.alerting.silences.matchers import Matcher, can_mute
from moneypath.path.loader import load
from moneypath.stack.binaries import Binary
from moneypath.stack.pager.listening import listening
from moneypath.stack.ports import PortPool
from moneypath.stack.supervisor import Supervisor

from .silence_support import expire, send_alerts, session_to, silence, start_alertmanager

ROOT = Path(__file__).parents[2]
DOUBLE, UNPOSTED, TELLING = (
    "MoneyPathDoubleCharge",
    "MoneyPathCaptureUnposted",
    "MoneyPathIntegrityAlertSilenced",
)
STALE = "MoneyPathDoubleChargeCheckStale"
ALL = frozenset(load(ROOT / "moneypath.yaml").integrity_alerts())
KINDS = {
    "by its name": ([Matcher("alertname", DOUBLE)], {DOUBLE}),
    "by a pattern": ([Matcher("alertname", ".*DoubleCharge.*", is_regex=True)], {DOUBLE, STALE}),
    "by its check": ([Matcher("check", "single_charge")], {DOUBLE, STALE}),
    "by a role": ([Matcher("roles", r".*\|support\|.*", is_regex=True)], {DOUBLE}),
    "by urgency": ([Matcher("severity", "critical")], ALL),
    "by stage": ([Matcher("stage", "capture")], {DOUBLE, STALE}),
    "everything": ([Matcher("alertname", ".+", is_regex=True)], ALL),
    "everything but one name": (
        [Matcher("alertname", ".+", is_regex=True), Matcher("alertname", DOUBLE, is_equal=False)],
        ALL - {DOUBLE},
    ),
    "one provider of it": (
        [Matcher("alertname", UNPOSTED), Matcher("provider", "south")],
        {UNPOSTED},
    ),
    "one provider of everything": (
        [Matcher("provider", "south")],
        {UNPOSTED, "MoneyPathSettlementMismatch"},
    ),
    "what tells of silences": ([Matcher("alertname", TELLING)], {TELLING}),
    "a label that Prometheus adds": ([Matcher("cluster", "eu-1")], ALL),
    "another cluster": ([Matcher("cluster", "us-1")], frozenset()),
    "another alert": ([Matcher("alertname", "MoneyPathApprovalDrop")], frozenset()),
}


@pytest.fixture
def wanted() -> IntegrityAlerts:
    """Return what the repository's declaration asks for."""
    return integrity_alerts.load(ROOT / "alerts" / integrity_alerts.INTEGRITY_ALERTS_FILE)


@pytest.fixture
async def alertmanager_url(
    tmp_path: Path, supervisor: Supervisor, port_pool: PortPool, alertmanager_binary: Binary
) -> str:
    """Start a real Alertmanager without a receiver."""
    return await start_alertmanager(
        supervisor, alertmanager_binary, tmp_path, port_pool.reserve("alertmanager")
    )


@pytest.fixture
async def session(alertmanager_url: str) -> AsyncIterator[aiohttp.ClientSession]:
    """Open a session to it."""
    async with session_to(alertmanager_url) as opened:
        yield opened


async def test_each_kind_of_silence_is_seen_on_the_alerts_that_it_mutes(
    alertmanager_url: str, session: aiohttp.ClientSession, wanted: IntegrityAlerts
) -> None:
    """By name, pattern, role, urgency, stage, provider, everything, a label of Prometheus; others on none."""
    now = time.time()
    await send_alerts(session, [{**wanted.watchdog, "cluster": "eu-1"}])
    made = {
        kind: await silence(session, matchers, starts=now - 1, ends=now + 600)
        for kind, (matchers, _) in KINDS.items()
    }
    found = await SilenceReader(Alertmanager(alertmanager_url), wanted).read()
    seen = {
        kind: {name for name in found if made[kind] in {each.id for each in found[name]}} for kind in KINDS
    }
    assert seen == {kind: set(alerts) for kind, (_, alerts) in KINDS.items()}
    assert {abs(each.ends_at - now - 600) < 1 for each in found[DOUBLE]} == {True}
    assert {(each.created_by, each.comment) for each in found[DOUBLE]} == {("night shift", "too loud")}


async def test_pending_and_expired_silences_are_not_counted(
    alertmanager_url: str, session: aiohttp.ClientSession, wanted: IntegrityAlerts
) -> None:
    """Neither mutes anything now; the one that is active is counted until it is expired."""
    now, matchers = time.time(), [Matcher("alertname", DOUBLE)]
    reader = SilenceReader(Alertmanager(alertmanager_url), wanted)
    await silence(session, matchers, starts=now + 300, ends=now + 600)
    assert not any((await reader.read()).values())
    active = await silence(session, matchers, starts=now - 1, ends=now + 600)
    assert active is not None
    assert [each.id for each in (await reader.read())[DOUBLE]] == [active]
    await expire(session, active)
    assert not any((await reader.read()).values())


async def test_an_alert_that_fires_with_labels_nobody_declared_is_believed(
    alertmanager_url: str, session: aiohttp.ClientSession, wanted: IntegrityAlerts
) -> None:
    """What Alertmanager itself says of a firing alert counts, whatever relabelling did to its labels."""
    now = time.time()
    matchers = [Matcher("team", "night")]
    made = await silence(session, matchers, starts=now - 1, ends=now + 600)
    reader = SilenceReader(Alertmanager(alertmanager_url), wanted)
    assert not any((await reader.read()).values())
    await send_alerts(session, [{"alertname": DOUBLE, "team": "night"}])
    async with asyncio.timeout(10):
        # Alertmanager tells nobody when it has marked an alert.
        while not (found := (await reader.read())[DOUBLE]):  # noqa: ASYNC110
            await asyncio.sleep(0.1)
    assert [each.id for each in found] == [made]


async def test_labels_that_prometheus_adds_are_remembered_while_no_alert_arrives(
    alertmanager_url: str, session: aiohttp.ClientSession, wanted: IntegrityAlerts
) -> None:
    """An Alertmanager that has just started holds no alert; a silence by cluster must not vanish then."""
    now = time.time()
    reader = SilenceReader(Alertmanager(alertmanager_url), wanted)
    await silence(session, [Matcher("cluster", "eu-1")], starts=now - 1, ends=now + 600)
    assert not any((await reader.read()).values())
    ended = {**wanted.watchdog, "cluster": "eu-1"}
    await send_alerts(session, [ended])
    assert all((await reader.read()).values())
    async with session.post(
        "/api/v2/alerts", json=[{"labels": ended, "endsAt": "2020-01-01T00:00:00Z"}]
    ) as answer:
        answer.raise_for_status()
    assert all((await reader.read()).values())


async def test_our_matching_is_that_of_the_real_alertmanager(
    alertmanager_url: str, session: aiohttp.ClientSession
) -> None:
    """300 random silences against 40 random alerts: each pair as Alertmanager itself decides it."""
    chance = random.Random(1306)  # noqa: S311  # no secret
    labels, texts = ("alertname", "provider", "roles"), ("", "north", "south", "|eng|ops|", "MoneyPathX")
    patterns = (*texts, ".*", ".+", "north|south", "n.*", "(?i)NORTH", r".*\|ops\|.*", "[a-n]+", r"\w+", "x?")

    def matcher() -> Matcher:
        is_regex = chance.random() < 0.6
        value = chance.choice([re.escape(text) for text in texts] + list(patterns) if is_regex else texts)
        return Matcher(chance.choice(labels), value, is_regex=is_regex, is_equal=chance.random() < 0.6)

    def alert() -> dict[str, str]:
        chosen = {label: chance.choice(texts) for label in labels}
        return {"n": "1", **{label: value for label, value in chosen.items() if value}}

    now = time.time()
    alerts = [dict(pairs) for pairs in {tuple(sorted(alert().items())) for _ in range(40)}]
    silences: dict[str, list[Matcher]] = {}
    for _ in range(300):
        matchers = [matcher() for _ in range(chance.randint(1, 3))]
        made = await silence(session, matchers, starts=now - 1, ends=now + 600)
        if made is not None:
            silences[made] = matchers
    await send_alerts(session, alerts)
    pairs = 0
    async with session.get("/api/v2/alerts") as answer:
        listed = await answer.json()
    assert len(listed) == len(alerts)
    for each in listed:
        values = {label: (value,) for label, value in each["labels"].items()}
        ours = {key for key, matchers in silences.items() if can_mute(matchers, values)}
        assert ours == set(each["status"]["silencedBy"]), each["labels"]
        pairs += len(silences)
    assert pairs > 4_000


async def test_when_alertmanager_is_gone_nothing_is_shown_and_no_zero(
    alertmanager_url: str, supervisor: Supervisor, session: aiohttp.ClientSession, wanted: IntegrityAlerts
) -> None:
    """The numbers are absent and the time of the last success stands still; they are back when it is."""
    told: list[Mapping[str, object]] = []
    reader = SilenceReader(Alertmanager(alertmanager_url), wanted)
    exporter = Exporter(reader, every_seconds=1, tell=told.append)
    now = time.time()
    await silence(session, [Matcher("alertname", DOUBLE)], starts=now - 1, ends=now + 600)
    async with listening(exporter.app(), "127.0.0.1", 0, stop_seconds=1) as port:

        async def scrape() -> dict[str, float]:
            async with aiohttp.request("GET", f"http://127.0.0.1:{port}/metrics") as answer:
                text = await answer.text()
            rows = (line.rsplit(" ", 1) for line in text.splitlines() if not line.startswith("#"))
            return {name: float(value) for name, value in rows if "moneypath_telemetry" not in name}

        success = 'moneypath_check_last_success_timestamp_seconds{check="alert_silences"}'
        assert await scrape() == {}
        await exporter.ask_once()
        seen = await scrape()
        number = f'moneypath_integrity_alert_silences{{alert="{DOUBLE}"}}'
        end = f'moneypath_integrity_alert_silence_end_timestamp_seconds{{alert="{DOUBLE}"}}'
        others = {
            name: value for name, value in seen.items() if "_alert_silences{" in name and name != number
        }
        assert (seen[number], len(others), set(others.values())) == (1, len(ALL) - 1, {0})
        assert abs(seen[end] - now - 600) < 1
        assert seen['moneypath_check_violations{check="alert_silences"}'] == 1
        assert [name for name in seen if "silence_end" in name] == [end]
        await supervisor.kill("alertmanager")
        await exporter.ask_once()
        await exporter.ask_once()
        assert await scrape() == {success: seen[success]}
        assert [event["event"] for event in told] == ["silences_unknown"]
        await supervisor.restart("alertmanager")
        await exporter.ask_once()
        assert (await scrape())[success] > seen[success]
        assert told[-1] == {"event": "silences_known_again"}


@pytest.mark.parametrize(
    ("body", "status", "words"),
    [
        (b"[]" * ANSWER_BYTES_MAX, 200, "more than"),
        (b"<html>sign in</html>", 200, "none of Alertmanager's"),
        (b'[{"id": "x"}]', 200, "none of Alertmanager's"),
        (b"[]", 401, "it answered 401"),
        (b"[]", 302, "it answered 302"),
        (b"[]", 500, "it answered 500"),
        (None, 200, "no answer within"),
    ],
)
async def test_an_answer_that_is_none_leaves_the_silences_unknown(
    body: bytes | None, status: int, words: str
) -> None:
    """Too large, another page, a refusal, a redirect, no end: an error that says which, and not "none"."""

    async def answer(_: web.Request) -> web.Response:
        if body is None:
            await asyncio.Event().wait()
        return web.Response(body=body, status=status, headers={"Location": "/"} if status == 302 else {})

    app = web.Application()
    app.router.add_get("/{path:.*}", answer)
    async with listening(app, "127.0.0.1", 0, stop_seconds=0.1) as port:
        asked = Alertmanager(f"http://user:hidden@127.0.0.1:{port}", timeout_seconds=2)
        with pytest.raises(SilencesUnknown, match=words) as caught:
            await asked.active_silences()
    assert "hidden" not in str(caught.value)
