"""Background work for every chain: seal entries, keep the seals outside the database, verify the chain."""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import Final

import structlog

from refpay.clock import Clock
from refpay.db.pool import Connection, Database
from refpay.seals.chain import FIRST, GENESIS, ChainDefect, DefectKind, Seal, check_link, check_run
from refpay.seals.places import read_places, write_places
from refpay.seals.seal_log import SealLog, SealLogDamaged
from refpay.seals.stored import SEALED_MAXIMUM, Chain, read_digest, read_head, stream_seals

_SEALS_A_ROUND: Final = 20
_WATCHED_ENTRIES: Final = 2_000
_KEPT_ENTRIES: Final = 20_000
_DEFECTS_MAXIMUM: Final = 1_000
_LOGGED_EVERY: Final = timedelta(minutes=1)
# The place among the findings of what concerns the head; no seal has this number.
_OF_HEAD: Final = 0

_LOG: Final = structlog.get_logger()


def seal_log_of(chain: Chain, folder: Path) -> SealLog:
    """Return the log of a chain's seals in the folder that lies outside the database."""
    return SealLog(folder / f"{chain.name}.seals")


def places_of(chain: Chain, folder: Path) -> Path:
    """Return the file with the head of a chain and the position of its watch."""
    return folder / f"{chain.name}-chain.seal"


@dataclass(frozen=True, slots=True)
class ChainRound:
    """What is known of the chain after a round.

    `complete` once all of it was verified at least once, and while its seals can be kept.
    """

    at: datetime
    findings: int
    complete: bool


class Sealer:
    """Seals committed entries. Two may run at the same time.

    The head of the chain is logged at most once a minute, when it has grown, so that `verify --expect` finds
    out if somebody has made the chain and the files beside it anew.
    """

    def __init__(self, database: Database, chain: Chain, *, clock: Clock, folder: Path) -> None:
        self._database, self._chain, self._clock = database, chain, clock
        self._log = seal_log_of(chain, folder)
        self._logged_at: datetime | None = None
        self._grown = False

    async def run_once(self) -> int:
        """Seal everything that can be sealed, within bounds; return the number of entries sealed."""
        now, sealed = self._clock.now(), 0
        await self._begin_log()
        for _ in range(_SEALS_A_ROUND):
            async with self._database.transaction() as connection:
                count = await connection.fetchval(self._chain.seal, now, SEALED_MAXIMUM)
            sealed += count
            if count < SEALED_MAXIMUM:
                break
        self._grown |= sealed > 0
        if self._grown and (self._logged_at is None or abs(now - self._logged_at) >= _LOGGED_EVERY):
            async with self._database.transaction() as connection:
                head = await read_head(connection, self._chain.seals)
            _LOG.info("chain_sealed", chain=self._chain.name, head=head)
            self._logged_at, self._grown = now, False
        return sealed

    async def _begin_log(self) -> None:
        """Make the log before the first seal. Later it cannot be told from one that was lost."""
        if self._log.file.exists():
            return
        async with self._database.transaction() as connection:
            begun = await read_head(connection, self._chain.seals) is not None
        if not begun:
            try:
                self._log.begin()
            except FileExistsError:
                return


