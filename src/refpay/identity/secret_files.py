"""Parse secret files, and reload them when they change, so that secrets are rotated without a restart."""

from collections.abc import Callable
from pathlib import Path
from typing import Final, Generic, Self, TypeVar

import structlog
from pydantic import BaseModel, ConfigDict, ValidationError

from refpay.clock import Clock
from refpay.errors import StartRefused
from refpay.settings import read_bounded

_LOG: Final = structlog.get_logger()
_EVERY_SECONDS: Final = 1.0
_MOST_BYTES: Final = 64 * 1024

# The keys that an error may quote. Any other text of a damaged file may be a secret.
_QUOTED: Final = frozenset(
    ("clients", "name", "secret_sha256", "scopes", "signing", "keys", "private", "public")
)

T = TypeVar("T")


class SecretFile(BaseModel):
    """The content of a secret file, or a part of it."""

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True)

    @classmethod
    def read(cls, file: Path) -> Self:
        """Read a file.

        Raises StartRefused, which names the file, the key and what is allowed, but never quotes a value.
        """
        try:
            return cls.model_validate_json(read_bounded(file, "secret file", _MOST_BYTES))
        except ValidationError as problem:
            found = problem.errors(include_url=False, include_context=False, include_input=False)[0]
            place = [str(part) for part in found["loc"] if isinstance(part, int) or part in _QUOTED]
            allowed = ", ".join(cls.model_fields)
            said = f"{file}: {'.'.join(place) or f'needed: {allowed}'}: {found['msg']}"
            # The cause would quote the file.
            raise StartRefused(said) from None


class WatchedFile(Generic[T]):
    """The parsed content of a file, reloaded within a second of a change.

    A file that cannot be parsed during a rotation is logged once and counted in `failures`; the old content
    stays in force. Replace such files by renaming: a file that is half written cannot be parsed.
    """

    def __init__(self, file: Path, read: Callable[[Path], T], clock: Clock) -> None:
        """Read the file for the first time; raises StartRefused, which names it."""
        self._file, self._read, self._clock = file, read, clock
        # Taken before reading: a change in between is read again.
        self._stamp = self._look()
        self._value = read(file)
        self._due = clock.monotonic() + _EVERY_SECONDS
        self.failures = 0

    def get(self, *, fresh: bool = False) -> T:
        """Return the content. `fresh` checks the file even if it was checked less than a second ago."""
        now = self._clock.monotonic()
        if fresh or now >= self._due:
            self._due = now + _EVERY_SECONDS
            before, self._stamp = self._stamp, self._look()
            if before != self._stamp:
                try:
                    self._value = self._read(self._file)
                except StartRefused as problem:
                    self.failures += 1
                    _LOG.error("secret_file_kept", problem=problem.detail, failures=self.failures)
                else:
                    _LOG.info("secret_file_changed", file=self._file.name)
        return self._value

    def _look(self) -> tuple[int, ...] | None:
        try:
            status = self._file.stat()
        except OSError:
            return None
        return status.st_mtime_ns, status.st_size, status.st_ino
