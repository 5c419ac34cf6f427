"""Every fault in both dialects, with its effect, or its having none, read from the truth."""

import asyncio
import time
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from tests.acquirers.conftest import Acquirer, Answer, Client, Start

DIALECTS = pytest.mark.parametrize("dialect", ["north", "south"])
OPERATIONS = pytest.mark.parametrize("operation", ["authorize", "capture", "refund", "void", "payout"])


async def prepare(client: "Client", operation: str) -> dict[str, str]:
    """Do what must stand in the book before the operation; return its parent."""
    if operation in ("authorize", "payout"):
        return {}
    authorized = await client.authorize("before-1")
    if operation in ("capture", "void"):
        return {"parent": authorized.id}
    return {"parent": (await client.capture("before-2", authorized.id)).id}


async def perform(client: "Client", operation: str, parent: dict[str, str], **more: Any) -> "Answer":
    """Send the operation under test, always with the same key."""
    answer: Answer = await getattr(client, operation)("key", **parent, **more)
    return answer


async def keys(client: "Client") -> list[str]:
    """Return the keys in the book."""
    return [row["key"] for row in await client.truth()]


async def hits(acquirer: "Acquirer") -> list[int]:
    """Return how often each active fault hit."""
    answer = await acquirer.client.control("GET", "/control/faults")
    return [fault["hits"] for fault in answer.body["faults"]]


@DIALECTS
@OPERATIONS
async def test_refuse_has_no_effect(start: "Start", dialect: str, operation: str) -> None:
    """503 and an unchanged book; once cleared the same key goes through."""
    acquirer = await start(dialect)
    client = acquirer.client
    parent = await prepare(client, operation)
    before = await client.truth()
    await client.fault("refuse")
    for _ in range(2):
        answer = await perform(client, operation, parent)
        assert (answer.status, answer.body["error"]) == (503, "temporarily_unavailable")
    assert await client.truth() == before
    assert await hits(acquirer) == [2]
    assert (await client.control("DELETE", "/control/faults")).body == {"cleared": 1}
    assert (await perform(client, operation, parent)).status in (200, 201)
    assert "key" in await keys(client)


@DIALECTS
@OPERATIONS
@pytest.mark.parametrize(("kind", "seconds"), [("drop", 0.0), ("hang", 0.15)])
async def test_drop_and_hang_have_an_effect_but_no_answer(
    start: "Start", dialect: str, operation: str, kind: str, seconds: float
) -> None:
    """The connection closes, the book has the entry once, and a healed retry replays it."""
    acquirer = await start(dialect)
    client = acquirer.client
    parent = await prepare(client, operation)
    await client.fault(kind, latency_seconds=seconds)
    for _ in range(2):
        began = time.monotonic()
        assert (await perform(client, operation, parent)).status == 0
        assert time.monotonic() - began >= seconds
    assert (await keys(client)).count("key") == 1
    assert await hits(acquirer) == [2]
    (fault,) = (await client.control("GET", "/control/faults")).body["faults"]
    await client.control("DELETE", f"/control/faults/{fault['id']}")
    rows = await client.truth()
    answer = await perform(client, operation, parent)
    assert answer.id == rows[-1]["provider_reference"]
    assert (await client.query("key")).id == answer.id
    assert await client.truth() == rows


@DIALECTS
@OPERATIONS
async def test_delay_is_only_late(start: "Start", dialect: str, operation: str) -> None:
    """The answer is the ordinary one, and the effect does not wait for it."""
    client = (await start(dialect)).client
    parent = await prepare(client, operation)
    await client.fault("delay", latency_seconds=0.2)
    began = time.monotonic()
    answer = await perform(client, operation, parent)
    assert time.monotonic() - began >= 0.2
    assert answer.status in (200, 201)
    assert answer.id == (await client.truth())[-1]["provider_reference"]


@DIALECTS
@pytest.mark.parametrize(
    ("code", "reason"),
    [(None, "05"), ("insufficient_funds", "51"), ("suspected_fraud", "59"), ("issuer_unavailable", "91")],
)
async def test_decline_is_the_issuers_answer(
    start: "Start", dialect: str, code: str | None, reason: str
) -> None:
    """A declined authorization is booked as such, stays so for its key, and spares captures and refunds."""
    client = (await start(dialect)).client
    approved = await client.authorize("approved")
    more: dict[str, Any] = {} if code is None else {"decline_code": code}
    await client.fault("decline", **more)
    declined = await client.authorize("key")
    assert declined.outcome == "declined"
    field, expected = ("decline_code", code or "do_not_honor") if dialect == "north" else ("reason", reason)
    assert declined.body[field] == expected
    assert (await client.query("key")).body[field] == expected
    assert await client.authorize("approved") == approved
    captured = await client.capture("captured", approved.id)
    assert (await client.refund("refunded", captured.id)).outcome == "refunded"
    await client.control("DELETE", "/control/faults")
    assert await client.authorize("key") == declined
    statuses = [row["status"] for row in await client.truth()]
    assert statuses == ["approved", "declined", "captured", "refunded"]


