"""Keep the results of long proofs after each run, so that a proof that was stopped goes on where it was.

Results of another commit do not count: what they prove is another program.
"""

import json
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

_GIT_SECONDS = 10.0

Row = dict[str, Any]


@dataclass
class KeptRuns:
    """The runs of one proof at one commit, in a file that is written after each of them."""

    file: Path
    commit: str
    rows: list[Row] = field(default_factory=list)

    @classmethod
    def open(cls, file: Path, root: Path, *, go_on: bool) -> "KeptRuns":
        """Begin anew, or with `go_on` after the runs of the file; end the program if they do not fit."""
        commit = describe(root)
        if not go_on or not file.exists():
            return cls(file, commit)
        try:
            found = json.loads(file.read_text(encoding="utf-8"))
            kept, rows = str(found["commit"]), list(found["runs"])
        except (OSError, ValueError, KeyError, TypeError) as problem:
            sys.exit(f"{file}: no runs of this proof ({problem}); leave out --continue to begin anew")
        if kept != commit or commit.endswith("+"):
            sys.exit(f"{file}: its runs are of {kept}, this is {commit}; leave out --continue to begin anew")
        return cls(file, commit, rows)

    def add(self, row: Mapping[str, Any]) -> None:
        """Keep one more run."""
        self.rows.append(dict(row))
        self.file.parent.mkdir(parents=True, exist_ok=True)
        part = self.file.with_suffix(".part")
        part.write_text(json.dumps({"commit": self.commit, "runs": self.rows}, indent=2) + "\n", "utf-8")
        part.replace(self.file)

    def count(self, key: str, value: str) -> int:
        """Return how many runs have this value."""
        return sum(row.get(key) == value for row in self.rows)


def describe(root: Path) -> str:
    """Return the commit of a checkout, with + if something tracked is changed; "unknown" outside of one."""
    try:
        head = _git(root, "rev-parse", "HEAD")
        return head + ("+" if _git(root, "status", "--porcelain", "--untracked-files=no") else "")
    except (OSError, subprocess.SubprocessError):
        return "unknown+"


def _git(root: Path, *arguments: str) -> str:
    command = ["git", "-C", str(root), *arguments]
    done = subprocess.run(command, capture_output=True, text=True, timeout=_GIT_SECONDS, check=True)
    return done.stdout.strip()
