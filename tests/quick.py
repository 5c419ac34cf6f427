"""Leave out every test that starts a process: `pytest -p tests.quick`, as `make test-quick` does.

No list says which tests these are. Each test begins, and the first attempt to start a process skips it; so a
new test is sorted by what it does, and `make test` runs it either way. Tests that compute for long carry the
mark `heavy`; the summary names those that lack it.
"""

import signal
import sys
import time
from collections.abc import Generator
from typing import Any, Final

import pytest
from _pytest.outcomes import Skipped

STARTS: Final = frozenset(
    {"subprocess.Popen", "os.exec", "os.fork", "os.forkpty", "os.posix_spawn", "os.system"}
)
REASON: Final = "starts a process"
HEAVY_SECONDS: Final = 3.0
# A test whose background task was refused would wait for what that task was to do.
END_AFTER_SECONDS: Final = 1.0
CPU: Final = "cpu_seconds"


class ProcessRefused(Skipped):
    """A test tried to start a process."""


class _State:
    """An audit hook stays for ever and has no other place for what it knows."""

    refuses = False
    refused = False


def _refuse(event: str, _: Any) -> None:
    if _State.refuses and event in STARTS:
        _State.refused = True
        signal.setitimer(signal.ITIMER_REAL, END_AFTER_SECONDS, END_AFTER_SECONDS)
        raise ProcessRefused(REASON)


def _end(*_: object) -> None:
    if _State.refuses and _State.refused:
        raise ProcessRefused(REASON)


sys.addaudithook(_refuse)


def pytest_configure(config: pytest.Config) -> None:
    """Ignore what the collector finds later of a test that was left in the middle."""
    signal.signal(signal.SIGALRM, _end)
    config.addinivalue_line("filterwarnings", "ignore::pytest.PytestUnraisableExceptionWarning")


@pytest.hookimpl(wrapper=True)
def pytest_runtest_protocol() -> Generator[None, object, object]:
    """Refuse processes while a test runs; pytest and its plugins may start theirs before and after."""
    _State.refuses, _State.refused = True, False
    try:
        return (yield)
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        _State.refuses = False


@pytest.hookimpl(wrapper=True)
def pytest_runtest_call(item: pytest.Item) -> Generator[None, None, None]:
    """Note what a test takes of the processor, however busy the machine is."""
    begun = time.process_time()
    try:
        yield
    finally:
        item.user_properties.append((CPU, time.process_time() - begun))


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Name the tests that should be marked as heavy."""
    for report in terminalreporter.stats.get("passed", ()):
        seconds = dict(report.user_properties).get(CPU, 0.0)
        if seconds > HEAVY_SECONDS:
            terminalreporter.line(f"{report.nodeid} computed for {seconds:.1f} s: mark it `heavy`.")


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item, call: pytest.CallInfo[None]
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Report a refusal as a skip, also where code or a fixture made another error of it."""
    report = yield
    if report.failed and call.excinfo is not None and (_State.refused or _is_refusal(call.excinfo.value)):
        path, line, _ = item.location
        report.outcome, report.longrepr = "skipped", (path, (line or 0) + 1, f"Skipped: {REASON}")
    return report


def _is_refusal(error: BaseException | None) -> bool:
    """Look for a refusal in an error, its causes and its parts: shared fixtures raise theirs again."""
    if error is None or isinstance(error, ProcessRefused):
        return error is not None
    parts = error.exceptions if isinstance(error, BaseExceptionGroup) else ()
    return any(map(_is_refusal, (*parts, error.__cause__, error.__context__)))
