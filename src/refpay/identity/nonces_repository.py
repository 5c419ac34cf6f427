"""The nonces of signed requests, for as long as a request could be sent again."""

from datetime import datetime
from typing import Final

from refpay.db.pool import Connection

FORGOTTEN_AT_ONCE: Final = 10_000
_INSERT: Final = """
    INSERT INTO identity.nonce (signer, nonce, expires_at) VALUES ($1, $2, $3)
    ON CONFLICT (signer, nonce) DO NOTHING RETURNING true
"""
_DELETE: Final = """
    WITH expired AS (SELECT signer, nonce FROM identity.nonce WHERE expires_at < $1 LIMIT $2),
         gone AS (DELETE FROM identity.nonce USING expired
                  WHERE nonce.signer = expired.signer AND nonce.nonce = expired.nonce RETURNING 1)
    SELECT count(*) FROM gone
"""


async def insert(connection: Connection, signer: str, nonce: str, expires_at: datetime) -> bool:
    """Write a nonce down; return whether it is new."""
    return bool(await connection.fetchval(_INSERT, signer, nonce, expires_at))


async def delete_expired(connection: Connection, now: datetime) -> int:
    """Delete what has expired, at most FORGOTTEN_AT_ONCE; return how many."""
    return int(await connection.fetchval(_DELETE, now, FORGOTTEN_AT_ONCE))
