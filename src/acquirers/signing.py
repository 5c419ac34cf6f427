"""Sign the webhooks of this acquirer, so that the merchant can verify the sender."""

import hashlib
import hmac
import json
import re
import secrets
from collections.abc import Callable
from pathlib import Path
from typing import Final

from acquirers.errors import SecretMissing
from acquirers.settings import read_secret

_KEY_ID: Final = re.compile(r"[A-Za-z0-9_-]{1,64}")
_SECRET: Final = re.compile(r"[0-9a-f]{64}")
_NONCE_BYTES: Final = 24


class Signer:
    """Signs with the last key of its file, and reads the file again whenever it changes.

    If the file becomes invalid, the last valid key stays in use.
    """

    def __init__(self, folder: Path, name: str, *, now: Callable[[], float]) -> None:
        """Read the keys; raises SecretMissing."""
        self._folder = folder
        self._name = f"webhook_{name}.json"
        self._now = now
        self._seen = self._stamp()
        self._key_id, self._secret = self._read()

    def headers(self, method: str, path: str, body: bytes) -> dict[str, str]:
        """Return the headers of one request; each request has a new nonce."""
        self._refresh()
        timestamp, nonce = str(int(self._now())), secrets.token_urlsafe(_NONCE_BYTES)
        digest = hashlib.sha256(body).hexdigest()
        text = "\n".join(("v1", method, path, timestamp, nonce, digest))
        return {
            "X-Signature-Key": self._key_id,
            "X-Signature-Timestamp": timestamp,
            "X-Signature-Nonce": nonce,
            "X-Signature": f"v1={hmac.new(self._secret, text.encode(), hashlib.sha256).hexdigest()}",
        }

    def _refresh(self) -> None:
        stamp = self._stamp()
        if stamp == self._seen:
            return
        self._seen = stamp
        try:
            self._key_id, self._secret = self._read()
        except SecretMissing:
            return

    def _stamp(self) -> tuple[int, int, int] | None:
        try:
            found = (self._folder / self._name).stat()
        except OSError:
            return None
        return found.st_ino, found.st_size, found.st_mtime_ns

    def _read(self) -> tuple[str, bytes]:
        file = self._folder / self._name
        try:
            content = json.loads(read_secret(self._folder, self._name))
        except ValueError:
            raise SecretMissing(f"secret file {file} must be JSON: write it anew") from None
        keys = content.get("keys") if isinstance(content, dict) else None
        if not isinstance(keys, dict) or not keys:
            raise SecretMissing(f"secret file {file}: keys must map at least one key id to its secret")
        for key_id, secret in keys.items():
            if _KEY_ID.fullmatch(key_id) is None:
                raise SecretMissing(f"secret file {file}: a key id must be 1 to 64 of A-Z, a-z, 0-9, _ and -")
            if not isinstance(secret, str) or _SECRET.fullmatch(secret) is None:
                raise SecretMissing(f"secret file {file}: key {key_id}: must be 64 of 0-9 and a-f")
        newest = next(reversed(keys))
        return newest, bytes.fromhex(keys[newest])
