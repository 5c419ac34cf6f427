"""Turn SIGTERM and SIGHUP into the cancellation of a task, so that `async with` blocks clean up."""

import asyncio
import signal
import threading
from contextvars import ContextVar
from types import TracebackType
from typing import Self
from weakref import WeakKeyDictionary

_SIGNALS = (signal.SIGTERM, signal.SIGHUP)
# A loop has one handler per signal, but may hold several supervisors.
_listeners: WeakKeyDictionary[asyncio.AbstractEventLoop, list["Termination"]] = WeakKeyDictionary()
# Context variables are inherited by tasks that are started inside the block.
_enclosing: ContextVar["Termination | None"] = ContextVar("termination around", default=None)


class Termination:
    """While entered, SIGTERM and SIGHUP cancel the task that entered it; `received` is the signal.

    A nested one, in the same task or in one that was started inside the block, leaves the signals to the
    outer one: the outer cancellation reaches it anyway, and a second one would look like a second signal.
    Outside the main thread, where Python handles no signals, it does nothing. `asyncio.run` handles SIGINT
    itself.
    """

    def __init__(self) -> None:
        self.received: signal.Signals | None = None
        self._task: asyncio.Task[object] | None = None
        self._loop: asyncio.AbstractEventLoop | None = None

    def __enter__(self) -> Self:
        if threading.current_thread() is not threading.main_thread():
            return self
        loop = asyncio.get_running_loop()
        listeners = _listeners.setdefault(loop, [])
        if _enclosing.get() in listeners:
            return self
        _enclosing.set(self)
        self._task, self._loop = asyncio.current_task(), loop
        if not listeners:
            for number in _SIGNALS:
                self._loop.add_signal_handler(number, _deliver, self._loop, number)
        listeners.append(self)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._loop is None:
            return
        listeners = _listeners[self._loop]
        listeners.remove(self)
        if not listeners:
            for number in _SIGNALS:
                self._loop.remove_signal_handler(number)


def _deliver(loop: asyncio.AbstractEventLoop, number: signal.Signals) -> None:
    for listener in list(_listeners.get(loop, ())):
        listener.received = number
        if listener._task is not None:
            listener._task.cancel()
