"""The load of a target: the command of its file, as a child process that ends with whoever started it."""

import math
import os
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from moneypath.stack.server import ServerSpec
from moneypath.target.loader import Target
from moneypath.target.placeholders import Argument, arguments_in, fill

LOAD: Final = "load"
ANSWERS_FILE: Final = "answers_file"
# Longer than any drill, and still an end for a load that lost its runner.
LOAD_SECONDS: Final = 3600
READY_SECONDS: Final = 60.0
STOP_SECONDS: Final = 30.0
LEAST_ASKED_RATIO: Final = 0.5
_FIRST_BYTES: Final = 256 * 1024
# What a command may need of whoever runs it; a secret stands in none of these.
_KEPT: Final = ("PATH", "HOME", "LANG", "LC_ALL", "TMPDIR", "VIRTUAL_ENV", "PYTHONPATH")


@dataclass(frozen=True, slots=True)
class TargetLoad:
    """So many users who together ask so often a real second; what they are told goes to `answers_file`."""

    target: Target
    answers_file: Path
    per_second: int
    users: int
    seed: int

    def spec(self) -> ServerSpec | None:
        """Return the process, None where live traffic serves; it is ready with the first line of answers."""
        load = self.target.document.load
        if load is None or load.command is None:
            return None
        given: dict[str, Argument] = {
            "python": sys.executable,
            "users": self.users,
            "per_second": self.per_second,
            "seconds": LOAD_SECONDS,
            "seed": self.seed,
            ANSWERS_FILE: str(self.answers_file.absolute()),
        }
        kept = {name: os.environ[name] for name in _KEPT if name in os.environ}
        return ServerSpec(
            name=LOAD,
            command=tuple(str(fill(word, given)) for word in load.command),
            env={**kept, **{name: str(fill(text, given)) for name, text in load.environment.items()}},
            cwd=self.target.folder,
            ready=self._is_driving,
            ready_within_seconds=READY_SECONDS,
            stop_grace_seconds=STOP_SECONDS,
            hint="Read the load's log, and check whether the service answers.",
        )

    def problem(self, planned: int) -> str:
        """Return a sentence when far less was asked than `planned`, told by the lines of answers.

        Whoever asks writes at least one line of it. A slow service holds its callers up.
        """
        least = math.floor(planned * LEAST_ASKED_RATIO)
        if not self._writes_answers:
            return ""
        lines = self._count_lines(least)
        if lines >= least:
            return ""
        return f"the load: {lines} lines of answers, {planned} were planned, needed: at least {least}"

    @property
    def _writes_answers(self) -> bool:
        load = self.target.document.load
        used = [] if load is None else [*(load.command or ()), *load.environment.values()]
        return ANSWERS_FILE in set(arguments_in(list(used)))

    def _count_lines(self, enough: int) -> int:
        try:
            with self.answers_file.open("rb") as stream:
                chunks = iter(lambda: stream.read(_FIRST_BYTES), b"")
                lines = 0
                while lines < enough and (chunk := next(chunks, b"")):
                    lines += chunk.count(b"\n")
                return lines
        except OSError:
            return 0

    async def _is_driving(self) -> bool:
        if not self._writes_answers:
            return True
        try:
            with self.answers_file.open("rb") as stream:
                return b"\n" in stream.read(_FIRST_BYTES)
        except FileNotFoundError:
            return False
