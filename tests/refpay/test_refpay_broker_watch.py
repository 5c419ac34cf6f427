"""What the worker says of a broker that takes no messages, by how publications fail."""

import asyncio
from pathlib import Path
from typing import Any

import pytest
from nats.errors import ConnectionClosedError
from nats.js.errors import APIError, NoStreamResponseError, ServiceUnavailableError

from moneypath.telemetry import Catalogue, setup
from moneypath.telemetry.catalogue.vocabulary import WriteRefusal
from refpay.measures import WORKER_METRICS
from refpay.outbox.broker_watch import BrokerWatch
from refpay.outbox.nats_connection import MessagingAction
from refpay.outbox.write_refusals import name_failure

CATALOGUE = Path(__file__).parents[2] / "src" / "refpay" / "catalogue.json"
WELL: dict[str, float] = {cause.value: 0.0 for cause in WriteRefusal}
NOBODY = "http://127.0.0.1:1"


def refused(code: int) -> APIError:
    """Return how JetStream refuses with an answer."""
    return ServiceUnavailableError(code=503, err_code=code, description="")


@pytest.mark.parametrize(
    ("problem", "cause"),
    [
        (refused(10077), WriteRefusal.LIMIT_REACHED),
        (refused(10047), WriteRefusal.LIMIT_REACHED),
        (refused(10023), WriteRefusal.LIMIT_REACHED),
        (refused(10076), WriteRefusal.DISABLED),
        (refused(10039), WriteRefusal.DISABLED),
        (TimeoutError(), WriteRefusal.UNANSWERED),
        (refused(10059), None),
        (NoStreamResponseError(), None),
        (ConnectionClosedError(), None),
        (None, None),
    ],
)
def test_a_failure_is_named_if_it_says_something_about_the_broker(
    problem: Exception | None, cause: WriteRefusal | None
) -> None:
    """Limits, JetStream that is off, and no answer; a connection that broke is none of these."""
    assert name_failure(problem) is cause


class Connection:
    """A connection that is up, or not."""

    def __init__(self) -> None:
        self.session: object | None = object()

    def renew(self) -> None:
        """Do nothing."""


def watched(problem: Exception | None) -> tuple[BrokerWatch, MessagingAction, Connection, Any]:
    """Return a watch over a relay that fails so, without a server that says anything of its health."""
    connection: Any = Connection()

    async def publish(_session: object) -> None:
        if problem is not None:
            raise problem

    async def at_once(_seconds: float) -> None:
        await asyncio.sleep(0)

    relay = MessagingAction("relay", connection, publish, sleep=at_once)
    recorder = setup(Catalogue.load(CATALOGUE), service="refpay-worker", metrics=WORKER_METRICS)
    return BrokerWatch(NOBODY, connection, relay, recorder), relay, connection, recorder


def shown(recorder: Any) -> dict[str, float]:
    """Return the gauge by cause."""
    lines = recorder.render().decode().splitlines()
    found = [line for line in lines if line.startswith("moneypath_broker_writes_refused{")]
    return {line.split('"')[1]: float(line.rsplit(" ", 1)[1]) for line in found}


async def test_one_publication_without_an_answer_is_no_refusal_and_two_are() -> None:
    """The first may have lost its connection."""
    watch, relay, _, recorder = watched(TimeoutError())
    await relay()
    await watch.measure()
    assert shown(recorder) == WELL
    assert watch.trouble() is None
    await relay()
    await watch.measure()
    assert shown(recorder) == {**WELL, "unanswered": 1}
    assert watch.trouble() == "unanswered"


async def test_what_failed_on_a_connection_that_is_gone_says_nothing_of_the_next() -> None:
    """A restart of the broker is no refusal, however publications ended."""
    watch, relay, connection, recorder = watched(TimeoutError())
    await relay()
    await relay()
    connection.session = None
    await relay()
    await watch.measure()
    assert shown(recorder) == {}
    assert watch.trouble() == "unreachable"
    connection.session = object()
    await watch.measure()
    assert shown(recorder) == WELL


async def test_a_limit_is_named_at_once_and_ends_with_the_next_publication() -> None:
    """The broker answered, so there is nothing to wait for."""
    watch, relay, _, recorder = watched(refused(10077))
    await relay()
    await watch.measure()
    assert shown(recorder)["limit_reached"] == 1

    async def publish(_session: object) -> None:
        """Succeed."""

    relay.action = publish
    await relay()
    await watch.measure()
    assert shown(recorder) == WELL
