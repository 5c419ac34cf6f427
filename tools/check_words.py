"""Refuse each word that docs/glossary.md lists as not used: `python tools/check_words.py`.

Identifiers and YAML keys are split at underscores and capitals; prose is searched for whole words.
Prints file, line, the word and the term to use, and ends with 1 if it found any.
"""

import argparse
import re
import sys
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from fnmatch import fnmatchcase
from functools import cache
from itertools import chain
from pathlib import Path

import click

from glossary import Allowance, BannedWord, Glossary, GlossaryError, read_glossary
from prose_sources import Text, documents, python_files, sql_files, yaml_files

ROOT = Path(__file__).resolve().parent.parent
GLOSSARY = "docs/glossary.md"
_TOKEN = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
# A name of several parts; one leading underscore makes none.
_COMPOUND = re.compile(r"[A-Za-z0-9]_[A-Za-z]|[a-z][A-Z]")
_PARTS = re.compile(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+|[0-9]+")


@dataclass(frozen=True, order=True, slots=True)
class Use:
    """A banned word that was found, and the term to use."""

    path: str
    line: int
    word: str
    term: str

    def __str__(self) -> str:
        return f'{self.path}:{self.line}: "{self.word}": say "{self.term}"'


class WordCheck:
    """The banned words, made ready to be searched for."""

    def __init__(self, glossary: Glossary) -> None:
        self._exact = {entry.word: entry for entry in glossary.banned if entry.is_exact}
        loose = [entry for entry in glossary.banned if not entry.is_exact]
        self._parts = tuple((split_identifier(entry.word), entry) for entry in loose)
        phrases = [entry for entry in loose if " " in entry.word]
        self._phrases = [(_phrase_pattern(entry.word), entry) for entry in phrases]
        words = [entry for entry in loose if " " not in entry.word]
        self._forms = {form: entry for entry in words for form in _forms(entry.word.lower())}
        self._allowances = glossary.allowances
        self._needed: set[Allowance] = set()

    def check(self, texts: Iterable[Text]) -> list[Use]:
        """Return every use of a banned word that no allowance covers, in order."""
        found = {use for text in texts for use in self._uses(text)}
        return sorted(found)

    def unneeded(self) -> list[Allowance]:
        """Return the allowances that covered nothing in the texts that were checked."""
        return [allowance for allowance in self._allowances if allowance not in self._needed]

    def _uses(self, text: Text) -> Iterator[Use]:
        if text.kind in ("identifier", "key"):
            found: Iterable[tuple[int, BannedWord]] = ((0, entry) for entry in self._in_name(text.text))
        else:
            found = self._in_prose(text.text)
        for offset, entry in found:
            if not self._is_allowed(text, offset, entry):
                yield Use(text.path, text.line_of(offset), entry.word, entry.term)

    def _in_name(self, name: str) -> list[BannedWord]:
        return _banned_in(name, self._parts, tuple(self._exact.values()))

    def _in_prose(self, text: str) -> Iterator[tuple[int, BannedWord]]:
        """Yield whole words, phrases, parts of names such as `lever_for`, and names in backticks."""
        for pattern, entry in self._phrases:
            for match in pattern.finditer(text):
                yield match.start(), entry
        for match in _TOKEN.finditer(text):
            token, start = match[0], match.start()
            if banned := self._forms.get(token.lower()):
                yield start, banned
            elif _COMPOUND.search(token):
                yield from ((start, entry) for entry in self._in_name(token))
            elif token in self._exact and text[start - 1 : start] == "`":
                yield start, self._exact[token]

    def _is_allowed(self, text: Text, offset: int, entry: BannedWord) -> bool:
        for allowance in self._allowances:
            if allowance.word != entry.word:
                continue
            if any(fnmatchcase(text.path, path) for path in allowance.paths) or any(
                match.start() <= offset < match.end()
                for phrase in allowance.phrases
                for match in _phrase(phrase).finditer(text.text)
            ):
                self._needed.add(allowance)
                return True
        return False


@cache
def split_identifier(name: str) -> tuple[str, ...]:
    """Return the parts of a snake_case, kebab-case or CamelCase name, in lower case."""
    return tuple(part.lower() for part in _PARTS.findall(name))


@cache
def _banned_in(
    name: str, words: tuple[tuple[tuple[str, ...], BannedWord], ...], exact: tuple[BannedWord, ...]
) -> list[BannedWord]:
    parts = split_identifier(name)
    found = [entry for entry in exact if entry.word == name]
    for wanted, entry in words:
        if any(_is_word(parts[at : at + len(wanted)], wanted) for at in range(len(parts) - len(wanted) + 1)):
            found.append(entry)
    return found


def _is_word(parts: tuple[str, ...], wanted: tuple[str, ...]) -> bool:
    return parts == wanted or (parts[:-1] == wanted[:-1] and parts[-1] in _plurals(wanted[-1]))


@cache
def _plurals(word: str) -> tuple[str, ...]:
    return (f"{word[:-1]}ies",) if re.search(r"[^aeiou]y$", word) else (f"{word}s", f"{word}es")


def _forms(word: str) -> tuple[str, ...]:
    return (word, *_plurals(word))


def _phrase_pattern(phrase: str) -> re.Pattern[str]:
    """Return the pattern of a phrase in prose, plural included, with blanks or hyphens between its words."""
    *before, last = phrase.split()
    forms = "|".join(map(re.escape, _forms(last)))
    words = r"[\s-]+".join([*map(re.escape, before), f"(?:{forms})"])
    return re.compile(rf"\b{words}\b", re.IGNORECASE)


@cache
def _phrase(phrase: str) -> re.Pattern[str]:
    return re.compile(r"\s+".join(re.escape(part) for part in phrase.split()), re.IGNORECASE)


def command_texts(command: click.Command, path: str) -> Iterator[Text]:
    """Yield the names and the help of a command, its options and its subcommands."""
    yield Text(path, 1, command.help or "", "message")
    for parameter in command.params:
        for name in (*parameter.opts, *parameter.secondary_opts):
            yield Text(path, 1, name.lstrip("-"), "key")
        yield Text(path, 1, getattr(parameter, "help", None) or "", "message")
    if isinstance(command, click.Group):
        context = click.Context(command)
        for name in command.list_commands(context):
            child = command.get_command(context, name)
            if child is not None:
                yield Text(f"{path} {name}", 1, name, "key")
                yield from command_texts(child, f"{path} {name}")


def project_texts(root: Path) -> Iterator[Text]:
    """Yield everything of the project that is checked; the glossary itself names the banned words."""
    everything = chain(documents(root), yaml_files(root), python_files(root), sql_files(root))
    return (text for text in everything if text.path != GLOSSARY)


def main() -> int:
    """Check the project, or the folder that is given."""
    parser = argparse.ArgumentParser(description="Refuse each word that the glossary lists as not used.")
    parser.add_argument("--root", type=Path, default=ROOT, help="folder to check (default the project)")
    root = parser.parse_args().root
    try:
        check = WordCheck(read_glossary(root / GLOSSARY))
    except (GlossaryError, OSError) as error:
        sys.stderr.write(f"{error}\n")
        return 2
    texts = project_texts(root)
    if root == ROOT:
        from moneypath.cli.main import moneypath

        texts = chain(texts, command_texts(moneypath, "moneypath"))
    uses = check.check(texts)
    for use in uses:
        sys.stdout.write(f"{use}\n")
    for allowance in check.unneeded():
        sys.stdout.write(f'{GLOSSARY}: Nothing needs the allowance for "{allowance.word}" any more.\n')
    if uses:
        sys.stdout.write(f"{len(uses)} words that the glossary does not use.\n")
    return 1 if uses or check.unneeded() else 0


if __name__ == "__main__":
    sys.exit(main())
