"""Taking mitigations back: in reverse order, after failures and cancellations, never one too many."""

import asyncio
from typing import TYPE_CHECKING

import pytest

from moneypath.runbooks import ActionUnanswered, EventKind, PendingUndos, Status
from moneypath.runbooks.pending_undos import PendingUndo

if TYPE_CHECKING:
    from tests.runbooks.conftest import Book, Service

SECOND_DRAIN = (
    "## Quantify\n",
    """## Quantify

```yaml
step: 4
id: drain-south
type: mitigate
role: ops
title: Drain south
action: [provider.drain, south]
expect: {routing_active: false}
within: 30s
undo: [provider.restore, south]
```
""",
)
RESTORE = (
    "## Repair\n",
    """## Repair

```yaml
step: 4
id: restore
type: mitigate
role: ops
title: Restore
action: [provider.restore, "{provider}"]
expect: {routing_active: true}
within: 30s
undo: [provider.drain, "{provider}"]
```
""",
)
LAST_IS_FIVE = ("step: 4\nid: whole", "step: 5\nid: whole")


async def test_mitigations_are_taken_back_newest_first(book: "Book", service: "Service") -> None:
    """The order is the reverse of the order in which they were applied, each once, with keys of their own."""
    execution = await service.run(book.load(LAST_IS_FIVE, SECOND_DRAIN))
    assert execution.status is Status.COMPLETED
    assert await service.undo(execution)
    pulled = [(call.name, call.arguments) for call in service.calls]
    assert pulled == [
        ("provider.drain", ("north",)),
        ("provider.drain", ("south",)),
        ("provider.restore", ("south",)),
        ("provider.restore", ("north",)),
    ]
    assert len({call.idempotency_key for call in service.calls}) == 4
    assert await service.undo(execution)
    assert len(service.calls) == 4


async def test_a_mitigation_that_the_page_takes_back_itself_is_not_undone(
    book: "Book", service: "Service"
) -> None:
    """Drained, then restored by a step: nothing is in force, and an undo would only flap."""
    execution = await service.run(book.load(LAST_IS_FIVE, RESTORE))
    assert execution.status is Status.COMPLETED
    assert await service.undo(execution)
    assert [call.name for call in service.calls] == ["provider.drain", "provider.restore"]
    assert service.routed


async def test_a_restoring_step_that_raises_leaves_the_drain_to_undo(
    book: "Book", service: "Service"
) -> None:
    """The step that should have taken it back has not been seen to: undo tries again."""
    service.broken["provider.restore"] = ActionUnanswered("no answer")
    service.effect_first = False
    execution = await service.run(book.load(LAST_IS_FIVE, RESTORE))
    assert execution.status is Status.FAILED
    service.broken.clear()
    assert await service.undo(execution)
    assert service.routed


async def test_a_restoring_step_without_effect_leaves_the_drain_to_undo(
    book: "Book", service: "Service"
) -> None:
    """An answer that is not the expected one takes nothing back."""
    service.hang.clear()
    restore = (RESTORE[0], RESTORE[1].replace("{routing_active: true}", "{routing_active: false}"))
    execution = await service.run(book.load(LAST_IS_FIVE, restore))
    assert execution.status is Status.STOPPED
    assert len(execution.pending_undos) == 1


async def test_an_action_that_raised_after_its_effect_is_undone(book: "Book", service: "Service") -> None:
    """The answer was lost, the provider is drained: it has to be restored."""
    service.broken["provider.drain"] = ConnectionResetError()
    execution = await service.run(book.load())
    assert execution.status is Status.FAILED
    assert not service.routed
    assert await service.undo(execution)
    assert service.routed


async def test_what_was_so_before_is_not_ours_to_undo(book: "Book", service: "Service") -> None:
    """Somebody else drained the provider: our undo leaves their drain alone."""
    service.already = True
    execution = await service.run(book.load())
    assert execution.status is Status.COMPLETED
    assert await service.undo(execution)
    assert [call.name for call in service.calls] == ["provider.drain"]


async def test_one_broken_undo_does_not_keep_the_others(book: "Book", service: "Service") -> None:
    """Both are tried, both failures recorded, both stay in force until an undo works."""
    execution = await service.run(book.load(LAST_IS_FIVE, SECOND_DRAIN))
    service.broken["provider.restore"] = OSError("secret words")
    service.effect_first = False
    assert not await service.undo(execution)
    failed = [event for event in service.events if event.kind is EventKind.UNDO_FAILED]
    assert [event.step for event in failed] == ["drain-south", "drain"]
    assert "secret" not in str(failed)
    assert len(execution.pending_undos) == 2
    service.broken.clear()
    assert await service.undo(execution)
    assert not len(execution.pending_undos)


async def test_a_cancelled_run_can_be_undone(book: "Book", service: "Service") -> None:
    """The run is killed while its action is being pulled: its owner still holds what to take back."""
    service.hang.add("provider.drain")
    run = asyncio.create_task(service.run(book.load()))
    async with asyncio.timeout(30):
        await service.called.wait()
    run.cancel()
    with pytest.raises(asyncio.CancelledError):
        await run
    assert await service.undo()
    assert [call.name for call in service.calls] == ["provider.drain", "provider.restore"]


async def test_an_undo_that_hangs_is_cut_off(book: "Book", service: "Service") -> None:
    """Leaving the building is bounded as well."""
    runbook = book.load(("{routing_active: false}\nwithin: 30s", "{routing_active: false}\nwithin: 20ms"))
    execution = await service.run(runbook)
    service.hang.add("provider.restore")
    async with asyncio.timeout(30):
        assert not await service.undo(execution)
    assert service.events[-1].reason == "timed out"


async def test_undo_says_what_it_did(book: "Book", service: "Service") -> None:
    """The event names the undo's action, its answer and the step it belongs to."""
    execution = await service.run(book.load())
    await service.undo(execution)
    event = service.events[-1]
    assert (event.kind, event.step, event.runbook) == (EventKind.UNDONE, "drain", "small-page")
    assert event.instruction == ("provider.restore", "north")
    assert "routing_active=True" in event.seen
    assert service.calls[-1].reason == "incident inc-1: small-page undo of step 2 drain"


async def test_only_the_one_that_left_leaves(book: "Book") -> None:
    """The same step twice in force is two: when one is taken out the other stays."""
    drain = book.load().steps[1]
    first, second = PendingUndo("page", drain, 1.0), PendingUndo("page", drain, 1.0)
    pending_undos = PendingUndos()
    pending_undos.add(first)
    pending_undos.add(second)
    pending_undos.remove(first)
    assert [pending is second for pending in pending_undos.newest_first()] == [True]
    pending_undos.remove(first)
    assert len(pending_undos) == 1
