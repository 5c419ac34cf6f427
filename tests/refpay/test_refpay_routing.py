"""The action: drain and restore, idempotent, audited, never the last one."""

import asyncio
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from tests.refpay.conftest import Answer, Client, RefpayDb


async def execute(
    api: "Client", provider: str, action: str, reason: str = "a drill", **rest: Any
) -> "Answer":
    """Drain or restore."""
    path = f"/v1/operations/providers/{provider}/{action}"
    return await api.post(path, {"reason": reason}, by="operator", **rest)


async def test_a_drained_provider_gets_no_new_payments(api: "Client", db: "RefpayDb") -> None:
    """All go to the other one, while what is open at the drained one can still be captured and refunded."""
    payment = (await api.authorize()).body
    other = {"north": "south", "south": "north"}[payment["provider"]]
    drained = await execute(api, payment["provider"], "drain", key="drain-1")
    assert drained.status == 200
    assert drained.body["changed_at"]
    assert {
        key: drained.body[key] for key in ("provider", "routing_active", "changed", "changed_by", "reason")
    } == {
        "provider": payment["provider"],
        "routing_active": False,
        "changed": True,
        "changed_by": "operator",
        "reason": "a drill",
    }
    answers = await asyncio.gather(*(api.authorize() for _ in range(10)))
    assert {answer.body["provider"] for answer in answers} == {other}
    assert (await api.post(f"/v1/payments/{payment['id']}/capture")).status == 200
    restored = await execute(api, payment["provider"], "restore", reason="healed")
    assert (restored.body["routing_active"], restored.body["changed"]) == (True, True)
    answers = await asyncio.gather(*(api.authorize() for _ in range(30)))
    assert {answer.body["provider"] for answer in answers} == {"north", "south"}
    events = await db.rows(
        "SELECT action, actor, subject_id, before::text, after::text FROM audit.event"
        " WHERE subject_kind = 'provider' ORDER BY at"
    )
    assert [(event["action"], event["actor"]) for event in events] == [
        ("provider.drained", "operator"),
        ("provider.restored", "operator"),
    ]
    assert '"reason": "a drill"' in events[0]["after"]
    assert '"routing_active": false' in events[1]["before"]


async def test_an_action_that_is_repeated_changes_once(api: "Client", db: "RefpayDb") -> None:
    """The same key is a replay; another key finds nothing to change; another reason is a conflict."""
    first = await execute(api, "north", "drain", key="twice")
    replay = await execute(api, "north", "drain", key="twice")
    assert (replay.status, replay.replayed, replay.raw) == (200, True, first.raw)
    again = await execute(api, "north", "drain", reason="another")
    assert (again.status, again.body["changed"], again.body["reason"]) == (200, False, "a drill")
    conflict = await execute(api, "north", "drain", reason="another", key="twice")
    assert (conflict.status, conflict.body["code"]) == (409, "idempotency_key_reused")
    assert len(await db.rows("SELECT 1 FROM audit.event WHERE subject_kind = 'provider'")) == 1


async def test_the_last_active_provider_stays(api: "Client") -> None:
    """Draining both at once leaves one; the refusal says why."""
    answers = await asyncio.gather(execute(api, "north", "drain"), execute(api, "south", "drain"))
    assert sorted(answer.status for answer in answers) == [200, 409]
    refused = next(answer for answer in answers if answer.status == 409)
    assert refused.body["code"] == "last_active_provider"
    shown = (await api.get("/v1/operations/providers", by="observer")).body["providers"]
    assert sum(route["routing_active"] for route in shown) == 1


async def test_an_unknown_provider_and_a_missing_reason_are_refused(api: "Client") -> None:
    """404 and 422, and the key stays free."""
    assert (await execute(api, "west", "drain", key="free")).body["code"] == "provider_unknown"
    assert (await execute(api, "north", "drain", reason="", key="free")).status == 422
    assert (await execute(api, "north", "drain", reason="line\nbreak", key="free")).status == 422
    assert (await execute(api, "north", "drain", key="free")).status == 200
