"""The witnesses of a target: their file's reconciliations over the time of a drill."""

import asyncio
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from moneypath.drills.context import DrillContext
from moneypath.drills.ledger_audit import MAX_DISCREPANCIES
from moneypath.drills.service import DRAIN_SECONDS, Driven
from moneypath.errors import MoneypathError
from moneypath.incidents.timeline import Kind
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

ANSWERS: Final = "answers.jsonl"
EVERY_SECONDS: Final = 2.0
UNKNOWN: Final = "unknown"


@dataclass(slots=True)
class TargetWitnesses:
    """Audits a target by the file that it names; without one, the money is not known."""

    target: Target
    drain_seconds: float = DRAIN_SECONDS
    answers_name: str = ANSWERS
    _declared: WitnessFile | None = field(default=None)

    async def load(self) -> None:
        """Read the file, if there is one; raises DeclarationInvalid."""
        named = self.target.document.witnesses
        if named is not None:
            self._declared = await asyncio.to_thread(load_witnesses, self.target.path(named))

    async def record(self, context: DrillContext, driven: Driven) -> None:
        """Audit until every reconciliation is whole or the time is up, and record the last result."""
        if self._declared is None:
            payload: dict[str, object] = {"whole": UNKNOWN, "discrepancies": ["the target has no witnesses"]}
            context.log.append(Kind.LEDGER_TRUTH, "ledger", payload, source="oracle")
            return
        values = {
            **self.target.values,
            "answers_file": str((context.folder / self.answers_name).absolute()),
        }
        declared = with_values(self._declared, values)
        ended_at = time.time()
        deadline = time.monotonic() + self.drain_seconds
        while True:
            verdicts, problem = await self._audit(declared, driven.since, ended_at)
            if not problem and all(each.result is Result.WHOLE for each in verdicts):
                break
            if time.monotonic() > deadline:
                break
            await asyncio.sleep(EVERY_SECONDS)
        context.log.append(
            Kind.LOAD_DRAINED, "operations", {"seconds": round(time.time() - ended_at, 3)}, source="oracle"
        )
        context.log.append(Kind.LEDGER_TRUTH, "ledger", _payload(verdicts, problem), source="oracle")

    async def _audit(
        self, declared: WitnessFile, since: float, until: float
    ) -> tuple[list[AuditVerdict], str]:
        verdicts: list[AuditVerdict] = []
        folder = self.target.path(str(self.target.document.witnesses)).parent
        for one in declared.reconcile:
            try:
                verdicts.append(await asyncio.to_thread(_reconcile, declared, one, folder, since, until))
            except MoneypathError as error:
                return verdicts, f"{one.id}: {error.what}"
        return verdicts, ""


def _reconcile(
    declared: WitnessFile, one: Reconciliation, folder: Path, since: float, until: float
) -> AuditVerdict:
    # What the drill asked for settles within the drain, so all of it is judged.
    return reconcile(declared, one, folder, Window(since, until, max(one.settle, DRAIN_SECONDS)))


def _payload(verdicts: list[AuditVerdict], problem: str) -> dict[str, object]:
    found = [problem] if problem else []
    for verdict in verdicts:
        at = verdict.reconciliation
        found += [f"{at}: nothing to compare: {each}" for each in verdict.empty]
        found += [f"{at}: {one.kind}: {one.subject}: {one.detail}" for one in verdict.discrepancies]
        found += [
            f"{at}: {one.kind}: {one.witness} {one.subject}: {one.detail}" for one in verdict.faults.kept
        ]
    whole = not problem and all(each.result is Result.WHOLE for each in verdicts)
    return {
        "whole": whole,
        "discrepancies": [redact(text) for text in found[:MAX_DISCREPANCIES]],
        "discrepancy_count": len(found),
        "summary": "; ".join(
            f"{verdict.reconciliation}: "
            + ", ".join(f"{tally.witness} {tally.rows} rows" for tally in verdict.tallies)
            for verdict in verdicts
        ),
        "cannot_know": sorted({what for verdict in verdicts for what in verdict.unknown}),
        "totals": [
            [
                each.operation.value,
                each.currency,
                each.posted_minor,
                each.booked_minor,
                each.acknowledged_minor,
            ]
            for verdict in verdicts
            for each in verdict.totals
        ],
    }
