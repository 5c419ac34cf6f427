"""Background work for the ledger: create months ahead, seal entries, and verify the chain."""

from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import Final
from uuid import UUID

import structlog

from refpay.clock import Clock
from refpay.db.pool import Connection, Database
from refpay.ledger.chain import GENESIS, ChainDefect, DefectKind, Seal, check_link, check_run
from refpay.ledger.cold_storage import FIRST, read_archives, stream_live, stream_seals

CHECK: Final = "ledger_chain"
SEALED_MAXIMUM: Final = 2_000
_SEALS_A_ROUND: Final = 20
_WATCHED_ENTRIES: Final = 2_000
_DEFECTS_MAXIMUM: Final = 1_000
_MONTHS_AHEAD: Final = 3
_PARTITIONS_EVERY: Final = timedelta(hours=1)
_LOGGED_EVERY: Final = timedelta(minutes=1)
_HEAD: Final = "SELECT seq || ':' || encode(digest, 'hex') FROM ledger.seal ORDER BY seq DESC LIMIT 1"

_DIGEST: Final = "SELECT digest FROM ledger.seal WHERE seq = $1"
_SEQ_MAXIMUM: Final = 2**62

_LOG: Final = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class ChainRound:
    """What is known of the chain after a round; `complete` once all of it was verified at least once."""

    at: datetime
    findings: int
    complete: bool


class Sealer:
    """Seals committed entries and creates the coming months. Two may run at the same time.

    The head of the chain is logged at most once a minute, when it has grown: outside the database, so that
    `verify --expect` finds out if somebody has made the whole chain anew.
    """

    def __init__(self, database: Database, *, clock: Clock) -> None:
        self._database, self._clock = database, clock
        self._prepared: datetime | None = None
        self._logged_at: datetime | None = None
        self._grown = False

    async def run_once(self) -> int:
        """Seal everything that can be sealed, within bounds; return the number of entries sealed."""
        now, sealed = self._clock.now(), 0
        if self._prepared is None or abs(now - self._prepared) >= _PARTITIONS_EVERY:
            async with self._database.transaction() as connection:
                stray = await connection.fetchval("SELECT ledger.make_partitions($1, $2)", now, _MONTHS_AHEAD)
            if stray:
                _LOG.error("ledger_month_missing", entries=stray, table="ledger.entry_default")
            self._prepared = now
        for _ in range(_SEALS_A_ROUND):
            async with self._database.transaction() as connection:
                count = await connection.fetchval("SELECT ledger.seal_entries($1, $2)", now, SEALED_MAXIMUM)
            sealed += count
            if count < SEALED_MAXIMUM:
                break
        self._grown |= sealed > 0
        if self._grown and (self._logged_at is None or abs(now - self._logged_at) >= _LOGGED_EVERY):
            async with self._database.transaction() as connection:
                _LOG.info("ledger_sealed", head=await connection.fetchval(_HEAD))
            self._logged_at, self._grown = now, False
        return sealed


class ChainWatch:
    """Verifies the chain from its root to its end, an id range a round, again and again.

    A defect counts until the same seal is verified again. `verify` does all of it at once, and checks
    balances and cold storage as well. The file `kept` names the last seal that was ever verified, and the
    position of a watch that has found no defect, where the next process goes on. It lies outside the
    database: a chain that was cut or made anew, or an old backup, lacks that seal until the file is removed.
    """

    def __init__(self, database: Database, *, clock: Clock, kept: Path) -> None:
        self._database, self._clock, self._kept = database, clock, kept
        self._head, self._last = _read_kept(kept)
        self._complete = self._last is not None
        self._found: dict[int, list[ChainDefect]] = {}

    async def run_once(self) -> ChainRound:
        """Verify the next id range. Raises DatabaseUnavailable."""
        now = self._clock.now()
        async with self._database.transaction() as connection:
            # One snapshot: a month that leaves for cold storage meanwhile would look missing.
            await connection.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ")
            more = await self._look(connection)
        self._complete |= not more
        try:
            self._keep()
        except OSError as problem:
            # The chain was verified all the same. The next process starts at an older position.
            _LOG.warning("ledger_chain_place_not_kept", problem=type(problem).__name__)
        if not more:
            self._last = None
        return ChainRound(now, sum(map(len, self._found.values())), self._complete)

    async def _look(self, connection: Connection) -> bool:
        """Return whether there may be more after this id range."""
        if head := self._head:
            stands = await connection.fetchval(_DIGEST, head.seq) == head.digest
            expected = ChainDefect(DefectKind.SEAL_UNEXPECTED, f"{head.seq}:{head.digest.hex()}", head.seq)
            self._note(0, [] if stands else [expected])
        elsewhere = tuple((one.first_id, one.end_id) for one in await read_archives(connection))
        seen = 0
        async for seal in stream_seals(connection, first=self._last.seq + 1 if self._last else 1):
            last = self._last
            findings = check_link(
                seal, seq=last.seq + 1 if last else 1, previous=last.digest if last else GENESIS
            )
            entries = stream_live(connection, after=last.place if last else FIRST, through=seal.place)
            run = [entry.leaf() async for entry in entries]
            findings += check_run(seal, run, elsewhere)
            self._note(seal.seq, findings)
            self._last = seal
            if not findings and 0 not in self._found and (not self._head or self._head.seq < seal.seq):
                self._head = seal
            seen += max(seal.entries, len(run), 1)
            if seen >= _WATCHED_ENTRIES:
                return True
        return False

    def _keep(self) -> None:
        if self._head is None:
            return
        place = self._last if self._complete and not self._found else None
        kept = (one for one in (self._head, place) if one)
        lines = [f"{one.seq} {one.through_in} {one.through_id} {one.digest.hex()}\n" for one in kept]
        part = self._kept.with_suffix(".part")
        part.write_text("".join(lines))
        part.replace(self._kept)

    def _note(self, seq: int, findings: list[ChainDefect]) -> None:
        before = self._found.pop(seq, [])
        for one in findings:
            if one not in before:
                _LOG.error("ledger_chain_broken", kind=one.kind.value, subject=one.subject, seal=one.seq)
        if findings:
            self._found[seq] = findings[:_DEFECTS_MAXIMUM]


def _read_kept(file: Path) -> tuple[Seal | None, Seal | None]:
    """Return the seal that must be there and the seal to go on after; None for what is not known."""
    try:
        head, *places = [_read_seal(*line.split()) for line in file.read_text().splitlines()]
    except FileNotFoundError:
        return None, None
    except (OSError, ValueError, TypeError) as problem:
        _LOG.warning("ledger_chain_place_not_read", problem=type(problem).__name__)
        return None, None
    return head, next(iter(places), None)


def _read_seal(seq: str, through_in: str, through_id: str, digest: str) -> Seal:
    seal = Seal(int(seq), 0, int(through_in), UUID(through_id), b"", b"", bytes.fromhex(digest))
    # With larger numbers the query would fail, now and after each restart.
    if not (0 < seal.seq < _SEQ_MAXIMUM and 0 <= seal.through_in < _SEQ_MAXIMUM and len(seal.digest) == 32):
        raise ValueError(f"not a position in the chain: {seq}")
    return seal
