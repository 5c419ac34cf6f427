"""Read docs/glossary.md: the words that are not used, the term to use instead, and where a word is allowed.

Every table whose head has the columns `term` and `not used instead` lists words in backticks:

- `lever` refuses the word and its plural: in prose as a whole word, in an identifier as one of its parts.
- `Name!` refuses only an identifier that is exactly `Name`.

The table under the heading "Allowed uses" has the columns `word`, `where` and `why`. `where` names paths in
backticks (`*` crosses folders), and phrases or identifiers in "quotation marks", in which the word may stand.
"""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

ALLOWED_HEADING = "Allowed uses"


class GlossaryError(Exception):
    """The glossary cannot be used as a list of words."""


@dataclass(frozen=True, slots=True)
class BannedWord:
    """A word that is not used, and the term that stands for it."""

    word: str
    term: str
    is_exact: bool


@dataclass(frozen=True, slots=True)
class Allowance:
    """Where a banned word may stand all the same: in these files, and in these phrases."""

    word: str
    paths: tuple[str, ...]
    phrases: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Glossary:
    """What the check needs of the glossary."""

    banned: tuple[BannedWord, ...]
    allowances: tuple[Allowance, ...]


def read_glossary(path: Path) -> Glossary:
    """Return the banned words and the allowances of a glossary; raise GlossaryError where they contradict."""
    rows = list(_rows(path.read_text(encoding="utf-8")))
    banned = tuple(word for _, row in rows if "not used instead" in row for word in _banned(row))
    if not banned:
        raise GlossaryError(f"{path}: No word stands in the column 'not used instead'.")
    allowances = tuple(_allowance(row) for heading, row in rows if heading == ALLOWED_HEADING)
    _refuse_contradictions(path, banned, allowances)
    return Glossary(banned, allowances)


def _rows(text: str) -> Iterator[tuple[str, Mapping[str, str]]]:
    """Yield each table row as a mapping from column to text, with the heading above it."""
    heading, head = "", None
    for line in text.splitlines():
        if line.startswith("#"):
            heading, head = line.lstrip("# ").strip(), None
        elif not line.startswith("|"):
            head = None
        elif head is None:
            head = [column.lower() for column in _columns(line)]
        elif not set(line) <= set("|-: "):
            yield heading, dict(zip(head, _columns(line), strict=False))


def _columns(line: str) -> list[str]:
    return [part.strip() for part in line.strip().strip("|").split("|")]


def _banned(row: Mapping[str, str]) -> Iterator[BannedWord]:
    for word in re.findall(r"`([^`]+)`", row["not used instead"]):
        yield BannedWord(word.removesuffix("!"), row["term"].replace("`", ""), word.endswith("!"))


def _allowance(row: Mapping[str, str]) -> Allowance:
    where = row["where"]
    return Allowance(
        row["word"].strip("`").removesuffix("!"),
        tuple(re.findall(r"`([^`]+)`", where)),
        tuple(re.findall(r'"([^"]+)"', where)),
    )


def _refuse_contradictions(
    path: Path, banned: tuple[BannedWord, ...], allowances: tuple[Allowance, ...]
) -> None:
    terms: dict[str, str] = {}
    for entry in banned:
        if terms.setdefault(entry.word, entry.term) != entry.term:
            raise GlossaryError(
                f"{path}: {entry.word!r} is banned for two terms, {terms[entry.word]!r} and {entry.term!r}."
            )
    for allowance in allowances:
        if allowance.word not in terms:
            raise GlossaryError(f"{path}: {allowance.word!r} is allowed, but not banned.")
        if not allowance.paths + allowance.phrases:
            raise GlossaryError(f"{path}: The allowance for {allowance.word!r} names no path and no phrase.")
