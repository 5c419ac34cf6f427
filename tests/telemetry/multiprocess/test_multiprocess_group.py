"""Workers share only a folder that is safe, and unexpected files in it do no harm."""

import errno
import logging
import os
import shutil
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from moneypath.telemetry import Catalogue, MetricKind, MetricSpec, Recorder, Unit, setup
from moneypath.telemetry.recording.multiprocess import group
from moneypath.telemetry.recording.multiprocess.processes import Process, pid_namespace
from moneypath.telemetry.recording.multiprocess.store import SharedStore
from moneypath.telemetry.recording.multiprocess.store_selection import FOLDER_VARIABLE

Scrape = Callable[[Recorder], dict[str, float]]
LEFT = 'moneypath_steps_total{side="left"}'
FOREIGN = 'moneypath_telemetry_drops_total{reason="shared_file"}'
NOT_SHARED = 'moneypath_telemetry_drops_total{reason="not_shared"}'
BASE = f"moneypath-{os.geteuid()}"


@pytest.fixture
def roots(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[Path]:
    """Put the three possible places of a group into this test's folder."""
    places = [tmp_path / name for name in ("runtime", "memory", "temporary")]
    for place in places:
        place.mkdir()
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(places[0]))
    monkeypatch.setattr(group, "MEMORY_FOLDER", places[1])
    monkeypatch.setenv("TMPDIR", str(places[2]))
    return places


def folder_of(worker: Recorder) -> Path:
    """Return the folder that a worker shares."""
    assert isinstance(worker._store, SharedStore)
    return worker._store.group.folder


def test_group_is_found_without_configuration(small: Catalogue, roots: list[Path], scrape: Scrape) -> None:
    """Workers of one parent share a folder that is named after it and that nobody else can enter."""
    workers = [setup(small, service="shop-api", shared=True) for _ in range(2)]
    for worker in workers:
        worker.counter("moneypath_steps_total").inc(side="left")
    assert scrape(workers[0])[LEFT] == 2
    (folder,) = {folder_of(worker) for worker in workers}
    assert folder.parent == roots[0] / BASE
    assert folder.name.startswith(f"shop-api-{os.getppid()}-")
    assert [path.stat().st_mode & 0o777 for path in (folder.parent, folder)] == [0o700, 0o700]
    assert {path.stat().st_mode & 0o777 for path in folder.iterdir()} == {0o600}


def test_who_works_alone_leaves_no_trace(small: Catalogue, roots: list[Path]) -> None:
    """A process that shares nothing creates no folder, neither at the start nor at a scrape."""
    setup(small, service="api").render()
    assert not [path for place in roots for path in place.iterdir()]


def make_link(place: Path) -> None:
    """Put a link where our folder would be."""
    (place / "elsewhere").mkdir(mode=0o700)
    (place / BASE).symlink_to(place / "elsewhere")


def make_open(place: Path) -> None:
    """Make a folder that others can write to."""
    (place / BASE).mkdir()
    (place / BASE).chmod(0o777)


def make_readable(place: Path) -> None:
    """Make a folder that others can read."""
    (place / BASE).mkdir()
    (place / BASE).chmod(0o755)


def make_file(place: Path) -> None:
    """Make a file instead of a folder."""
    (place / BASE).touch()


@pytest.mark.parametrize("spoil", [make_link, make_open, make_readable, make_file, Path.rmdir])
def test_unsafe_folder_is_passed_over(
    small: Catalogue, roots: list[Path], spoil: Callable[[Path], None], scrape: Scrape
) -> None:
    """The next place is used; without one the worker counts on its own."""
    spoil(roots[0])
    worker = setup(small, service="api", shared=True)
    assert folder_of(worker).parent == roots[1] / BASE
    assert scrape(worker)[NOT_SHARED] == 0


