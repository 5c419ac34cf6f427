"""Errors of the stack: one sentence each, and a hint what to do next."""

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


class ServerDied(StackError):
    """A server ended although nothing stopped it; `exit_status` is negative for a signal."""

    code: ClassVar[str] = "server_died"

    def __init__(self, name: str, exit_status: int, log_lines: tuple[str, ...], *, hint: str = "") -> None:
        how = f"killed by signal {-exit_status}" if exit_status < 0 else f"exit code {exit_status}"
        super().__init__(_with_log(f"server died: {name} ({how})", log_lines), hint=hint)
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
