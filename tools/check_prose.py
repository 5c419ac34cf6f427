"""Check the style of prose with proselint: `python tools/check_prose.py`.

Reads the Markdown files, without their code, and the docstrings and comments of the Python files. Prints
file, line, rule and advice, and ends with 1 if there is any. Decision 0053 says why it is proselint.
"""

import argparse
import re
import sys
from collections.abc import Iterable, Iterator
from itertools import chain, groupby
from operator import attrgetter
from pathlib import Path

from proselint.checks import __register__ as all_rules
from proselint.config import DEFAULT, Config
from proselint.registry import CheckRegistry
from proselint.tools import LintFile

from prose_sources import Text, documents, python_files

ROOT = Path(__file__).resolve().parent.parent
# A keyboard has straight quotes and three dots; the other rules refuse good words ("oversized", "very").
LEFT_OUT = ("misc.composition", "needless_variants", "oxymorons", "typography", "weasel_words")
# Made of help texts and declarations.
GENERATED = ("docs/api.md", "docs/metrics.md")
MAX_ERRORS = 1_000
_CODE = re.compile(
    r"^```.*?^```|`[^`]+`"
    r"|<!--.*?-->|\]\([^)]*\)"  # comments, and where links lead
    r'|"[^"\n]*"'  # quotations
    r"|\b[A-Z]+_[A-Z_]+\b",  # variables of the environment
    re.MULTILINE | re.DOTALL,
)


def without_code(text: str) -> str:
    """Return the text with code, links, comments and quotations blanked; every line stays where it is."""
    return _CODE.sub(lambda match: re.sub(r"[^\n]", "·", match[0]), text)


def prose_of_file(texts: Iterable[Text]) -> str:
    """Return docstrings and comments of one file, each on its own line, as one text."""
    lines: list[str] = []
    for text in sorted(texts, key=attrgetter("line")):
        for offset, line in enumerate(text.text.splitlines()):
            number = text.line + offset
            lines.extend("" for _ in range(number - len(lines)))
            lines[number - 1] = line.strip()
    return "\n".join(lines)


def project_prose(root: Path) -> Iterator[tuple[str, str]]:
    """Yield the prose of each file with its path."""
    for document in documents(root):
        if document.path.endswith(".md") and document.path not in GENERATED:
            yield document.path, document.text
    prose = (text for text in python_files(root) if text.kind == "prose")
    for path, texts in groupby(prose, key=attrgetter("path")):
        yield path, prose_of_file(texts)


def advice(path: str, text: str) -> Iterator[str]:
    """Yield one line for each finding of proselint in a text."""
    # The first key that fits a rule decides.
    others = {rule: is_on for rule, is_on in DEFAULT["checks"].items() if rule not in LEFT_OUT}
    rules = {**dict.fromkeys(LEFT_OUT, False), **others}
    config = Config(max_errors=MAX_ERRORS, checks=rules)
    for found in LintFile(path, without_code(text)).lint(config):
        result = found.check_result
        yield f"{path}:{found.pos[0]}: {result.check_path}: {result.message}"


def load_rules() -> None:
    """Make proselint's rules known to its registry, once a process."""
    if not CheckRegistry().checks:
        CheckRegistry().register_many(all_rules)


def main() -> int:
    """Check the project, or the folder that is given."""
    parser = argparse.ArgumentParser(description="Check the style of prose with proselint.")
    parser.add_argument("--root", type=Path, default=ROOT, help="folder to check (default the project)")
    load_rules()
    found = chain.from_iterable(advice(*file) for file in project_prose(parser.parse_args().root))
    lines = sorted(found)
    sys.stdout.writelines(f"{line}\n" for line in lines)
    return 1 if lines else 0


if __name__ == "__main__":
    sys.exit(main())