@DIALECTS
async def test_queries_are_hit_only_when_named(start: "Start", dialect: str) -> None:
    """A query finds its reference in the book; an unknown key is never hit."""
    acquirer = await start(dialect)
    client = acquirer.client
    await client.authorize("key")
    await client.fault("refuse")
    assert (await client.query("key")).status == 200
    await client.control("DELETE", "/control/faults")
    await client.fault("refuse", scope={"operations": ["query"]})
    assert (await client.query("key")).status == 503
    assert (await client.query("unknown")).status == 404
    assert (await client.authorize("key")).status in (200, 201)
    await client.control("DELETE", "/control/faults")
    await client.fault("hang", latency_seconds=0.05, scope={"operations": []})
    assert (await client.query("key")).status == 0
    assert (await client.query("unknown")).status == 404
    assert (await client.authorize("key")).status == 0


@DIALECTS
@pytest.mark.parametrize(
    ("scope", "spared"),
    [({"card_ranges": ["411111"]}, {"card_range": "550000"}), ({"currencies": ["EUR"]}, {"currency": "KWD"})],
)
async def test_scopes_follow_a_payment(
    start: "Start", dialect: str, scope: dict[str, Any], spared: dict[str, Any]
) -> None:
    """Range and currency decide for authorizations, and for what follows them in the book."""
    client = (await start(dialect)).client
    hit = await client.authorize("hit-1")
    other = await client.authorize("other-1", **spared)
    money = {name: value for name, value in spared.items() if name == "currency"}
    await client.fault("refuse", scope={**scope, "operations": []})
    assert (await client.authorize("hit-2")).status == 503
    assert (await client.capture("hit-3", hit.id)).status == 503
    assert (await client.query("hit-1")).status == 503
    assert (await client.authorize("other-2", **spared)).outcome == "approved"
    captured = await client.capture("other-3", other.id, **money)
    assert captured.outcome == "captured"
    assert (await client.refund("other-4", captured.id, **money)).outcome == "refunded"
    assert (await client.query("other-1")).outcome == "approved"
    assert not [key for key in await keys(client) if key in ("hit-2", "hit-3")]


@DIALECTS
async def test_a_payments_operations_share_one_draw(start: "Start", dialect: str) -> None:
    """At rate 0.5 a reference is always hit or never, whatever the key, and about half are hit."""
    client = (await start(dialect)).client
    await client.fault("refuse", rate=0.5, seed=3)
    answers: dict[int, set[int]] = {0: set(), 1: set()}
    for attempt, seen in answers.items():
        calls = [client.authorize(f"{attempt}-{n}", reference=f"order-{n}") for n in range(200)]
        seen.update(n for n, answer in enumerate(await asyncio.gather(*calls)) if answer.status == 503)
    assert answers[0] == answers[1]
    assert 70 <= len(answers[0]) <= 130
    assert len(await client.truth()) == 2 * (200 - len(answers[0]))


@DIALECTS
async def test_a_lease_runs_out_and_can_be_renewed(start: "Start", dialect: str) -> None:
    """After its lease a fault is gone; a renewal puts that off; a late renewal is refused."""
    acquirer = await start(dialect)
    client = acquirer.client
    added = await client.fault("refuse", lease_seconds=10)
    assert (added.status, added.body["expires_in_seconds"]) == (201, 10)
    path = f"/control/faults/{added.body['id']}/lease"
    acquirer.clock.seconds += 9
    renewed = await client.control("PUT", path, json={"lease_seconds": 5})
    assert (renewed.status, renewed.body) == (200, {"id": added.body["id"], "expires_in_seconds": 5})
    acquirer.clock.seconds += 4
    assert (await client.authorize("key")).status == 503
    (listed,) = (await client.control("GET", "/control/faults")).body["faults"]
    assert (listed["expires_in_seconds"], listed["kind"], listed["hits"]) == (1, "refuse", 1)
    acquirer.clock.seconds += 1
    assert (await client.authorize("key")).outcome == "approved"
    assert (await client.control("GET", "/control/faults")).body == {"faults": []}
    late = await client.control("PUT", path, json={"lease_seconds": 5})
    assert (late.status, late.body["error"]) == (404, "unknown_fault")
    gone = await client.control("DELETE", f"/control/faults/{added.body['id']}")
    assert (gone.status, gone.body) == (200, {"cleared": 0})


