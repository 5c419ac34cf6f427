"""Celery: propagates the context in tasks and observes workers, through Celery's signals."""

from collections import deque
from collections.abc import Mapping
from contextlib import AbstractContextManager
from typing import Any, Final

from celery import signals, states
from celery.exceptions import MaxRetriesExceededError, Reject

from moneypath.telemetry import correlation
from moneypath.telemetry.catalogue.vocabulary import DeadLetterReason
from moneypath.telemetry.integrations import messages
from moneypath.telemetry.integrations.messages import Handling
from moneypath.telemetry.recording.recorder import Recorder

__all__ = ["Observation", "carry_context", "observe"]

# Celery's main process reports a task that timed out twice; this many task ids are remembered.
_COUNTED_TASKS_LIMIT: Final = 1024
# Not a queue of any catalogue, so a record with it is counted as a drop.
_UNMAPPED: Final = ""


def carry_context() -> None:
    """Add the active context to every task that this process publishes. Calling it twice has no effect."""
    signals.before_task_publish.connect(_inject, weak=False, dispatch_uid="moneypath-carry-context")


def _inject(headers: object = None, **_: object) -> None:
    if isinstance(headers, dict):
        kept, context = messages.outgoing(headers.items())
        # Changed in place, because Celery sends this dictionary.
        headers.clear()
        headers.update(kept, **context)


def observe(recorder: Recorder, queues: Mapping[str, str]) -> "Observation":
    """Observe the tasks that this worker runs, and propagate the context.

    `queues` maps each routing key to a queue of the catalogue. A task with another routing key still runs
    in its producer's context and is counted as a drop. A task that fails for good or is rejected is a dead
    letter, because Celery stores only its result. Raises what `messages.Consumer` raises.
    """
    observation = Observation(recorder, queues)
    observation.connect()
    carry_context()
    return observation


class Observation:
    """Follows a worker's tasks through its signals. Can be connected and disconnected."""

    def __init__(self, recorder: Recorder, queues: Mapping[str, str]) -> None:
        self._consumers = {key: messages.Consumer(recorder, queue) for key, queue in queues.items()}
        self._dead = recorder.counter(messages.DEAD_LETTERS)
        # One entry for each running task; `task_postrun` removes it in any case.
        self._running: dict[str, tuple[AbstractContextManager[object], Handling]] = {}
        self._counted_task_ids: deque[str] = deque(maxlen=_COUNTED_TASKS_LIMIT)
        self._receivers = (
            (signals.task_prerun, self._begin),
            (signals.task_retry, self._note_retry),
            (signals.task_failure, self._note_failure),
            (signals.task_internal_error, self._note_internal_error),
            (signals.task_postrun, self._end),
            (signals.task_rejected, self._note_malformed),
            (signals.task_unknown, self._note_unknown),
        )

    def connect(self) -> None:
        """Connect to the signals."""
        for signal, receiver in self._receivers:
            signal.connect(receiver, weak=False)

    def disconnect(self) -> None:
        """Disconnect from the signals."""
        for signal, receiver in self._receivers:
            signal.disconnect(receiver)

    def _begin(self, task_id: str, task: Any, **_: object) -> None:
        request = task.request
        if request.is_eager:
            # The task runs in its caller, without a message, so the caller's context stays.
            return
        consumer = self._consumers.get(_routing_key(request.delivery_info))
        if consumer is None:
            self._drop()
            context = correlation.entered(messages.read_context(request.headers))
            context.__enter__()
            self._running[task_id] = (context, Handling())
        else:
            block = consumer.handling(request.headers)
            self._running[task_id] = (block, block.__enter__())

    def _note_retry(self, request: Any, **_: object) -> None:
        running = self._running.get(request.id)
        if running is not None:
            running[1].fail()

    def _note_failure(self, sender: Any, task_id: str, exception: BaseException, **_: object) -> None:
        running = self._running.get(task_id)
        if running is not None:
            running[1].set_aside(_reason(sender, exception))
        elif not sender.request.is_eager and not isinstance(exception, Reject):
            # Only the main process can report a pool process that died or timed out.
            self._count_once(task_id, sender.request.delivery_info, _reason(sender, exception))

    def _note_internal_error(self, task_id: str, request: Any, **_: object) -> None:
        # Celery could not store the failure: it sends no other signal, and the message is lost.
        if isinstance(request, Mapping) and not request.get("is_eager"):
            self._count_once(task_id, request.get("delivery_info"), DeadLetterReason.REJECTED)

    def _count_once(self, task_id: str, delivery_info: object, reason: DeadLetterReason) -> None:
        if task_id not in self._counted_task_ids:
            self._counted_task_ids.append(task_id)
            self._count(_routing_key(delivery_info), reason)

    def _end(self, task_id: str, task: Any, state: object, retval: object, **_: object) -> None:
        running = self._running.pop(task_id, None)
        if running is None:
            return
        block, handling = running
        # A message that was acknowledged before its task began cannot be requeued.
        if isinstance(retval, Reject) and not (retval.requeue and task.acks_late):
            handling.set_aside(DeadLetterReason.REJECTED)
        elif state not in (states.SUCCESS, states.IGNORED):
            handling.fail()
        block.__exit__(None, None, None)

    def _note_malformed(self, message: Any, **_: object) -> None:
        self._count(_routing_key(message.delivery_info), DeadLetterReason.MALFORMED)

    def _note_unknown(self, message: Any, **_: object) -> None:
        self._count(_routing_key(message.delivery_info), DeadLetterReason.UNKNOWN_TYPE)

    def _count(self, routing_key: str, reason: DeadLetterReason) -> None:
        consumer = self._consumers.get(routing_key)
        if consumer is None:
            self._drop()
        else:
            consumer.count_dead(reason)

    def _drop(self) -> None:
        self._dead.inc(queue=_UNMAPPED, reason=DeadLetterReason.REJECTED.value)


def _routing_key(delivery_info: object) -> str:
    found = delivery_info.get("routing_key") if isinstance(delivery_info, Mapping) else None
    return found if isinstance(found, str) else _UNMAPPED


def _reason(task: Any, exception: BaseException) -> DeadLetterReason:
    retries, most = task.request.retries, task.max_retries
    if isinstance(exception, MaxRetriesExceededError) or (most is not None and 0 < most <= retries):
        return DeadLetterReason.ATTEMPTS_EXHAUSTED
    return DeadLetterReason.REJECTED
