"""Problems of a declaration: file, line, key, what is wrong and what is allowed."""

import difflib
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from moneypath.errors import MoneypathError
from moneypath.telemetry.redaction import redact

Location = tuple[str | int, ...]

MAX_PROBLEMS_SHOWN = 50


@dataclass(frozen=True, slots=True)
class Problem:
    """One mistake in a declaration; `line` counts from 1 in the file."""

    line: int
    key: str
    what: str
    allowed: str = ""

    def text(self, file: str) -> str:
        """Return `file:line: key: what; allowed: ...` with secrets and card numbers masked.

        A problem quotes the file, and somebody may have pasted a card number or a secret into it.
        """
        subject = f"{self.key}: " if self.key else ""
        ending = f"; allowed: {self.allowed}" if self.allowed else ""
        return f"{file}:{self.line}: {redact(f'{subject}{self.what}{ending}')}"


class DeclarationInvalid(MoneypathError):
    """A declaration that cannot be used. Carries every problem found, in the order of the file."""

    code = "declaration_invalid"

    def __init__(self, file: Path | str, problems: Iterable[Problem]) -> None:
        self.file = str(file)
        self.problems = tuple(sorted(problems, key=lambda problem: problem.line))
        shown = [problem.text(self.file) for problem in self.problems[:MAX_PROBLEMS_SHOWN]]
        left = len(self.problems) - len(shown)
        if left:
            shown.append(f"{self.file}: and {left} more")
        super().__init__("\n".join(shown), hint=f"Correct {self.file} and run the command again.")


@dataclass(frozen=True, slots=True)
class DeclarationIssue:
    """One contradiction between keys that are well formed, at `location` below the raising model."""

    location: Location
    what: str
    allowed: str = ""


class DeclarationIssues(ValueError):
    """Raised by a pydantic validator so that each contradiction is reported at its own line."""

    def __init__(self, issues: Sequence[DeclarationIssue]) -> None:
        super().__init__("; ".join(issue.what for issue in issues))
        self.issues = tuple(issues)


def repeated(location: Location, values: Iterable[str], key: str | None = None) -> Iterator[DeclarationIssue]:
    """Yield each value that occurs before in its list, at its `key` when the items are mappings."""
    seen: set[str] = set()
    for index, value in enumerate(values):
        if value in seen:
            at = (*location, index, key) if key else (*location, index)
            yield DeclarationIssue(at, f'"{value}" stands twice', "each once")
        seen.add(value)


def suggest(word: str, candidates: Iterable[str]) -> str:
    """Return `, did you mean "x"?` for the closest candidate, or nothing when none is close."""
    close = difflib.get_close_matches(word, list(candidates), n=1, cutoff=0.6)
    return f', did you mean "{close[0]}"?' if close else ""


def key_text(location: Location) -> str:
    """Return a location as people write it: `slos[0].objective`."""
    text = ""
    for part in location:
        if isinstance(part, int):
            text += f"[{part}]"
        else:
            text += f".{part}" if text else part
    return text
