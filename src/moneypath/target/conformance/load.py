"""Check the load: it runs for some seconds at its lowest rate, and tells what callers were told."""

import asyncio
import contextlib
import os
import signal
import sys
import tempfile
from asyncio.subprocess import DEVNULL
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path
from typing import Final

from moneypath.errors import MoneypathError
from moneypath.oracle import read_acknowledgement_log
from moneypath.polling import poll_until
from moneypath.stack.log_tail import read_tail
from moneypath.target.conformance.finding import Contract, ContractFinding, ContractState
from moneypath.target.contracts import Load
from moneypath.target.exchange import Exchange
from moneypath.target.loader import Target
from moneypath.target.placeholders import Argument, arguments_in, fill
from moneypath.telemetry.redaction import redact

LOAD: Final = Contract.LOAD
RUN_SECONDS: Final = 5
FIRST_ANSWER_SECONDS: Final = 30.0
STOP_SECONDS: Final = 30.0
FIRST_BYTES: Final = 256 * 1024
GOOD_STATUSES: Final = range(200, 300)
POLL_SECONDS: Final = 0.2
ANSWERS_FILE: Final = "answers_file"


async def check_load(exchange: Exchange, refusal: str) -> AsyncIterator[ContractFinding]:
    """Yield whether the load drives the service; `refusal` says why it may not, if so."""
    load = exchange.target.document.load
    if load is None:
        yield ContractFinding.missing(
            LOAD, "No load: say `live: true` where real traffic serves, or name a command."
        )
    elif load.command is None:
        yield ContractFinding.holds(LOAD, "Real traffic serves as load, so a drill drives nothing.")
    elif refusal:
        yield ContractFinding.not_tried(LOAD, refusal)
    else:
        with tempfile.TemporaryDirectory(prefix="moneypath-target-") as folder:
            yield await _run(exchange.target, load, Path(folder))


async def _run(target: Target, load: Load, folder: Path) -> ContractFinding:
    answers_file, output_file = folder / "answers.jsonl", folder / "output.txt"
    given: dict[str, Argument] = {
        "python": sys.executable, "users": 1, "per_second": 1, "seconds": RUN_SECONDS, "seed": 1,
        ANSWERS_FILE: str(answers_file),
    }  # fmt: skip
    words = [str(fill(word, given)) for word in load.command or ()]
    environment = {name: str(fill(text, given)) for name, text in load.environment.items()}
    tells = ANSWERS_FILE in set(arguments_in([*(load.command or ()), *load.environment.values()]))
    try:
        with output_file.open("wb") as output:
            process = await asyncio.create_subprocess_exec(
                *words, cwd=target.folder, env={**os.environ, **environment}, start_new_session=True,
                stdin=DEVNULL, stdout=output, stderr=output,
            )  # fmt: skip
    except OSError as error:
        return ContractFinding.fails(LOAD, f"`{words[0]}` cannot be started: {error.strerror}.")
    try:
        finding = await _watch(process, words[0], answers_file if tells else None)
    finally:
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(process.pid, signal.SIGKILL)
        await process.wait()
    return finding if finding.state is not ContractState.FAILS else _with_last_line(finding, output_file)


def _with_last_line(finding: ContractFinding, output_file: Path) -> ContractFinding:
    """Return a finding with the last line that the load printed."""
    last = " ".join(read_tail(output_file)[-1:]).strip()
    return replace(finding, sentence=f"{finding.sentence} It said: {redact(last)}") if last else finding


async def _watch(
    process: asyncio.subprocess.Process, word: str, answers_file: Path | None
) -> ContractFinding:
    """Let the load run, stop it by SIGINT as a person would, and read what it wrote."""

    async def is_seen() -> bool:
        return process.returncode is not None or (answers_file is not None and _has_answer(answers_file))

    await poll_until(
        is_seen,
        bool,
        every_seconds=POLL_SECONDS,
        within_seconds=FIRST_ANSWER_SECONDS if answers_file else RUN_SECONDS,
    )
    if process.returncode is not None:
        what = f"`{word}` ended by itself, with exit code {process.returncode}, and has to run until stopped."
        return ContractFinding.fails(LOAD, what)
    with contextlib.suppress(ProcessLookupError):
        process.send_signal(signal.SIGINT)
    try:
        await asyncio.wait_for(process.wait(), STOP_SECONDS)
    except TimeoutError:
        return ContractFinding.fails(LOAD, f"`{word}` did not stop within {STOP_SECONDS:g} s of SIGINT.")
    if answers_file is None:
        return ContractFinding.missing(
            LOAD, "The load runs, and has no {answers_file}: nobody knows what callers were told."
        )
    try:
        log = await asyncio.to_thread(read_acknowledgement_log, answers_file)
    except MoneypathError as error:
        return ContractFinding.fails(LOAD, error.what)
    if not any(answer.status_code in GOOD_STATUSES for answer in log.acknowledgements):
        return ContractFinding.fails(LOAD, f"The load had no good answer within {FIRST_ANSWER_SECONDS:g} s.")
    return ContractFinding.holds(
        LOAD,
        f"The load runs and stops; {len(log.requests)} requests, {len(log.acknowledgements)} answers.",
    )


def _has_answer(file: Path) -> bool:
    with contextlib.suppress(OSError), file.open("rb") as stream:
        return b'"outcome"' in stream.read(FIRST_BYTES)
    return False
