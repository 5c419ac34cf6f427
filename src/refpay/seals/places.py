"""Keep the head of a chain and the position of its watch in a small file outside the database."""

from pathlib import Path
from typing import Final
from uuid import UUID

import structlog

from refpay.seals.chain import Seal

_LOG: Final = structlog.get_logger()


def write_places(file: Path, head: Seal, place: Seal | None) -> None:
    """Replace the file. Raises OSError."""
    kept = (one for one in (head, place) if one)
    lines = [f"{one.seq} {one.through_in} {one.through_id} {one.digest.hex()}\n" for one in kept]
    part = file.with_suffix(".part")
    part.write_text("".join(lines))
    part.replace(file)


def read_places(file: Path, chain: str) -> tuple[Seal | None, Seal | None]:
    """Return the seal that must be there and the seal to go on after; None for what is not known."""
    try:
        head, *places = [_read_seal(*line.split()) for line in file.read_text().splitlines()]
    except FileNotFoundError:
        return None, None
    except (OSError, ValueError, TypeError) as problem:
        _LOG.warning("chain_place_not_read", chain=chain, problem=type(problem).__name__)
        return None, None
    return head, next(iter(places), None)


def _read_seal(seq: str, through_in: str, through_id: str, digest: str) -> Seal:
    seal = Seal(int(seq), 0, int(through_in), UUID(through_id), b"", b"", bytes.fromhex(digest))
    if not seal.is_possible:
        raise ValueError(f"not a position in the chain: {seq}")
    return seal
