"""The append-only event log of an incident: numbered, redacted JSON lines, each hashed over the last."""

import contextlib
import hashlib
import json
import math
import os
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Final, Self

from moneypath.errors import MoneypathError
from moneypath.telemetry.redaction import redact, redact_values

GENESIS: Final = "0" * 64
MAX_LINE_BYTES: Final = 256 * 1024


class EventLogBroken(MoneypathError):
    """An event log that was cut, changed or cannot be written."""

    code = "event_log_broken"


@dataclass(frozen=True, slots=True)
class Actor:
    """Who did it: the role, the name it acted under, and whether a script stood in for a person."""

    role: str
    principal: str
    simulated: bool = False


SYSTEM: Final = Actor(role="system", principal="moneypath")


@dataclass(frozen=True, slots=True)
class Event:
    """One line of the log.

    `ts_wall` is Unix seconds, for people. `ts_mono` is seconds of the monotonic clock of the recording
    process; durations are computed from it alone.
    """

    seq: int
    ts_wall: float
    ts_mono: float
    kind: str
    actor: Actor
    subject: str
    payload: Mapping[str, Any] = field(default_factory=dict)
    source: str = "runner"
    prev_hash: str = GENESIS
    hash: str = ""

    def sealed(self) -> Self:
        """Return the same event with the hash of everything else in it."""
        fields = asdict(self)
        fields["hash"] = _digest(fields)
        fields["actor"] = self.actor
        return type(self)(**fields)


@dataclass(frozen=True, slots=True)
class LogHead:
    """The last event of a log at some time. Its hash covers every event up to it."""

    seq: int
    hash: str


def _digest(fields: Mapping[str, Any]) -> str:
    body = {name: value for name, value in fields.items() if name != "hash"}
    text = json.dumps(body, sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False)
    return hashlib.sha256(text.encode()).hexdigest()


class EventLog:
    """Writes events to a file and calls its listeners; each line is flushed to the operating system.

    A killed writer loses no line that `append` returned for. The log is not synced to disk line by line, so a
    power cut can lose the last moments of a drill.
    """

    def __init__(
        self,
        file: Path,
        *,
        wall: Callable[[], float] = time.time,
        mono: Callable[[], float] = time.monotonic,
    ) -> None:
        self.file = file
        self._wall, self._mono = wall, mono
        self._listeners: list[Callable[[Event], None]] = []
        self._events: list[Event] = []
        file.parent.mkdir(parents=True, exist_ok=True)
        try:
            descriptor = os.open(file, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_APPEND, 0o600)
        except FileExistsError:
            raise EventLogBroken(
                f"event log exists already: {file.name}",
                hint="Use a new folder: evidence is never overwritten.",
            ) from None
        self._out = os.fdopen(descriptor, "w", encoding="utf-8")

    @property
    def events(self) -> tuple[Event, ...]:
        """All events so far, oldest first."""
        return tuple(self._events)

    @property
    def head(self) -> LogHead:
        """The log's head now; number 0 of an empty log."""
        return LogHead(len(self._events), self._events[-1].hash if self._events else GENESIS)

    def listen(self, listener: Callable[[Event], None]) -> None:
        """Call `listener` with every later event, after it has been written."""
        self._listeners.append(listener)

    def append(
        self,
        kind: str,
        subject: str,
        payload: Mapping[str, Any] | None = None,
        *,
        actor: Actor = SYSTEM,
        source: str = "runner",
        at_mono: float | None = None,
    ) -> Event:
        """Hash and write one event; `at_mono` dates it back to when it was observed."""
        now_mono, now_wall = self._mono(), self._wall()
        observed = now_mono if at_mono is None else at_mono
        event = Event(
            seq=len(self._events) + 1,
            ts_wall=now_wall - (now_mono - observed),
            ts_mono=observed,
            kind=kind,
            actor=actor,
            subject=redact(subject),
            payload=redact_values(payload or {}),
            source=source,
            prev_hash=self._events[-1].hash if self._events else GENESIS,
        ).sealed()
        try:
            self._out.write(json.dumps(asdict(event), sort_keys=True, ensure_ascii=False) + "\n")
            self._out.flush()
        except OSError as error:
            raise EventLogBroken(
                f"event log cannot be written: {self.file.name} ({error.strerror})",
                hint="Make room on the disk and run the drill again: it needs its evidence.",
            ) from None
        self._events.append(event)
        for listener in self._listeners:
            listener(event)
        return event

    def now(self) -> float:
        """Return the present instant of the log's monotonic clock."""
        return self._mono()

    def mono_at(self, wall: float) -> float:
        """Return the monotonic time of `wall`, a Unix time that another process of this machine noted."""
        return self._mono() - max(0.0, self._wall() - wall)

    def close(self) -> None:
        """Close the file."""
        with contextlib.suppress(OSError):  # a full disk: `append` has said so
            self._out.close()


def read_events(file: Path) -> tuple[Event, ...]:
    """Read a log and check every hash.

    Raises EventLogBroken that names the first line whose number, link or hash is wrong.
    """
    try:
        lines = file.read_bytes().splitlines()
    except OSError as error:
        raise EventLogBroken(
            f"event log cannot be read: {file.name} ({error.strerror})",
            hint="Name the folder of a finished drill.",
        ) from None
    return verify(_parse(file.name, number, line) for number, line in enumerate(lines, start=1))


def _parse(name: str, number: int, line: bytes) -> Event:
    try:
        fields = json.loads(line[:MAX_LINE_BYTES])
        return _typed(Event(**{**fields, "actor": Actor(**fields["actor"])}))
    except (ValueError, TypeError, KeyError, RecursionError) as error:
        raise EventLogBroken(
            f"{name}:{number}: not an event: {error}",
            hint="Run the drill again: the log was cut or edited after it.",
        ) from None


def _is_sealed(event: Event) -> bool:
    """Tell whether an event has the hash of its content; a number that JSON has not cannot have one."""
    try:
        return event.sealed().hash == event.hash
    except ValueError:
        return False


def _typed(event: Event) -> Event:
    """Return an event whose values are of the types that it declares; raise TypeError otherwise."""
    actor = (event.actor.role, event.actor.principal)
    texts = (event.kind, event.subject, event.source, event.prev_hash, event.hash, *actor)
    times = (event.ts_wall, event.ts_mono)
    if not (
        all(isinstance(text, str) for text in texts)
        and all(type(time) in (int, float) and math.isfinite(time) for time in times)
        and type(event.seq) is int
        and isinstance(event.payload, dict)
    ):
        raise TypeError("a value is of another type")
    return event


def verify(events: Iterable[Event]) -> tuple[Event, ...]:
    """Return the events if numbers, links and hashes are right; raise EventLogBroken otherwise."""
    sealed: list[Event] = []
    for event in events:
        expected_prev = sealed[-1].hash if sealed else GENESIS
        problem = None
        if event.seq != len(sealed) + 1:
            problem = f"number is {event.seq}, expected {len(sealed) + 1}"
        elif event.prev_hash != expected_prev:
            problem = "does not follow the event before it"
        elif not _is_sealed(event):
            problem = "was changed after it was sealed"
        if problem:
            raise EventLogBroken(
                f"event {len(sealed) + 1} ({event.kind}) {problem}",
                hint="Run the drill again: this log proves nothing.",
            )
        sealed.append(event)
    return tuple(sealed)
