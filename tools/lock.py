"""Pin every package with the hashes of its files: `make lock`.

Writes requirements/*.txt, from which environments are installed, and constraints.txt, the same versions for
those who install moneypath beside packages of their own. A version that is pinned stays until it is told to
move, so that the command adds what is asked for anew and changes nothing else.

Both distributions are read: pyproject.toml, and reference/pyproject.toml for what the reference needs.
uv resolves for every supported Python and platform at once and lists the hashes of all files of a version. It
is installed from requirements/lock.txt, hashes checked, into a folder that is removed afterwards.
"""

import argparse
import os
import re
import subprocess
import sys
import tempfile
import tomllib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
FOLDER = ROOT / "requirements"
CONSTRAINTS = ROOT / "constraints.txt"
REFERENCE = ROOT / "reference" / "pyproject.toml"
UV = "uv==0.13.9"
PIPX = "pipx==1.18.4"
HEADER = "# Written by `make lock`: do not edit.\n"
_HASH = re.compile(r" \\\n    --hash=\S+")


@dataclass(frozen=True, slots=True)
class Target:
    """One file of requirements/: which extras of the project it holds, and what else."""

    name: str
    extras: tuple[str, ...] = ()
    others: tuple[str, ...] = ()


def targets() -> tuple[Target, ...]:
    """Return the files, the widest first, because the others take its versions."""
    pyproject = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    # hatchling asks for editables when it installs a folder in place, and asks at that time only.
    build = (*pyproject["build-system"]["requires"], "editables")
    reference = tuple(reference_needs(REFERENCE.read_text(encoding="utf-8")))
    return (
        Target("development", ("dev",), (*build, *reference)),
        Target("build", (), build),
        Target("image", ("load",), reference),
        Target("lock", (), (UV,)),
        # What runs the wheels as a user would; `make wheels` installs it into a folder of its own.
        Target("runners", (), (UV, PIPX)),
    )


def reference_needs(pyproject: str) -> Iterator[str]:
    """Yield what the reference distribution needs, but the platform, which is no package of an index here."""
    for need in tomllib.loads(pyproject)["project"]["dependencies"]:
        if not re.match(r"moneypath\b", need):
            yield need


def strip_hashes(text: str) -> str:
    """Return the versions alone: one hash among constraints makes pip ask for a hash of everything."""
    return _HASH.sub("", text)


def main() -> int:
    """Resolve each file, and write them when all went well."""
    parser = argparse.ArgumentParser(description="Pin every package with the hashes of its files.")
    parser.add_argument("--upgrade", action="store_true", help="take the newest version of everything")
    parser.add_argument("--upgrade-package", action="append", default=[], help="only of this (repeatable)")
    arguments = parser.parse_args()
    moves = ["--upgrade"] if arguments.upgrade else []
    moves += [part for name in arguments.upgrade_package for part in ("--upgrade-package", name)]
    with tempfile.TemporaryDirectory() as work:
        try:
            uv = _install_uv(Path(work))
            resolved = {each.name: _resolve(uv, each, moves, Path(work)) for each in targets()}
        except subprocess.CalledProcessError as error:
            sys.stderr.write(
                f"Nothing was written: {Path(error.cmd[0]).name} ended with {error.returncode}.\n"
            )
            return 1
    for name, text in resolved.items():
        (FOLDER / f"{name}.txt").write_text(HEADER + text, encoding="utf-8")
    CONSTRAINTS.write_text(HEADER + strip_hashes(resolved["development"]), encoding="utf-8")
    return 0


def _install_uv(work: Path) -> Path:
    install = ("-m", "pip", "install", "--quiet", "--require-hashes", "--only-binary", ":all:")
    to = ("--target", str(work / "uv"), "--requirement", str(FOLDER / "lock.txt"))
    subprocess.run([sys.executable, *install, *to], check=True)
    return work / "uv" / "bin" / "uv"


def _resolve(uv: Path, target: Target, moves: Sequence[str], work: Path) -> str:
    """Return the file's new text; what was pinned before is what uv prefers."""
    output = work / f"{target.name}.txt"
    before = FOLDER / output.name
    if before.exists():
        output.write_bytes(before.read_bytes())
    # Its versions hold for the files that are resolved after it.
    widest = work / "development.txt"
    sources = ["pyproject.toml"] if target.extras else []
    command = [
        *(str(uv), "pip", "compile", "--quiet", "--universal", "--python-version", "3.11"),
        *("--generate-hashes", "--no-emit-index-url", "--no-header", "--no-annotate"),
        *(part for extra in target.extras for part in ("--extra", extra)),
        *([] if widest == output else ["--constraint", str(widest)]),
        *(*moves, "--output-file", str(output), *sources, "-"),
    ]
    subprocess.run(
        command,
        cwd=ROOT,
        env=_environment(),
        input="\n".join(target.others),
        text=True,
        stdout=subprocess.DEVNULL,
        check=True,
    )
    return output.read_text(encoding="utf-8")


def _environment() -> dict[str, str]:
    """Tell uv what pip was told of the index and of certificates."""
    told = {"UV_DEFAULT_INDEX": "PIP_INDEX_URL", "SSL_CERT_FILE": "PIP_CERT"}
    names = {ours: os.environ[theirs] for ours, theirs in told.items() if os.environ.get(theirs)}
    return names | dict(os.environ)


if __name__ == "__main__":
    sys.exit(main())
