"""Fetch a Debian package with the machine's own package sources and unpack it without root or
installation.
"""

import contextlib
import fcntl
import os
import platform
import shutil
import subprocess
import tempfile
from collections.abc import Callable, Collection, Iterator, Mapping
from pathlib import Path
from typing import NoReturn

from tenacity import RetryCallState, Retrying, retry_if_exception_type, stop_after_delay, wait_fixed

from moneypath.stack.errors import FolderUnwritable, PackageUnavailable

Progress = Callable[[str], None]

_LOCK_WITHIN_SECONDS = 300.0
_LOCK_EVERY_SECONDS = 0.1
_STEP_WITHIN_SECONDS = 180.0
_DPKG_STATUS = Path("/var/lib/dpkg/status")
# Debian builds Alertmanager so that it reads its templates from this path and no other, and refuses to
# start without them. The same number of bytes, relative to the folder it runs in, makes it portable.
_FIXED_TEMPLATES = b"/usr/share/prometheus/alertmanager"
PORTABLE_TEMPLATES = "templates/alertmanager"
# Debian's Prometheus leaves the scripts of its web pages to other packages and links to them.
_WEB_PAGES = {
    "prometheus": (
        "fonts-glyphicons-halflings",
        "libjs-bootstrap4",
        "libjs-d3",
        "libjs-eonasdan-bootstrap-datetimepicker",
        "libjs-jquery",
        "libjs-jquery-hotkeys",
        "libjs-moment",
        "libjs-moment-timezone",
        "libjs-mustache",
        "libjs-popper.js",
        "libjs-rickshaw",
    )
}

# RabbitMQ runs on an Erlang that Debian keeps in many packages; without any one of these it does not start.
_NEEDED = {
    "rabbitmq-server": (
        "erlang-asn1",
        "erlang-base",
        "erlang-crypto",
        "erlang-eldap",
        "erlang-inets",
        "erlang-mnesia",
        "erlang-os-mon",
        "erlang-parsetools",
        "erlang-public-key",
        "erlang-runtime-tools",
        "erlang-ssl",
        "erlang-syntax-tools",
        "erlang-tools",
        "erlang-xmerl",
    )
}


def unpacked(package: str, cache: Path) -> list[Path]:
    """List the unpacked versions of a package in the cache, newest fetch first."""
    folders = [path for path in _package_folder(cache).glob(f"{package}_*") if path.is_dir()]
    return sorted(folders, key=lambda path: path.stat().st_mtime, reverse=True)


def fetch(
    package: str,
    cache: Path,
    environ: Mapping[str, str],
    progress: Progress | None = None,
    *,
    rejected: Collection[Path] = (),
) -> Path:
    """Return a folder with the unpacked package; fetch it unless another process has just done so.

    Folders in `rejected` do not fit and are not returned. Uses apt with private state and cache folders, so
    that it needs neither root nor apt's locks. Processes that fetch at the same time wait for each other.
    Raises PackageUnavailable or FolderUnwritable.
    """
    report = progress or (lambda _: None)
    for tool in ("apt-get", "dpkg-deb"):
        if shutil.which(tool, path=environ.get("PATH", os.defpath)) is None:
            raise PackageUnavailable(f"package not fetched: {package}; this machine has no {tool}")
    try:
        package_folder = _package_folder(cache)
        package_folder.mkdir(parents=True, exist_ok=True)
        with (
            _locked(package_folder / "fetch.lock", report),
            tempfile.TemporaryDirectory(dir=package_folder, prefix=".new-") as new,
        ):
            for present in unpacked(package, cache):
                if present not in rejected:
                    return present
            return _fetch_into(package, package_folder, Path(new), environ, report)
    except OSError as error:
        raise FolderUnwritable(f"folder not writable: {cache} ({error.strerror})") from error


