"""Check the witnesses: each reconciliation of their file is carried out over the last hour."""

import asyncio
import time
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Final

from moneypath.errors import MoneypathError
from moneypath.target.conformance.finding import Contract, ContractFinding
from moneypath.target.loader import Target
from moneypath.target.placeholders import arguments_in, variables_in
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

WITNESSES: Final = Contract.WITNESSES
JUDGED_SECONDS: Final = 3600.0
SETTLED_WITHIN_SECONDS: Final = 60.0
"""Longer than that nobody waits for the last records to settle."""
ANSWERS_FILE: Final = "answers_file"


async def check_witnesses(target: Target) -> AsyncIterator[ContractFinding]:
    """Yield what each reconciliation came to, and which witness each lacks."""
    named = target.document.witnesses
    if named is None:
        what = "No witnesses: nobody can tell whether every unit of money is accounted for."
        yield ContractFinding.missing(WITNESSES, what)
        return
    file = target.path(named)
    # Only a drill or a gate has what its own load was told.
    values = {**target.values, ANSWERS_FILE: ""}
    try:
        written = await asyncio.to_thread(load_witnesses, file)
        declared = with_values(written, values)
    except MoneypathError as error:
        yield ContractFinding.fails(WITNESSES, error.what)
        return
    for one in declared.reconcile:
        told = _of_a_load(written, one)
        if told:
            what = f"{one.id}: what {', '.join(told)} reads is written by the load of a drill or a gate."
            yield ContractFinding.not_tried(WITNESSES, what)
        else:
            yield await _reconcile(declared, one, file.parent)
        for what in _lacking(one):
            yield ContractFinding.missing(WITNESSES, f"{one.id}: {what}")


async def _reconcile(declared: WitnessFile, one: Reconciliation, folder: Path) -> ContractFinding:
    try:
        verdict = await _audit(declared, one, folder)
        if verdict.result is Result.INCONCLUSIVE and 0 < one.settle <= SETTLED_WITHIN_SECONDS:
            # The canary and the load of this check are younger than that, and judged once they have settled.
            await asyncio.sleep(one.settle)
            verdict = await _audit(declared, one, folder)
    except MoneypathError as error:
        return ContractFinding.fails(WITNESSES, f"{one.id}: {error.what}")
    if verdict.result is Result.NOT_WHOLE:
        return ContractFinding.fails(
            WITNESSES, f"{one.id}: not whole, {verdict.found} found: {_first(verdict)}"
        )
    if verdict.result is Result.INCONCLUSIVE:
        what = f"{one.id}: nothing to compare in the last hour: {', '.join(verdict.empty)}."
        return ContractFinding.missing(WITNESSES, what)
    rows = ", ".join(f"{tally.witness} {tally.rows}" for tally in verdict.tallies)
    return ContractFinding.holds(WITNESSES, f"{one.id}: whole over the last hour (rows: {rows}).")


async def _audit(declared: WitnessFile, one: Reconciliation, folder: Path) -> AuditVerdict:
    until = time.time() - one.settle
    window = Window(until - JUDGED_SECONDS, until, one.settle)
    return await asyncio.to_thread(reconcile, declared, one, folder, window)


def _first(verdict: AuditVerdict) -> str:
    if verdict.discrepancies:
        found = verdict.discrepancies[0]
        return f"{found.kind}: {found.subject}: {found.detail}"
    fault = verdict.faults.kept[0]
    return f"{fault.kind}: {fault.witness} {fault.subject} {fault.detail}"


def _of_a_load(written: WitnessFile, one: Reconciliation) -> list[str]:
    """Return the witnesses of a reconciliation that read what a load writes."""
    read = [written.find(name) for name in (one.ledger, *one.books, one.answers) if name is not None]
    return [each.id for each in read if each.file and ANSWERS_FILE in _names(each.file)]


def _names(path: str) -> set[str]:
    return {*variables_in(path), *arguments_in(path)}


def _lacking(one: Reconciliation) -> list[str]:
    """Return what nobody can know for want of a witness."""
    found = []
    if one.ledger is None:
        found.append("without a ledger nobody knows whether it was booked.")
    if not one.books:
        found.append("without a provider's book nobody knows whether money moved.")
    if one.answers is None:
        found.append("without answers nobody knows whether it was asked for, and what callers were told.")
    return found
