"""Report how many lines the sources have: `python tools/count_lines.py [REVISION]` compares with a revision.

A report and not a check: no figure is right or wrong.
"""

import re
import subprocess
import sys
from collections import Counter
from collections.abc import Callable, Iterable
from pathlib import Path, PurePosixPath

PROJECT = Path(__file__).parents[1]
GUIDE = PurePosixPath("docs/guides/reading-refpay.md")
COUNTED = (".py", ".sql")


def _git(*arguments: str) -> str:
    done = subprocess.run(["git", *arguments], cwd=PROJECT, check=True, capture_output=True, text=True)
    return done.stdout


def _package(file: PurePosixPath) -> str:
    return "/".join(file.parts[:-1][:3])


def count(files: Iterable[PurePosixPath], read: Callable[[PurePosixPath], str]) -> Counter[str]:
    """Return the lines of each package of `src`, of all together, and of refpay's reading path."""
    lines: Counter[str] = Counter()
    for file in files:
        if file.parts[0] == "src" and file.suffix in COUNTED:
            number = read(file).count("\n")
            lines[_package(file)] += number
            lines["src in all"] += number
    for place in re.findall(r"\]\((?:\.\./)+(src/\S+\.py)\)", read(GUIDE)):
        lines["the reading path of refpay"] += read(PurePosixPath(place)).count("\n")
    return lines


def main(revision: str | None) -> None:
    """Print one line for each package; with a revision, what it had there, and the difference."""
    listed = _git("ls-files", "--cached", "--others", "--exclude-standard").splitlines()
    existing = [file for file in map(PurePosixPath, listed) if (PROJECT / file).is_file()]
    now = count(existing, lambda file: (PROJECT / file).read_text(encoding="utf-8"))
    before: Counter[str] = Counter()
    if revision is not None:
        files = map(PurePosixPath, _git("ls-tree", "-r", "--name-only", revision).splitlines())
        before = count(files, lambda file: _git("show", f"{revision}:{file}"))
    for name in sorted(now.keys() | before.keys()):
        compared = f" {before[name]:8,} {now[name] - before[name]:+8,}" if revision is not None else ""
        print(f"{name:40}{compared} {now[name]:8,}")  # noqa: T201 - the report


if __name__ == "__main__":
    main(sys.argv[1] if len(sys.argv) > 1 else None)
