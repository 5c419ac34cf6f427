"""The witnesses of a target: their file's reconciliations over the time of one run."""

import asyncio
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from moneypath.drills.ledger_audit import MAX_DISCREPANCIES
from moneypath.drills.service import DRAIN_SECONDS
from moneypath.drills.target_load import ANSWERS_FILE
from moneypath.errors import MoneypathError
from moneypath.target.loader import Target
from moneypath.telemetry.redaction import redact
from moneypath.witnesses import (
    AuditVerdict,
    Reconciliation,
    Result,
    Window,
    WitnessFile,
    load_witnesses,
    reconcile,
    with_values,
)

EVERY_SECONDS: Final = 2.0


@dataclass(frozen=True, slots=True)
class MoneyFound:
    """What the witnesses came to after `seconds`: whole, or not, with every reason."""

    whole: bool
    reasons: tuple[str, ...]
    summary: str
    cannot_know: tuple[str, ...]
    totals: tuple[tuple[str, str, int, int, int], ...]
    seconds: float


@dataclass(slots=True)
class TargetWitnesses:
    """Audits a target by the file that it names; without one, the money is not known."""

    target: Target
    drain_seconds: float = DRAIN_SECONDS
    _declared: WitnessFile | None = field(default=None)

    async def load(self) -> None:
        """Read the file, if there is one; raises DeclarationInvalid, and WitnessInvalid for no value."""
        named = self.target.document.witnesses
        if named is not None:
            self._declared = await asyncio.to_thread(load_witnesses, self.target.path(named))
            self._placed(self._declared, Path())

    async def settle(self, since: float, answers_file: Path) -> MoneyFound | None:
        """Audit what happened from `since` (Unix seconds) until every reconciliation is whole, or time is up.

        Call it once nothing drives the target any more. None without witnesses.
        """
        if self._declared is None:
            return None
        declared = self._placed(self._declared, answers_file)
        ended_at, began = time.time(), time.monotonic()
        while True:
            verdicts, problem = await self._audit(declared, since, ended_at)
            whole = not problem and all(each.result is Result.WHOLE for each in verdicts)
            if whole or time.monotonic() - began > self.drain_seconds:
                return _found(verdicts, problem, time.monotonic() - began)
            await asyncio.sleep(EVERY_SECONDS)

    def _placed(self, declared: WitnessFile, answers_file: Path) -> WitnessFile:
        return with_values(declared, {**self.target.values, ANSWERS_FILE: str(answers_file.absolute())})

    async def _audit(
        self, declared: WitnessFile, since: float, until: float
    ) -> tuple[list[AuditVerdict], str]:
        verdicts: list[AuditVerdict] = []
        folder = self.target.path(str(self.target.document.witnesses)).parent
        for one in declared.reconcile:
            # What was asked for settles within the drain, so all of it is judged.
            window = Window(since, until, max(one.settle, self.drain_seconds))
            try:
                verdicts.append(await asyncio.to_thread(_reconcile, declared, one, folder, window))
            except MoneypathError as error:
                return verdicts, f"{one.id}: {error.what}"
        return verdicts, ""


def _reconcile(declared: WitnessFile, one: Reconciliation, folder: Path, window: Window) -> AuditVerdict:
    return reconcile(declared, one, folder, window)


def _found(verdicts: list[AuditVerdict], problem: str, seconds: float) -> MoneyFound:
    reasons = [problem] if problem else []
    for verdict in verdicts:
        at = verdict.reconciliation
        reasons += [f"{at}: nothing to compare: {each}" for each in verdict.empty]
        reasons += [f"{at}: {one.kind}: {one.subject}: {one.detail}" for one in verdict.discrepancies]
        reasons += [
            f"{at}: {one.kind}: {one.witness} {one.subject} {one.detail}" for one in verdict.faults.kept
        ]
    rows = [
        f"{verdict.reconciliation}: "
        + ", ".join(f"{tally.witness} {tally.rows} rows" for tally in verdict.tallies)
        for verdict in verdicts
    ]
    return MoneyFound(
        whole=not problem and all(each.result is Result.WHOLE for each in verdicts),
        reasons=tuple(redact(text) for text in reasons[:MAX_DISCREPANCIES]),
        summary="; ".join(rows),
        cannot_know=tuple(sorted({what for verdict in verdicts for what in verdict.unknown})),
        totals=tuple(
            (
                one.operation.value,
                one.currency,
                one.posted_minor,
                one.booked_minor,
                one.acknowledged_minor,
            )
            for verdict in verdicts
            for one in verdict.totals
        ),
        seconds=seconds,
    )
