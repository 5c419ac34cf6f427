"""Card testing over HTTP: signals, blocks that cost no fee, operator actions, risk that times out."""

import asyncio
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import replace
from typing import TYPE_CHECKING, Any
from uuid import uuid4

import asyncpg
import pytest

from refpay.audit.events import AuditEvent, SubjectKind
from refpay.audit.repository import record
from refpay.clock import SystemClock
from refpay.settings import RiskSettings, Settings

if TYPE_CHECKING:
    from tests.refpay.conftest import Acquirer, Answer, Client, RefpayDb

TESTED, OTHER = "455555", "550000"
QUICK = RiskSettings(answered_least=4)
SIGNALS = "moneypath_risk_signals_total"
DECISIONS = "moneypath_risk_decisions_total"


@pytest.fixture
def live_settings(live_settings: Settings) -> Settings:
    """Return settings under which four answers are enough."""
    return replace(live_settings, risk=QUICK)


def token_in(card_range: str) -> str:
    """Return a card token that was not used before."""
    return f"tok_{card_range}_{uuid4().hex}"


async def try_card(api: "Client", card_range: str = TESTED, amount: int = 150, **rest: Any) -> "Answer":
    """Authorize a small amount with a fresh card."""
    return await api.authorize(card_token=token_in(card_range), amount_minor=amount, **rest)


async def decline(acquirers: "Mapping[str, Acquirer]", card_range: str = TESTED) -> None:
    """Let the issuer of a range suspect fraud."""
    for acquirer in acquirers.values():
        await acquirer.inject(
            kind="decline", decline_code="suspected_fraud", scope={"card_ranges": [card_range]}
        )


async def execute(
    api: "Client", card_range: str, action: str, reason: str = "card testing", **rest: Any
) -> "Answer":
    """Block or unblock."""
    path = f"/v1/operations/risk/ranges/{card_range}/{action}"
    return await api.post(path, {"reason": reason}, **{"by": "operator", **rest})


async def show(api: "Client") -> Any:
    """Return what risk has seen."""
    return (await api.get("/v1/operations/risk", by="observer")).body


async def test_card_testing_is_signalled_and_goes_on(
    api: "Client", db: "RefpayDb", acquirers: "Mapping[str, Acquirer]"
) -> None:
    """From the fifth on each small authorization is a signal; by default none is blocked."""
    await decline(acquirers)
    # By its reference an order is routed: of these some go to north and some to south.
    answers = [await try_card(api, merchant_reference=f"order-{number}") for number in range(7)]
    assert [(answer.status, answer.body["status"]) for answer in answers] == [(201, "declined")] * 7
    assert await api.metric(SIGNALS, rule="card_testing") == 3
    assert await api.metric(DECISIONS, decision="allowed") == 7
    assert await api.metric(DECISIONS, decision="blocked") == 0
    results = [
        await api.metric(
            "moneypath_authorization_results_total",
            provider=provider,
            scheme="visa",
            currency="EUR",
            result="fraud_decline",
        )
        for provider in acquirers
    ]
    assert sum(results) == 7
    assert all(results), "both dialects say why"
    found = await db.rows("SELECT card_range, rule, blocked FROM risk.finding")
    assert found == [{"card_range": TESTED, "rule": "card_testing", "blocked": False}] * 3
    assert await db.rows("SELECT 1 FROM audit.event WHERE subject_kind = 'card_range'") == []


async def test_what_only_resembles_card_testing_is_no_signal(
    api: "Client", acquirers: "Mapping[str, Acquirer]"
) -> None:
    """Large amounts declined, small ones approved, and the same declines spread over two ranges."""
    for _ in range(6):
        assert (await try_card(api, OTHER)).body["status"] == "authorized"
    await decline(acquirers)
    for _ in range(6):
        assert (await try_card(api, amount=501)).body["status"] == "declined"
    for _ in range(3):
        assert (await try_card(api)).body["status"] == "declined"
    for acquirer in acquirers.values():
        await acquirer.heal()
    await decline(acquirers, OTHER)
    for _ in range(5):
        assert (await try_card(api, OTHER)).body["status"] == "declined"
    assert await api.metric(SIGNALS, rule="card_testing") == 0
    assert (await try_card(api, OTHER)).status == 201
    assert (await try_card(api, OTHER)).status == 201
    assert await api.metric(SIGNALS, rule="card_testing") == 1, "six approved, six declined: that is half"


