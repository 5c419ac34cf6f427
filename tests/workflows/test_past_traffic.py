"""A drill runs only on a past that has its own traffic."""

from pathlib import Path

import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer

from moneypath.alerting.history import longest_window_seconds
from moneypath.alerting.timing import Scale
from moneypath.path.loader import FILE_NAME, load
from moneypath.path.model import MoneyPath
from moneypath.prometheus import Series
from moneypath.stack.endpoints import Endpoints
from moneypath.workflows.drill import load_drill, run_and_score, service_of_stack
from moneypath.workflows.monitoring import write_past
from moneypath.workflows.past_traffic import PastMismatch, past_rate, require_matching_past

PROJECT = Path(__file__).parents[2]
PATH = load(PROJECT / FILE_NAME)
NOW = 100_000.0
SECONDS = float(longest_window_seconds(PATH, Scale(60)))


class Past:
    """Holds what two providers counted, `gap` seconds of silence at the end and the live zero included."""

    def __init__(self, per_second: float, gap: float = 5.0) -> None:
        begin = NOW - 2 * SECONDS
        filled = [(begin + at, at * per_second / 2) for at in range(int(2 * SECONDS - gap) + 1)]
        samples = [*filled, (NOW - 1, 0.0), (NOW, 0.0)]
        self._series = tuple(Series({"provider": name}, samples) for name in ("north", "south"))
        self.asked = ""

    async def raw_samples(self, selector: str, start: float, end: float) -> tuple[Series, ...]:
        """Return the samples of the time, and of ten seconds before it, as a Prometheus client does."""
        self.asked = selector
        return tuple(
            Series(one.labels, [(at, value) for at, value in one.samples if start - 10 <= at <= end])
            for one in self._series
        )


async def check(past: Past, checkouts: int) -> None:
    """Hold a past against a drill."""
    await require_matching_past(past, PATH, scale=60, checkouts_per_second=checkouts, now=NOW)


@pytest.mark.parametrize("gap", [1.0, 5.0, 20.0])
async def test_the_drills_own_traffic_passes(gap: float) -> None:
    """However long the stack took to start after its past was filled in."""
    past = Past(24.0, gap)
    await check(past, 24)
    assert 'traffic="live"' in past.asked


@pytest.mark.parametrize("per_second", [0.0, 1.0, 12.0, 21.0, 27.0, 48.0])
async def test_another_traffic_is_refused(per_second: float) -> None:
    """Quieter, busier or none: one sentence names both rates, and a hint says how to start such a stack."""
    with pytest.raises(PastMismatch) as caught:
        await check(Past(per_second), 24)
    said = f"The past of this stack has {per_second:.1f} payments a second, the drill drives 24"
    assert said in caught.value.what
    assert caught.value.hint == "Start a stack for it: moneypath stack up --scale 60 --checkouts 24."


@pytest.mark.parametrize("checkouts", [1, 24, 25])
def test_what_is_filled_in_is_what_the_drill_drives(checkouts: int) -> None:
    """All providers together: an odd rate is not rounded, and one a second is not doubled."""
    text = write_past(PATH, Scale(60), checkouts, NOW)
    wanted = 'moneypath_payments_total{operation="authorize",outcome="succeeded"'
    samples: dict[str, list[tuple[float, float]]] = {}
    for line in text.splitlines():
        if line.startswith(wanted) and 'traffic="live"' in line:
            name, value, at = line.rsplit(" ", 2)
            samples.setdefault(name, []).append((float(at), float(value)))
    series = [Series({}, found) for found in samples.values()]
    assert past_rate(series, NOW - SECONDS) == pytest.approx(checkouts)


def test_a_path_without_providers_has_a_past_too() -> None:
    """All its payments count together; a service that has no provider is started as any other."""
    slo = {"kind": "availability", "id": "a", "objective": "0.99"}
    small = {"name": "Till", "roles": {"it": {}}, "targets": [{"job": "till"}], "slos": [slo]}
    text = write_past(MoneyPath.model_validate(small), Scale(60), 8, NOW)
    assert 'moneypath_payments_total{operation="authorize",outcome="succeeded",provider="none"' in text


async def test_a_drill_on_a_stack_without_a_past_is_refused_before_it_begins(tmp_path: Path) -> None:
    """Nothing is started and no event log is written."""

    async def answer(_: web.Request) -> web.Response:
        return web.json_response({"status": "success", "data": {"resultType": "matrix", "result": []}})

    app = web.Application()
    app.add_routes([web.post("/api/v1/query", answer)])
    drill = load_drill(PROJECT, PROJECT / "drills" / "drill-002-partial-provider-outage.yaml", PATH)
    async with TestServer(app) as server:
        url = str(server.make_url("")).rstrip("/")
        endpoints = Endpoints(
            target="reference", service=url, worker=url, prometheus=url, alertmanager=url, pager=url,
            providers={"north": url, "south": url},
            oracle_dsn="", secrets_folder=tmp_path, run_folder=tmp_path, scale=60,
        )  # fmt: skip
        rate = drill.scenario.load.checkouts_per_second
        with pytest.raises(PastMismatch, match=rf"has 0\.0 payments a second, the drill drives {rate}\b"):
            service = service_of_stack(PROJECT, drill, endpoints)
            await run_and_score(drill, PROJECT, service, tmp_path / "drill", lambda _: None)
    assert not (tmp_path / "drill").exists()
