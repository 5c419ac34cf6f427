"""The fault takes effect with the first payment that it harms, and with nothing else."""

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from moneypath.drills.canary import CanaryProbeResult
from moneypath.drills.effect import CustomersLog, Effect, EffectWatcher
from moneypath.drills.scenario import EffectiveWhen, load_scenario

DRILLS = sorted((Path(__file__).parents[2] / "drills").glob("drill-*.yaml"))
NOT_DONE = frozenset({202, 502, 503, 504})
WALL = 1_000_000.0


class Clock:
    """A clock that moves a second with each question."""

    def __init__(self) -> None:
        self.seconds = 100.0

    def now(self) -> float:
        """Return the instant, and move on."""
        self.seconds += 1
        return self.seconds

    def mono_at(self, wall: float) -> float:
        """Return the monotonic time of a Unix time: they differ by WALL."""
        return wall - WALL


class Canaries:
    """Sends one batch after the other."""

    def __init__(self, *batches: tuple[CanaryProbeResult, ...]) -> None:
        self._batches: Iterator[tuple[CanaryProbeResult, ...]] = iter(batches)

    async def batch(self) -> tuple[CanaryProbeResult, ...]:
        """Return the next batch; well ones when there is none left."""
        return next(self._batches, (canary(201, 500.0),))


def canary(status: int, at: float, *, sent: bool = True) -> CanaryProbeResult:
    """Return the result of one canary."""
    return CanaryProbeResult(status, at, sent)


def customer(status: int, at: float, *, replayed: bool = False) -> str:
    """Return the lines of the customers' log for a request and its answer."""
    outcome = {201: "succeeded", 202: "indeterminate", 402: "declined", 502: "failed"}.get(status, "unknown")
    request = {
        "at": WALL + at, "operation": "authorize", "idempotency_key": f"k{at}", "merchant": "shop",
        "merchant_reference": f"r{at}", "amount_minor": 100, "currency": "EUR",
    }  # fmt: skip
    answer = {
        **request, "status_code": status, "outcome": outcome, "payment_id": None, "replayed": replayed,
    }  # fmt: skip
    return f"{json.dumps(request)}\n{json.dumps(answer)}\n"


async def first(
    tmp_path: Path, customers: str, *batches: tuple[CanaryProbeResult, ...], before: str = ""
) -> tuple[Effect | None, dict[int, int]]:
    """Watch for at most one further look; return the effect, and the failures of the canaries' own."""
    log = tmp_path / "acknowledgements.jsonl"
    log.write_text(before)
    watcher = EffectWatcher(CustomersLog(log), Canaries(*batches), Clock(), NOT_DONE)
    with log.open("a") as more:
        more.write(customers)
    return await watcher.first(within_seconds=1.0), dict(watcher.own)


async def test_a_customer_may_be_harmed_before_any_canary(tmp_path: Path) -> None:
    """Whoever is first counts, and the customers' own time."""
    found, _ = await first(tmp_path, customer(201, 101.0) + customer(502, 101.5), (canary(502, 102.0),))
    assert found == Effect("customer", 502, 101.5)


async def test_a_canary_may_be_harmed_before_any_customer(tmp_path: Path) -> None:
    """The twin."""
    found, _ = await first(tmp_path, customer(502, 103.0), (canary(201, 101.0), canary(202, 102.0)))
    assert found == Effect("canary", 202, 102.0)


@pytest.mark.parametrize(
    "own",
    [
        canary(401, 101.0),
        canary(403, 101.0),
        canary(429, 101.0),
        canary(500, 101.0),
        canary(0, 101.0),
        canary(0, 101.0, sent=False),
        canary(502, 101.0, sent=False),
    ],
)
async def test_a_canary_that_fails_for_a_reason_of_its_own_is_no_effect(
    tmp_path: Path, own: CanaryProbeResult
) -> None:
    """A broken token, a limit, no connection: none is the fault's; it is said, and nothing is stamped."""
    found, failures = await first(tmp_path, customer(201, 101.0), (own,))
    assert found is None
    assert failures == {own.status: 1}


async def test_a_customer_counts_although_every_canary_fails_for_a_reason_of_its_own(tmp_path: Path) -> None:
    """The drill goes on with the time of the customer."""
    found, _ = await first(tmp_path, customer(503, 104.0), (canary(401, 101.0), canary(401, 101.1)))
    assert found == Effect("customer", 503, 104.0)


@pytest.mark.parametrize("status", [0, 201, 401, 402, 403, 409, 429, 500])
async def test_what_the_fault_does_not_cause_is_no_harm(tmp_path: Path, status: int) -> None:
    """An issuer's decline, a limit, a request that was never answered: others than the fault cause them."""
    found, _ = await first(tmp_path, customer(status, 101.0))
    assert found is None


async def test_what_happened_before_the_fault_is_no_effect(tmp_path: Path) -> None:
    """The log is read from where it stood; a stored answer that is repeated harmed somebody earlier."""
    found, _ = await first(tmp_path, customer(502, 101.0, replayed=True), before=customer(502, 90.0))
    assert found is None


async def test_a_line_that_is_being_written_is_read_when_it_is_whole(tmp_path: Path) -> None:
    """Half a line is no answer yet."""
    log = tmp_path / "log"
    whole = customer(502, 101.0)
    log.write_text(whole[:40])
    customers = CustomersLog(tmp_path / "other")
    customers.file = log
    assert list(customers.appended()) == []
    log.write_text(whole)
    assert [answer.status_code for answer in customers.appended()] == [502]
    assert list(customers.appended()) == []


@pytest.mark.parametrize("file", DRILLS, ids=[file.stem for file in DRILLS])
def test_a_drill_that_waits_for_a_payment_has_a_fault_that_one_meets(file: Path) -> None:
    """And none of them counts what a broken token answers."""
    scenario = load_scenario(file)
    assert bool(scenario.effects) or scenario.effective_when is EffectiveWhen.TARGET_HIT
    assert not scenario.effects & {401, 403, 429, 500}