def _fetch_into(
    package: str, package_folder: Path, new: Path, environ: Mapping[str, str], report: Progress
) -> Path:
    apt = ["apt-get", "-q", *_private_apt(new)]
    report(f"fetching the package {package} with this machine's package sources (some seconds, once)")
    broken_source: PackageUnavailable | None = None
    try:
        _run([*apt, "update"], new, environ, f"package lists not fetched, wanted for {package}")
    except PackageUnavailable as error:
        broken_source = error  # one source of many may be broken, and not be the one that is needed
    try:
        wanted = (package, *_NEEDED.get(package, ()))
        _run([*apt, "download", *wanted], new, environ, f"package not fetched: {package}")
    except PackageUnavailable as error:
        raise broken_source or error from None
    archives = sorted(new.glob(f"{package}_*.deb"))
    if not archives:
        raise PackageUnavailable(f"package not fetched: {package}; apt-get named no error")
    try:
        if package in _WEB_PAGES:
            _run(
                [*apt, "download", *_WEB_PAGES[package]], new, environ, f"web pages of {package} not fetched"
            )
    except PackageUnavailable as error:
        report(f"{error.what}; the server runs without them")
    report(f"unpacking {archives[0].name}")
    content = new / "content"
    for archive in sorted(new.glob("*.deb")):
        _run(["dpkg-deb", "-x", str(archive), str(content)], new, environ, f"not unpacked: {archive.name}")
    if package == "prometheus-alertmanager":
        _make_portable(content / "usr" / "bin" / package)
    # The rename is atomic, so a folder with the final name is complete.
    target = package_folder / archives[0].stem
    return target if target.exists() else content.rename(target)


def _private_apt(new: Path) -> list[str]:
    state, archives = new / "state", new / "cache"
    (state / "lists" / "partial").mkdir(parents=True)
    (archives / "archives" / "partial").mkdir(parents=True)
    status = new / "status"
    if _DPKG_STATUS.exists():
        shutil.copyfile(_DPKG_STATUS, status)
    else:
        status.touch()
    options = {
        "Dir::State": state,
        "Dir::State::status": status,
        "Dir::Cache": archives,
        "Debug::NoLocking": "1",
        "APT::Sandbox::User": "root",  # as root, or it warns that `_apt` cannot enter our folder
        "Acquire::Languages": "none",
        "Acquire::IndexTargets::deb::DEP-11::DefaultEnabled": "false",
        "Acquire::IndexTargets::deb::Contents-deb::DefaultEnabled": "false",
        "Acquire::Retries": "1",
        "Acquire::http::Timeout": "20",
        "Acquire::https::Timeout": "20",
        "APT::Update::Error-Mode": "any",
    }
    return [part for key, value in options.items() for part in ("-o", f"{key}={value}")]


def _run(command: list[str], folder: Path, environ: Mapping[str, str], failure: str) -> None:
    # Our error quotes apt, so keep its messages in English.
    environment = {"PATH": os.defpath, **environ, "LC_ALL": "C.UTF-8"}
    try:
        subprocess.run(  # noqa: S603  # a list of our own making
            command,
            cwd=folder,
            env=environment,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            timeout=_STEP_WITHIN_SECONDS,
            check=True,
        )
    except subprocess.TimeoutExpired:
        raise PackageUnavailable(f"{failure}; no end within {_STEP_WITHIN_SECONDS:g} s") from None
    except subprocess.CalledProcessError as error:
        lines = error.stderr.decode(errors="replace").strip().splitlines()
        problems = [line for line in lines if line.startswith(("E:", "Err:"))] or lines
        shown = "\n    ".join(problems[-5:]) or f"exit code {error.returncode}"
        raise PackageUnavailable(f"{failure}; {command[0]} said:\n    {shown}") from None


def _make_portable(program: Path) -> None:
    relative = PORTABLE_TEMPLATES.encode()
    padded = b"./" * ((len(_FIXED_TEMPLATES) - len(relative)) // 2) + relative
    content = program.read_bytes()
    start = 0
    while (start := content.find(_FIXED_TEMPLATES, start)) >= 0:
        end = start + len(_FIXED_TEMPLATES)
        if not content.startswith((b"/ui/", b"/no-ui"), end):  # the folders of the web pages
            content = content[:start] + padded + content[end:]
        start = end
    program.write_bytes(content)


def _package_folder(cache: Path) -> Path:
    # Machines of several architectures may share a home folder.
    return cache / "packages" / platform.machine()


@contextlib.contextmanager
def _locked(file: Path, report: Progress) -> Iterator[None]:
    def report_once(state: RetryCallState) -> None:
        if state.attempt_number == 1:
            report("waiting for another process that fetches packages")

    def give_up(_: RetryCallState) -> NoReturn:
        raise PackageUnavailable(
            f"packages not fetched: another process holds {file} since {_LOCK_WITHIN_SECONDS:g} s"
        )

    with file.open("a") as lock:
        Retrying(
            retry=retry_if_exception_type(BlockingIOError),
            wait=wait_fixed(_LOCK_EVERY_SECONDS),
            stop=stop_after_delay(_LOCK_WITHIN_SECONDS),
            before_sleep=report_once,
            retry_error_callback=give_up,
        )(fcntl.flock, lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        yield
