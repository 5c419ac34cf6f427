"""Build the collector once per manifest and Go version into the cache."""

import contextlib
import fcntl
import hashlib
import os
import re
import shutil
import subprocess
import tempfile
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from moneypath.stack import folders
from moneypath.stack.binaries import read_version_text
from moneypath.stack.errors import BinaryMissing, CollectorUnbuilt

BUILDER = "go.opentelemetry.io/collector/cmd/builder"
VARIABLE = "MONEYPATH_COLLECTOR_BINARY"
PROGRAM = "moneypath-collector"
# The Go version that the release's modules require.
GO_VERSION = "1.25"

# As in "otelcol-contrib version 0.155.0".
_VERSION_LINE = re.compile(r"^\S*(?:otelcol|collector)\S* version v?\d+\.", re.MULTILINE)
_BUILD_WITHIN_SECONDS = 3600.0
_OUTPUT_KEPT = 2000

Progress = Callable[[str], None]


@dataclass(frozen=True, slots=True)
class Manifest:
    """The builder's manifest, and the release that it names."""

    text: str
    version: str

    @classmethod
    def read(cls, file: Path) -> "Manifest":
        """Read a manifest; raises CollectorUnbuilt when it names no release."""
        try:
            text = file.read_text(encoding="utf-8")
            version = str(yaml.safe_load(text)["dist"]["version"])
        except (OSError, yaml.YAMLError, KeyError, TypeError) as error:
            raise CollectorUnbuilt(
                f"builder manifest unreadable: {file}", hint="Write YAML with a dist.version."
            ) from error
        if not re.fullmatch(r"\d+\.\d+\.\d+", version):
            raise CollectorUnbuilt(
                f"builder manifest: dist.version is {version!r}", hint="Name a release, such as 0.155.0."
            )
        return cls(text, version)


def find_built(manifest: Manifest, environ: Mapping[str, str] | None = None) -> Path:
    """Return the collector that MONEYPATH_COLLECTOR_BINARY names, or the one that was built from this
    manifest.

    Raises BinaryMissing if Go or the build is missing, or if the named program is not a collector.
    """
    environment = os.environ if environ is None else environ
    if given := environment.get(VARIABLE, ""):
        if not os.access(given, os.X_OK):
            raise BinaryMissing(f"program unfit: {VARIABLE}={given}: cannot be run")
        _require_collector(Path(given))
        return Path(given)
    go = _go(environment)
    program = _folder(manifest, go, environment) / PROGRAM
    if not program.is_file():
        raise BinaryMissing("the collector is not built here", hint="Build it with `make collector`.")
    return program


def _require_collector(program: Path) -> None:
    answer = read_version_text(program)
    if isinstance(answer, OSError):
        raise BinaryMissing(f"program unfit: {VARIABLE}={program}: {answer.strerror or answer}")
    if not _VERSION_LINE.search(answer):
        raise BinaryMissing(
            f"program unfit: {VARIABLE}={program}: its --version does not name a collector and a version",
            hint="Point it to an OpenTelemetry Collector, or unset it to have the one of `make collector`.",
        )


def build(manifest: Manifest, *, progress: Progress, environ: Mapping[str, str] | None = None) -> Path:
    """Build the collector with the official builder of the same release, unless the cache has it.

    Takes some minutes of CPU and downloads from Go's module proxy. A second call at the same time waits for
    the first. Raises BinaryMissing without Go, and CollectorUnbuilt with the builder's last output if it
    fails.
    """
    environment = os.environ if environ is None else environ
    go = _go(environment)
    folder = _folder(manifest, go, environment)
    with _alone(folder.parent):
        program = folder / PROGRAM
        if program.is_file():
            progress(f"the collector is there already: {program}")
            return program
        with tempfile.TemporaryDirectory(dir=folder.parent, prefix="build-") as work:
            built = _build_in(Path(work), manifest, go, environment, progress)
            folder.mkdir(exist_ok=True)
            # A rename within one file system is atomic, so nobody finds half a program.
            built.rename(program)
    progress(f"built: {program}")
    return program


def _build_in(
    work: Path, manifest: Manifest, go: Path, environ: Mapping[str, str], progress: Progress
) -> Path:
    settings = {
        **environ,
        "GOBIN": str(work),
        "PATH": f"{go.parent}{os.pathsep}{environ.get('PATH', os.defpath)}",
    }
    progress(f"installing the official builder {manifest.version}")
    _run([str(go), "install", f"{BUILDER}@v{manifest.version}"], work, settings)
    document: dict[str, Any] = yaml.safe_load(manifest.text)
    document["dist"] |= {"output_path": str(work / "source"), "name": PROGRAM, "go": str(go)}
    (work / "builder.yaml").write_text(yaml.safe_dump(document), encoding="utf-8")
    progress("building the collector (some minutes, once)")
    builder = [str(work / "builder"), f"--config={work / 'builder.yaml'}", "--skip-get-modules"]
    _run([*builder, "--skip-compilation"], work, settings)
    # The builder would have `go mod tidy` fetch what the tests of every component need as well, and fail
    # where one of those modules is not to be had. The build resolves what it needs itself.
    (work / "source" / "go.mod").write_text(_module(document, manifest.version), encoding="utf-8")
    settings["GOFLAGS"] = f"{environ.get('GOFLAGS', '')} -mod=mod".strip()
    _run([*builder, "--skip-generate"], work, settings)
    return work / "source" / PROGRAM


def _module(document: Mapping[str, Any], version: str) -> str:
    """Return the go.mod from which the builder starts: every component, and the collector itself."""
    components = [each["gomod"] for kind in document.values() if isinstance(kind, list) for each in kind]
    required = [*components, f"go.opentelemetry.io/collector/otelcol v{version}"]
    lines = "".join(f"\t{each}\n" for each in required)
    return f"module {BUILDER}\n\ngo {GO_VERSION}\n\nrequire (\n{lines})\n"


def _run(command: list[str], folder: Path, environ: Mapping[str, str]) -> str:
    try:
        done = subprocess.run(  # noqa: S603  # a list; Go's own program, and the one it has just built
            command,
            cwd=folder,
            env=dict(environ),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            errors="replace",
            timeout=_BUILD_WITHIN_SECONDS,
            check=False,
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        raise CollectorUnbuilt(f"building the collector: {Path(command[0]).name}: {error}") from error
    if done.returncode:
        raise CollectorUnbuilt(
            f"building the collector: {Path(command[0]).name} ended with {done.returncode}",
            hint=f"Check that Go's module proxy can be reached. Last output:\n{done.stdout[-_OUTPUT_KEPT:]}",
        )
    return done.stdout


def _go(environ: Mapping[str, str]) -> Path:
    found = shutil.which("go", path=environ.get("PATH", os.defpath))
    if found is None:
        raise BinaryMissing(
            "Go is not installed: the collector cannot be built here",
            hint=f"Install Go, or set {VARIABLE} to a collector with what collector/builder.yaml names.",
        )
    return Path(found).absolute()


def _folder(manifest: Manifest, go: Path, environ: Mapping[str, str]) -> Path:
    """Return the cache folder of the collector for this manifest and this Go."""
    version = _run([str(go), "version"], Path("/"), environ).strip()
    fingerprint = hashlib.sha256(f"{manifest.text}\0{version}".encode()).hexdigest()[:16]
    folder = folders.cache_folder(environ) / "collector"
    folder.mkdir(exist_ok=True)
    return folder / fingerprint


@contextlib.contextmanager
def _alone(folder: Path) -> Iterator[None]:
    with (folder / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield
