"""The files of an evidence bundle: names, hashes, and reading one that anybody may have edited."""

import hashlib
import json
import stat
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final, TypeVar

from pydantic import BaseModel, ConfigDict, ValidationError

from moneypath.errors import MoneypathError

EVENTS: Final = "events.jsonl"
SCORECARD: Final = "scorecard.json"
MANIFEST: Final = "manifest.json"
SIGNATURE: Final = "signature.json"
TIMESTAMP: Final = "timestamp.tsr"
SOURCES: Final = "sources"
"""The folder with copies of what the drill ran on."""
SEALS: Final = frozenset({MANIFEST, SIGNATURE, TIMESTAMP})
"""The files that a manifest cannot list: itself, and what is made of it."""

MAX_FILES: Final = 1000
MAX_JSON_BYTES: Final = 4 * 1024 * 1024
HINT: Final = "Name the folder of a finished drill, as it was written."

M = TypeVar("M", bound=BaseModel)


class EvidenceInvalid(MoneypathError):
    """A file of evidence that is missing, unreadable or not what it should be."""

    code = "evidence_invalid"


class EvidenceModel(BaseModel):
    """The base of what is read from a bundle: exact keys, exact types."""

    model_config = ConfigDict(strict=True, frozen=True, extra="forbid")


def sha256(content: bytes) -> str:
    """Return the hash of `content`, in hexadecimal."""
    return hashlib.sha256(content).hexdigest()


def hash_files(folder: Path) -> Mapping[str, str]:
    """Return the SHA-256 of every file in `folder` but the seals, by its path with slashes.

    Raises EvidenceInvalid for links and special files, whose content is not in the bundle.
    """
    hashes: dict[str, str] = {}
    for file in sorted(folder.rglob("*")):
        name = file.relative_to(folder).as_posix()
        mode = file.lstat().st_mode
        if stat.S_ISDIR(mode) or name in SEALS:
            continue
        if not stat.S_ISREG(mode):
            raise EvidenceInvalid(f"{name} is no regular file", hint="Replace links by what they point to.")
        if len(hashes) == MAX_FILES:
            raise EvidenceInvalid(f"the bundle holds more than {MAX_FILES} files", hint=HINT)
        try:
            with file.open("rb") as stream:
                hashes[name] = hashlib.file_digest(stream, "sha256").hexdigest()
        except OSError as error:
            raise EvidenceInvalid(f"{name} cannot be read ({error.strerror})", hint=HINT) from None
    return hashes


def read_bytes(file: Path) -> bytes:
    """Return the content of a small file of the bundle; raises EvidenceInvalid."""
    try:
        with file.open("rb") as stream:
            content = stream.read(MAX_JSON_BYTES + 1)
    except OSError as error:
        raise EvidenceInvalid(f"bundle is incomplete: {file.name} ({error.strerror})", hint=HINT) from None
    if len(content) > MAX_JSON_BYTES:
        raise EvidenceInvalid(f"{file.name} is longer than {MAX_JSON_BYTES} bytes", hint=HINT)
    return content


def parse_object(content: bytes, name: str) -> dict[str, Any]:
    """Return the JSON object in `content`; raises EvidenceInvalid that names the file `name`."""
    try:
        value = json.loads(content)
    except (ValueError, RecursionError) as error:
        raise EvidenceInvalid(f"{name} is not JSON ({type(error).__name__})", hint=HINT) from None
    if not isinstance(value, dict):
        raise EvidenceInvalid(f"{name} is no JSON object", hint=HINT)
    return value


def parse_model(content: bytes, model: type[M], name: str) -> M:
    """Return the JSON in `content` as a `model`; raises EvidenceInvalid that names file and key."""
    try:
        return model.model_validate_json(content)
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False, include_context=False)[0]
        key = ".".join(str(part) for part in first["loc"]) or "content"
        raise EvidenceInvalid(f"{name}: {key}: {first['msg']}", hint=HINT) from None