class ChainWatch:
    """Keeps the seals of a chain outside the database, and verifies the chain against them.

    Each round asks the database for the newest seal that was kept, so a chain that was cut or made anew, or
    an old backup, is found at once. Beside that the chain is verified from its root to its end, an id range a
    round, again and again; a defect counts until the same seal is verified again. `verify` does all of it at
    once. What is kept is a log of all seals, and a file with the head and the position of a watch that has
    found no defect, where the next process goes on. Either makes up for the loss of the other; if both are
    lost, nothing proves the chain but itself, which counts as a defect until somebody accepts it.
    """

    def __init__(self, database: Database, chain: Chain, *, clock: Clock, folder: Path) -> None:
        self._database, self._chain, self._clock = database, chain, clock
        self._log, self._places = seal_log_of(chain, folder), places_of(chain, folder)
        self._head, self._last = read_places(self._places, chain.name)
        self._complete = self._last is not None
        self._found: dict[int, list[ChainDefect]] = {}

    async def run_once(self) -> ChainRound:
        """Keep what was sealed, and verify the next id range. Raises DatabaseUnavailable."""
        now = self._clock.now()
        async with self._database.transaction() as connection:
            # One snapshot: a month that leaves for cold storage meanwhile would look missing.
            await connection.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ")
            fresh = await self._check_head(connection)
            more = await self._look(connection)
        kept = await self._keep(fresh)
        self._complete |= not more
        self._keep_places()
        if not more:
            self._last = None
        return ChainRound(now, sum(map(len, self._found.values())), self._complete and kept)

    async def _check_head(self, connection: Connection) -> list[Seal]:
        """Ask for each head that is known; return the seals that are to be kept."""
        try:
            last = await asyncio.to_thread(self._log.read_last)
        except FileNotFoundError:
            begun = await read_head(connection, self._chain.seals) is not None
            if begun and self._head is None:
                self._note(_OF_HEAD, [ChainDefect(DefectKind.HEAD_UNKNOWN, str(self._log.file))])
                return []
            if begun:
                _LOG.warning("chain_log_lost", chain=self._chain.name, file=str(self._log.file))
            last = None
        except (OSError, SealLogDamaged):
            self._note(_OF_HEAD, [ChainDefect(DefectKind.FILE_DIFFERS, str(self._log.file))])
            return []
        heads = {one.head: one for one in (self._head, last) if one is not None}.values()
        unexpected = [
            ChainDefect(DefectKind.SEAL_UNEXPECTED, one.head, one.seq)
            for one in heads
            if await read_digest(connection, self._chain.seals, one.seq) != one.digest
        ]
        self._note(_OF_HEAD, unexpected)
        if unexpected:
            return []
        self._advance(last)
        return await self._read_fresh(connection, last)

    async def _read_fresh(self, connection: Connection, last: Seal | None) -> list[Seal]:
        seq, digest = (last.seq, last.digest) if last else (0, GENESIS)
        fresh: list[Seal] = []
        entries = 0
        async for seal in stream_seals(connection, self._chain.seals, first=seq + 1):
            if findings := check_link(seal, seq=seq + 1, previous=digest):
                self._note(seq + 1, findings)
                break
            fresh.append(seal)
            seq, digest, entries = seal.seq, seal.digest, entries + seal.entries
            if entries >= _KEPT_ENTRIES:
                break
        return fresh

    async def _keep(self, fresh: Sequence[Seal]) -> bool:
        """Return whether the seals are on disk, outside the database."""
        if not fresh:
            return True
        try:
            await asyncio.to_thread(self._log.extend, fresh)
        except (OSError, SealLogDamaged) as problem:
            _LOG.error("chain_seals_not_kept", chain=self._chain.name, problem=type(problem).__name__)
            return False
        self._advance(fresh[-1])
        return True

    def _advance(self, kept: Seal | None) -> None:
        if kept is not None and (self._head is None or self._head.seq < kept.seq):
            self._head = kept

    async def _look(self, connection: Connection) -> bool:
        """Return whether there may be more after this id range."""
        moved = await self._chain.read_moved(connection)
        seen = 0
        first = self._last.seq + 1 if self._last else 1
        async for seal in stream_seals(connection, self._chain.seals, first=first):
            last = self._last
            findings = check_link(
                seal, seq=last.seq + 1 if last else 1, previous=last.digest if last else GENESIS
            )
            after = last.place if last else FIRST
            entries = self._chain.stream_entries(connection, after=after, through=seal.place)
            run = [entry.leaf() async for entry in entries]
            findings += check_run(seal, run, moved)
            self._note(seal.seq, findings)
            self._last = seal
            seen += max(seal.entries, len(run), 1)
            if seen >= _WATCHED_ENTRIES:
                return True
        return False

    def _keep_places(self) -> None:
        if self._head is None:
            return
        place = self._last if self._complete and not self._found else None
        try:
            write_places(self._places, self._head, place)
        except OSError as problem:
            # The chain was verified all the same. The next process starts at an older position.
            _LOG.warning("chain_place_not_kept", chain=self._chain.name, problem=type(problem).__name__)

    def _note(self, seq: int, findings: list[ChainDefect]) -> None:
        before = self._found.pop(seq, [])
        for one in findings:
            if one not in before:
                _LOG.error(
                    "chain_broken",
                    chain=self._chain.name,
                    kind=one.kind.value,
                    subject=one.subject,
                    seal=one.seq,
                )
        if findings:
            self._found[seq] = findings[:_DEFECTS_MAXIMUM]
