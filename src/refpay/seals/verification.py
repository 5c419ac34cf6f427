"""Recompute a whole chain, against the seals that were kept outside the database where there are any."""

from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final, TypeVar
from uuid import UUID

from refpay.seals.chain import GENESIS, ChainDefect, DefectKind, Entry, Seal, check_link, check_run, lies_in
from refpay.seals.seal_log import SealLog, SealLogDamaged
from refpay.seals.stored import stream_seals

# More defects would tell nothing more.
DEFECTS_MAXIMUM: Final = 100

E = TypeVar("E", bound=Entry)


@dataclass(slots=True)
class VerificationReport:
    """What was verified. No findings means that every entry is as it was sealed."""

    seals: int = 0
    entries: int = 0
    # Not sealed yet, so they cannot be verified.
    unsealed: int = 0
    # In cold storage, which was not read.
    unseen: int = 0
    # How many of the seals were compared with those that were kept outside the database.
    compared: int = 0
    head: str = f"0:{GENESIS.hex()}"
    findings: list[ChainDefect] = field(default_factory=list)

    def add(self, findings: list[ChainDefect]) -> None:
        """Add defects, up to a bound."""
        self.findings += findings[: DEFECTS_MAXIMUM - len(self.findings)]


async def walk_chain(
    report: VerificationReport,
    connection: Any,
    table: str,
    entries: AsyncIterator[E],
    on_sealed: Callable[[E], object] = lambda _: None,
    *,
    kept: Path | None,
    expected: str | None,
    elsewhere: Sequence[tuple[UUID, UUID]] = (),
) -> None:
    """Add what is found in a chain whose entries are given in order; call `on_sealed` with those in a seal.

    The connection has to be in a repeatable-read transaction. `kept` is the log of seals outside the
    database: an entry is compared with the seal there, so it is named also if the chain was computed anew.
    `expected` is a head that was told before. Missing entries are no defect within the id ranges `elsewhere`.
    """
    waiting = await anext(entries, None)
    previous, heads, agreed = GENESIS, {report.head}, True
    log = _Kept(kept)
    async for stored, known in _side_by_side(stream_seals(connection, table), log.read()):
        if stored is not None:
            report.add(check_link(stored, seq=report.seals + 1, previous=previous))
            report.seals, previous, report.head = stored.seq, stored.digest, stored.head
            heads.add(report.head)
        if known is not None:
            report.compared += 1
            # Once: all later ones differ too.
            if agreed and (stored is None or stored.digest != known.digest):
                agreed = False
                report.add([ChainDefect(DefectKind.SEAL_UNEXPECTED, known.head, known.seq)])
        # Where the database disagrees, its own later seals say nothing of the entries.
        seal = known or (stored if agreed else None)
        if seal is None:
            continue
        run = []
        while waiting is not None and waiting.place <= seal.place:
            run.append(waiting.leaf())
            on_sealed(waiting)
            waiting = await anext(entries, None)
        report.add(check_run(seal, run, elsewhere))
        report.entries += len(run)
        report.unseen += sum(lies_in(leaf, elsewhere) for leaf in seal.leaf_list()) if elsewhere else 0
    if log.lost and report.seals:
        report.add([ChainDefect(DefectKind.HEAD_UNKNOWN, str(kept))])
    report.add(log.defects)
    if expected is not None and expected not in heads:
        report.add([ChainDefect(DefectKind.SEAL_UNEXPECTED, expected)])
    while waiting is not None:
        report.unsealed += 1
        waiting = await anext(entries, None)


class _Kept:
    """Reads the log as far as it is as it was written."""

    def __init__(self, file: Path | None) -> None:
        self._file = file
        self.lost = False
        self.defects: list[ChainDefect] = []

    def read(self) -> Iterator[Seal]:
        if self._file is None:
            return
        try:
            yield from SealLog(self._file).read()
        except FileNotFoundError:
            self.lost = True
        except (OSError, SealLogDamaged):
            self.defects = [ChainDefect(DefectKind.FILE_DIFFERS, str(self._file))]


async def _side_by_side(
    stored: AsyncIterator[Seal], kept: Iterator[Seal]
) -> AsyncIterator[tuple[Seal | None, Seal | None]]:
    """Yield the seals of both sides, those of one number together."""
    one, other = await anext(stored, None), next(kept, None)
    while one is not None or other is not None:
        seq = min(seal.seq for seal in (one, other) if seal is not None)
        both = (one if one and one.seq == seq else None), (other if other and other.seq == seq else None)
        yield both
        if both[0] is not None:
            one = await anext(stored, None)
        if both[1] is not None:
            other = next(kept, None)
