"""Carry out what callers ask for: through a bank, or from one purse to another."""

import hashlib
from datetime import UTC, datetime
from typing import Final

from fastapi import HTTPException
from fastapi.responses import JSONResponse

from moneypath.telemetry import Recorder
from wallet.answers import AnswerLog
from wallet.banks import Banks
from wallet.booking import Books, Instruction, Refused

STATUSES: Final = {"DONE": 201, "DECLINED": 402, "FAILED": 502}
OUTCOMES: Final = {"DONE": "succeeded", "DECLINED": "declined", "FAILED": "failed"}
OPERATIONS: Final = {"TOP_UP": "top_up", "WITHDRAWAL": "withdraw", "TRANSFER": "transfer"}
STILL_OPEN: Final = 202
NOBODY: Final = "none"


class Payments:
    """Each instruction is carried out once, however often it is sent with its key."""

    def __init__(self, books: Books, banks: Banks, log: AnswerLog, recorder: Recorder) -> None:
        self._books, self._banks, self._log, self._recorder = books, banks, log, recorder

    async def carry_out(self, instruction: Instruction, traffic: str) -> JSONResponse:
        """Carry out an instruction, or repeat its answer; raises Refused, or HTTPException."""
        since = self._recorder.now()
        known = await self._books.known_answer(instruction)
        if known is not None:
            return self._tell(instruction, known)
        work = self._transfer if instruction.kind == "TRANSFER" else self._by_bank
        operation = OPERATIONS[instruction.kind]
        with self._recorder.payment(operation, traffic, since=since) as payment:
            try:
                answer, outcome, bank = await work(instruction)
            except Refused as error:
                payment.finish("rejected", NOBODY)
                self._log.told(instruction, error.status)
                raise
            payment.finish(outcome, bank)
        if outcome == "shed":
            raise HTTPException(503, "no bank takes orders")
        return self._tell(instruction, answer)

    async def _by_bank(self, instruction: Instruction) -> tuple[dict[str, object], str, str]:
        open_banks = await self._books.open_banks()
        if not open_banks:
            return {}, "shed", NOBODY
        bank = _spread(instruction.key, open_banks)
        order = await self._books.take(instruction, bank, datetime.now(UTC))
        if order is None:
            # The same key came twice at once: the other one is carried out.
            return {}, "rejected", NOBODY
        said = await self._banks.place(order)
        answer = await self._books.decide(order.id, said, datetime.now(UTC))
        return answer, OUTCOMES.get(_state(answer), "indeterminate"), bank

    async def _transfer(self, instruction: Instruction) -> tuple[dict[str, object], str, str]:
        answer = await self._books.transfer(instruction, datetime.now(UTC))
        return answer or {}, "succeeded" if answer else "rejected", NOBODY

    def _tell(self, instruction: Instruction, answer: dict[str, object]) -> JSONResponse:
        status = STATUSES.get(_state(answer), STILL_OPEN)
        self._log.told(instruction, status)
        return JSONResponse({"state": "OPEN", **answer}, status_code=status)


def _state(answer: dict[str, object]) -> str:
    return str(answer.get("state", ""))


def _spread(key: str, banks: list[str]) -> str:
    """Return the bank of a key: always the same one as long as the same banks are open."""
    return banks[hashlib.sha256(key.encode()).digest()[0] % len(banks)]
