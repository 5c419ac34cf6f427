"""Tell the files that `moneypath generate` wrote from those that somebody wrote by hand.

A file says so itself, in a header of its first lines. JSON has no comments: what is generated as JSON is
known by its hash, which `moneypath.sha256` keeps. That file lists everything that is generated, so that what
is generated no longer can be named. `sha256sum --check` reads it.
"""

import hashlib
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from moneypath.errors import MoneypathError

MANIFEST: Final = "moneypath.sha256"
HEADER: Final = "# Generated from moneypath.yaml by `moneypath generate`; edit that file, not this one.\n"
# Formats with comments; others are known by their hash alone.
WITH_HEADER: Final = frozenset({".yml", ".yaml", ".md", ".mmd", ".svg"})
FILE_BYTES_MAX: Final = 16 * 1024 * 1024
MANIFEST_LINES_MAX: Final = 10_000
FOLDER_ENTRIES_MAX: Final = 10_000

_HEADER: Final = re.compile(r"(?:# |%% |<!-- )?Generated from `?moneypath\.yaml`? by `moneypath generate`")
_HEADER_LINES: Final = 5
_LINE: Final = re.compile(r"([0-9a-f]{64})  (\S.{0,399})")


class ManifestUnreadable(MoneypathError):
    """The list of generated files holds something else."""

    code = "manifest_unreadable"


@dataclass(frozen=True, slots=True)
class Foreign:
    """A file that stands where a generated one would go and is not known to be ours."""

    name: str
    why: str


def has_header(text: str) -> bool:
    """Tell whether one of the first lines says that the text is generated."""
    return any(_HEADER.match(line) for line in text.splitlines()[:_HEADER_LINES])


def read_manifest(project: Path) -> dict[str, str]:
    """Return the hash of each listed file, nothing without a manifest; raises ManifestUnreadable."""
    file = project / MANIFEST
    if not file.exists():
        return {}
    text = read(file)
    lines = (text or "").splitlines()
    found: dict[str, str] = {}
    for number, line in enumerate(lines[:MANIFEST_LINES_MAX], start=1):
        if line.startswith("#") or not line:
            continue
        match = _LINE.fullmatch(line)
        if match is None:
            raise ManifestUnreadable(
                f"{MANIFEST}:{number}: is no SHA-256 with the name of a file.", hint=_MANIFEST_HINT
            )
        found[match[2]] = match[1]
    if text is None or not has_header(text) or len(lines) > MANIFEST_LINES_MAX:
        raise ManifestUnreadable(f"{MANIFEST} is not the list of generated files.", hint=_MANIFEST_HINT)
    return found


def manifest(files: Mapping[str, str], kept: Mapping[str, str]) -> str:
    """Return the manifest of generated `files`; `kept` are the hashes of earlier ones that are there."""
    hashes = {**kept, **{name: _hash(text) for name, text in files.items()}}
    return HEADER + "".join(f"{hashes[name]}  {name}\n" for name in sorted(hashes))


def foreign(project: Path, files: Mapping[str, str], known: Mapping[str, str]) -> Iterator[Foreign]:
    """Yield each of `files` in whose place something stands that is not ours to overwrite.

    `known` is what the manifest lists.
    """
    for name, content in files.items():
        file = project / name
        if not file.exists():
            continue
        text = read(file)
        if text is None:
            yield Foreign(name, "is not a text file that can be read")
        elif text != content and not has_header(text) and known.get(name) != _hash(text):
            if file.suffix in WITH_HEADER:
                yield Foreign(name, "lacks the header of a generated file")
            elif name in known:
                yield Foreign(name, f"was changed since it was generated: {MANIFEST} has another hash")
            else:
                yield Foreign(name, f"is not listed in {MANIFEST}")


def leftovers(project: Path, files: Mapping[str, str], known: Mapping[str, str]) -> tuple[str, ...]:
    """Return the generated files that exist and are generated no longer.

    Those are listed in the manifest and unchanged, or stand beside a generated file and have the header.
    """
    found = {name for name, listed in known.items() if name not in files and _is_ours(project / name, listed)}
    for folder in {(project / name).parent for name in files}:
        if folder.is_dir():
            found |= {str(file.relative_to(project)) for file in _with_header(folder)}
    return tuple(sorted(found - set(files)))


def read(file: Path) -> str | None:
    """Return the text of a regular file of at most 16 MiB, or None."""
    try:
        if not file.is_file() or file.stat().st_size > FILE_BYTES_MAX:
            return None
        return file.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError):
        return None


_MANIFEST_HINT: Final = f"Delete {MANIFEST} if it is damaged, and run `moneypath generate`, which writes it."


def _is_ours(file: Path, listed: str) -> bool:
    text = read(file)
    return text is not None and (has_header(text) or _hash(text) == listed)


def _with_header(folder: Path) -> Iterator[Path]:
    for file in sorted(folder.iterdir())[:FOLDER_ENTRIES_MAX]:
        if file.suffix in WITH_HEADER and (text := read(file)) is not None and has_header(text):
            yield file


def _hash(text: str) -> str:
    return hashlib.sha256(text.encode("utf-8")).hexdigest()
