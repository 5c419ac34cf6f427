"""Accept the chain in the database as the true one, after a restore or a loss of the seals outside."""

from datetime import datetime
from pathlib import Path
from typing import Any, Final

from refpay.errors import RefpayError
from refpay.seals.chain import GENESIS, check_link
from refpay.seals.seal_log import SealLog
from refpay.seals.sealing import places_of, seal_log_of
from refpay.seals.stored import Chain, read_digest, stream_seals

_KEPT_SEALS: Final = 100


class ChainNotAccepted(RefpayError, code="chain_not_accepted"):
    """The chain cannot be accepted."""


async def accept_chain(
    connection: Any, chain: Chain, folder: Path, *, head: str, now: datetime
) -> list[Path]:
    """Write the log of seals anew from the database; return where what was known until now is.

    Whoever accepts names the head, so that it is the chain that was looked at. The connection has to be in a
    repeatable-read transaction. Raises ChainNotAccepted or OSError; then everything is as it was.
    """
    seq, digest = head.split(":")
    if await read_digest(connection, chain.seals, int(seq)) != bytes.fromhex(digest):
        raise ChainNotAccepted(f"This head is not in the database: {head}.")
    log = seal_log_of(chain, folder)
    written = SealLog(log.file.with_suffix(".accepted"))
    written.file.unlink(missing_ok=True)
    written.begin()
    previous, seals = (0, GENESIS), []
    async for seal in stream_seals(connection, chain.seals):
        if check_link(seal, seq=previous[0] + 1, previous=previous[1]):
            raise ChainNotAccepted(f"The chain in the database is broken at seal {previous[0] + 1}.")
        previous = seal.seq, seal.digest
        seals.append(seal)
        if len(seals) == _KEPT_SEALS:
            written.extend(seals)
            seals = []
    written.extend(seals)
    moved = [_move_aside(file, now) for file in (log.file, places_of(chain, folder)) if file.exists()]
    written.file.replace(log.file)
    return moved


def _move_aside(file: Path, now: datetime) -> Path:
    """Keep a file under a name that says until when it was believed: it is evidence."""
    return file.rename(file.with_name(f"{file.name}.until-{now:%Y%m%dT%H%M%SZ}"))