async def test_a_blocked_range_costs_no_provider_call(
    api: "Client", db: "RefpayDb", acquirers: "Mapping[str, Acquirer]"
) -> None:
    """403 at once, for any amount; nothing is begun, and no acquirer is called."""
    assert (await execute(api, TESTED, "block")).body["changed"]
    before = [len(await acquirer.truth()) for acquirer in acquirers.values()]
    for amount in (150, 100_000):
        answer = await try_card(api, amount=amount)
        assert (answer.status, answer.body["code"]) == (403, "risk_blocked")
        assert answer.headers["Content-Type"] == "application/problem+json"
        assert TESTED not in answer.raw.decode()
    assert [len(await acquirer.truth()) for acquirer in acquirers.values()] == before
    assert await db.rows("SELECT 1 FROM payments.payment") == []
    assert await db.rows("SELECT 1 FROM payments.operation") == []
    labels = {"operation": "authorize", "traffic": "live", "provider": "none"}
    assert await api.metric("moneypath_payments_total", outcome="blocked", **labels) == 2
    assert await api.metric("moneypath_payments_total", outcome="rejected", **labels) == 0
    assert await api.metric(DECISIONS, decision="blocked") == 2
    assert await api.metric(SIGNALS, rule="card_testing") == 0
    assert (await try_card(api, OTHER)).status == 201
    found = await db.rows("SELECT card_range, rule, blocked FROM risk.finding")
    assert found == [{"card_range": TESTED, "rule": None, "blocked": True}] * 2


async def test_a_block_is_a_definitive_answer(api: "Client") -> None:
    """The same key gets the same refusal after the range is unblocked; a new key is a new authorization."""
    await execute(api, TESTED, "block")
    order = {"merchant_reference": "order-blocked", "card_token": token_in(TESTED)}
    first = await api.authorize(key="blocked", **order)
    await execute(api, TESTED, "unblock")
    replay = await api.authorize(key="blocked", **order)
    assert (first.status, first.replayed) == (403, False)
    assert (replay.status, replay.replayed, replay.raw) == (403, True, first.raw)
    assert (await api.authorize(**order)).status == 201
    assert await api.metric(DECISIONS, decision="blocked") == 1


async def test_what_is_open_in_a_blocked_range_goes_on(api: "Client") -> None:
    """Captures and refunds are not authorizations."""
    payment = (await try_card(api)).body
    await execute(api, TESTED, "block")
    path = f"/v1/payments/{payment['id']}"
    assert (await api.post(f"{path}/capture", {})).status == 200
    assert (await api.post(f"{path}/refunds", {"amount_minor": 100})).status == 201


async def test_every_process_knows_at_once(
    api: "Client", live_settings: Settings, run_api: Callable[[Settings], Any]
) -> None:
    """Another process blocks and unblocks with its very next authorization, and shares the window."""
    async with run_api(live_settings) as other:
        assert (await try_card(other)).status == 201
        await execute(api, TESTED, "block")
        assert (await try_card(other)).status == 403
        await execute(other, TESTED, "unblock")
        assert (await try_card(api)).status == 201


@pytest.fixture
def automatic_settings(live_settings: Settings) -> Settings:
    """Return settings under which the rule itself blocks."""
    return replace(live_settings, risk=replace(QUICK, autoblock=True))


async def test_the_rule_blocks_if_it_is_told_to(
    automatic_settings: Settings,
    db: "RefpayDb",
    acquirers: "Mapping[str, Acquirer]",
    run_api: Callable[[Settings], Any],
) -> None:
    """One of many at once blocks the range and goes on record; unblocked, the range begins anew."""
    async with run_api(automatic_settings) as api:
        await decline(acquirers)
        for _ in range(4):
            assert (await try_card(api)).status == 201
        answers = await asyncio.gather(*(try_card(api) for _ in range(8)))
        assert {answer.status for answer in answers} == {403}
        assert (await try_card(api, amount=100_000)).status == 403
        (event,) = await db.rows(
            "SELECT actor, action, subject_id, before, after::text FROM audit.event"
            " WHERE subject_kind = 'card_range'"
        )
        assert (event["actor"], event["action"], event["subject_id"], event["before"]) == (
            "risk",
            "card_range.blocked",
            TESTED,
            None,
        )
        assert "card testing: 4 of 4 small authorizations declined within 60 s" in event["after"]
        assert 1 <= await api.metric(SIGNALS, rule="card_testing") <= 8
        assert await api.metric(DECISIONS, decision="blocked") == 9
        assert (await execute(api, TESTED, "unblock")).body["changed"]
        assert [(await try_card(api)).status for _ in range(5)] == [201] * 4 + [403]


