"""Sign and verify requests between services, over method, path, body, time and nonce.

Each is accepted once.
"""

import hashlib
import hmac
import re
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from enum import Enum, auto
from pathlib import Path
from typing import Annotated, Final

from pydantic import Field

from refpay.clock import Clock
from refpay.db.pool import Database
from refpay.identity.errors import SignatureRefused, SignatureReplayed
from refpay.identity.secret_files import SecretFile, WatchedFile

WINDOW_SECONDS: Final = 30
# A request has two transactions. If more wait, the last one would wait for longer than a caller may; nothing
# was begun yet, and its sender sends it again.
WAITING_MAX: Final = 16
KEY_HEADER: Final = "X-Signature-Key"
TIMESTAMP_HEADER: Final = "X-Signature-Timestamp"
NONCE_HEADER: Final = "X-Signature-Nonce"
SIGNATURE_HEADER: Final = "X-Signature"
# Nonces are kept longer than the window, because the clocks of our processes may differ or be set back.
NONCE_SLACK: Final = timedelta(seconds=60)
_KEY_ID: Final = re.compile(r"[A-Za-z0-9_-]{1,64}")
_TIMESTAMP: Final = re.compile(r"[0-9]{1,10}")
_NONCE: Final = re.compile(r"[A-Za-z0-9_-]{16,64}")
# An unknown key is compared with this, so that it takes as long as a known one.
_NO_SECRET: Final = bytes(32)

NONCES_PER_BATCH: Final = 10_000
INSERT_NONCE: Final = """
    INSERT INTO identity.nonce (signer, nonce, expires_at) VALUES ($1, $2, $3)
    ON CONFLICT (signer, nonce) DO NOTHING RETURNING true
"""
_FORGET: Final = """
    WITH expired AS (SELECT signer, nonce FROM identity.nonce WHERE expires_at < $1 LIMIT $2),
         gone AS (DELETE FROM identity.nonce USING expired
                  WHERE nonce.signer = expired.signer AND nonce.nonce = expired.nonce RETURNING 1)
    SELECT count(*) FROM gone
"""

Keys = Mapping[str, bytes]
_KeyId = Annotated[str, Field(pattern=f"^{_KEY_ID.pattern}$")]
_Secret = Annotated[str, Field(pattern="^[0-9a-f]{64}$")]


class _KeysFile(SecretFile):
    keys: Annotated[dict[_KeyId, _Secret], Field(max_length=10)]


def read_signing_keys(file: Path) -> Keys:
    """Read `{"keys": {id: 64 hexadecimal digits}}`; raises StartRefused, which never quotes a key."""
    return {key_id: bytes.fromhex(secret) for key_id, secret in _KeysFile.read(file).keys.items()}


def sign(secret: bytes, *, method: str, target: str, timestamp: str, nonce: str, body: bytes) -> str:
    """Return the value of X-Signature; `target` is the path with its query, as sent."""
    signed = "\n".join(("v1", method, target, timestamp, nonce, hashlib.sha256(body).hexdigest()))
    return f"v1={hmac.new(secret, signed.encode('utf-8', 'surrogatepass'), hashlib.sha256).hexdigest()}"


class NamedKey(Enum):
    """Which key a request names."""

    NONE = auto()
    UNKNOWN = auto()
    KNOWN = auto()


class SignatureVerifier:
    """Verify the signed requests of one sender.

    Each is accepted once, by all processes together and across restarts.
    """

    def __init__(self, sender: str, file: Path, database: Database, clock: Clock) -> None:
        """Read the sender's keys; raises StartRefused, which names the file."""
        self._sender, self._database, self._clock = sender, database, clock
        self._keys = WatchedFile(file, read_signing_keys, clock)

    async def verify(
        self, headers: Callable[[str], Sequence[str]], *, method: str, target: str, body: bytes
    ) -> None:
        """Return if the request is signed, recent and new.

        `headers` returns all values of a header. Raises SignatureRefused, SignatureReplayed, or
        DatabaseUnavailable: without the stored nonces no request is accepted, and none while many wait.
        """
        key_id = _one(headers, KEY_HEADER, _KEY_ID)
        timestamp = _one(headers, TIMESTAMP_HEADER, _TIMESTAMP)
        nonce = _one(headers, NONCE_HEADER, _NONCE)
        secret = self._keys.get().get(key_id) or self._keys.get(fresh=True).get(key_id)
        signed = {"method": method, "target": target, "timestamp": timestamp, "nonce": nonce}
        wanted = sign(secret or _NO_SECRET, **signed, body=body).encode()
        given = headers(SIGNATURE_HEADER)
        offered = given[0].encode("utf-8", "surrogatepass") if len(given) == 1 else b""
        if not hmac.compare_digest(wanted, offered) or secret is None:
            raise _refused()
        now, sent_at = self._clock.now(), datetime.fromtimestamp(int(timestamp), UTC)
        if abs(now - sent_at) > timedelta(seconds=WINDOW_SECONDS):
            raise _refused()
        self._database.require_short_queue(WAITING_MAX)
        # Stored only after the signature was verified, so that unauthenticated senders cannot fill the table.
        expires_at = sent_at + timedelta(seconds=WINDOW_SECONDS) + NONCE_SLACK
        async with self._database.transaction() as connection:
            new = await connection.fetchval(INSERT_NONCE, f"{self._sender}/{key_id}", nonce, expires_at)
        if not new:
            raise SignatureReplayed("The signed request was sent before: sign each request with a new nonce.")

    def named_key(self, headers: Callable[[str], Sequence[str]]) -> NamedKey:
        """Return whether a refused request names a key that the sender has. Anybody can name one."""
        try:
            key_id = _one(headers, KEY_HEADER, _KEY_ID)
        except SignatureRefused:
            return NamedKey.NONE
        return NamedKey.KNOWN if key_id in self._keys.get() else NamedKey.UNKNOWN


async def delete_expired_nonces(database: Database, clock: Clock) -> int:
    """Delete nonces of requests that are too old to be accepted, a bounded number; return how many."""
    async with database.transaction() as connection:
        return int(await connection.fetchval(_FORGET, clock.now(), NONCES_PER_BATCH))


def _one(headers: Callable[[str], Sequence[str]], name: str, pattern: re.Pattern[str]) -> str:
    given = headers(name)
    if len(given) != 1 or not pattern.fullmatch(given[0]):
        raise _refused()
    return given[0]


def _refused() -> SignatureRefused:
    return SignatureRefused("The request's signature is missing, wrong, or too old.")
