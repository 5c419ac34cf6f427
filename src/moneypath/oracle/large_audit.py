"""Audit spilled rows part by part in two processes, and compare the names that no two parts may share."""

import os
import pickle
import subprocess
import sys
from collections.abc import Iterator, Sequence
from itertools import islice
from pathlib import Path
from typing import Any, Final

from moneypath.oracle.errors import AuditInterrupted
from moneypath.oracle.evidence import Evidence, collect
from moneypath.oracle.partial_audit import BUCKETS, Inputs, Names, PartialAudit, audit_part, names_in
from moneypath.oracle.records import Acknowledgement, Charge, PostingLine, Request
from moneypath.oracle.spool import PARTS, Rows, Spool, read_part

PROCESSES: Final = 2
INPUTS: Final = "inputs"
SHARED: Final = "shared"
# Entries of a report have no merchant reference; the hash of an empty text is 0 in every process.
REPORTS_PART: Final = 0
# Of references that share names. More of them are no accident.
_SHARING_MAX: Final = 100_000


def audit_in_parts(spool: Spool, inputs: Inputs) -> PartialAudit:
    """Audit what was spilled; raises AuditInterrupted."""
    folder = spool.close_files()
    _store(folder / INPUTS, inputs)
    _run(folder, *map(str, range(PROCESSES)))
    whole = PartialAudit()
    names = []
    for part in range(PARTS):
        found: PartialAudit = load(folder / result_name(str(part)))
        whole.add(found)
        names.append(found.names)
    shared = set(_find_shared(names))
    if shared:
        _store(folder / SHARED, shared)
        _run(folder, SHARED)
        known = set(whole.discrepancies)
        together: PartialAudit = load(folder / result_name(SHARED))
        whole.discrepancies += tuple(one for one in together.discrepancies if one not in known)
    return whole.finish(inputs.checks)


def audit_parts(folder: Path, number: int) -> None:
    """Audit every part of one process, and leave each result beside its rows."""
    inputs: Inputs = load(folder / INPUTS)
    for part in range(number, PARTS, PROCESSES):
        rows = read_part(folder, part, recorded=inputs.recorded)
        reports = inputs.reports if part == REPORTS_PART else ()
        found = audit_part(rows, inputs, reports, with_names=True)
        _store(folder / result_name(str(part)), found)


def audit_sharing(folder: Path) -> None:
    """Audit the references that share names with others together, whatever parts they are in."""
    inputs: Inputs = load(folder / INPUTS)
    shared: set[int] = load(folder / SHARED)
    references: set[str] = set()
    for part in range(PARTS):
        rows = read_part(folder, part, recorded=inputs.recorded)
        names = names_in(_index(rows, inputs))
        references.update(reference for name, reference in names if hash(name) in shared)
    rows = _rows_of(folder, set(islice(sorted(references), _SHARING_MAX)), recorded=inputs.recorded)
    _store(folder / result_name(SHARED), audit_part(rows, inputs, inputs.reports if "" in references else ()))


def _index(rows: Rows, inputs: Inputs) -> Evidence:
    return collect(rows.postings, rows.book, rows.answers, requests=rows.requests, rules=inputs.rules)


def _rows_of(folder: Path, references: set[str], *, recorded: bool) -> Rows:
    postings: list[PostingLine] = []
    book: list[Charge] = []
    answers: list[Acknowledgement] = []
    requests: list[Request] = []
    for part in range(PARTS):
        rows = read_part(folder, part, recorded=recorded)
        postings += (one for one in rows.postings if one.merchant_reference in references)
        book += (one for one in rows.book if one.reference in references)
        answers += (one for one in rows.answers if one.merchant_reference in references)
        requests += (one for one in rows.requests or () if one.merchant_reference in references)
    # The parts come in an order of their own; what came first is named first.
    postings.sort(key=lambda one: one.posted_at)
    book.sort()  # by provider and number
    answers.sort(key=lambda one: one.at)
    requests.sort()  # by time
    return Rows(postings, book, answers, requests if recorded else None)


def _run(folder: Path, *tasks: str) -> None:
    """Run tasks side by side, each in a process of its own."""
    workers = [_start(folder, task) for task in tasks]
    try:
        for worker in workers:
            if worker.wait() != 0:
                raise AuditInterrupted(
                    f"A process of the audit ended with {worker.returncode}.",
                    hint="Read its error above, see whether there is enough memory, and audit again.",
                )
    finally:
        for worker in workers:
            worker.kill()
            worker.wait()


def _store(file: Path, value: object) -> None:
    file.write_bytes(pickle.dumps(value))


def load(file: Path) -> Any:
    """Read what a process of this audit has stored, in a folder that only its user can enter."""
    return pickle.loads(file.read_bytes())  # noqa: S301 - written by this audit


def result_name(task: str) -> str:
    """Return the name of the file that holds what a task found."""
    return f"found-{task}"


def _start(folder: Path, task: str) -> "subprocess.Popen[bytes]":
    # The same hash of a name in every process: the names are compared by it.
    environment = {**os.environ, "PYTHONHASHSEED": "0"}
    command = [sys.executable, "-m", "moneypath.oracle.part_worker", str(folder), task]
    # A fixed program; folder and task are its arguments, not its text.
    return subprocess.Popen(command, env=environment, stdin=subprocess.DEVNULL)  # noqa: S603 - our own module


def _find_shared(names: Sequence[Names]) -> Iterator[int]:
    """Yield the hashes that two parts have; a bucket at a time, so that few are in memory."""
    for bucket in range(BUCKETS):
        seen: set[int] = set()
        for buckets in names:
            yield from seen.intersection(buckets[bucket])
            seen.update(buckets[bucket])