async def test_actions_are_carried_out_once(api: "Client", db: "RefpayDb") -> None:
    """The same key is a replay; another key finds nothing to change; another reason is a conflict."""
    first = await execute(api, TESTED, "block", key="once")
    assert first.body["changed_at"]
    assert {
        name: first.body[name] for name in ("card_range", "blocked", "changed_by", "reason", "changed")
    } == {
        "card_range": TESTED,
        "blocked": True,
        "changed_by": "operator",
        "reason": "card testing",
        "changed": True,
    }
    replay = await execute(api, TESTED, "block", key="once")
    assert (replay.status, replay.replayed, replay.raw) == (200, True, first.raw)
    again = await execute(api, TESTED, "block", reason="another")
    assert (again.status, again.body["changed"], again.body["reason"]) == (200, False, "card testing")
    conflict = await execute(api, TESTED, "block", reason="another", key="once")
    assert (conflict.status, conflict.body["code"]) == (409, "idempotency_key_reused")
    never = await execute(api, OTHER, "unblock")
    assert (never.status, never.body) == (200, {"card_range": OTHER, "blocked": False, "changed": False})
    assert (await execute(api, TESTED, "unblock")).body["changed"]
    events = await db.rows(
        "SELECT action, actor, subject_id, before::text FROM audit.event"
        " WHERE subject_kind = 'card_range' ORDER BY seq"
    )
    assert [(event["action"], event["actor"], event["subject_id"]) for event in events] == [
        ("card_range.blocked", "operator", TESTED),
        ("card_range.unblocked", "operator", TESTED),
    ]
    assert events[0]["before"] is None
    assert '"blocked": true' in events[1]["before"]


async def test_blocking_at_once_blocks_once(api: "Client", db: "RefpayDb") -> None:
    """Of ten keys one changes the range; nobody fails."""
    answers = await asyncio.gather(*(execute(api, TESTED, "block") for _ in range(10)))
    assert {answer.status for answer in answers} == {200}
    assert sum(answer.body["changed"] for answer in answers) == 1
    assert len(await db.rows("SELECT 1 FROM audit.event WHERE subject_kind = 'card_range'")) == 1


@pytest.mark.parametrize("named", ["45555", "4555555", "45555x", "４５５５５５", "Busiest", "*"])
async def test_what_is_no_range_is_refused(api: "Client", named: str) -> None:
    """422, and the key stays free."""
    refused = await execute(api, named, "block", key="free")
    assert (refused.status, refused.body["code"]) == (422, "card_range_invalid")
    assert (await execute(api, TESTED, "block", key="free")).status == 200


async def test_the_busiest_range_is_found(api: "Client", acquirers: "Mapping[str, Acquirer]") -> None:
    """The word stands for the range with the most signals; without any it fits nothing, and says so."""
    await try_card(api, OTHER)
    for action in ("block", "unblock"):
        nothing = await execute(api, "busiest", action, key=f"nothing-{action}")
        assert (nothing.status, nothing.body["code"]) == (409, "no_busiest_range")
        assert (await execute(api, "busiest", action, key=f"nothing-{action}")).replayed
    await decline(acquirers, OTHER)
    for _ in range(7):
        await try_card(api, OTHER)
    await decline(acquirers)
    for _ in range(9):
        await try_card(api)
    await execute(api, "499999", "block")
    seen = await show(api)
    assert [(known["card_range"], known["changed_by"]) for known in seen["blocked"]] == [
        ("499999", "operator")
    ]
    assert seen["busiest"] == [
        {"card_range": TESTED, "signals": 5, "blocked": 0, "authorizations": 9, "declined": 9},
        {"card_range": OTHER, "signals": 4, "blocked": 0, "authorizations": 8, "declined": 7},
    ]
    assert seen["window_seconds"] == 60
    blocked = await execute(api, "busiest", "block")
    assert (blocked.body["card_range"], blocked.body["changed"]) == (TESTED, True)
    assert (await try_card(api)).status == 403
    seen = await show(api)
    assert (seen["busiest"][0]["signals"], seen["busiest"][0]["blocked"]) == (5, 1)
    assert "tok_" not in str(seen)
    again = await execute(api, "busiest", "block")
    assert (again.body["card_range"], again.body["changed"]) == (TESTED, False)
    undone = await execute(api, "busiest", "unblock")
    assert (undone.body["card_range"], undone.body["changed"]) == (TESTED, True)
    last = await execute(api, "busiest", "unblock")
    assert last.body["card_range"] == "499999", "not busy, but blocked"


