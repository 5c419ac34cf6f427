"""Errors of the stack: one sentence each, and a hint what to do next."""

import signal
from pathlib import Path
from typing import ClassVar

from moneypath.errors import MoneypathError


class StackError(MoneypathError):
    """A server could not be found, started, kept alive or stopped."""

    code: ClassVar[str] = "stack_error"


class BinaryMissing(StackError):
    """No program of this name and version was found."""

    code: ClassVar[str] = "binary_missing"


class CollectorUnbuilt(StackError):
    """The collector's manifest cannot be read, or its builder failed."""

    code: ClassVar[str] = "collector_unbuilt"


class PackageUnavailable(StackError):
    """A distribution package could not be fetched or unpacked."""

    code: ClassVar[str] = "package_unavailable"


class PortTaken(StackError):
    """A port that a server needs is in use."""

    code: ClassVar[str] = "port_taken"


class FolderUnwritable(StackError):
    """A folder that the stack needs cannot be created or written."""

    code: ClassVar[str] = "folder_unwritable"


class DatabaseUnprepared(StackError):
    """The data folder could not be initialised, or is not one of this version."""

    code: ClassVar[str] = "database_unprepared"


class HistoryRefused(StackError):
    """promtool refused the samples of a backfill."""

    code: ClassVar[str] = "history_refused"


class StarterUnavailable(StackError):
    """There is no starter of a stack, no single one, or none that can be loaded."""

    code: ClassVar[str] = "starter_unavailable"
    exit_code: ClassVar[int] = 2  # bad input: for a release gate 1 would be a failed build


class ReaperLost(StackError):
    """The process that owns the servers ended, and the servers with it."""

    code: ClassVar[str] = "reaper_lost"


class ServerNotStarted(StackError):
    """The operating system refused to start the program."""

    code: ClassVar[str] = "server_not_started"


def _with_log(sentence: str, log_lines: tuple[str, ...]) -> str:
    if not log_lines:
        return f"{sentence}; it logged nothing"
    return "\n    ".join((f"{sentence}; its last log lines:", *log_lines))


def how_ended(exit_status: int) -> str:
    """Return how a process ended, from its exit status as `subprocess` has it."""
    if exit_status >= 0:
        return f"exit code {exit_status}"
    try:
        return f"killed by {signal.Signals(-exit_status).name}"
    except ValueError:  # a real-time signal, which has no name
        return f"killed by signal {-exit_status}"


def death_hint(name: str, exit_status: int, log: Path) -> str:
    """Return what to do about a server that ran and then ended, one sentence for each kind of end."""
    end = how_ended(exit_status)
    match -exit_status:
        case signal.SIGKILL:
            return f"Look in `dmesg` whether the kernel lacked memory: {name} was {end}; its log is {log}."
        case 0 | signal.SIGTERM | signal.SIGINT | signal.SIGHUP | signal.SIGQUIT:
            return f"Find out who stopped {name} ({end}), which is for this command to do; its log is {log}."
        case _:
            return f"Look for the cause in the log of {name} ({end}): {log}."


class ServerDied(StackError):
    """A server ended although nothing stopped it; `exit_status` is negative for a signal."""

    code: ClassVar[str] = "server_died"

    def __init__(self, name: str, exit_status: int, log_lines: tuple[str, ...], *, hint: str = "") -> None:
        super().__init__(_with_log(f"server died: {name} ({how_ended(exit_status)})", log_lines), hint=hint)
        self.name = name
        self.exit_status = exit_status
        self.log_lines = log_lines


class ServerNotReady(StackError):
    """A server runs, but did not become ready in time."""

    code: ClassVar[str] = "server_not_ready"

    def __init__(
        self, name: str, seconds: float, last_answer: str, log_lines: tuple[str, ...], *, hint: str = ""
    ) -> None:
        sentence = f"server not ready: {name} within {seconds:g} s (its probe said: {last_answer})"
        super().__init__(_with_log(sentence, log_lines), hint=hint)
        self.name = name
        self.log_lines = log_lines