def test_folder_of_another_user_is_refused(
    small: Catalogue, roots: list[Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A folder with our name that belongs to another user is not used."""
    stranger = os.geteuid() + 1
    for place in roots:
        (place / f"moneypath-{stranger}").mkdir(mode=0o700)
    monkeypatch.setattr(os, "geteuid", lambda: stranger)
    worker = setup(small, service="api", shared=True)
    assert not isinstance(worker._store, SharedStore)


@pytest.mark.parametrize("shared", [True, "a folder"])
def test_worker_that_cannot_share_says_so_and_works(
    shared: object,
    small: Catalogue,
    roots: list[Path],
    scrape: Scrape,
    caplog: pytest.LogCaptureFixture,
    tmp_path: Path,
) -> None:
    """It logs one warning, counts one drop, and exposes its own numbers."""
    for place in roots:
        make_file(place)
    (tmp_path / "a folder").touch()
    with caplog.at_level(logging.WARNING, logger="moneypath.telemetry"):
        worker = setup(small, service="api", shared=shared is True or tmp_path / "a folder")
    assert [record.levelname for record in caplog.records] == ["WARNING"]
    assert "Service api: this worker cannot share its metrics" in caplog.text
    assert str(roots[2] if shared is True else tmp_path / "a folder") in caplog.text
    worker.counter("moneypath_steps_total").inc(side="left")
    samples = scrape(worker)
    assert (samples[LEFT], samples[NOT_SHARED]) == (1, 1)


def test_full_disk_refuses_the_file_not_the_payment(
    small: Catalogue, tmp_path: Path, scrape: Scrape, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Space is allocated at the start. Without space the worker counts on its own and leaves no file."""

    def full(*arguments: int) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, "posix_fallocate", full)
    worker = setup(small, service="api", shared=tmp_path)
    assert scrape(worker)[NOT_SHARED] == 1
    assert not list(tmp_path.glob("*/*"))


def test_catalogue_that_would_fill_the_memory_is_not_shared(
    tmp_path: Path, scrape: Scrape, caplog: pytest.LogCaptureFixture
) -> None:
    """The series budgets decide the size of a file; if it is too large, the worker counts on its own."""
    name, drops = "moneypath_many_seconds", "moneypath_telemetry_drops_total"
    many = MetricSpec(
        name,
        MetricKind.HISTOGRAM,
        "-",
        Unit.SECONDS,
        labels={"x": ()},
        buckets=(1.0,),
        series_budget=10**7,
    )
    whole = Catalogue.build(
        {"providers": ("north",), "currencies": ("EUR",), "checks": ("ledger",), "schemes": ("visa",)}
    )
    with caplog.at_level(logging.WARNING, logger="moneypath.telemetry"):
        worker = setup(Catalogue.of([many, whole[drops]]), service="api", shared=tmp_path)
    assert scrape(worker)[NOT_SHARED] == 1
    assert "need" in caplog.text


def test_environment_names_the_folder(
    small: Catalogue, tmp_path: Path, scrape: Scrape, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The environment variable names the folder unless the call overrides it."""
    monkeypatch.setenv(FOLDER_VARIABLE, str(tmp_path))
    assert folder_of(setup(small, service="api")).parent == tmp_path
    assert not isinstance(setup(small, service="api", shared=False)._store, SharedStore)


def garbage(folder: Path) -> None:
    """Write bytes that no worker wrote."""
    (folder / "x.points").write_bytes(b"\xff" * 4096)


def empty(folder: Path) -> None:
    """Make an empty file."""
    (folder / "x.points").touch()


def pipe(folder: Path) -> None:
    """Make a pipe without a writer, which would block a reader."""
    os.mkfifo(folder / "x.points")


def link(folder: Path) -> None:
    """Make a link to a worker file, which would count it twice."""
    (file,) = folder.glob("*.points")
    (folder / "x.points").symlink_to(file)


def directory(folder: Path) -> None:
    """Make a folder in the folder."""
    (folder / "x.points").mkdir()


def cut_off(folder: Path) -> None:
    """Copy a worker file without its end."""
    (file,) = folder.glob("*.points")
    (folder / "x.points").write_bytes(file.read_bytes()[:-8])


def other_version(folder: Path) -> None:
    """Copy a worker file with another version."""
    (file,) = folder.glob("*.points")
    content = file.read_bytes()
    (folder / "x.points").write_bytes(content[:32] + b"\x07" + content[33:])


@pytest.mark.parametrize("spoil", [garbage, empty, pipe, link, directory, cut_off, other_version])
def test_foreign_file_is_passed_over_and_counted_once(
    spoil: Callable[[Path], None], start: Callable[[], Recorder], scrape: Scrape
) -> None:
    """A scrape neither fails nor reads it, and counts one drop."""
    worker = start()
    worker.counter("moneypath_steps_total").inc(side="left")
    assert scrape(worker)[FOREIGN] == 0
    spoil(folder_of(worker))
    worker.render()
    for _ in range(2):
        samples = scrape(worker)
        assert (samples[LEFT], samples[FOREIGN]) == (1, 1)


@pytest.mark.parametrize(
    "line",
    [
        b"no key at all\n",
        b'["moneypath_steps_total",["up"],%d,2]\n',
        b'["moneypath_steps_total",["right"],%d,3]\n',
        b'["moneypath_steps_total",["right"],9999999,2]\n',
        b'["moneypath_steps_total",["right"],0,2]\n',
        b'["moneypath_steps_total",["right"],%d,2]',
    ],
)
def test_key_that_no_worker_wrote_ends_what_is_believed(
    line: bytes, start: Callable[[], Recorder], kill: Callable[[Recorder], None], scrape: Scrape
) -> None:
    """Rows before the invalid key count; nothing after it becomes a label or a number."""
    survivor, victim = start(), start()
    victim.counter("moneypath_steps_total").inc(3, side="left")
    assert isinstance(victim._store, SharedStore)
    file = victim._store._file
    line = line.replace(b"%d", str(file._used).encode())
    file._keys[file._key_bytes : file._key_bytes + len(line)] = line
    file._header[3] = file._key_bytes + len(line)
    survivor.render()
    samples = scrape(survivor)
    assert (samples[LEFT], samples[FOREIGN]) == (3, 1)
    assert not any('"up"' in name for name in samples)
    kill(victim)
    assert scrape(survivor)[LEFT] == scrape(survivor)[LEFT] == 3


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"[]",
        b'{"compacted": [], "rows": [["moneypath_steps_total", ["up"], [1, 1]]]}',
        b'{"compacted": [], "rows": [["moneypath_steps_total", ["left"], [1]]]}',
        b'{"compacted": [], "rows": [["moneypath_steps_total", ["left"], [[], "1"]]]}',
    ],
)
def test_broken_totals_count_as_nothing(
    content: bytes, start: Callable[[], Recorder], scrape: Scrape
) -> None:
    """They count as one drop, and live workers are scraped."""
    worker = start()
    worker.counter("moneypath_steps_total").inc(side="left")
    (folder_of(worker) / "totals.json").write_bytes(content)
    worker.render()
    samples = scrape(worker)
    assert (samples[LEFT], samples[FOREIGN]) == (1, 1)


def test_worker_without_its_folder_answers_for_itself(start: Callable[[], Recorder], scrape: Scrape) -> None:
    """If the folder was removed, the scrape returns this worker's metrics and counts a drop."""
    worker, other = start(), start()
    for each in (worker, other):
        each.counter("moneypath_steps_total").inc(side="left")
    shutil.rmtree(folder_of(worker))
    worker.render()
    samples = scrape(worker)
    assert samples[LEFT] == 1
    assert samples[FOREIGN] >= 1


def dead_process() -> int:
    """Return the id of a process that has ended."""
    pid = os.posix_spawn("/bin/true", ["true"], {})
    os.waitpid(pid, 0)
    return pid


@pytest.mark.parametrize(
    ("here", "alive", "member", "age_seconds", "stays"),
    [
        (True, False, False, 0, False),
        (True, True, False, 0, True),
        (True, False, True, 0, True),
        (False, False, False, 0, True),
        (False, False, False, 100_000, False),
        (False, False, True, 100_000, True),
    ],
)
def test_group_of_a_dead_parent_is_removed(
    *,
    here: bool,
    alive: bool,
    member: bool,
    age_seconds: int,
    stays: bool,
    small: Catalogue,
    roots: list[Path],
    tmp_path: Path,
) -> None:
    """The next start removes it if no worker lives; one of another boot or container must also be old."""
    parent = Process.of(os.getpid()) if alive else Process(dead_process(), "12345")
    name = f"api-{parent.pid}-{parent.started}-{pid_namespace() if here else '0' * 8}-{'a' * 12}"
    (roots[0] / BASE).mkdir(mode=0o700)
    folder = roots[0] / BASE / name
    worker = setup(small, service="api", shared=tmp_path / "elsewhere")
    folder_of(worker).rename(folder)
    (folder / "totals.json").write_text("{}")
    if not member:
        assert isinstance(worker._store, SharedStore)
        worker._store._file.abandon()
    os.utime(folder, (time.time() - age_seconds,) * 2)
    setup(small, service="other", shared=True)
    assert folder.exists() is stays


def test_file_of_a_worker_that_died_at_birth_is_swept(
    start: Callable[[], Recorder], kill: Callable[[Recorder], None]
) -> None:
    """An unfinished file is removed once it is old enough."""
    survivor, victim = start(), start()
    old, young = (folder_of(survivor) / f".born-{name}" for name in ("old", "young"))
    for path in (old, young):
        path.touch()
    os.utime(old, (time.time() - 1000,) * 2)
    kill(victim)
    survivor.render()
    assert (old.exists(), young.exists()) == (False, True)


def test_many_files_of_exited_workers_are_compacted_at_the_start(
    start: Callable[[], Recorder],
    kill: Callable[[Recorder], None],
    files: Callable[[], list[str]],
    scrape: Scrape,
) -> None:
    """A service whose workers keep dying without any scrape does not fill the disk."""
    for _ in range(80):
        worker = start()
        worker.counter("moneypath_steps_total").inc(side="left")
        kill(worker)
    assert len(files()) < 40
    assert scrape(start())[LEFT] == 80
