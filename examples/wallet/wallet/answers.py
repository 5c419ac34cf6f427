"""The access log of the API: what each caller was told, one JSON object a line, beside the database."""

import json
import os
import threading
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

from wallet.booking import Instruction

# The words of the log; a caller that was told "still open" asks again.
OUTCOMES: Final = {201: "accepted", 200: "accepted", 402: "turned_down", 502: "failed", 202: "open"}


class AnswerLog:
    """Appends what callers are told; each line is one write, so that a crash tears at most the last one."""

    def __init__(self, file: Path) -> None:
        self._file = os.open(file, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o600)
        self._lock = threading.Lock()

    def told(self, instruction: Instruction, status: int, *, at: datetime | None = None) -> None:
        """Note the answer to a instruction, before it is sent."""
        outcome = OUTCOMES.get(status)
        if outcome is None:
            return
        line = {
            "idempotency_key": instruction.key,
            "merchant_reference": instruction.reference,
            "kind": instruction.kind,
            "beneficiary": instruction.purse,
            "amount": instruction.amount,
            "currency": instruction.currency,
            "outcome": outcome,
            "at": (at or datetime.now(UTC)).isoformat(),
        }
        with self._lock:
            os.write(self._file, json.dumps(line).encode() + b"\n")

    def close(self) -> None:
        """Close the file."""
        os.close(self._file)