@asynccontextmanager
async def stuck(db: "RefpayDb") -> AsyncIterator[None]:
    """Keep every transaction from reading the blocked ranges."""
    connection = await db.connect("refpay_owner")
    try:
        async with connection.transaction():
            await connection.execute("LOCK TABLE risk.card_range IN ACCESS EXCLUSIVE MODE")
            yield
    finally:
        await connection.close()


@pytest.mark.parametrize("amount", [150, QUICK.fail_open_max_minor])
async def test_without_an_assessment_little_goes_on(api: "Client", db: "RefpayDb", amount: int) -> None:
    """Up to the limit an authorization goes to its provider, once, without an assessment."""
    async with stuck(db):
        answer = await try_card(api, amount=amount)
    assert (answer.status, answer.body["status"]) == (201, "authorized")
    assert await api.metric(DECISIONS, decision="allowed") == 1
    assert len(await db.rows("SELECT 1 FROM payments.payment")) == 1


async def test_without_an_assessment_much_is_refused_for_now(api: "Client", db: "RefpayDb") -> None:
    """Above the limit it is 503, nothing was begun, and the same key works when risk is back."""
    much: dict[str, Any] = {"card_token": token_in(TESTED), "amount_minor": QUICK.fail_open_max_minor + 1}
    order = {"merchant_reference": "order-much", **much}
    async with stuck(db):
        refused = await api.authorize(key="much", **order)
    assert (refused.status, refused.body["code"]) == (503, "risk_unavailable")
    assert refused.headers["Retry-After"] == "1"
    assert await db.rows("SELECT 1 FROM payments.payment") == []
    assert await api.metric(DECISIONS, decision="allowed") == 0
    labels = {"operation": "authorize", "outcome": "failed", "provider": "none", "traffic": "live"}
    assert await api.metric("moneypath_payments_total", **labels) == 1
    again = await api.authorize(key="much", **order)
    assert (again.status, again.replayed) == (201, False)


@pytest.mark.parametrize("kind", SubjectKind)
async def test_every_subject_can_be_audited(shared_db: "RefpayDb", kind: SubjectKind) -> None:
    """The database knows each kind of subject that the service knows."""
    event = AuditEvent(SystemClock().now(), "test", "test", kind, "subject", None, {}, "correlation")
    connection = await shared_db.connect()
    try:
        async with connection.transaction():
            await record(connection, event)  # type: ignore[arg-type]  # a plain connection does as well
    finally:
        await connection.close()


@pytest.mark.parametrize(
    ("role", "statement", "refusal"),
    [
        ("refpay_owner", "UPDATE risk.finding SET blocked = false", asyncpg.RestrictViolationError),
        ("refpay_owner", "DELETE FROM risk.finding", asyncpg.RestrictViolationError),
        ("refpay_app", "UPDATE risk.finding SET blocked = false", asyncpg.InsufficientPrivilegeError),
        ("refpay_app", "DELETE FROM risk.card_range", asyncpg.InsufficientPrivilegeError),
    ],
)
async def test_findings_stay(
    shared_db: "RefpayDb", role: str, statement: str, refusal: type[Exception]
) -> None:
    """Assessments are history, and a range that was ever blocked stays known."""
    with pytest.raises(refusal):
        await shared_db.rows(statement, role=role)
