"""Who may sign evidence, and since and until when: the file of trusted signers."""

import json
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Annotated, Final, Literal, Self

from pydantic import AwareDatetime, BaseModel, ConfigDict, Field, field_validator, model_validator

from moneypath.incidents.signing import PUBLIC_KEY_BYTES, decode, encode, new_key_file
from moneypath.path.source import DeclarationIssue, DeclarationIssues, load_yaml, parse_yaml

CLOCK_SKEW: Final = timedelta(minutes=5)
"""By how much the clocks of a signer and of a time-stamping authority may differ."""


class _Declared(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class TrustedSigner(_Declared):
    """One key, and when its holder may sign with it.

    A revoked key may have been stolen, and a thief writes any date: what it signed counts only if a
    time-stamp confirms that it was signed before. To replace a key that nobody stole, let it run out.
    """

    id: Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9._-]{0,63}$")]
    owner: Annotated[str, Field(min_length=1, max_length=200)]
    public_key: str
    valid_from: AwareDatetime
    valid_until: AwareDatetime
    revoked_at: AwareDatetime | None = None
    revocation_reason: Annotated[str, Field(min_length=1, max_length=200)] | None = None

    @field_validator("public_key")
    @classmethod
    def _is_key(cls, text: str) -> str:
        if len(decode(text)) != PUBLIC_KEY_BYTES:
            raise ValueError(f"is no Ed25519 public key; allowed: {PUBLIC_KEY_BYTES} bytes in base64")
        return text

    @model_validator(mode="after")
    def _fits_together(self) -> Self:
        issues = []
        if self.valid_from >= self.valid_until:
            issues.append(DeclarationIssue(("valid_until",), "is not after valid_from"))
        if (self.revoked_at is None) != (self.revocation_reason is None):
            issues.append(
                DeclarationIssue((), "has one of revoked_at and revocation_reason without the other")
            )
        if issues:
            raise DeclarationIssues(issues)
        return self

    def objection(self, claimed: datetime, confirmed: datetime | None) -> str:
        """Return why a signature does not count, or nothing.

        `claimed` is when the signer says that it signed, `confirmed` when a time-stamping authority saw the
        signature.
        """
        if confirmed is not None and claimed > confirmed + CLOCK_SKEW:
            return f"claims to be signed at {utc(claimed)}, after its time-stamp of {utc(confirmed)}"
        if claimed < self.valid_from:
            return f"was signed at {utc(claimed)}, and {self.id} is valid from {utc(self.valid_from)}"
        if claimed >= self.valid_until:
            return f"was signed at {utc(claimed)}, and {self.id} expired at {utc(self.valid_until)}"
        if self.revoked_at is None:
            return ""
        revoked = f"{self.id} was revoked at {utc(self.revoked_at)} ({self.revocation_reason})"
        if confirmed is not None:
            early = confirmed < self.revoked_at
            return "" if early else f"was time-stamped at {utc(confirmed)}, and {revoked}"
        if claimed >= self.revoked_at:
            return f"was signed at {utc(claimed)}, and {revoked}"
        return f"claims to be signed at {utc(claimed)}, but {revoked}, and no time-stamp confirms that"


class TrustedSigners(_Declared):
    """The file of trusted signers."""

    format: Literal[1]
    signers: Annotated[tuple[TrustedSigner, ...], Field(min_length=1, max_length=1000)]

    @model_validator(mode="after")
    def _are_different(self) -> Self:
        issues = []
        for name in ("id", "public_key"):
            seen: set[str] = set()
            for index, signer in enumerate(self.signers):
                value = getattr(signer, name)
                if value in seen:
                    issues.append(DeclarationIssue(("signers", index, name), "is used twice"))
                seen.add(value)
        if issues:
            raise DeclarationIssues(issues)
        return self

    def holder_of(self, public_key: str) -> TrustedSigner | None:
        """Return the signer with this key, or None."""
        return next((signer for signer in self.signers if signer.public_key == public_key), None)


def load_trusted_signers(file: Path) -> TrustedSigners:
    """Read a file of trusted signers; raises DeclarationInvalid with every problem's line and key."""
    return load_yaml(file, TrustedSigners)


def new_signer(key_file: Path, name: str, owner: str, days: int) -> str:
    """Make a key in a new file; return its entry for the file of trusted signers, as YAML.

    Raises SigningFailed when the file exists, and DeclarationInvalid for an id or owner that no entry may
    have.
    """
    now = datetime.now(UTC).replace(microsecond=0)
    until = now + timedelta(days=days)

    def entry(public_key: str) -> str:
        lines = (
            f"id: {name}", f"owner: {json.dumps(owner, ensure_ascii=False)}", f"public_key: {public_key}",
            f"valid_from: {utc(now)}", f"valid_until: {utc(until)}",
        )  # fmt: skip
        return "".join(f"  {'-' if number == 0 else ' '} {line}\n" for number, line in enumerate(lines))

    document = "format: 1\nsigners:\n{}"
    parse_yaml(document.format(entry(encode(bytes(PUBLIC_KEY_BYTES)))), TrustedSigners, file="the new key")
    return document.format(entry(new_key_file(key_file)))


def utc(moment: datetime) -> str:
    """Return a time as people compare it: UTC, to the second."""
    return f"{moment.astimezone(UTC):%Y-%m-%dT%H:%M:%SZ}"
