"""The manifest of an evidence bundle: every file with its hash, and what the drill ran on."""

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Annotated, Any, Final

from pydantic import Field

from moneypath.incidents.evidence_files import (
    MANIFEST,
    EvidenceInvalid,
    EvidenceModel,
    parse_model,
    parse_object,
)

FORMAT: Final = 1
FIRST_FORMAT: Final = 0
"""Bundles without a format: their manifest names the event log and the scorecard alone."""
FORMAT_KEY: Final = "evidence_format"
RUN_KEY: Final = "run"
"""The keys under which a log's first event says which format its bundle has, and which run it is of."""

Sha256 = Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]


class ManifestHead(EvidenceModel):
    """The last event of the log."""

    seq: Annotated[int, Field(ge=1)]
    hash: Sha256


class Software(EvidenceModel):
    """What ran the drill. `commit` is None outside a git work tree; `modified`: files differed from it."""

    moneypath: str
    python: str
    commit: str | None
    modified: bool | None


class Manifest(EvidenceModel):
    """What a bundle of format 1 holds.

    `run` names the drill's run, `rules` the version of the scoring rules. `files` maps each file's path to
    its SHA-256. `sources` says which of these files are copies of what: scenario, runbook, declaration.
    """

    format: Annotated[int, Field(ge=FORMAT, le=FORMAT)]
    run: Annotated[str, Field(min_length=1, max_length=200)]
    drill: Annotated[str, Field(min_length=1, max_length=200)]
    rules: Annotated[int, Field(ge=1)]
    head: ManifestHead
    files: Mapping[str, Sha256]
    sources: Mapping[str, tuple[str, ...]]
    software: Software

    def to_bytes(self) -> bytes:
        """Return the manifest as the bytes that are hashed and signed."""
        return json.dumps(self.model_dump(mode="json"), indent=2, sort_keys=True).encode() + b"\n"


def origin(folder: Path) -> Mapping[str, Any]:
    """Return what the first event says of its bundle, so that neither can be changed without the log."""
    return {FORMAT_KEY: FORMAT, RUN_KEY: folder.absolute().parent.name or "run"}


def read_format(content: bytes) -> int:
    """Return the format that a manifest claims; raises EvidenceInvalid for one that nobody here can read."""
    fields = parse_object(content, MANIFEST)
    if "format" not in fields:
        return FIRST_FORMAT
    claimed = fields["format"]
    if type(claimed) is not int or claimed != FORMAT:
        raise EvidenceInvalid(
            f"{MANIFEST}: format is {claimed!r:.40}; this version reads {FORMAT}, or no such key",
            hint="Verify a newer bundle with the version of moneypath that made it.",
        )
    return FORMAT


def parse_manifest(content: bytes) -> Manifest:
    """Return a manifest of format 1; raises EvidenceInvalid that names the key."""
    return parse_model(content, Manifest, MANIFEST)


def compare(listed: Mapping[str, str], found: Mapping[str, str]) -> Iterator[str]:
    """Yield a sentence for each file that was altered, renamed, removed or added, by name."""
    missing = {name for name in listed if name not in found}
    added = {name for name in found if name not in listed}
    for name in sorted(listed.keys() & found.keys()):
        if listed[name] != found[name]:
            yield f"{name} is not the file that the manifest names: it was altered"
    for name in sorted(missing):
        twins = sorted(other for other in added if found[other] == listed[name])
        if twins:
            added.discard(twins[0])
            yield f"{name} was renamed to {twins[0]}"
        else:
            yield f"{name} is missing"
    for name in sorted(added):
        yield f"{name} is not in the manifest: it was added"