@DIALECTS
async def test_faults_never_reach_control_truth_and_health(start: "Start", dialect: str) -> None:
    """With everything hanging, controls, truth and health answer as always."""
    client = (await start(dialect)).client
    await client.fault("hang", latency_seconds=30, scope={"operations": []})
    hanging = asyncio.create_task(client.authorize("key"))
    while not await client.truth():  # each round is a request, answered while the other one hangs
        assert not hanging.done()
    assert (await client.send("GET", "/healthz")).status == 200
    assert (await client.send("GET", "/readyz")).status == 200
    assert (await client.control("DELETE", "/control/faults")).body == {"cleared": 1}
    assert (await client.query("key")).outcome == "approved"
    hanging.cancel()


@DIALECTS
async def test_too_many_in_flight_are_refused_without_effect(start: "Start", dialect: str) -> None:
    """With every slot held the next operation gets 429 and no entry; a freed slot serves it."""
    acquirer = await start(dialect, in_flight_max=2)
    client = acquirer.client
    await client.fault("hang", latency_seconds=30, scope={"currencies": ["EUR"]})
    hanging = [asyncio.create_task(client.authorize(f"key-{n}")) for n in range(2)]
    while len(await client.truth()) < 2:
        assert not any(task.done() for task in hanging)
    for answer in (await client.authorize("key", currency="USD"), await client.query("key-0")):
        assert (answer.status, answer.body["error"]) == (429, "too_many_requests")
    assert len(await client.truth()) == 2
    acquirer.stopping.set()
    assert [answer.status for answer in await asyncio.gather(*hanging)] == [0, 0]
    for _ in range(3):
        assert (await client.authorize("key", currency="USD")).outcome == "approved"


@DIALECTS
@pytest.mark.parametrize("kind", ["hang", "delay"])
async def test_callers_who_hang_up_free_their_seats(start: "Start", dialect: str, kind: str) -> None:
    """Long before silence or delay would end, others are served again."""
    client = (await start(dialect, in_flight_max=2)).client
    await client.fault(kind, latency_seconds=30, scope={"currencies": ["EUR"]})
    leaving = [asyncio.create_task(client.authorize(f"key-{n}")) for n in range(2)]
    while len(await client.truth()) < 2:
        assert not any(task.done() for task in leaving)
    assert (await client.authorize("key", currency="USD")).status == 429
    for task in leaving:
        task.cancel()
    began = time.monotonic()
    while (await client.authorize("key", currency="USD")).status == 429:
        assert time.monotonic() - began < 15


@DIALECTS
async def test_every_answer_takes_the_acquirers_latency(start: "Start", dialect: str) -> None:
    """Operations and queries answer after it, and it adds to a delay."""
    client = (await start(dialect, latency_seconds=0.1)).client
    await client.fault("delay", latency_seconds=0.1, scope={"currencies": ["USD"]})
    for call, seconds in (
        (client.authorize("a"), 0.1), (client.query("a"), 0.1), (client.authorize("b", currency="USD"), 0.2),
    ):  # fmt: skip
        began = time.monotonic()
        assert (await call).outcome == "approved"
        assert time.monotonic() - began >= seconds


@DIALECTS
async def test_bad_fault_bodies_are_refused_by_name(start: "Start", dialect: str) -> None:
    """Neither an ill-formed nor a misspelt body switches anything on."""
    client = (await start(dialect)).client
    bad = await client.fault("explode")
    assert (bad.status, bad.body["error"]) == (422, "invalid")
    assert bad.body["detail"].startswith(
        "kind: must be one of refuse, drop, hang, delay, decline, forget, mis"
    )
    for body in (b"", b"{", b"[]", b'{"rate": NaN, "kind": "drop", "lease_seconds": 1}'):
        assert (await client.control("POST", "/control/faults", data=body)).status == 422
    for _ in range(100):
        assert (await client.fault("drop", rate=0.0)).status == 201
    full = await client.fault("drop", rate=0.0)
    assert (full.status, full.body["error"]) == (409, "too_many_faults")


@DIALECTS
async def test_a_bad_request_under_a_fault_is_still_told(start: "Start", dialect: str) -> None:
    """Faults act on valid operations; a wrong key or body is answered as such and is no hit."""
    acquirer = await start(dialect)
    client = acquirer.client
    await client.fault("drop")
    path = "/v1/authorizations" if dialect == "north" else "/gateway/authorise"
    assert (await client.send("POST", path)).status == 401
    assert (await client.send("POST", path, headers=client.merchant_headers())).status == 422
    assert await hits(acquirer) == [0]
